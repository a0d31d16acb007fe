/*
 * switch.bound - the ping-pong of switch.sem between threads with a kernel thread of their own
 * (bound) and threads without: the synchronisation rows of the second table in Powell et al.,
 * "SunOS Multi-thread Architecture", USENIX Winter 1991. In a 1:1 implementation all threads are
 * bound, so that all rows are the same thing.
 *
 * Neither of the two is the first thread, which starts the leader and waits: two hand-overs of each
 * window are between these. min_n keeps them below a hundredth.
 */
#include "pingpong.h"

#include "../common/scope.h"

struct state {
    struct pingpong pair;
    struct tl_thread leader;
    bool created;
    unsigned sems; /* initialised: go, then done */
    struct tl_sem go, done;
    uint64_t rounds, made; /* asked for, before go; made, before done */
    int error;             /* of the leader's; likewise */
    bool quit;             /* before go */
};

static void *lead(void *arg)
{
    struct state *st = arg;
    const struct tl_sem_ops *sem = st->pair.impl->sem;

    for (;;) {
        st->error = gate_sem_wait(st->pair.impl, &st->go);
        if (st->quit || st->error)
            break;
        st->error = pingpong_play(&st->pair, st->rounds, &st->made);
        if (sem->post(&st->done))
            break;
    }
    return st;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    const char *pair = tl_axis(ctx, "pair");
    struct tl_attr leader = tl_worker_attr(ctx, 0), partner = tl_worker_attr(ctx, 1);
    enum tl_status status;
    int error = 0;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    leader.bound = strcmp(pair, "unbound-unbound") != 0;
    partner.bound = strcmp(pair, "bound-bound") == 0;
    status = scope_prove(ctx, leader);
    if (status != TL_OK)
        return status;
    for (; st->sems < 2 && !error; st->sems += !error)
        error = ctx->impl->sem->init(st->sems == 0 ? &st->go : &st->done, 0);
    if (error)
        return tl_failed(ctx, "sem.init: %s", strerror(error));
    status = pingpong_setup(ctx, &st->pair, &partner);
    if (status != TL_OK)
        return status;
    error = ctx->impl->create(&st->leader, &leader, lead, st);
    if (error)
        return scope_failed(ctx, leader.bound, error);
    st->created = true;
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_sem_ops *sem = ctx->impl->sem;
    int error;

    st->rounds = (n + 1) / 2;
    st->made = 0;
    tl_begin(ctx);
    error = sem->post(&st->go);
    if (!error)
        error = gate_sem_wait(ctx->impl, &st->done);
    tl_end(ctx, 2 * (st->made ? st->made : 1));

    if (!error)
        error = st->error;
    if (error)
        return tl_failed(ctx, "sem: %s", strerror(error));
    tl_count(ctx, "handovers", 2 * st->made);
    return pingpong_status(ctx, &st->pair);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    return pingpong_verify(ctx, &st->pair);
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    int error = 0;

    if (!st)
        return;
    if (st->created) {
        st->quit = true;
        ctx->impl->sem->post(&st->go);
        error = ctx->impl->join(st->leader, NULL);
    }
    if (!error && st->pair.impl)
        error = pingpong_end(&st->pair);
    if (error) { /* a thread may still use the state: it stays */
        tl_failed(ctx, "join: %s", strerror(error));
        return;
    }
    if (st->sems > 1)
        ctx->impl->sem->destroy(&st->done);
    if (st->sems > 0)
        ctx->impl->sem->destroy(&st->go);
    free(st);
    ctx->state = NULL;
}

/* Between a bound thread and another the kernel switches, where one waits for the other. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    if (tl_trait(ctx, TL_ONE_TO_ONE) || strcmp(tl_axis(ctx, "pair"), "unbound-unbound") == 0)
        pingpong_expect(ctx, expect);
}

static const struct tl_axis axes[] = {
    {"pair", "unbound-unbound,bound-unbound,bound-bound", NULL, NULL,
     "leader and partner; bound: on a kernel thread of its own"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "sem.count", NULL};

static const struct tl_bench switch_bound = {
    .abi = TL_ABI,
    .name = "switch.bound",
    .version = 1,
    .title = "Semaphore ping-pong of bound and unbound threads",
    .op = "one hand-over: post by one thread until the other is back from its wait",
    .needs = TL_NEED_SEM,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .min_n = 400,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(switch_bound);

/*
 * bound-later.c - bound.later: a thread that runs gets a kernel thread of its own, and gives it
 * back.
 */
#include "../common/crowd.h"
#include "../common/mutant.h"

#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 20
#define TURNS 10

static struct tl_ctx *ctx;
static _Atomic int tid_of[THREADS + 1]; /* while it is bound; 0: it is not */

static int tid(void)
{
    return (int)syscall(SYS_gettid);
}

struct search {
    uint64_t id;
    bool found, bound;
};

static void look(const struct tl_thread_row *row, void *arg)
{
    struct search *s = arg;

    if (row->thread.id != s->id)
        return;
    s->found = true;
    s->bound = row->bound;
}

static void listed_as(bool bound)
{
    struct search s = {.id = ctx->impl->self().id};

    if (!ctx->impl->inspect)
        return;
    TL_CALL(ctx, ctx->impl->inspect->threads(look, &s));
    TL_EXPECT(ctx, s.found && s.bound == bound, "a thread that is %sbound is %s",
              bound ? "" : "not ", !s.found ? "not listed" : "listed as if it were not");
}

static void bound_turns(unsigned i)
{
    int first = tid();

    atomic_store(&tid_of[i], first);
    for (unsigned k = 0; k <= THREADS; k++)
        TL_EXPECT(ctx, k == i || atomic_load(&tid_of[k]) != first,
                  "threads %u and %u are bound, to one kernel thread", i, k);
    for (int k = 0; k < TURNS && tl_verdict(ctx) == TL_OK; k++) {
        crowd_step();
        TL_EXPECT(ctx, tid() == first, "thread %u is bound, and moved from kernel thread %d to %d",
                  i, first, tid());
    }
    atomic_store(&tid_of[i], 0);
}

static void body(unsigned i)
{
    const struct tl_concurrency_ops *ops = ctx->impl->concurrency;

    for (int round = 0; round < ROUNDS && tl_verdict(ctx) == TL_OK; round++) {
        tl_delay(ctx, "before bind");
        if (!TL_CALL(ctx, ops->bind(true)))
            break;
        bound_turns(i);
        TL_CALL(ctx, ops->bind(true)); /* it is */
        tl_delay(ctx, "before it is bound no more");
        TL_CALL(ctx, ops->bind(false));
        crowd_step();
    }
    if (i % 2) /* ends bound */
        TL_CALL(ctx, ops->bind(true));
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->concurrency->bind(true)); /* the first thread, too */
    crowd_run(c, THREADS, body);
    listed_as(true);
    bound_turns(THREADS);
    TL_CALL(c, c->impl->concurrency->bind(false));
    listed_as(false);
    crowd_run(c, THREADS, body);
    TL_CALL(c, c->impl->concurrency->bind(c->seed % 2));
    return tl_verdict(c);
}

static const struct tl_check later = {
    .abi = TL_ABI,
    .name = "bound.later",
    .group = "Scheduling",
    .promise = "a thread that runs can get a kernel thread of its own, on which it stays, and can "
               "share those of the others again",
    .source = "Powell et al. 1991, \"SunOS Multi-thread Architecture\" (bound threads); "
              "concurrency.bind in the contract of implementations (harness/impl.h)",
    .method = "four threads bind themselves, compare their kernel threads with each other and over "
              "ten turns, and let go of them, 20 times; the first thread does so around and "
              "between them; some end while they are bound",
    .meaning = "a bind that does nothing leaves threads on shared kernel threads: four on two "
               "PUs. That nobody else runs on the kernel thread follows from the difference of "
               "those that are bound only",
    .needs = "concurrency.bind",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(later);

static int bind_nothing(bool bound)
{
    (void)bound;
    return 0;
}

static void apply_nothing(struct tl_impl *impl)
{
    TL_MUTATE(impl, concurrency)->bind = bind_nothing;
}
MUTANT(binds_nothing, "bind-does-nothing", "a thread that is to be bound stays where it was",
       "bound.later", "hybrid", apply_nothing);

/* Bound for ever. */
static const struct tl_concurrency_ops *sound_ops;
static int bind_only(bool bound)
{
    return bound ? sound_ops->bind(true) : 0;
}

static void apply_only(struct tl_impl *impl)
{
    sound_ops = impl->concurrency;
    TL_MUTATE(impl, concurrency)->bind = bind_only;
}
MUTANT(never_unbinds, "bind-for-ever", "a thread keeps the kernel thread that it was bound to",
       "bound.later", "hybrid", apply_only);

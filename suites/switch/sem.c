/*
 * switch.sem - two threads hand a token back and forth through two semaphores: block and wake. The
 * first thread is one of the two.
 *
 * `ball` is the number of the last hand-over. Each side checks on waking that exactly one hand-over
 * happened since its own post: a wait that returns too early, or a post that is lost, is seen.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/gate.h"
#include "../common/model.h"

struct state {
    const struct tl_impl *impl;
    struct tl_thread partner;
    bool created;
    unsigned sems; /* initialised: ping, then pong */
    struct tl_sem ping, pong;
    _Alignas(64) _Atomic uint64_t ball;
    uint64_t handovers;      /* as the first thread has asked for */
    uint64_t wrong;          /* wakes of the first thread without a hand-over */
    uint64_t partner_counts; /* hand-overs seen by the partner; read after its last post */
    uint64_t partner_wrong;
    _Atomic int error; /* of the partner */
    _Atomic bool quit;
};

static void *partner(void *arg)
{
    struct state *st = arg;
    const struct tl_sem_ops *sem = st->impl->sem;
    uint64_t expected = 1;
    int error;

    for (;; expected += 2) {
        error = gate_sem_wait(st->impl, &st->ping);
        if (error || atomic_load_explicit(&st->quit, memory_order_relaxed))
            break;
        if (atomic_load_explicit(&st->ball, memory_order_relaxed) == expected)
            st->partner_counts++;
        else
            st->partner_wrong++;
        atomic_store_explicit(&st->ball, expected + 1, memory_order_relaxed);
        error = sem->post(&st->pong);
        if (error)
            break;
    }
    if (error) { /* nobody is to wait for us */
        atomic_store(&st->error, error);
        sem->post(&st->pong);
    }
    return st;
}

static enum tl_status partner_failed(struct tl_ctx *ctx, int error)
{
    if (error == EDEADLK)
        return tl_invalid(ctx, "0 hand-overs seen: the second thread runs inside create");
    return tl_failed(ctx, "the second thread: sem: %s", strerror(error));
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    struct tl_attr attr = tl_worker_attr(ctx, 1);
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->impl = ctx->impl;
    for (; st->sems < 2; st->sems++) {
        error = ctx->impl->sem->init(st->sems == 0 ? &st->ping : &st->pong, 0);
        if (error)
            return tl_failed(ctx, "sem.init: %s", strerror(error));
    }
    error = ctx->impl->create(&st->partner, &attr, partner, st);
    if (error)
        return tl_failed(ctx, "create: %s", strerror(error));
    st->created = true;
    error = atomic_load(&st->error);
    return error ? partner_failed(ctx, error) : TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_sem_ops *sem = st->impl->sem;
    uint64_t rounds = (n + 1) / 2, i, ball = st->handovers, wrong = 0;
    int error = 0;

    tl_begin(ctx);
    for (i = 0; i < rounds; i++) {
        atomic_store_explicit(&st->ball, ++ball, memory_order_relaxed);
        error = sem->post(&st->ping);
        if (error)
            break;
        error = gate_sem_wait(st->impl, &st->pong);
        if (error)
            break;
        wrong += atomic_load_explicit(&st->ball, memory_order_relaxed) != ++ball;
    }
    tl_end(ctx, 2 * (i ? i : 1));

    if (error)
        return tl_failed(ctx, "sem: %s", strerror(error));
    error = atomic_load(&st->error);
    if (error)
        return partner_failed(ctx, error);
    st->handovers = ball;
    st->wrong += wrong;
    tl_count(ctx, "handovers", 2 * rounds);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    uint64_t half = st->handovers / 2, seen = half - st->wrong + st->partner_counts;

    if (seen != st->handovers || st->partner_wrong)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " hand-overs seen", seen, st->handovers);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    int error = 0;

    if (!st)
        return;
    atomic_store(&st->quit, true);
    if (st->created) {
        st->impl->sem->post(&st->ping);
        error = st->impl->join(st->partner, NULL);
    }
    if (error) { /* the thread may still use the state: it stays */
        tl_failed(ctx, "join: %s", strerror(error));
        return;
    }
    if (st->sems > 1)
        st->impl->sem->destroy(&st->pong);
    if (st->sems > 0)
        st->impl->sem->destroy(&st->ping);
    free(st);
    ctx->state = NULL;
}

/* Across PUs an implementation that spins before it blocks may have none. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    model_expect_no_switches(ctx, expect);
    if (tl_trait(ctx, TL_ONE_TO_ONE) && model_same_pu(ctx)) {
        expect->switches = (struct tl_range){0.9, 2.2};
        expect->why = "on one PU each hand-over between kernel threads is a switch";
    }
}

static const char *const rests_on[] = {
    "create.runs",
    "sem.count",
    NULL,
};

static const struct tl_bench switch_sem = {
    .abi = TL_ABI,
    .name = "switch.sem",
    .version = 1,
    .title = "Semaphore ping-pong between two threads",
    .op = "one hand-over: post by one thread until the other is back from its wait",
    .needs = TL_NEED_SEM,
    .workers = 2,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(switch_sem);

/*
 * switch.cond - two threads hand a turn back and forth under a mutex with two condition variables,
 * the textbook way: take the mutex, pass the turn, signal, wait until it is back. The first thread
 * is one of the two. Count spurious: wakes without the turn.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/model.h"

struct state {
    const struct tl_impl *impl;
    struct tl_thread partner;
    bool created;
    unsigned made; /* initialised: mutex, then there, then back */
    struct tl_mutex mutex;
    struct tl_cond there, back;
    /* Under the mutex. Even: the first thread's turn; odd: the partner's. Each hand-over adds 1. */
    uint64_t turn;
    bool quit;
    uint64_t partner_turns; /* hand-overs seen by the partner */
    uint64_t spurious;
    /* Only the first thread's. */
    uint64_t asked, seen, told;
    _Atomic int error; /* of the partner */
};

static void *partner(void *arg)
{
    struct state *st = arg;
    const struct tl_impl *impl = st->impl;
    int error = impl->mutex->lock(&st->mutex);

    if (error)
        goto out;
    while (!st->quit) {
        if (st->turn % 2 == 1) {
            st->partner_turns++;
            st->turn++;
            error = impl->cond->signal(&st->back);
            if (error)
                break;
        }
        error = impl->cond->wait(&st->there, &st->mutex);
        if (error)
            break;
        st->spurious += st->turn % 2 == 0 && !st->quit;
    }
    if (error) { /* nobody is to wait for us */
        atomic_store(&st->error, error);
        impl->cond->signal(&st->back);
    }
    impl->mutex->unlock(&st->mutex);
out:
    if (error)
        atomic_store(&st->error, error);
    return st;
}

static enum tl_status partner_failed(struct tl_ctx *ctx, int error)
{
    if (error == EDEADLK)
        return tl_invalid(ctx, "0 hand-overs seen: the second thread runs inside create");
    return tl_failed(ctx, "the second thread: cond or mutex: %s", strerror(error));
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    const struct tl_impl *impl = ctx->impl;
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    struct tl_attr attr = tl_worker_attr(ctx, 1);
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->impl = impl;
    error = impl->mutex->init(&st->mutex, TL_MUTEX_BLOCK);
    if (error)
        return tl_failed(ctx, "mutex.init: %s", strerror(error));
    for (st->made = 1; st->made < 3; st->made++) {
        error = impl->cond->init(st->made == 1 ? &st->there : &st->back);
        if (error)
            return tl_failed(ctx, "cond.init: %s", strerror(error));
    }
    error = impl->create(&st->partner, &attr, partner, st);
    if (error)
        return tl_failed(ctx, "create: %s", strerror(error));
    st->created = true;
    error = atomic_load(&st->error);
    return error ? partner_failed(ctx, error) : TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_impl *impl = ctx->impl;
    uint64_t rounds = (n + 1) / 2, seen = 0, spurious, i;
    int error = impl->mutex->lock(&st->mutex);

    if (error)
        return tl_failed(ctx, "mutex.lock: %s", strerror(error));
    tl_begin(ctx);
    for (i = 0; i < rounds && !error; i++) {
        st->turn++;
        error = impl->cond->signal(&st->there);
        while (st->turn % 2 == 1 && !error) {
            error = impl->cond->wait(&st->back, &st->mutex);
            if (!error)
                error = atomic_load_explicit(&st->error, memory_order_relaxed);
            st->spurious += st->turn % 2 == 1;
        }
        seen += st->turn % 2 == 0;
    }
    tl_end(ctx, 2 * (i ? i : 1));

    st->asked += 2 * rounds;
    st->seen += seen;
    spurious = st->spurious - st->told;
    st->told = st->spurious;
    impl->mutex->unlock(&st->mutex);
    if (atomic_load(&st->error))
        return partner_failed(ctx, atomic_load(&st->error));
    if (error)
        return tl_failed(ctx, "cond: %s", strerror(error));
    tl_count(ctx, "handovers", 2 * rounds);
    tl_count(ctx, "spurious", spurious);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    uint64_t seen;
    int error = ctx->impl->mutex->lock(&st->mutex);

    if (error)
        return tl_failed(ctx, "mutex.lock: %s", strerror(error));
    seen = st->seen + st->partner_turns;
    ctx->impl->mutex->unlock(&st->mutex);
    if (seen != st->asked)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " hand-overs seen", seen, st->asked);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    const struct tl_impl *impl = ctx->impl;
    struct state *st = ctx->state;
    int error = 0;

    if (!st)
        return;
    if (st->created) {
        impl->mutex->lock(&st->mutex);
        st->quit = true;
        impl->cond->signal(&st->there);
        impl->mutex->unlock(&st->mutex);
        error = impl->join(st->partner, NULL);
    }
    if (error) { /* the thread may still use the state: it stays */
        tl_failed(ctx, "join: %s", strerror(error));
        return;
    }
    if (st->made > 2)
        impl->cond->destroy(&st->back);
    if (st->made > 1)
        impl->cond->destroy(&st->there);
    if (st->made > 0)
        impl->mutex->destroy(&st->mutex);
    free(st);
    ctx->state = NULL;
}

/* The woken thread may run at once and find the mutex still held: up to two switches more. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    model_expect_no_switches(ctx, expect);
    if (tl_trait(ctx, TL_ONE_TO_ONE) && model_same_pu(ctx)) {
        expect->switches = (struct tl_range){0.9, 3.2};
        expect->why = "on one PU each hand-over between kernel threads is a switch, or three "
                      "when the woken one finds the mutex held";
    }
}

static const char *const rests_on[] = {
    "create.runs", "mutex.exclusion", "cond.no-lost-wake", "cond.atomic-release", NULL,
};

static const struct tl_bench switch_cond = {
    .abi = TL_ABI,
    .name = "switch.cond",
    .version = 1,
    .title = "Condition variable ping-pong between two threads",
    .op = "one hand-over: signal by one thread until the other is back from its wait",
    .needs = TL_NEED_MUTEX | TL_NEED_COND,
    .workers = 2,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(switch_cond);

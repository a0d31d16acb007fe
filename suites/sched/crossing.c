/*
 * crossing.c - sched.crossing: threads that make each other ready while both give up their PUs. The
 * mutant that it kills, user-switch-waits, is in together.c.
 *
 * With several kernel threads below them, each of the two may be what the other's kernel thread
 * takes next: then neither may wait for the other to have left its stack.
 */
#include "../common/rounds.h"

#include <stdatomic.h>

#define THREADS 8
#define FEW 300
#define MOST 3000

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static unsigned held; /* how often; guarded by the mutex */
static _Atomic unsigned born, taken;
static _Atomic int all;

static void *cross(void *arg)
{
    const struct tl_impl *impl = ctx->impl;

    if (atomic_fetch_add(&born, 1) == THREADS - 1)
        atomic_store(&all, 1);
    if (!tl_await(ctx, &all, "all threads"))
        return arg;
    for (unsigned n = 0; rounds_more(ctx, n, FEW, MOST); n++) {
        impl->mutex->lock(&mutex);
        held++;
        impl->yield(); /* the others come to wait, ... */
        impl->mutex->unlock(&mutex);
        atomic_fetch_add(&taken, 1);
        impl->yield(); /* ... and are made ready by one that goes behind them */
    }
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    unsigned made = 0;

    ctx = c;
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    /* Without a place: any kernel thread may take them. */
    while (made < THREADS && TL_CALL(c, c->impl->create(&t[made], NULL, cross, NULL)))
        made++;
    while (made)
        tl_finish(c, t[--made]);
    TL_EXPECT(ctx, held == atomic_load(&taken), "the mutex was taken %u times, and held %u times",
              atomic_load(&taken), held);
    return tl_verdict(ctx);
}

static const struct tl_check crossing = {
    .abi = TL_ABI,
    .name = "sched.crossing",
    .group = "Scheduling",
    .promise = "two threads that make each other ready while both give up the PU both go on",
    .source = "the implementation's own promise (README of impls/user): whoever is ready runs; "
              "Powell et al. 1991, \"SunOS Multi-thread Architecture\" (LWPs take threads from one "
              "queue)",
    .method =
        "eight threads lock a mutex, yield with it, unlock it (which makes one ready that may "
        "not have left its stack yet) and yield again, 300 times or more; the latest first, "
        "where the implementation has that policy, so that who became ready is taken at "
        "once",
    .meaning = "kernel threads that wait for each other's threads hang until the deadline. A pass "
               "shows the absence of that only with the probability that it would have happened; "
               "with one kernel thread it says nothing",
    .needs = "mutex",
    .params = "policy=lifo",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(crossing);

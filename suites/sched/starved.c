/*
 * starved.c - sched.starved: who is ready behind a thread that computes, while others only yield.
 */
#include "check.h"

#include <stdatomic.h>

#define YIELDERS 2
#define READY 2
#define UNDER_WAY 1000                 /* yields of each that show it to be on another PU */
#define MANY 1000000                   /* yields of all, and ... */
#define LONG_NS UINT64_C(8000000000)   /* ... time, after which it is not going to happen */
#define BEFORE_NS UINT64_C(2000000000) /* for what has to be so first, and often is */

static struct tl_ctx *ctx;
static struct tl_sem go[READY];
static _Atomic bool leave;
static _Atomic unsigned yields[YIELDERS], came;

static void *only_yield(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;

    while (!atomic_load(&leave)) {
        if (atomic_fetch_add(&yields[i], 1) == UNDER_WAY * 100 && !tl_trait(ctx, TL_CONCURRENT)) {
            TL_EXPECT(ctx, false, "a thread yields, and nobody else runs");
            break;
        }
        ctx->impl->yield();
    }
    return NULL;
}

static void *come(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;

    ctx->impl->sem->wait(&go[i]);
    atomic_fetch_add(&came, 1);
    return NULL;
}

static unsigned yields_in_all(void)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < YIELDERS; i++)
        sum += atomic_load(&yields[i]);
    return sum;
}

/* Computes until both of the others run elsewhere. */
static bool others_elsewhere(void)
{
    uint64_t until = tl_now_ns() + BEFORE_NS;
    unsigned begin[YIELDERS], away;

    for (unsigned i = 0; i < YIELDERS; i++)
        begin[i] = atomic_load(&yields[i]);
    do {
        away = 0;
        for (unsigned i = 0; i < YIELDERS; i++)
            away += atomic_load(&yields[i]) - begin[i] >= UNDER_WAY;
    } while (away < YIELDERS && tl_now_ns() < until);
    return away == YIELDERS;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[YIELDERS + READY];
    unsigned made = 0, before;
    uint64_t begin;

    ctx = c;
    for (unsigned i = 0; i < READY; i++)
        TL_CALL(c, c->impl->sem->init(&go[i], 0));
    /* Without a place: any kernel thread may take them. */
    while (made < READY &&
           TL_CALL(c, c->impl->create(&t[made], NULL, come, (void *)(uintptr_t)made)))
        made++;
    c->impl->yield(); /* they wait now, or will find the semaphore posted */
    while (
        made >= READY && made < READY + YIELDERS &&
        TL_CALL(c, c->impl->create(&t[made], NULL, only_yield, (void *)(uintptr_t)(made - READY))))
        made++;
    if (made == READY + YIELDERS && tl_verdict(c) == TL_OK && others_elsewhere()) {
        for (unsigned i = 0; i < READY; i++)
            TL_CALL(c, c->impl->sem->post(&go[i]));
        begin = tl_now_ns();
        before = yields_in_all();
        while (atomic_load(&came) < READY &&
               (tl_now_ns() - begin < LONG_NS || yields_in_all() - before < MANY))
            ;
        TL_EXPECT(c, atomic_load(&came) == READY,
                  "%u of %d threads have not run while others yielded %u times",
                  READY - atomic_load(&came), READY, yields_in_all() - before);
    }
    atomic_store(&leave, true);
    for (unsigned i = 0; i < READY; i++) /* what was not posted */
        c->impl->sem->post(&go[i]);
    while (made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check starved = {
    .abi = TL_ABI,
    .name = "sched.starved",
    .group = "Scheduling",
    .promise = "who has become ready behind a thread that computes runs, although all that the "
               "other kernel threads do is to yield",
    .source = "the implementation's own promise (README of impls/hybrid): an LWP takes what others "
              "do not get to; Blumofe and Leiserson 1999, \"Scheduling Multithreaded Computations "
              "by Work Stealing\"",
    .method =
        "two threads only yield, on another kernel thread than the first one, which makes two "
        "more ready and computes until they have run",
    .meaning = "a kernel thread that takes work from others only when it has none of its own never "
               "gets to them: told after 8 s and a million yields. Where the two are not seen to "
               "run elsewhere within 2 s nothing was asked",
    .needs = "sem",
    .params = "lwps=2",
    .traits = TL_PARALLEL,
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(starved);

#ifdef TL_INJECT
static const struct tl_mutant fair_to_own_only = {
    .abi = TL_ABI,
    .name = "user-fair-to-own-only",
    .fault = "what other kernel threads do not get to is taken only by one that has nothing itself",
    .kills = "sched.starved",
    .of = "hybrid",
};
TL_MUTANT_OF(fair_to_own_only);
#endif

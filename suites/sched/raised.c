/*
 * raised.c - concurrency.raised-in-waits: a second kernel thread comes while threads wait on the
 * only one.
 *
 * What one kernel thread needs neither locks nor fences for is left by it as several expect it: the
 * lists of those that wait, who owns a mutex, and where the thread goes on that raises it.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "check.h"

#include "../common/settle.h"

#define TURNS 400   /* of each of the two */
#define RAISED 100  /* the turn of the partner in which it raises it */
#define YIELDS 1000 /* of the partner after that */

static struct tl_ctx *ctx;
static struct tl_mutex monitor, held;
static struct tl_cond there, back;
static struct tl_sem unit;
static int turn;                                              /* under monitor; even: the first's */
static _Atomic int raised, quit, posted, unlocked, woke, got; /* flags */

static void *wait_for_unit(void *arg)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&unit));
    TL_EXPECT(ctx, atomic_load(&posted), "the wait for a semaphore has ended without a post");
    atomic_store(&woke, 1);
    return arg;
}

static void *wait_for_mutex(void *arg)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&held));
    TL_EXPECT(ctx, atomic_load(&unlocked), "the mutex was had by two");
    atomic_store(&got, 1);
    TL_CALL(ctx, ctx->impl->mutex->unlock(&held));
    return arg;
}

static void *yield_on(void *arg)
{
    while (!atomic_load(&quit))
        ctx->impl->yield();
    return arg;
}

static void raise_it(void)
{
    TL_CALL(ctx, ctx->impl->concurrency->set(2));
    atomic_store(&raised, 1);
    for (int i = 0; i < YIELDS; i++) {
        ctx->impl->yield();
        if (i % 16 == 0)
            tl_delay(ctx, "raised");
    }
}

/* One of the two: takes its turns, each when the other has handed it over. */
static void take_turns(int mine, struct tl_cond *wait_at, struct tl_cond *signal_at)
{
    const struct tl_impl *impl = ctx->impl;

    TL_CALL(ctx, impl->mutex->lock(&monitor));
    for (int i = 0; i < TURNS && tl_verdict(ctx) == TL_OK; i++) {
        while (turn % 2 != mine && tl_verdict(ctx) == TL_OK)
            TL_CALL(ctx, impl->cond->wait(wait_at, &monitor));
        if (mine && i == RAISED)
            raise_it();
        turn++;
        TL_CALL(ctx, impl->cond->signal(signal_at));
    }
    TL_CALL(ctx, impl->mutex->unlock(&monitor));
}

static void *partner(void *arg)
{
    take_turns(1, &there, &back);
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    static void *(*const entries[])(void *) = {wait_for_unit, wait_for_mutex, yield_on, partner};
    enum { THREADS = sizeof(entries) / sizeof(entries[0]) };
    const struct tl_impl *impl = c->impl;
    struct tl_thread t[THREADS];
    unsigned made = 0;

    ctx = c;
    if (!TL_CALL(c, impl->mutex->init(&monitor, TL_MUTEX_BLOCK)) ||
        !TL_CALL(c, impl->mutex->init(&held, TL_MUTEX_BLOCK)) ||
        !TL_CALL(c, impl->cond->init(&there)) || !TL_CALL(c, impl->cond->init(&back)) ||
        !TL_CALL(c, impl->sem->init(&unit, 0)) || !TL_CALL(c, impl->mutex->lock(&held)))
        return tl_verdict(c);
    tl_step(c, "handing over turns");
    /* Anywhere: with a place they would not all be on the only kernel thread's way. */
    while (made < THREADS && TL_CALL(c, impl->create(&t[made], NULL, entries[made], NULL)))
        made++;
    if (made == THREADS)
        take_turns(0, &back, &there);
    settle(c);
    atomic_store(&posted, 1);
    TL_CALL(c, impl->sem->post(&unit));
    atomic_store(&unlocked, 1);
    TL_CALL(c, impl->mutex->unlock(&held));
    atomic_store(&quit, 1);
    tl_step(c, "joining them");
    while (made)
        tl_finish(c, t[--made]);
    if (tl_verdict(c) == TL_OK) {
        TL_EXPECT(c, turn == 2 * TURNS, "%d turns of %d", turn, 2 * TURNS);
        TL_EXPECT(c, atomic_load(&woke) && atomic_load(&got), "a wait has not ended");
    }
    return tl_verdict(c);
}

static const struct tl_check raised_in_waits = {
    .abi = TL_ABI,
    .name = "concurrency.raised-in-waits",
    .group = "Scheduling",
    .promise = "threads that wait while a second kernel thread comes are woken as before",
    .source = "POSIX.1-2017 XSH pthread_setconcurrency: the level may change at any time",
    .method = "two threads hand over 400 turns each by two condition variables; in one of them the "
              "concurrency becomes 2, while others wait for a semaphore, for a mutex, or yield",
    .meaning = "a library that takes no locks while it has one kernel thread has left its lists as "
               "several expect them; where there were several before, nothing is shown",
    .needs = "concurrency mutex cond sem",
    .prefers = "lwps=1",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(raised_in_waits);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_sem_ops *sound;

static int wait_until_raised(struct tl_sem *s)
{
    while (!atomic_load(&raised) && sound->trywait(s))
        ctx->impl->yield();
    return 0;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->sem;
    TL_MUTATE(impl, sem)->wait = wait_until_raised;
}

static const struct tl_mutant ends_waits = {
    .abi = TL_ABI,
    .name = "concurrency-ends-waits",
    .fault = "a wait for a semaphore ends when the concurrency changes",
    .kills = "concurrency.raised-in-waits",
    .of = "hybrid",
    .apply = apply,
};
TL_MUTANT_OF(ends_waits);

/*
 * not-points.c - cancel.rwlock-not-a-point, cancel.barrier-not-a-point: waits that a request leaves
 * alone.
 */
#include "victim.h"

#include "../common/mutant.h"

#define ROUNDS 20

static struct tl_ctx *ctx;
static _Atomic int waited;
static struct tl_rwlock lock;
static struct tl_barrier barrier;

/* The victim waits, in the way that it is told, has what it waited for, and is cancelled by test.
 * release: the first thread ends the wait. */
static void one_round(int i, void (*wait)(void), void (*release)(void), const char *name)
{
    atomic_store(&waited, 0);
    if (!victim_start(ctx, wait))
        return;
    if (i % 2)
        settle(ctx); /* it waits, most likely */
    else
        tl_delay(ctx, "before cancel");
    victim_cancel();
    if (i % 4 == 3)
        settle(ctx);
    TL_EXPECT(ctx, !atomic_load(&victim.left), "a request ended the wait for %s", name);
    if (tl_verdict(ctx) == TL_OK)
        release();
    victim_end(ctx, "test, after the wait");
    TL_EXPECT(ctx, atomic_load(&waited), "a request ended the wait for %s", name);
}

/* ---- read-write lock ------------------------------------------------------------------------- */

static void wait_and_test(int (*take)(struct tl_rwlock *))
{
    TL_CALL(ctx, take(&lock));
    atomic_store(&waited, 1);
    TL_CALL(ctx, ctx->impl->rwlock->unlock(&lock));
    ctx->impl->cancel->test();
}

static void read_it(void)
{
    wait_and_test(ctx->impl->rwlock->rdlock);
}

static void write_it(void)
{
    wait_and_test(ctx->impl->rwlock->wrlock);
}

static void unlock_it(void)
{
    TL_CALL(ctx, ctx->impl->rwlock->unlock(&lock));
}

static enum tl_status run_rwlock(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->rwlock->init(&lock));
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        TL_CALL(ctx, ctx->impl->rwlock->wrlock(&lock));
        one_round(i, i % 3 ? write_it : read_it, unlock_it, "a read-write lock");
    }
    return tl_verdict(ctx);
}

static const struct tl_check rwlock_not_a_point = {
    .abi = TL_ABI,
    .name = "cancel.rwlock-not-a-point",
    .group = "Cancellation",
    .promise =
        "a thread that waits for a read-write lock gets it, even if it is cancelled while it "
        "waits",
    .source = "practice of the GNU C library and of this contract; POSIX.1-2017 XSH 2.9.5.2 leaves "
              "it open: pthread_rwlock_rdlock is one of those that may be points",
    .method = "a writer holds the lock; a reader or writer waits and is cancelled; it has to have "
              "the lock afterwards, and ends in test; 20 seeded rounds",
    .meaning = "a wait that a request ends is seen. It shows that programs which lock without a "
               "cleanup handler are safe here, not that they are everywhere",
    .needs = "cancel protect rwlock",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_rwlock,
};
TL_CHECK(rwlock_not_a_point);

/* ---- barrier --------------------------------------------------------------------------------- */

static void meet(void)
{
    int err = ctx->impl->barrier->wait(&barrier);

    TL_EXPECT(ctx, err == 0 || err == TL_BARRIER_SERIAL, "barrier.wait answered %d", err);
}

static void meet_and_test(void)
{
    meet();
    atomic_store(&waited, 1);
    ctx->impl->cancel->test();
}

static enum tl_status run_barrier(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->barrier->init(&barrier, 2));
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++)
        one_round(i, meet_and_test, meet, "a barrier");
    return tl_verdict(ctx);
}

static const struct tl_check barrier_not_a_point = {
    .abi = TL_ABI,
    .name = "cancel.barrier-not-a-point",
    .group = "Cancellation",
    .promise = "a thread that waits at a barrier is released with the others, even if it is "
               "cancelled while it waits",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (pthread_barrier_wait is in neither list; no cancellation "
              "points in other functions)",
    .method = "a thread waits at a barrier of two and is cancelled; the other one comes; both have "
              "to get through, and the first ends in test; 20 seeded rounds",
    .meaning = "a request that ends the wait leaves the other one behind for ever",
    .needs = "cancel protect barrier",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_barrier,
};
TL_CHECK(barrier_not_a_point);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int wrlock_tests(struct tl_rwlock *l)
{
    while (sound.rwlock->trywrlock(l)) {
        sound.cancel->test();
        sound.yield();
    }
    return 0;
}

static void apply_rwlock(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, rwlock)->wrlock = wrlock_tests;
}

static int barrier_tests(struct tl_barrier *b)
{
    sound.cancel->test();
    return sound.barrier->wait(b);
}

static void apply_barrier(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, barrier)->wait = barrier_tests;
}

#define ALL "nptl clone green"
MUTANT(rwlock_is_point, "wrlock-is-a-cancel-point", "a writer that waits acts on a request",
       "cancel.rwlock-not-a-point", ALL, apply_rwlock);
MUTANT(barrier_is_point, "barrier-is-a-cancel-point",
       "a barrier acts on a request that is pending when a thread comes",
       "cancel.barrier-not-a-point", "nptl clone", apply_barrier);

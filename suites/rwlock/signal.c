/*
 * signal.c - rwlock.signal-while-waiting, barrier.signal-while-waiting: a thread that waits handles
 * a signal there, and goes on waiting.
 */
#include "check.h"

#include "../common/action.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define ROUNDS 10
#define SIGNALS 3 /* in each round */

static struct tl_ctx *ctx;
static struct tl_rwlock lock;
static struct tl_barrier barrier;
static _Atomic int entering, released, early, handled;

static void handler(int sig)
{
    (void)sig;
    atomic_store(&handled, 1);
}

static void *wait_for_lock(void *arg)
{
    const struct tl_rwlock_ops *ops = ctx->impl->rwlock;

    atomic_store(&entering, 1);
    if (TL_CALL(ctx, *(int *)arg % 2 ? ops->rdlock(&lock) : ops->wrlock(&lock))) {
        atomic_store(&early, !atomic_load(&released));
        TL_CALL(ctx, ops->unlock(&lock));
    }
    return arg;
}

static void wait_at_barrier(void)
{
    int err = ctx->impl->barrier->wait(&barrier);

    TL_EXPECT(ctx, err == 0 || err == TL_BARRIER_SERIAL, "barrier.wait: %s", strerror(err));
}

static void *wait_for_others(void *arg)
{
    atomic_store(&entering, 1);
    wait_at_barrier();
    atomic_store(&early, !atomic_load(&released));
    return arg;
}

static void lock_for_round(void)
{
    TL_CALL(ctx, ctx->impl->rwlock->wrlock(&lock));
}

static void unlock_after_round(void)
{
    TL_CALL(ctx, ctx->impl->rwlock->unlock(&lock));
}

static void nothing(void)
{
}

/* One round: entry(&i) waits, gets signals, and is then released. */
static void disturb(int i, void (*prepare)(void), void *(*entry)(void *), void (*release)(void))
{
    struct tl_thread t;

    atomic_store(&entering, 0);
    atomic_store(&released, 0);
    prepare();
    if (!tl_start(ctx, 1, &t, entry, &i))
        return;
    for (int s = 0; s < SIGNALS && tl_await(ctx, &entering, "the other thread to wait"); s++) {
        for (int turns = 0; turns < 20; turns++)
            ctx->impl->yield();
        atomic_store(&handled, 0);
        int err = ctx->impl->signal->kill(t, SIGUSR1, NULL);
        if (!TL_EXPECT(ctx, !err, "signal.kill: %s", strerror(err)) ||
            !tl_await(ctx, &handled, "the waiting thread to handle the signal"))
            break;
    }
    atomic_store(&released, 1);
    release();
    tl_finish(ctx, t);
    TL_EXPECT(ctx, !atomic_load(&early), "round %d: the wait ended before it was let", i);
}

/* No SA_RESTART: whoever asks the kernel is told EINTR. */
static enum tl_status disturbed(struct tl_ctx *c, void (*prepare)(void), void *(*entry)(void *),
                                void (*release)(void))
{
    struct sigaction act = {.sa_handler = handler};

    ctx = c;
    tl_sigaction(ctx->impl, SIGUSR1, &act, NULL);
    for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++)
        disturb(i, prepare, entry, release);
    return tl_verdict(c);
}

static enum tl_status run_lock(struct tl_ctx *c)
{
    TL_CALL(c, c->impl->rwlock->init(&lock));
    return disturbed(c, lock_for_round, wait_for_lock, unlock_after_round);
}

static enum tl_status run_barrier(struct tl_ctx *c)
{
    TL_CALL(c, c->impl->barrier->init(&barrier, 2));
    return disturbed(c, nothing, wait_for_others, wait_at_barrier);
}

static const struct tl_check rwlock_signal = {
    .abi = TL_ABI,
    .name = "rwlock.signal-while-waiting",
    .group = "Read-write lock",
    .promise = "a thread that handles a signal while it waits for the lock goes on waiting as if "
               "it had not been interrupted",
    .source = "POSIX.1-2017 XSH pthread_rwlock_rdlock, pthread_rwlock_wrlock",
    .method = "a reader or a writer waits behind a writer and is sent three signals, whose handler "
              "does not ask for restarts; the lock must come after the release and without error",
    .meaning = "EINTR let through and a wait cut short are seen; a signal that comes just before "
               "the wait shows nothing, which is why there are thirty",
    .needs = "rwlock signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_lock,
};
TL_CHECK(rwlock_signal);

static const struct tl_check barrier_signal = {
    .abi = TL_ABI,
    .name = "barrier.signal-while-waiting",
    .group = "Barrier",
    .promise = "a thread that handles a signal while it waits at a barrier goes on waiting there",
    .source = "POSIX.1-2017 XSH pthread_barrier_wait",
    .method =
        "as rwlock.signal-while-waiting, at a barrier of two to which the second thread comes "
        "after three signals",
    .meaning = "as rwlock.signal-while-waiting",
    .needs = "barrier signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_barrier,
};
TL_CHECK(barrier_signal);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *sound;
static struct tl_impl saved;
static _Atomic unsigned came;

static int write_interruptible(struct tl_rwlock *l)
{
    int err;

    while ((err = sound->rwlock->trywrlock(l)) == EBUSY && !atomic_load(&handled))
        sound->yield();
    return err == EBUSY ? EINTR : err;
}

/* A barrier of two. */
static int wait_interruptible(struct tl_barrier *b)
{
    unsigned mine = atomic_fetch_add(&came, 1);

    (void)b;
    while (mine % 2 == 0 && atomic_load(&came) == mine + 1) {
        if (atomic_load(&handled))
            return EINTR;
        sound->yield();
    }
    return mine % 2 ? TL_BARRIER_SERIAL : 0;
}

static void apply(struct tl_impl *impl)
{
    saved = *impl;
    sound = &saved;
    TL_MUTATE(impl, rwlock)->wrlock = write_interruptible;
    TL_MUTATE(impl, barrier)->wait = wait_interruptible;
}

static const struct tl_mutant wait_interrupted = {
    .abi = TL_ABI,
    .name = "lock-wait-interrupted",
    .fault = "the wait of a writer and at a barrier answers EINTR when a handler has run",
    .kills = "rwlock.signal-while-waiting barrier.signal-while-waiting",
    .of = "nptl clone green",
    .apply = apply,
};
TL_MUTANT_OF(wait_interrupted);

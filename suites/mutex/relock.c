/*
 * relock.c - mutex.normal-relock, mutex.timed-relock: who locks a plain mutex twice waits for
 * itself, as long as it said.
 */
#include "../common/clocks.h"
#include "mutex.h"

#include <unistd.h>

#define PATIENCE_NS UINT64_C(300000000)
#define DEADLOCKED 7 /* exit status of a child whose thread did not come back */

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static _Atomic int reached, back;

static void *relock(void *arg)
{
    int err;

    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    atomic_store(&reached, 1);
    err = ctx->impl->mutex->lock(&mutex);
    tl_failed(ctx, "the second lock of a plain mutex came back: %s", err ? strerror(err) : "0");
    atomic_store(&back, 1);
    return arg;
}

/* The sibling that looks on: with it around, an M:1 implementation has something to run. */
static void *look_on(void *arg)
{
    struct tl_thread t;
    uint64_t start;

    (void)arg;
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    if (!tl_start(ctx, 1, &t, relock, NULL) || !tl_await(ctx, &reached, "the second lock"))
        _exit(1);
    for (start = tl_now_ns(); tl_now_ns() - start < PATIENCE_NS && !atomic_load(&back);)
        ctx->impl->yield();
    _exit(atomic_load(&back) ? 1 : DEADLOCKED);
}

static int child(struct tl_ctx *c, void *arg)
{
    ctx = c;
    return tl_boot(c, look_on, arg, NULL);
}

static enum tl_status outside(struct tl_ctx *c)
{
    struct tl_child end;
    int err = tl_child(c, child, NULL, 0, &end);

    if (err)
        return tl_failed(c, "fork: %s", strerror(err));
    TL_EXPECT(c, end.status == DEADLOCKED,
              "the child of the deadlock ended with status %d, signal %d: %s", end.status,
              end.signal, end.words);
    return tl_verdict(c);
}

static const struct tl_check mutex_normal_relock = {
    .abi = TL_ABI,
    .name = "mutex.normal-relock",
    .group = "Mutex",
    .promise = "a thread that locks a plain mutex that it holds waits for ever; the others go on",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock: relocking a PTHREAD_MUTEX_NORMAL deadlocks",
    .method = "in a child process a thread says that it is at its second lock; another one yields "
              "for 300 ms and sees that it has not come back",
    .meaning = "that a wait has no end cannot be shown; an implementation that counts, forgets the "
               "owner or answers an error is caught",
    .needs = "mutex",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside,
};
TL_CHECK(mutex_normal_relock);

/* ---- with a deadline ------------------------------------------------------------------------- */

#define WAIT_NS UINT64_C(10000000)

static void *look_in(void *arg)
{
    TL_ANSWERS(ctx, ctx->impl->mutex->trylock(&mutex), EBUSY);
    return arg;
}

static enum tl_status run_timed(struct tl_ctx *c)
{
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    const struct tl_mutex_ops *ops = c->impl->mutex;
    struct tl_thread t;

    ctx = c;
    TL_CALL(c, ops->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(c, ops->lock(&mutex));
    for (unsigned i = 0; i < 2; i++) {
        uint64_t deadline = clocks_now(clocks[i]) + WAIT_NS;

        TL_ANSWERS(c, ops->timedlock(&mutex, clocks[i], deadline), ETIMEDOUT);
        /* The realtime clock may be slewed meanwhile. */
        TL_EXPECT(c, clocks_now(clocks[i]) + WAIT_NS / 10 >= deadline, "ETIMEDOUT came too early");
    }
    if (tl_start(c, 1, &t, look_in, NULL)) /* it is held still */
        tl_finish(c, t);
    TL_CALL(c, ops->unlock(&mutex));
    TL_CALL(c, ops->destroy(&mutex));
    return tl_verdict(c);
}

static const struct tl_check mutex_timed_relock = {
    .abi = TL_ABI,
    .name = "mutex.timed-relock",
    .group = "Mutex",
    .promise = "a thread that locks a plain mutex that it holds, with a deadline, waits until then",
    .source = "POSIX.1-2017 XSH pthread_mutex_timedlock: ETIMEDOUT; pthread_mutex_lock: relocking "
              "a PTHREAD_MUTEX_NORMAL deadlocks",
    .method = "a thread locks a mutex, and once more with a deadline 10 ms away, by either clock; "
              "then another one tries",
    .meaning = "an implementation that takes itself for the one that was given the mutex is caught",
    .needs = "mutex.timedlock",
    .run = run_timed,
};
TL_CHECK(mutex_timed_relock);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *sound;
static struct tl_impl saved;
static struct tl_mutex *_Atomic held;
static _Atomic uint64_t owner;

static int lock_owned(struct tl_mutex *m)
{
    uint64_t self = sound->self().id;
    int err;

    if (atomic_load(&held) == m && atomic_load(&owner) == self)
        return 0;
    err = sound->mutex->lock(m);
    if (!err) {
        atomic_store(&owner, self);
        atomic_store(&held, m);
    }
    return err;
}

static int timedlock_owned(struct tl_mutex *m, clockid_t clock, uint64_t deadline_ns)
{
    int err = sound->mutex->timedlock(m, clock, deadline_ns);

    return err && atomic_load(&held) == m && atomic_load(&owner) == sound->self().id ? 0 : err;
}

static int unlock_owned(struct tl_mutex *m)
{
    if (atomic_load(&held) == m)
        atomic_store(&held, NULL);
    return sound->mutex->unlock(m);
}

static void apply(struct tl_impl *impl)
{
    saved = *impl;
    sound = &saved;
    struct tl_mutex_ops *broken = TL_MUTATE(impl, mutex);
    broken->lock = lock_owned;
    broken->timedlock = timedlock_owned;
    broken->unlock = unlock_owned;
}

static const struct tl_mutant mutex_relocks = {
    .abi = TL_ABI,
    .name = "mutex-relocks",
    .fault = "a plain mutex lets its owner in a second time",
    .kills = "mutex.normal-relock mutex.timed-relock",
    .of = "nptl clone green",
    .apply = apply,
};
TL_MUTANT_OF(mutex_relocks);

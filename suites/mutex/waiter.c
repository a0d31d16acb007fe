/*
 * waiter.c - mutex.lock-not-a-cancel-point, mutex.adaptive-sleeps: a thread that waits for a mutex
 * whose owner takes its time.
 */
#include "../common/clocks.h"
#include "mutex.h"

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static _Atomic int entering, locked;

/* ---- lock-not-a-cancel-point ----------------------------------------------------------------- */

static void *lock_canceled(void *arg)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;

    atomic_store(&entering, 1);
    TL_CALL(ctx, ops->lock(&mutex));
    atomic_store(&locked, 1);
    TL_CALL(ctx, ops->unlock(&mutex));
    ctx->impl->cancel->test();
    tl_failed(ctx, "the thread was not cancelled at its cancellation point");
    return arg;
}

static void cancel_waiter(void)
{
    struct tl_thread t;

    atomic_store(&entering, 0);
    atomic_store(&locked, 0);
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    bool made = tl_start(ctx, 1, &t, lock_canceled, NULL);
    if (made && tl_await(ctx, &entering, "the other thread to wait")) {
        mutex_linger(ctx);
        TL_CALL(ctx, ctx->impl->cancel->cancel(t));
        mutex_linger(ctx);
    }
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    if (made)
        TL_EXPECT(ctx, tl_finish(ctx, t) == TL_CANCELED,
                  "its value is not that of a cancelled one");
    TL_EXPECT(ctx, atomic_load(&locked), "the thread was cancelled in lock");
}

static enum tl_status run_cancel(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    for (int i = 0; i < 10 && tl_verdict(c) == TL_OK; i++)
        cancel_waiter();
    return tl_verdict(c);
}

static const struct tl_check not_a_cancel_point = {
    .abi = TL_ABI,
    .name = "mutex.lock-not-a-cancel-point",
    .group = "Mutex",
    .promise = "a thread that is cancelled while it waits for a mutex gets the mutex first",
    .source = "POSIX.1-2017 XSH 2.9.5.2: pthread_mutex_lock is not a cancellation point",
    .method = "ten threads are cancelled as they wait; each must get the mutex, give it back, and "
              "end at its next cancellation point",
    .meaning = "a lock that acts on the request is seen, whether it came before or in the wait",
    .needs = "mutex cancel",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_cancel,
};
TL_CHECK(not_a_cancel_point);

/* ---- adaptive-sleeps ------------------------------------------------------------------------- */

#define HELD_NS UINT64_C(200000000)

static void *wait_for_it(void *arg)
{
    atomic_store(&entering, 1);
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    return arg;
}

static enum tl_status run_adaptive(struct tl_ctx *c)
{
    enum tl_status status = mutex_make(c, &mutex, TL_MUTEX_ADAPTIVE, "mutex.adaptive");
    struct tl_thread t;
    uint64_t burnt_ns = 0;

    ctx = c;
    if (status != TL_OK)
        return status;
    TL_CALL(c, c->impl->mutex->lock(&mutex));
    bool made = tl_start(c, 1, &t, wait_for_it, NULL);
    if (made && tl_await(c, &entering, "the other thread to wait")) {
        burnt_ns = clocks_now(CLOCK_PROCESS_CPUTIME_ID);
        TL_CALL(c, c->impl->sleep(HELD_NS));
        burnt_ns = clocks_now(CLOCK_PROCESS_CPUTIME_ID) - burnt_ns;
    }
    TL_CALL(c, c->impl->mutex->unlock(&mutex));
    if (made)
        tl_finish(c, t);
    tl_say(c, "the waiter used %llu us of CPU", (unsigned long long)(burnt_ns / 1000));
    TL_EXPECT(c, burnt_ns < HELD_NS / 20, "the waiter burnt %llu ms while the owner slept for 200",
              (unsigned long long)(burnt_ns / 1000000));
    return tl_verdict(c);
}

static const struct tl_check adaptive_sleeps = {
    .abi = TL_ABI,
    .name = "mutex.adaptive-sleeps",
    .group = "Mutex",
    .promise = "who waits for an adaptive mutex whose owner sleeps soon sleeps as well",
    .source =
        "J. R. Eykholt et al., Beyond Multiprocessing: Multithreading the SunOS Kernel (1992), "
        "section on synchronization: adaptive locks spin only while the owner runs",
    .method = "the owner sleeps for 200 ms, in which the process may use a twentieth of CPU time",
    .meaning = "CPU time, which a busy neighbour does not add to, of the process, since the waiter "
               "may go from one kernel thread to another; a bounded spin without a look at the "
               "owner passes as well",
    .needs = "mutex sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_adaptive,
};
TL_CHECK(adaptive_sleeps);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *sound;
static struct tl_impl saved;

static int lock_testing(struct tl_mutex *m)
{
    int err = sound->mutex->lock(m);

    if (atomic_load(&entering)) {
        sound->mutex->unlock(m);
        sound->cancel->test();
        err = sound->mutex->lock(m);
    }
    return err;
}

static int lock_spinning(struct tl_mutex *m)
{
    int err;

    while ((err = sound->mutex->trylock(m)) == EBUSY)
        sound->yield();
    return err;
}

static void apply_lock(struct tl_impl *impl, int (*lock)(struct tl_mutex *m))
{
    saved = *impl;
    sound = &saved;
    TL_MUTATE(impl, mutex)->lock = lock;
}

static void apply_testing(struct tl_impl *impl)
{
    apply_lock(impl, lock_testing);
}

static void apply_spinning(struct tl_impl *impl)
{
    apply_lock(impl, lock_spinning);
}

static const struct tl_mutant mutex_lock_cancels = {
    .abi = TL_ABI,
    .name = "mutex-lock-cancels",
    .fault = "a wait for a mutex acts on a cancellation request",
    .kills = "mutex.lock-not-a-cancel-point",
    .of = "nptl clone green",
    .apply = apply_testing,
};
TL_MUTANT_OF(mutex_lock_cancels);

static const struct tl_mutant mutex_adaptive_spins = {
    .abi = TL_ABI,
    .name = "mutex-adaptive-spins",
    .fault = "an adaptive mutex spins for as long as it is held",
    .kills = "mutex.adaptive-sleeps",
    .of = "nptl clone green hybrid",
    .apply = apply_spinning,
};
TL_MUTANT_OF(mutex_adaptive_spins);

#ifdef TL_INJECT
static const struct tl_mutant adaptive_blind = {
    .abi = TL_ABI,
    .name = "user-adaptive-blind",
    .fault = "who waits for an adaptive mutex spins on whether its owner runs or not",
    .kills = "mutex.adaptive-sleeps",
    .of = "hybrid",
};
TL_MUTANT_OF(adaptive_blind);
#endif

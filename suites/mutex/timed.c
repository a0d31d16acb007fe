/*
 * timed.c - mutex.timed: a lock with a deadline.
 */
#include "../common/clocks.h"
#include "mutex.h"

#define WAIT_NS UINT64_C(10000000)
#define FAR_NS UINT64_C(5000000000)

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static _Atomic int entering;

/* The mutex is held by another thread all the time. */
static void *wait_in_vain(void *arg)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;

    for (unsigned i = 0; i < 2; i++) {
        uint64_t deadline = clocks_now(clocks[i]) + WAIT_NS, end;

        TL_ANSWERS(ctx, ops->timedlock(&mutex, clocks[i], deadline), ETIMEDOUT);
        end = clocks_now(clocks[i]);
        TL_EXPECT(ctx, end >= deadline, "clock %d: back %llu ns before the deadline", clocks[i],
                  (unsigned long long)(deadline - end));
        TL_ANSWERS(ctx, ops->timedlock(&mutex, clocks[i], deadline - 2 * WAIT_NS), ETIMEDOUT);
        TL_ANSWERS(ctx, ops->timedlock(&mutex, clocks[i], 0), ETIMEDOUT);
    }
    return arg;
}

/* The mutex is given back long before the deadline. */
static void *wait_for_it(void *arg)
{
    clockid_t clock = *(const clockid_t *)arg;

    atomic_store(&entering, 1);
    if (TL_CALL(ctx, ctx->impl->mutex->timedlock(&mutex, clock, clocks_now(clock) + FAR_NS)))
        TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    return arg;
}

static void held(void)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;
    struct tl_thread t;

    TL_CALL(ctx, ops->lock(&mutex));
    if (tl_start(ctx, 1, &t, wait_in_vain, NULL))
        tl_finish(ctx, t);
    TL_CALL(ctx, ops->unlock(&mutex));
    for (unsigned i = 0; i < 2 && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&entering, 0);
        TL_CALL(ctx, ops->lock(&mutex));
        bool made = tl_start(ctx, 1, &t, wait_for_it, (void *)&clocks[i]);
        if (made && tl_await(ctx, &entering, "the other thread to wait for the mutex"))
            mutex_linger(ctx);
        TL_CALL(ctx, ops->unlock(&mutex));
        if (made)
            tl_finish(ctx, t);
    }
}

static enum tl_status run(struct tl_ctx *c)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;

    ctx = c;
    TL_CALL(c, ops->init(&mutex, TL_MUTEX_BLOCK));
    held();
    for (unsigned i = 0; i < 2; i++) {
        TL_CALL(c, ops->timedlock(&mutex, clocks[i], clocks_now(clocks[i]) - WAIT_NS));
        TL_CALL(c, ops->unlock(&mutex));
    }
    TL_CALL(c, ops->destroy(&mutex));
    return tl_verdict(c);
}

static const struct tl_check mutex_timed = {
    .abi = TL_ABI,
    .name = "mutex.timed",
    .group = "Mutex",
    .promise =
        "a timed lock answers ETIMEDOUT not before its deadline, by either clock, and takes a "
        "free mutex whatever the deadline",
    .source = "POSIX.1-2017 XSH pthread_mutex_timedlock; glibc pthread_mutex_clocklock",
    .method = "another thread waits 10 ms in vain, then with deadlines that have passed, then with "
              "one far away until the mutex is given back; a free mutex is locked with a past one",
    .meaning = "early returns and lost deadlines are seen; how late a return is makes no verdict",
    .needs = "mutex.timedlock",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(mutex_timed);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound;

static int lock_early(struct tl_mutex *m, clockid_t clock, uint64_t deadline_ns)
{
    return sound->timedlock(m, clock, deadline_ns > WAIT_NS ? deadline_ns - WAIT_NS / 2 : 0);
}

static int lock_by_clock(struct tl_mutex *m, clockid_t clock, uint64_t deadline_ns)
{
    if (clocks_now(clock) >= deadline_ns)
        return ETIMEDOUT;
    return sound->timedlock(m, clock, deadline_ns);
}

static void apply_early(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->timedlock = lock_early;
}

static void apply_by_clock(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->timedlock = lock_by_clock;
}

static const struct tl_mutant mutex_times_out_early = {
    .abi = TL_ABI,
    .name = "mutex-times-out-early",
    .fault = "a timed lock gives up 5 ms before its deadline",
    .kills = "mutex.timed",
    .of = "nptl clone green",
    .apply = apply_early,
};
TL_MUTANT_OF(mutex_times_out_early);

static const struct tl_mutant mutex_clock_first = {
    .abi = TL_ABI,
    .name = "mutex-clock-first",
    .fault = "a timed lock looks at the clock before it looks at the mutex",
    .kills = "mutex.timed",
    .of = "nptl clone green",
    .apply = apply_by_clock,
};
TL_MUTANT_OF(mutex_clock_first);

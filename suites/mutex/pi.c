/*
 * pi.c - mutex.pi: the owner of a mutex runs at the priority of who waits for it.
 *
 * The inversion of L. Sha, R. Rajkumar and J. P. Lehoczky, "Priority Inheritance Protocols: An
 * Approach to Real-Time Synchronization", IEEE Transactions on Computers 39 (1990), section II, on
 * one PU: `low` holds the mutex, starts `high`, which preempts it and waits, then `middle`, which
 * preempts it as well unless it has inherited.
 */
#include "../common/clocks.h"
#include "mutex.h"

#include <sched.h>

#define BURN_NS                                                                      \
    UINT64_C(50000000) /* of CPU: far below what the kernel grants real-time threads \
                        */

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static struct tl_thread high, middle;
static bool have_high, have_middle;
static _Atomic int high_in, inverted;
static int refused;

static bool start_at(struct tl_thread *t, int priority, void *(*entry)(void *))
{
    struct tl_sched sched = {SCHED_FIFO, priority};
    struct tl_attr attr = tl_worker_attr(ctx, 0);
    int err;

    attr.sched = &sched;
    err = ctx->impl->create(t, &attr, entry, NULL);
    if (err == EPERM || err == ENOTSUP)
        refused = err;
    else
        TL_EXPECT(ctx, !err, "create with SCHED_FIFO %d: %s", priority, strerror(err));
    return !err;
}

static void *run_high(void *arg)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    atomic_store(&high_in, 1);
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    return arg;
}

static void *run_middle(void *arg)
{
    uint64_t start = clocks_now(CLOCK_THREAD_CPUTIME_ID);

    while (!atomic_load(&high_in) && clocks_now(CLOCK_THREAD_CPUTIME_ID) - start < BURN_NS)
        ;
    if (!atomic_load(&high_in))
        atomic_store(&inverted, 1);
    return arg;
}

static void *run_low(void *arg)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    have_high = start_at(&high, 3, run_high);
    have_middle = have_high && start_at(&middle, 2, run_middle);
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    enum tl_status status = mutex_make(c, &mutex, TL_MUTEX_PI, "mutex.pi");
    struct tl_thread low;

    ctx = c;
    if (status != TL_OK)
        return status;
    if (start_at(&low, 1, run_low))
        tl_finish(c, low);
    if (have_middle)
        tl_finish(c, middle);
    if (have_high)
        tl_finish(c, high);
    if (refused)
        return tl_unsupported(c, "threads with SCHED_FIFO: %s", strerror(refused));
    TL_EXPECT(
        c, !atomic_load(&inverted),
        "a thread of middle priority ran for 50 ms while the high one waited for the low one");
    return tl_verdict(c);
}

static const struct tl_check mutex_pi = {
    .abi = TL_ABI,
    .name = "mutex.pi",
    .group = "Mutex",
    .promise = "the owner of a priority-inheriting mutex is not kept from running by threads of a "
               "lower priority than who waits for it",
    .source =
        "POSIX.1-2017 XSH pthread_mutexattr_setprotocol: PTHREAD_PRIO_INHERIT; Sha, Rajkumar, "
        "Lehoczky, Priority Inheritance Protocols (1990)",
    .method = "on one PU, under SCHED_FIFO: the low thread holds the mutex, the high one waits for "
              "it, the middle one burns 50 ms of CPU unless the high one gets the mutex before",
    .meaning =
        "the order is the scheduler's, not one of speed; chains of mutexes are not asked for",
    .needs = "mutex",
    .traits = TL_PREEMPTIVE | TL_ONE_TO_ONE,
    .flags = TL_CHECK_ALONE,
    .run = run,
};
TL_CHECK(mutex_pi);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound;

static int init_plain(struct tl_mutex *m, enum tl_mutex_kind kind)
{
    return sound->init(m, kind == TL_MUTEX_PI ? TL_MUTEX_BLOCK : kind);
}

static void apply(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->init = init_plain;
}

static const struct tl_mutant mutex_pi_is_plain = {
    .abi = TL_ABI,
    .name = "mutex-pi-is-plain",
    .fault = "a priority-inheriting mutex is a plain one",
    .kills = "mutex.pi",
    .of = "nptl clone",
    .apply = apply,
};
TL_MUTANT_OF(mutex_pi_is_plain);

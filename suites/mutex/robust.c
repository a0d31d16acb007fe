/*
 * robust.c - mutex.robust: a mutex whose owner ends with it.
 */
#include "mutex.h"

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static _Atomic int held, end, entering;
static int got;

static void *end_with_it(void *arg)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    atomic_store(&held, 1);
    if (arg)
        tl_await(ctx, &end, "leave to end");
    return arg;
}

static void owner_ends(void)
{
    struct tl_thread t;

    if (tl_start(ctx, 1, &t, end_with_it, NULL))
        tl_finish(ctx, t);
}

static void *wait_for_it(void *arg)
{
    atomic_store(&entering, 1);
    got = ctx->impl->mutex->lock(&mutex);
    if (got == EOWNERDEAD)
        TL_CALL(ctx, ctx->impl->mutex->consistent(&mutex));
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    return arg;
}

/* A thread waits while the owner ends. */
static void owner_ends_under_waiter(void)
{
    struct tl_thread owner, waiter;
    bool waits = false;

    atomic_store(&held, 0);
    atomic_store(&end, 0);
    atomic_store(&entering, 0);
    if (!tl_start(ctx, 0, &owner, end_with_it, &held))
        return;
    if (tl_await(ctx, &held, "the owner to hold the mutex")) {
        waits = tl_start(ctx, 1, &waiter, wait_for_it, NULL);
        if (waits && tl_await(ctx, &entering, "the other thread to wait"))
            mutex_linger(ctx);
    }
    atomic_store(&end, 1);
    tl_finish(ctx, owner);
    if (waits)
        tl_finish(ctx, waiter);
    TL_EXPECT(ctx, !waits || got == EOWNERDEAD, "the waiter's lock answered %s",
              got ? strerror(got) : "0");
}

static enum tl_status run(struct tl_ctx *c)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;
    enum tl_status status = mutex_make(c, &mutex, TL_MUTEX_ROBUST, "mutex.robust");

    ctx = c;
    if (status != TL_OK)
        return status;
    TL_ANSWERS(c, ops->consistent(&mutex), EINVAL);
    for (int i = 0; i < 2; i++) {
        owner_ends();
        TL_ANSWERS(c, i ? ops->trylock(&mutex) : ops->lock(&mutex), EOWNERDEAD);
        TL_ANSWERS(c, mutex_elsewhere(c, ops->trylock, &mutex), EBUSY);
        TL_CALL(c, ops->consistent(&mutex));
        TL_CALL(c, ops->unlock(&mutex));
        TL_CALL(c, ops->lock(&mutex));
        TL_CALL(c, ops->unlock(&mutex));
    }
    for (int i = 0; i < 5 && tl_verdict(c) == TL_OK; i++)
        owner_ends_under_waiter();
    if (tl_verdict(c) == TL_OK) {
        owner_ends();
        TL_ANSWERS(c, ops->lock(&mutex), EOWNERDEAD);
        TL_CALL(c, ops->unlock(&mutex));
        TL_ANSWERS(c, ops->lock(&mutex), ENOTRECOVERABLE);
        TL_ANSWERS(c, ops->trylock(&mutex), ENOTRECOVERABLE);
        TL_CALL(c, ops->destroy(&mutex));
    }
    return tl_verdict(c);
}

static const struct tl_check mutex_robust = {
    .abi = TL_ABI,
    .name = "mutex.robust",
    .group = "Mutex",
    .promise = "who locks a robust mutex after its owner has ended gets it with EOWNERDEAD; it is "
               "usable again after consistent, and ENOTRECOVERABLE after an unlock without it",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock, pthread_mutex_consistent",
    .method = "owners end before the next lock and trylock, and while another thread waits; then "
              "consistent and further use, at last an unlock without it",
    .meaning = "all answers are asked for in one order each; that a process ends with the mutex is "
               "another matter, and not asked",
    .needs = "mutex.consistent",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(mutex_robust);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound;

static int lock_silently(struct tl_mutex *m)
{
    int err = sound->lock(m);

    if (err == EOWNERDEAD) {
        sound->consistent(m);
        err = 0;
    }
    return err;
}

static int never_consistent(struct tl_mutex *m)
{
    (void)m;
    return 0;
}

static void apply_silent(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->lock = lock_silently;
}

static void apply_consistent(struct tl_impl *impl)
{
    TL_MUTATE(impl, mutex)->consistent = never_consistent;
}

static const struct tl_mutant robust_says_nothing = {
    .abi = TL_ABI,
    .name = "robust-says-nothing",
    .fault = "the next owner is not told that the last one ended with the mutex",
    .kills = "mutex.robust",
    .of = "nptl clone green",
    .apply = apply_silent,
};
TL_MUTANT_OF(robust_says_nothing);

static const struct tl_mutant consistent_does_nothing = {
    .abi = TL_ABI,
    .name = "consistent-does-nothing",
    .fault = "consistent answers 0 and changes nothing",
    .kills = "mutex.robust",
    .of = "nptl clone green",
    .apply = apply_consistent,
};
TL_MUTANT_OF(consistent_does_nothing);

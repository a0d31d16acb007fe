/*
 * owned.c - mutex.errorcheck, mutex.recursive: mutexes that know who holds them, and how often.
 */
#include "mutex.h"

static struct tl_mutex mutex;

/* ---- errorcheck ------------------------------------------------------------------------------ */

static enum tl_status run_errorcheck(struct tl_ctx *c)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;
    enum tl_status status = mutex_make(c, &mutex, TL_MUTEX_ERRORCHECK, "mutex.errorcheck");

    if (status != TL_OK)
        return status;
    TL_ANSWERS(c, ops->unlock(&mutex), EPERM);
    TL_CALL(c, ops->lock(&mutex));
    TL_ANSWERS(c, ops->lock(&mutex), EDEADLK);
    TL_ANSWERS(c, ops->trylock(&mutex), EBUSY);
    TL_ANSWERS(c, mutex_elsewhere(c, ops->unlock, &mutex), EPERM);
    TL_ANSWERS(c, mutex_elsewhere(c, ops->trylock, &mutex), EBUSY);
    TL_CALL(c, ops->unlock(&mutex));
    TL_ANSWERS(c, ops->unlock(&mutex), EPERM);
    TL_CALL(c, ops->lock(&mutex));
    TL_CALL(c, ops->unlock(&mutex));
    TL_CALL(c, ops->destroy(&mutex));
    return tl_verdict(c);
}

static const struct tl_check mutex_errorcheck = {
    .abi = TL_ABI,
    .name = "mutex.errorcheck",
    .group = "Mutex",
    .promise =
        "an error-checking mutex answers EDEADLK to its owner's second lock, and EPERM to an "
        "unlock by whoever does not hold it",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock, table of types; EDEADLK, EPERM",
    .method =
        "the owner locks and tries again, another thread unlocks and tries, the owner unlocks "
        "twice, and takes it anew",
    .meaning = "the answers are right and none of the refused calls changed the mutex; no race",
    .needs = "mutex",
    .run = run_errorcheck,
};
TL_CHECK(mutex_errorcheck);

/* ---- recursive ------------------------------------------------------------------------------- */

#define DEPTH 5

static enum tl_status run_recursive(struct tl_ctx *c)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;
    enum tl_status status = mutex_make(c, &mutex, TL_MUTEX_RECURSIVE, "mutex.recursive");

    if (status != TL_OK)
        return status;
    TL_ANSWERS(c, ops->unlock(&mutex), EPERM);
    for (int i = 0; i < DEPTH; i++) {
        TL_CALL(c, i % 2 ? ops->trylock(&mutex) : ops->lock(&mutex));
        TL_ANSWERS(c, mutex_elsewhere(c, ops->unlock, &mutex), EPERM);
    }
    for (int i = 0; i < DEPTH; i++) {
        TL_ANSWERS(c, mutex_elsewhere(c, ops->trylock, &mutex), EBUSY);
        TL_CALL(c, ops->unlock(&mutex));
    }
    TL_ANSWERS(c, ops->unlock(&mutex), EPERM);
    TL_CALL(c, ops->destroy(&mutex));
    return tl_verdict(c);
}

static const struct tl_check mutex_recursive = {
    .abi = TL_ABI,
    .name = "mutex.recursive",
    .group = "Mutex",
    .promise = "a recursive mutex is free again after as many unlocks as locks, not before",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock: PTHREAD_MUTEX_RECURSIVE maintains a lock count",
    .method =
        "the owner takes it five times, by lock and by trylock, and gives it back five times; "
        "before each step another thread may neither have it nor give it back",
    .meaning = "the count is right, for small counts; its end (EAGAIN) is not looked for",
    .needs = "mutex",
    .run = run_recursive,
};
TL_CHECK(mutex_recursive);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound;

static int unlock_by_anybody(struct tl_mutex *m)
{
    int err = sound->unlock(m);

    return err == EPERM ? 0 : err;
}

static void apply_anybody(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->unlock = unlock_by_anybody;
}

static const struct tl_mutant mutex_unlock_tells_nothing = {
    .abi = TL_ABI,
    .name = "mutex-unlock-tells-nothing",
    .fault = "an unlock by a thread that does not hold the mutex answers 0",
    .kills = "mutex.errorcheck mutex.recursive",
    .of = "nptl clone green",
    .apply = apply_anybody,
};
TL_MUTANT_OF(mutex_unlock_tells_nothing);

/* Until it answers EPERM: the check's own mutex is of a kind that does. */
static int unlock_wholly(struct tl_mutex *m)
{
    int err = sound->unlock(m);

    while (!err && m == &mutex && sound->unlock(m) == 0)
        ;
    return err;
}

static void apply_uncounted(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->unlock = unlock_wholly;
}

static const struct tl_mutant mutex_uncounted = {
    .abi = TL_ABI,
    .name = "mutex-uncounted",
    .fault = "the first unlock frees a recursive mutex, however often it was locked",
    .kills = "mutex.recursive",
    .of = "nptl clone green",
    .apply = apply_uncounted,
};
TL_MUTANT_OF(mutex_uncounted);

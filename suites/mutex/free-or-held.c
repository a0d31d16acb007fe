/*
 * free-or-held.c - mutex.trylock, mutex.static-init, mutex.destroy-busy: what the calls that do not
 * wait say of a mutex that is held, and of one that is not.
 */
#include "mutex.h"

static struct tl_mutex mutex, zeroed;

/* Locks it, lets another thread try, unlocks it, tries it. */
static void hold_and_try(struct tl_ctx *c, struct tl_mutex *m)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;

    TL_CALL(c, ops->lock(m));
    TL_ANSWERS(c, ops->trylock(m), EBUSY);
    TL_ANSWERS(c, mutex_elsewhere(c, ops->trylock, m), EBUSY);
    TL_CALL(c, ops->unlock(m));
    TL_CALL(c, ops->trylock(m));
    TL_ANSWERS(c, mutex_elsewhere(c, ops->trylock, m), EBUSY);
    TL_CALL(c, ops->unlock(m));
}

/* ---- trylock --------------------------------------------------------------------------------- */

static enum tl_status run_trylock(struct tl_ctx *c)
{
    static const enum tl_mutex_kind kinds[] = {TL_MUTEX_BLOCK, TL_MUTEX_SPIN, TL_MUTEX_ADAPTIVE};

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && tl_verdict(c) == TL_OK; i++) {
        int err = c->impl->mutex->init(&mutex, kinds[i]);

        if (err == ENOTSUP) {
            tl_say(c, "kind %u is not offered", i);
            continue;
        }
        TL_EXPECT(c, !err, "init of kind %u: %s", i, strerror(err));
        hold_and_try(c, &mutex);
        TL_CALL(c, c->impl->mutex->destroy(&mutex));
    }
    return tl_verdict(c);
}

static const struct tl_check mutex_trylock = {
    .abi = TL_ABI,
    .name = "mutex.trylock",
    .group = "Mutex",
    .promise = "trylock takes a free mutex, and answers EBUSY for one that is held, by whomever",
    .source = "POSIX.1-2017 XSH pthread_mutex_trylock, pthread_spin_trylock; EBUSY",
    .method =
        "blocking, spinning and adaptive mutexes: the owner and another thread try a held one, "
        "the owner tries it when free, another thread tries it then",
    .meaning = "the answers and the state are right when nobody races; for races see "
               "mutex.exclusion, which does not use trylock",
    .needs = "mutex",
    .run = run_trylock,
};
TL_CHECK(mutex_trylock);

/* ---- static-init ----------------------------------------------------------------------------- */

static enum tl_status run_static(struct tl_ctx *c)
{
    hold_and_try(c, &zeroed);
    TL_CALL(c, c->impl->mutex->destroy(&zeroed));
    return tl_verdict(c);
}

static const struct tl_check mutex_static_init = {
    .abi = TL_ABI,
    .name = "mutex.static-init",
    .group = "Mutex",
    .promise = "a mutex of static storage, all bytes zero, is one that was initialised",
    .source =
        "POSIX.1-2017 XSH pthread_mutex_init: PTHREAD_MUTEX_INITIALIZER, which is all zero in "
        "glibc and here",
    .method =
        "no call of init; lock, trylock, unlock and destroy as with any other, beside a second "
        "thread",
    .meaning = "the zero state is that of a free mutex; the first use is not raced for",
    .needs = "mutex",
    .run = run_static,
};
TL_CHECK(mutex_static_init);

/* ---- destroy-busy ---------------------------------------------------------------------------- */

static enum tl_status run_destroy(struct tl_ctx *c)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;
    int err;

    TL_CALL(c, ops->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(c, ops->lock(&mutex));
    err = ops->destroy(&mutex);
    TL_EXPECT(c, err == 0 || err == EBUSY, "destroy of a held mutex: %s", strerror(err));
    tl_say(c, "destroy of a held mutex: %s", err ? "EBUSY" : "0, it does not look");
    if (err)
        TL_CALL(c, ops->unlock(&mutex));
    else
        TL_CALL(c, ops->init(&mutex, TL_MUTEX_BLOCK));
    hold_and_try(c, &mutex);
    TL_CALL(c, ops->destroy(&mutex));
    return tl_verdict(c);
}

static const struct tl_check mutex_destroy_busy = {
    .abi = TL_ABI,
    .name = "mutex.destroy-busy",
    .group = "Mutex",
    .promise =
        "destroy of a held mutex answers EBUSY and leaves it as it was, or does not look; of "
        "a free one it answers 0",
    .source = "POSIX.1-2017 XSH pthread_mutex_destroy: undefined, EBUSY recommended (rationale)",
    .method = "destroys a mutex while holding it, says which of the two it was, goes on to use it "
              "(after a new init where it was destroyed), destroys it when free",
    .meaning = "a pass is consistency, not safety: an implementation that does not look passes",
    .needs = "mutex",
    .run = run_destroy,
};
TL_CHECK(mutex_destroy_busy);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound;
static bool initialised;

static int try_lightly(struct tl_mutex *m)
{
    int err = sound->trylock(m);

    return err == EBUSY ? 0 : err;
}

static void apply_try(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->trylock = try_lightly;
}

static const struct tl_mutant trylock_ignores_busy = {
    .abi = TL_ABI,
    .name = "trylock-ignores-busy",
    .fault = "trylock answers 0 whether it got the mutex or not",
    .kills = "mutex.trylock mutex.static-init",
    .of = "nptl clone green",
    .apply = apply_try,
};
TL_MUTANT_OF(trylock_ignores_busy);

static int init_noting(struct tl_mutex *m, enum tl_mutex_kind kind)
{
    initialised = true;
    return sound->init(m, kind);
}

static int lock_initialised(struct tl_mutex *m)
{
    return initialised ? sound->lock(m) : EINVAL;
}

static void apply_static(struct tl_impl *impl)
{
    sound = impl->mutex;
    struct tl_mutex_ops *broken = TL_MUTATE(impl, mutex);
    broken->init = init_noting;
    broken->lock = lock_initialised;
}

static const struct tl_mutant mutex_wants_init = {
    .abi = TL_ABI,
    .name = "mutex-wants-init",
    .fault = "a mutex that no call has initialised cannot be locked: EINVAL",
    .kills = "mutex.static-init",
    .of = "nptl clone green",
    .apply = apply_static,
};
TL_MUTANT_OF(mutex_wants_init);

static int destroy_never(struct tl_mutex *m)
{
    (void)m;
    return EBUSY;
}

static void apply_destroy(struct tl_impl *impl)
{
    TL_MUTATE(impl, mutex)->destroy = destroy_never;
}

static const struct tl_mutant mutex_busy_for_ever = {
    .abi = TL_ABI,
    .name = "mutex-busy-for-ever",
    .fault = "a mutex that was once locked counts as held when it is destroyed",
    .kills = "mutex.destroy-busy",
    .of = "nptl clone green",
    .apply = apply_destroy,
};
TL_MUTANT_OF(mutex_busy_for_ever);

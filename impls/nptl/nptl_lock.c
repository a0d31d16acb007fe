/*
 * nptl_lock.c - mutex and read-write lock of the C library. SPIN is pthread_spin_lock, ADAPTIVE is
 * PTHREAD_MUTEX_ADAPTIVE_NP (spins up to glibc.pthread.mutex_spin_count times, without looking at
 * the owner); the others are attributes of pthread_mutex_t.
 */
#include "nptl.h"

/* Invariant: kind says which member of the union is alive, from init to destroy. The kernel knows
 * the address of a held ROBUST or PI one. */
struct nptl_lock {
    enum tl_mutex_kind kind;
    union {
        pthread_mutex_t mutex;
        pthread_spinlock_t spin;
    };
};

_Static_assert(sizeof(struct nptl_lock) <= TL_MUTEX_SIZE, "struct tl_mutex is too small");
_Static_assert(sizeof(pthread_rwlock_t) <= TL_RWLOCK_SIZE, "struct tl_rwlock is too small");

static struct nptl_lock *lock_of(struct tl_mutex *m)
{
    return (struct nptl_lock *)m;
}

pthread_mutex_t *nptl_mutex_of(struct tl_mutex *m)
{
    struct nptl_lock *l = lock_of(m);

    return l->kind == TL_MUTEX_SPIN ? NULL : &l->mutex;
}

/* What makes a default mutex one of this kind. */
static int set_kind(pthread_mutexattr_t *a, enum tl_mutex_kind kind)
{
    int err = 0;

    switch (kind) {
    case TL_MUTEX_ADAPTIVE:
        return pthread_mutexattr_settype(a, PTHREAD_MUTEX_ADAPTIVE_NP);
    case TL_MUTEX_ERRORCHECK:
        return pthread_mutexattr_settype(a, PTHREAD_MUTEX_ERRORCHECK);
    case TL_MUTEX_SHARED_RECURSIVE:
        err = pthread_mutexattr_setpshared(a, PTHREAD_PROCESS_SHARED);
        /* fall through */
    case TL_MUTEX_RECURSIVE:
        return err ? err : pthread_mutexattr_settype(a, PTHREAD_MUTEX_RECURSIVE);
    case TL_MUTEX_ROBUST:
        return pthread_mutexattr_setrobust(a, PTHREAD_MUTEX_ROBUST);
    case TL_MUTEX_PI:
        return pthread_mutexattr_setprotocol(a, PTHREAD_PRIO_INHERIT);
    default:
        return ENOTSUP;
    }
}

static int mutex_init(struct tl_mutex *m, enum tl_mutex_kind kind)
{
    struct nptl_lock *l = lock_of(m);
    pthread_mutexattr_t attr;
    int err;

    l->kind = kind;
    if (kind == TL_MUTEX_BLOCK)
        return pthread_mutex_init(&l->mutex, NULL);
    if (kind == TL_MUTEX_SPIN)
        return pthread_spin_init(&l->spin, PTHREAD_PROCESS_PRIVATE);
    err = pthread_mutexattr_init(&attr);
    if (err)
        return err;
    err = set_kind(&attr, kind);
    if (!err)
        err = pthread_mutex_init(&l->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return err;
}

static int mutex_lock(struct tl_mutex *m)
{
    struct nptl_lock *l = lock_of(m);

    return l->kind == TL_MUTEX_SPIN ? pthread_spin_lock(&l->spin) : pthread_mutex_lock(&l->mutex);
}

static int mutex_trylock(struct tl_mutex *m)
{
    struct nptl_lock *l = lock_of(m);

    return l->kind == TL_MUTEX_SPIN ? pthread_spin_trylock(&l->spin)
                                    : pthread_mutex_trylock(&l->mutex);
}

static int mutex_unlock(struct tl_mutex *m)
{
    struct nptl_lock *l = lock_of(m);

    return l->kind == TL_MUTEX_SPIN ? pthread_spin_unlock(&l->spin)
                                    : pthread_mutex_unlock(&l->mutex);
}

static int mutex_destroy(struct tl_mutex *m)
{
    struct nptl_lock *l = lock_of(m);

    return l->kind == TL_MUTEX_SPIN ? pthread_spin_destroy(&l->spin)
                                    : pthread_mutex_destroy(&l->mutex);
}

/* ENOTSUP: POSIX has no timed spin lock. */
static int mutex_timedlock(struct tl_mutex *m, clockid_t clock, uint64_t deadline_ns)
{
    struct timespec until = posix_time(deadline_ns);
    pthread_mutex_t *mutex = nptl_mutex_of(m);

    return mutex ? pthread_mutex_clocklock(mutex, clock, &until) : ENOTSUP;
}

static int mutex_consistent(struct tl_mutex *m)
{
    pthread_mutex_t *mutex = nptl_mutex_of(m);

    return mutex ? pthread_mutex_consistent(mutex) : EINVAL;
}

const struct tl_mutex_ops nptl_mutex = {
    .init = mutex_init,
    .lock = mutex_lock,
    .trylock = mutex_trylock,
    .unlock = mutex_unlock,
    .destroy = mutex_destroy,
    .timedlock = mutex_timedlock,
    .consistent = mutex_consistent,
};

/* ---- read-write lock ------------------------------------------------------------------------- */

static int rwlock_init(struct tl_rwlock *l)
{
    return pthread_rwlock_init((pthread_rwlock_t *)l, NULL);
}

static int rwlock_rdlock(struct tl_rwlock *l)
{
    return pthread_rwlock_rdlock((pthread_rwlock_t *)l);
}

static int rwlock_tryrdlock(struct tl_rwlock *l)
{
    return pthread_rwlock_tryrdlock((pthread_rwlock_t *)l);
}

static int rwlock_wrlock(struct tl_rwlock *l)
{
    return pthread_rwlock_wrlock((pthread_rwlock_t *)l);
}

static int rwlock_trywrlock(struct tl_rwlock *l)
{
    return pthread_rwlock_trywrlock((pthread_rwlock_t *)l);
}

static int rwlock_unlock(struct tl_rwlock *l)
{
    return pthread_rwlock_unlock((pthread_rwlock_t *)l);
}

static int rwlock_destroy(struct tl_rwlock *l)
{
    return pthread_rwlock_destroy((pthread_rwlock_t *)l);
}

static int rwlock_timedrdlock(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns)
{
    struct timespec until = posix_time(deadline_ns);

    return pthread_rwlock_clockrdlock((pthread_rwlock_t *)l, clock, &until);
}

static int rwlock_timedwrlock(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns)
{
    struct timespec until = posix_time(deadline_ns);

    return pthread_rwlock_clockwrlock((pthread_rwlock_t *)l, clock, &until);
}

const struct tl_rwlock_ops nptl_rwlock = {
    .init = rwlock_init,
    .rdlock = rwlock_rdlock,
    .tryrdlock = rwlock_tryrdlock,
    .wrlock = rwlock_wrlock,
    .trywrlock = rwlock_trywrlock,
    .unlock = rwlock_unlock,
    .destroy = rwlock_destroy,
    .timedrdlock = rwlock_timedrdlock,
    .timedwrlock = rwlock_timedwrlock,
    .writer_first = false, /* PTHREAD_RWLOCK_PREFER_READER_NP, the default kind */
};

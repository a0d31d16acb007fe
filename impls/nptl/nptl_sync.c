/*
 * nptl_sync.c - see nptl_sync.h. BLOCK is a default mutex, SPIN is pthread_spin_lock, ADAPTIVE is
 * PTHREAD_MUTEX_ADAPTIVE_NP (spins up to glibc.pthread.mutex_spin_count times, without looking at
 * the owner).
 */
#include "nptl_sync.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

/* Invariant: kind says which member of the union is alive, from init to destroy. */
struct nptl_lock {
    enum tl_mutex_kind kind;
    union {
        pthread_mutex_t mutex;
        pthread_spinlock_t spin;
    };
};

_Static_assert(sizeof(struct nptl_lock) <= TL_MUTEX_SIZE, "struct tl_mutex is too small");
_Static_assert(sizeof(pthread_cond_t) <= TL_COND_SIZE, "struct tl_cond is too small");
_Static_assert(sizeof(sem_t) <= TL_SEM_SIZE, "struct tl_sem is too small");

static struct nptl_lock *lock_of(struct tl_mutex *m)
{
    return (struct nptl_lock *)m;
}

static int mutex_init(struct tl_mutex *m, enum tl_mutex_kind kind)
{
    struct nptl_lock *l = lock_of(m);
    pthread_mutexattr_t attr;
    int err;

    l->kind = kind;
    switch (kind) {
    case TL_MUTEX_BLOCK:
        return pthread_mutex_init(&l->mutex, NULL);
    case TL_MUTEX_SPIN:
        return pthread_spin_init(&l->spin, PTHREAD_PROCESS_PRIVATE);
    case TL_MUTEX_ADAPTIVE:
        err = pthread_mutexattr_init(&attr);
        if (err)
            return err;
        err = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
        if (!err)
            err = pthread_mutex_init(&l->mutex, &attr);
        pthread_mutexattr_destroy(&attr);
        return err;
    default:
        return ENOTSUP;
    }
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

static int cond_init(struct tl_cond *c)
{
    return pthread_cond_init((pthread_cond_t *)c, NULL);
}

static int cond_wait(struct tl_cond *c, struct tl_mutex *m)
{
    struct nptl_lock *l = lock_of(m);

    return l->kind == TL_MUTEX_SPIN ? EINVAL : pthread_cond_wait((pthread_cond_t *)c, &l->mutex);
}

static int cond_signal(struct tl_cond *c)
{
    return pthread_cond_signal((pthread_cond_t *)c);
}

static int cond_broadcast(struct tl_cond *c)
{
    return pthread_cond_broadcast((pthread_cond_t *)c);
}

static int cond_destroy(struct tl_cond *c)
{
    return pthread_cond_destroy((pthread_cond_t *)c);
}

/* The sem_ functions answer by errno, which the contract leaves alone. */
static int answer(int result, int saved)
{
    int err = result ? errno : 0;

    errno = saved;
    return err;
}

static int sem_start(struct tl_sem *s, unsigned count)
{
    int saved = errno;

    return answer(sem_init((sem_t *)s, 0, count), saved);
}

static int sem_take(struct tl_sem *s)
{
    int saved = errno, err;

    do {
        err = answer(sem_wait((sem_t *)s), saved);
    } while (err == EINTR);
    return err;
}

static int sem_try(struct tl_sem *s)
{
    int saved = errno;

    return answer(sem_trywait((sem_t *)s), saved);
}

static int sem_give(struct tl_sem *s)
{
    int saved = errno;

    return answer(sem_post((sem_t *)s), saved);
}

static int sem_end(struct tl_sem *s)
{
    int saved = errno;

    return answer(sem_destroy((sem_t *)s), saved);
}

const struct tl_mutex_ops nptl_mutex = {
    .init = mutex_init,
    .lock = mutex_lock,
    .trylock = mutex_trylock,
    .unlock = mutex_unlock,
    .destroy = mutex_destroy,
};

const struct tl_cond_ops nptl_cond = {
    .init = cond_init,
    .wait = cond_wait,
    .signal = cond_signal,
    .broadcast = cond_broadcast,
    .destroy = cond_destroy,
};

const struct tl_sem_ops nptl_sem = {
    .init = sem_start,
    .wait = sem_take,
    .trywait = sem_try,
    .post = sem_give,
    .destroy = sem_end,
};

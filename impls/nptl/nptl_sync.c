/* nptl_sync.c - condition variable, semaphore, barrier and once of the C library. */
#include "nptl.h"

#include <semaphore.h>

_Static_assert(sizeof(pthread_cond_t) <= TL_COND_SIZE, "struct tl_cond is too small");
_Static_assert(sizeof(sem_t) <= TL_SEM_SIZE, "struct tl_sem is too small");
_Static_assert(sizeof(pthread_barrier_t) <= TL_BARRIER_SIZE, "struct tl_barrier is too small");
_Static_assert(sizeof(pthread_once_t) <= TL_ONCE_SIZE, "struct tl_once is too small");
_Static_assert(PTHREAD_ONCE_INIT == 0, "all zero is an initialised tl_once");
_Static_assert(PTHREAD_BARRIER_SERIAL_THREAD == TL_BARRIER_SERIAL, "handed on as it is");

static int cond_init(struct tl_cond *c)
{
    return pthread_cond_init((pthread_cond_t *)c, NULL);
}

static int cond_wait(struct tl_cond *c, struct tl_mutex *m)
{
    pthread_mutex_t *mutex = nptl_mutex_of(m);

    return mutex ? pthread_cond_wait((pthread_cond_t *)c, mutex) : EINVAL;
}

static int cond_timedwait(struct tl_cond *c, struct tl_mutex *m, clockid_t clock,
                          uint64_t deadline_ns)
{
    struct timespec until = posix_time(deadline_ns);
    pthread_mutex_t *mutex = nptl_mutex_of(m);

    return mutex ? pthread_cond_clockwait((pthread_cond_t *)c, mutex, clock, &until) : EINVAL;
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

const struct tl_cond_ops nptl_cond = {
    .init = cond_init,
    .wait = cond_wait,
    .signal = cond_signal,
    .broadcast = cond_broadcast,
    .destroy = cond_destroy,
    .timedwait = cond_timedwait,
};

/* ---- semaphore ------------------------------------------------------------------------------- */

static int sem_start(struct tl_sem *s, unsigned count)
{
    int saved = errno;

    return posix_answer(sem_init((sem_t *)s, 0, count), saved);
}

static int sem_take(struct tl_sem *s)
{
    int saved = errno, err;

    do {
        err = posix_answer(sem_wait((sem_t *)s), saved);
    } while (err == EINTR);
    return err;
}

static int sem_take_until(struct tl_sem *s, clockid_t clock, uint64_t deadline_ns)
{
    struct timespec until = posix_time(deadline_ns);
    int saved = errno, err;

    do {
        err = posix_answer(sem_clockwait((sem_t *)s, clock, &until), saved);
    } while (err == EINTR);
    return err;
}

static int sem_try(struct tl_sem *s)
{
    int saved = errno;

    return posix_answer(sem_trywait((sem_t *)s), saved);
}

static int sem_give(struct tl_sem *s)
{
    int saved = errno;

    return posix_answer(sem_post((sem_t *)s), saved);
}

static int sem_read(struct tl_sem *s, int *value)
{
    int saved = errno;

    return posix_answer(sem_getvalue((sem_t *)s, value), saved);
}

static int sem_end(struct tl_sem *s)
{
    int saved = errno;

    return posix_answer(sem_destroy((sem_t *)s), saved);
}

const struct tl_sem_ops nptl_sem = {
    .init = sem_start,
    .wait = sem_take,
    .trywait = sem_try,
    .post = sem_give,
    .destroy = sem_end,
    .timedwait = sem_take_until,
    .getvalue = sem_read,
    .post_in_handler = true,
};

/* ---- barrier, once --------------------------------------------------------------------------- */

static int barrier_init(struct tl_barrier *b, unsigned n)
{
    return pthread_barrier_init((pthread_barrier_t *)b, NULL, n);
}

static int barrier_wait(struct tl_barrier *b)
{
    return pthread_barrier_wait((pthread_barrier_t *)b);
}

static int barrier_destroy(struct tl_barrier *b)
{
    return pthread_barrier_destroy((pthread_barrier_t *)b);
}

const struct tl_barrier_ops nptl_barrier = {
    .init = barrier_init,
    .wait = barrier_wait,
    .destroy = barrier_destroy,
};

int nptl_once(struct tl_once *once, void (*routine)(void))
{
    return pthread_once((pthread_once_t *)once, routine);
}

/*
 * sem.c - the semaphore. One of this process is the implementation's, to which the second half of
 * the C library's sem_t points, which the C library leaves alone. One that processes share, named
 * or not, is the C library's: a word in shared memory, taken by sem_trywait and waited for in
 * slices.
 *
 * A wait of the contract is not ended by a handler. POSIX has it so (EINTR), so each wait is one of
 * slices, after which it looks whether a handler has run. post is async-signal-safe: where the
 * implementation's is not, a post within a handler is kept here, for who waits or tries next.
 */
#include "veneer.h"

#include <limits.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#define SEM_HERE 0x746c7365u

/* Invariant: magic is SEM_HERE in one of this process only: then the rest means something. */
struct veneer_sem {
    unsigned char libc[16];
    _Atomic(void *) object;
    uint32_t magic;
    _Atomic uint32_t kept; /* posts of handlers */
};
_Static_assert(sizeof(struct veneer_sem) <= sizeof(sem_t), "overlays it");

/* NULL: it is the C library's. */
static struct veneer_sem *of(sem_t *sem)
{
    struct veneer_sem *s = (struct veneer_sem *)sem;

    return s->magic == SEM_HERE ? s : NULL;
}

int WRAP(sem_init)(sem_t *sem, int shared, unsigned value);
int WRAP(sem_init)(sem_t *sem, int shared, unsigned value)
{
    struct veneer_sem *s = (struct veneer_sem *)sem;
    struct tl_sem *object;
    int err;

    if (value > SEM_VALUE_MAX)
        return veneer_answer(EINVAL);
    memset(sem, 0, sizeof(*sem));
    if (shared || !veneer.running)
        return sem_init(sem, 1, value);
    object = aligned_alloc(64, sizeof(*object));
    if (!object)
        return veneer_answer(ENOMEM);
    err = veneer.impl->sem->init(object, value);
    if (err) {
        free(object);
        return veneer_answer(err);
    }
    atomic_store(&s->object, object);
    s->magic = SEM_HERE;
    return 0;
}

int WRAP(sem_destroy)(sem_t *sem);
int WRAP(sem_destroy)(sem_t *sem)
{
    struct veneer_sem *s = of(sem);
    int err;

    if (!s)
        return sem_destroy(sem);
    err = veneer.impl->sem->destroy(s->object);
    if (err)
        return veneer_answer(err);
    free(atomic_load(&s->object));
    memset(sem, 0, sizeof(*sem));
    return 0;
}

int WRAP(sem_post)(sem_t *sem);
int WRAP(sem_post)(sem_t *sem)
{
    struct veneer_sem *s = of(sem);
    bool kept = false;
    int err;

    if (!s)
        return sem_post(sem);
    if (!veneer.impl->sem->post_in_handler) {
        const struct veneer_thread *here = veneer_here();

        kept = !here || atomic_load(&((struct veneer_thread *)here)->in_handler);
    }
    if (kept) {
        atomic_fetch_add(&s->kept, 1);
        return 0;
    }
    err = veneer.impl->sem->post(s->object);
    veneer_breathe();
    return veneer_answer(err);
}

static bool take_kept(struct veneer_sem *s)
{
    uint32_t kept = atomic_load(&s->kept);

    while (kept)
        if (atomic_compare_exchange_weak(&s->kept, &kept, kept - 1))
            return true;
    return false;
}

int WRAP(sem_trywait)(sem_t *sem);
int WRAP(sem_trywait)(sem_t *sem)
{
    struct veneer_sem *s = of(sem);

    if (!s)
        return sem_trywait(sem);
    return take_kept(s) ? 0 : veneer_answer(veneer.impl->sem->trywait(s->object));
}

int WRAP(sem_getvalue)(sem_t *sem, int *value);
int WRAP(sem_getvalue)(sem_t *sem, int *value)
{
    struct veneer_sem *s = of(sem);
    int err;

    if (!s)
        return sem_getvalue(sem, value);
    err = veneer.impl->sem->getvalue(s->object, value);
    *value += (int)atomic_load(&s->kept);
    return veneer_answer(err);
}

/* ---- wait ------------------------------------------------------------------------------------ */

/* One slice: 0, EAGAIN: none yet. */
static int wait_slice(sem_t *sem, struct veneer_sem *s, uint64_t ns)
{
    int err, saved = errno;

    if (!s) {
        err = sem_trywait(sem) ? errno : 0;
        errno = saved;
        if (err == EAGAIN)
            veneer_pause(ns < VENEER_POLL_NS ? ns : VENEER_POLL_NS);
        return err;
    }
    if (take_kept(s))
        return 0;
    err = veneer.impl->sem->timedwait(s->object, CLOCK_MONOTONIC, veneer_now(CLOCK_MONOTONIC) + ns);
    return err == ETIMEDOUT ? EAGAIN : err;
}

static long wait_now(const long *a)
{
    sem_t *sem = (void *)a[0];
    struct veneer_sem *s = of(sem);
    const struct timespec *until = (void *)a[2];
    struct veneer_thread *self = veneer_self();
    uint32_t interrupted = veneer_interrupted(self);
    uint64_t left = VENEER_SLICE_NS, now, end;
    int err;

    for (;;) {
        err = wait_slice(sem, s, left);
        if (err != EAGAIN)
            return err;
        if (veneer_interrupted(self) != interrupted)
            return EINTR;
        if (!until)
            continue;
        if (!veneer_time_ok(until))
            return EINVAL;
        now = veneer_now((clockid_t)a[1]);
        end = veneer_ns(until);
        if (now >= end)
            return ETIMEDOUT;
        left = end - now < VENEER_SLICE_NS ? end - now : VENEER_SLICE_NS;
    }
}

/* A count that is there is taken whatever the deadline is (POSIX: its validity need not be looked
 * at then). */
static int wait_until(sem_t *sem, clockid_t clock, const struct timespec *until)
{
    veneer_test();
    if (!__wrap_sem_trywait(sem))
        return 0;
    if (errno != EAGAIN)
        return -1;
    if (until && !veneer_time_ok(until))
        return veneer_answer(EINVAL);
    if (until && veneer_now(clock) >= veneer_ns(until))
        return veneer_answer(ETIMEDOUT);
    return POINT_ERRNO(wait_now, (long)sem, clock, (long)until);
}

int WRAP(sem_wait)(sem_t *sem);
int WRAP(sem_wait)(sem_t *sem)
{
    return wait_until(sem, CLOCK_REALTIME, NULL);
}

int WRAP(sem_timedwait)(sem_t *sem, const struct timespec *until);
int WRAP(sem_timedwait)(sem_t *sem, const struct timespec *until)
{
    return wait_until(sem, CLOCK_REALTIME, until);
}

int WRAP(sem_clockwait)(sem_t *sem, clockid_t clock, const struct timespec *until);
int WRAP(sem_clockwait)(sem_t *sem, clockid_t clock, const struct timespec *until)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return veneer_answer(EINVAL);
    return wait_until(sem, clock, until);
}

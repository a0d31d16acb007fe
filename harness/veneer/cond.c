/*
 * cond.c - the condition variable: the implementation's, with the mutex's TL_MUTEX_BLOCK. Its clock
 * (pthread_condattr_setclock) is kept here, as is the sequence number that waiters of one which
 * processes share look at (shared.c), and those with a mutex that the implementation's condition
 * does not take (PTHREAD_PRIO_INHERIT): there a signal may wake several, which POSIX allows.
 */
#include "veneer.h"

#include <string.h>
#include <time.h>

#define LOOK_NS 1000000000u

enum { COND_SHARED = 1, COND_MONOTONIC = 2, COND_DESTROYED = 4 };

/* Invariant: waiters counts the threads within wait of one that processes share. */
struct veneer_cond {
    _Atomic(void *) object;
    _Atomic uint32_t sequence, waiters;
    uint32_t flags;
};
_Static_assert(sizeof(struct veneer_cond) <= sizeof(pthread_cond_t), "overlays it");

static struct veneer_cond *of(pthread_cond_t *c)
{
    return (struct veneer_cond *)c;
}

static int init_object(void *object)
{
    return veneer.impl->cond->init(object);
}

int WRAP(pthread_cond_init)(pthread_cond_t *cond, const pthread_condattr_t *attr);
int WRAP(pthread_cond_init)(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    int shared = PTHREAD_PROCESS_PRIVATE;
    clockid_t clock = CLOCK_REALTIME;

    if (attr) {
        pthread_condattr_getpshared(attr, &shared);
        pthread_condattr_getclock(attr, &clock);
    }
    memset(cond, 0, sizeof(*cond));
    of(cond)->flags = (shared == PTHREAD_PROCESS_SHARED ? COND_SHARED : 0) |
                      (clock == CLOCK_MONOTONIC ? COND_MONOTONIC : 0);
    return 0;
}

/* ---- wait ------------------------------------------------------------------------------------ */

struct wait {
    struct veneer_cond *c;
    struct veneer_held held;
    clockid_t clock;
    const struct timespec *until;
};

/* The thread is cancelled in the wait: the cleanup handlers hold the mutex. */
static void retake(void *arg)
{
    struct wait *w = arg;

    veneer_mutex_retaken(&w->held);
}

static void retake_shared(void *arg)
{
    struct wait *w = arg;

    atomic_fetch_sub(&w->c->waiters, 1);
    veneer_mutex_take_back(&w->held);
}

static long wait_private(const long *a)
{
    struct wait *w = (void *)a[0];
    const struct tl_cond_ops *ops = veneer.impl->cond;
    uint32_t sequence = (uint32_t)a[1];
    int err;
    struct tl_cond *object =
        veneer_object(&w->c->object, sizeof(struct tl_cond), init_object, &err);

    if (!object)
        return err;
    /* The wall clock may be set, which a scheduler of its own does not hear of: a wait that is long
     * looks at it in between. Who signals just then finds nobody, but is seen at the next look. */
    while (w->until && !veneer.blocks_alone && w->clock == CLOCK_REALTIME &&
           veneer_now(CLOCK_REALTIME) + LOOK_NS < veneer_ns(w->until)) {
        err = ops->timedwait(object, w->held.object, CLOCK_MONOTONIC,
                             veneer_now(CLOCK_MONOTONIC) + LOOK_NS);
        if (err != ETIMEDOUT || atomic_load(&w->c->sequence) != sequence)
            return err == ETIMEDOUT ? 0 : err;
    }
    if (w->until)
        return ops->timedwait(object, w->held.object, w->clock, veneer_ns(w->until));
    return ops->wait(object, w->held.object);
}

static long wait_shared(const long *a)
{
    struct wait *w = (void *)a[0];
    uint32_t sequence = (uint32_t)a[1];

    while (atomic_load(&w->c->sequence) == sequence) {
        if (w->until && veneer_now(w->clock) >= veneer_ns(w->until))
            return ETIMEDOUT;
        veneer_shared_wait(&w->c->sequence, sequence);
    }
    return 0;
}

static int wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                      const struct timespec *until)
{
    struct wait w = {.c = of(cond), .clock = clock, .until = until};
    uint32_t sequence;
    int err;

    if (w.c->flags & COND_DESTROYED || (until && !veneer_time_ok(until)))
        return EINVAL;
    err = veneer_mutex_held(mutex, &w.held);
    if (err)
        return err;
    if (!(w.c->flags & COND_SHARED) && w.held.object) {
        /* A request that is due before the wait finds the mutex as it was. */
        veneer_test();
        sequence = atomic_load(&w.c->sequence);
        veneer_mutex_leave(&w.held);
        err = (int)veneer_point(wait_private, (const long[]){(long)&w, (long)sequence}, retake, &w);
        return veneer_mutex_retaken(&w.held) ?: err;
    }
    veneer_test();
    atomic_fetch_add(&w.c->waiters, 1);
    sequence = atomic_load(&w.c->sequence);
    veneer_mutex_let_go(&w.held);
    err =
        (int)veneer_point(wait_shared, (const long[]){(long)&w, (long)sequence}, retake_shared, &w);
    atomic_fetch_sub(&w.c->waiters, 1);
    return veneer_mutex_take_back(&w.held) ?: err;
}

int WRAP(pthread_cond_wait)(pthread_cond_t *cond, pthread_mutex_t *mutex);
int WRAP(pthread_cond_wait)(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    return wait_until(cond, mutex, CLOCK_REALTIME, NULL);
}

int WRAP(pthread_cond_timedwait)(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                 const struct timespec *until);
int WRAP(pthread_cond_timedwait)(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                 const struct timespec *until)
{
    return wait_until(cond, mutex,
                      of(cond)->flags & COND_MONOTONIC ? CLOCK_MONOTONIC : CLOCK_REALTIME, until);
}

int WRAP(pthread_cond_clockwait)(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                 const struct timespec *until);
int WRAP(pthread_cond_clockwait)(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                 const struct timespec *until)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    return wait_until(cond, mutex, clock, until);
}

/* ---- signal, broadcast, destroy -------------------------------------------------------------- */

static int wake(pthread_cond_t *cond, bool all)
{
    struct veneer_cond *c = of(cond);
    void *object = atomic_load(&c->object);

    veneer_breathe();

    if (c->flags & COND_DESTROYED)
        return EINVAL;
    atomic_fetch_add(&c->sequence, 1);
    if (atomic_load(&c->waiters))
        veneer_shared_wake(&c->sequence);
    if (!object)
        return 0; /* nobody has ever waited in it */
    return all ? veneer.impl->cond->broadcast(object) : veneer.impl->cond->signal(object);
}

int WRAP(pthread_cond_signal)(pthread_cond_t *cond);
int WRAP(pthread_cond_signal)(pthread_cond_t *cond)
{
    return wake(cond, false);
}

int WRAP(pthread_cond_broadcast)(pthread_cond_t *cond);
int WRAP(pthread_cond_broadcast)(pthread_cond_t *cond)
{
    return wake(cond, true);
}

int WRAP(pthread_cond_destroy)(pthread_cond_t *cond);
int WRAP(pthread_cond_destroy)(pthread_cond_t *cond)
{
    struct veneer_cond *c = of(cond);
    void *object = atomic_load(&c->object);
    int err;

    if (c->flags & COND_DESTROYED)
        return EINVAL;
    if (object) {
        err = veneer.impl->cond->destroy(object);
        if (err)
            return err;
        atomic_store(&c->object, NULL);
        free(object);
    }
    while (atomic_load(&c->waiters)) /* woken, and on their way out */
        veneer_pause(VENEER_POLL_NS);
    c->flags |= COND_DESTROYED;
    return 0;
}

/*
 * generic.c - see generic.h: read-write lock, barrier and once as monitors (Hoare 1974, "Monitors:
 * An Operating System Structuring Concept"; signal-and-continue, after Lampson and Redell 1980):
 * a mutex, a condition variable for each thing that is waited for, and the state in between.
 *
 * The last that an operation touches is the mutex, in its unlock: so whoever takes that mutex next
 * may free the object, given a mutex that may be freed then (POSIX.1-2017, pthread_mutex_destroy).
 */
#include "generic.h"

#include <errno.h>
#include <stdatomic.h>

/* Invariants: writing excludes readers != 0; owner means something while writing; waiting counts
 * the writers that wait. `readable` is for may_read(), `writable` for !writing && !readers. */
struct rwlock {
    struct tl_mutex mutex;
    struct tl_cond readable, writable;
    uint64_t owner;
    uint32_t readers, waiting;
    bool writing, readers_first;
};

/* Invariants: arrived < n, those of this generation; inside: those in wait that have to come back
 * to the mutex, of this generation and of earlier ones. `turned` is for a new generation, `empty`
 * for inside == 0. */
struct barrier {
    struct tl_mutex mutex;
    struct tl_cond turned, empty;
    uint64_t generation;
    uint32_t n, arrived, inside;
};

/* Invariant: state changes under the mutex; it never leaves ONCE_DONE. All zero is a new one. */
struct once {
    struct tl_mutex mutex;
    struct tl_cond changed;
    _Atomic uint32_t state;
};
enum { ONCE_NEW, ONCE_RUNNING, ONCE_DONE };

_Static_assert(sizeof(struct rwlock) <= TL_RWLOCK_SIZE, "struct tl_rwlock is too small");
_Static_assert(sizeof(struct barrier) <= TL_BARRIER_SIZE, "struct tl_barrier is too small");
_Static_assert(sizeof(struct once) <= TL_ONCE_SIZE, "struct tl_once is too small");

static struct {
    const struct tl_mutex_ops *mutex;
    const struct tl_cond_ops *cond;
    const struct tl_cancel_ops *cancel;
    void (*protect)(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                    bool execute);
    struct tl_thread (*self)(void);
} base;

void generic_init(const struct tl_mutex_ops *mutex, const struct tl_cond_ops *cond,
                  const struct tl_cancel_ops *cancel,
                  void (*protect)(void (*body)(void *), void *body_arg, void (*routine)(void *),
                                  void *arg, bool execute),
                  struct tl_thread (*self)(void))
{
    base.mutex = mutex;
    base.cond = cond;
    base.cancel = cancel;
    base.protect = protect;
    base.self = self;
}

/* Until when a wait may last. NULL: for ever. */
struct deadline {
    clockid_t clock;
    uint64_t ns;
};

/* Nothing here is a cancellation point, cond.wait is one: a request is left for later. (Nor may
 * anything here be called with TL_CANCEL_ASYNC: POSIX.1-2017 XSH 2.9.5.4.) */
static int await(struct tl_cond *c, struct tl_mutex *m, const struct deadline *until)
{
    int old, err;

    if (base.cancel)
        base.cancel->set_state(TL_CANCEL_DISABLE, &old);
    err = until ? base.cond->timedwait(c, m, until->clock, until->ns) : base.cond->wait(c, m);
    if (base.cancel)
        base.cancel->set_state(old, NULL);
    return err;
}

/* A mutex and two condition variables, or nothing. */
static int init_three(struct tl_mutex *m, struct tl_cond *a, struct tl_cond *b)
{
    int err = base.mutex->init(m, TL_MUTEX_BLOCK);

    if (err)
        return err;
    err = base.cond->init(a);
    if (err)
        goto no_first;
    err = base.cond->init(b);
    if (err)
        goto no_second;
    return 0;
no_second:
    base.cond->destroy(a);
no_first:
    base.mutex->destroy(m);
    return err;
}

static int destroy_three(struct tl_mutex *m, struct tl_cond *a, struct tl_cond *b)
{
    int first = base.cond->destroy(a), second = base.cond->destroy(b);
    int err = base.mutex->destroy(m);

    return err ? err : first ? first : second;
}

/* ---- read-write lock ------------------------------------------------------------------------- */

static int rwlock_init(struct tl_rwlock *rwlock)
{
    struct rwlock *l = (struct rwlock *)rwlock;

    l->owner = 0;
    l->readers = l->waiting = 0;
    l->writing = l->readers_first = false;
    return init_three(&l->mutex, &l->readable, &l->writable);
}

static int rwlock_destroy(struct tl_rwlock *rwlock)
{
    struct rwlock *l = (struct rwlock *)rwlock;
    int err = base.mutex->lock(&l->mutex);
    bool busy;

    if (err)
        return err;
    busy = l->writing || l->readers || l->waiting;
    base.mutex->unlock(&l->mutex);
    return busy ? EBUSY : destroy_three(&l->mutex, &l->readable, &l->writable);
}

static bool mine(const struct rwlock *l)
{
    return l->writing && l->owner == base.self().id;
}

static bool may_read(const struct rwlock *l)
{
    return !l->writing && (!l->waiting || l->readers_first);
}

/* Lets in whoever is next. The mutex is held. */
static void admit(struct rwlock *l)
{
    if (l->writing)
        return;
    if (may_read(l))
        base.cond->broadcast(&l->readable);
    if (l->waiting && !l->readers)
        base.cond->signal(&l->writable);
}

static int read_lock(struct rwlock *l, const struct deadline *until)
{
    int err = base.mutex->lock(&l->mutex);

    if (err)
        return err;
    if (mine(l))
        err = EDEADLK;
    while (!err && !may_read(l))
        err = await(&l->readable, &l->mutex, until);
    /* Out of time, and let in meanwhile: the predicate decides. */
    if (err == ETIMEDOUT && may_read(l))
        err = 0;
    if (!err)
        l->readers++;
    base.mutex->unlock(&l->mutex);
    return err;
}

static int write_lock(struct rwlock *l, const struct deadline *until)
{
    int err = base.mutex->lock(&l->mutex);

    if (err)
        return err;
    if (mine(l))
        err = EDEADLK;
    l->waiting++;
    while (!err && (l->writing || l->readers))
        err = await(&l->writable, &l->mutex, until);
    if (err == ETIMEDOUT && !l->writing && !l->readers)
        err = 0;
    l->waiting--;
    if (!err) {
        l->writing = true;
        l->owner = base.self().id;
    } else {
        admit(l); /* readers may have waited behind this one only */
    }
    base.mutex->unlock(&l->mutex);
    return err;
}

static int rwlock_rdlock(struct tl_rwlock *l)
{
    return read_lock((struct rwlock *)l, NULL);
}

static int rwlock_wrlock(struct tl_rwlock *l)
{
    return write_lock((struct rwlock *)l, NULL);
}

static int rwlock_timedrdlock(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns)
{
    struct deadline until = {clock, deadline_ns};

    return base.cond->timedwait ? read_lock((struct rwlock *)l, &until) : ENOTSUP;
}

static int rwlock_timedwrlock(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns)
{
    struct deadline until = {clock, deadline_ns};

    return base.cond->timedwait ? write_lock((struct rwlock *)l, &until) : ENOTSUP;
}

static int rwlock_tryrdlock(struct tl_rwlock *rwlock)
{
    struct rwlock *l = (struct rwlock *)rwlock;
    int err = base.mutex->lock(&l->mutex);

    if (err)
        return err;
    if (may_read(l))
        l->readers++;
    else
        err = EBUSY;
    base.mutex->unlock(&l->mutex);
    return err;
}

static int rwlock_trywrlock(struct tl_rwlock *rwlock)
{
    struct rwlock *l = (struct rwlock *)rwlock;
    int err = base.mutex->lock(&l->mutex);

    if (err)
        return err;
    if (l->writing || l->readers) {
        err = EBUSY;
    } else {
        l->writing = true;
        l->owner = base.self().id;
    }
    base.mutex->unlock(&l->mutex);
    return err;
}

static int rwlock_unlock(struct tl_rwlock *rwlock)
{
    struct rwlock *l = (struct rwlock *)rwlock;
    int err = base.mutex->lock(&l->mutex);

    if (err)
        return err;
    if (mine(l))
        l->writing = false;
    else if (l->readers)
        l->readers--;
    else
        err = EPERM;
    if (!err)
        admit(l);
    base.mutex->unlock(&l->mutex);
    return err;
}

static int rwlock_readers_first(struct tl_rwlock *l)
{
    ((struct rwlock *)l)->readers_first = true;
    return 0;
}

const struct tl_rwlock_ops generic_rwlock = {
    .init = rwlock_init,
    .rdlock = rwlock_rdlock,
    .tryrdlock = rwlock_tryrdlock,
    .wrlock = rwlock_wrlock,
    .trywrlock = rwlock_trywrlock,
    .unlock = rwlock_unlock,
    .destroy = rwlock_destroy,
    .timedrdlock = rwlock_timedrdlock,
    .timedwrlock = rwlock_timedwrlock,
    .writer_first = true,
    .readers_first = rwlock_readers_first,
};

/* ---- barrier --------------------------------------------------------------------------------- */

static int barrier_init(struct tl_barrier *barrier, unsigned n)
{
    struct barrier *b = (struct barrier *)barrier;

    if (!n)
        return EINVAL;
    b->generation = 0;
    b->n = n;
    b->arrived = b->inside = 0;
    return init_three(&b->mutex, &b->turned, &b->empty);
}

static int barrier_wait(struct tl_barrier *barrier)
{
    struct barrier *b = (struct barrier *)barrier;
    int err = base.mutex->lock(&b->mutex);
    uint64_t generation;

    if (err)
        return err;
    if (++b->arrived == b->n) {
        b->arrived = 0;
        b->generation++;
        base.cond->broadcast(&b->turned);
        base.mutex->unlock(&b->mutex);
        return TL_BARRIER_SERIAL;
    }
    generation = b->generation;
    b->inside++;
    while (!err && b->generation == generation)
        err = await(&b->turned, &b->mutex, NULL);
    if (b->generation != generation)
        err = 0;
    else
        b->arrived--; /* cannot wait, so it has not come */
    if (!--b->inside)
        base.cond->broadcast(&b->empty);
    base.mutex->unlock(&b->mutex);
    return err;
}

static int barrier_destroy(struct tl_barrier *barrier)
{
    struct barrier *b = (struct barrier *)barrier;
    int err = base.mutex->lock(&b->mutex);

    if (err)
        return err;
    if (b->arrived)
        err = EBUSY;
    while (!err && b->inside)
        err = await(&b->empty, &b->mutex, NULL);
    base.mutex->unlock(&b->mutex);
    return err ? err : destroy_three(&b->mutex, &b->turned, &b->empty);
}

const struct tl_barrier_ops generic_barrier = {
    .init = barrier_init,
    .wait = barrier_wait,
    .destroy = barrier_destroy,
};

/* ---- once ------------------------------------------------------------------------------------ */

/* Release: what the routine did is visible to who sees ONCE_DONE (acquire in generic_once). */
static void turn(struct once *o, uint32_t state)
{
    base.mutex->lock(&o->mutex);
    atomic_store_explicit(&o->state, state, memory_order_release);
    base.cond->broadcast(&o->changed);
    base.mutex->unlock(&o->mutex);
}

/* The thread ended within the routine: it has not run. */
static void undone(void *arg)
{
    turn(arg, ONCE_NEW);
}

struct routine {
    void (*routine)(void);
};

static void call(void *arg)
{
    ((struct routine *)arg)->routine();
}

int generic_once(struct tl_once *once, void (*routine)(void))
{
    struct once *o = (struct once *)once;
    struct routine body = {routine};
    bool first;
    int err;

    if (atomic_load_explicit(&o->state, memory_order_acquire) == ONCE_DONE)
        return 0;
    err = base.mutex->lock(&o->mutex);
    if (err)
        return err;
    while (!err && atomic_load_explicit(&o->state, memory_order_relaxed) == ONCE_RUNNING)
        err = await(&o->changed, &o->mutex, NULL);
    first = !err && atomic_load_explicit(&o->state, memory_order_relaxed) == ONCE_NEW;
    if (first)
        atomic_store_explicit(&o->state, ONCE_RUNNING, memory_order_relaxed);
    base.mutex->unlock(&o->mutex);
    if (!first)
        return err;
    if (base.protect)
        base.protect(call, &body, undone, o, false);
    else
        call(&body);
    turn(o, ONCE_DONE);
    return 0;
}

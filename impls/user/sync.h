/*
 * sync.h - mutex, condition variable, semaphore. Included by user.h only.
 *
 * Policy, the same for all three: first come, first served, by direct hand-over. Unlock gives the
 * mutex to the one who has waited longest, who owns it before it runs; post gives the unit; signal
 * moves the waiter to the mutex (or gives it, if free), so that a broadcast wakes one thread after
 * the other, never a crowd. Nobody overtakes, nobody starves. The usual price of hand-over, that a
 * free mutex is held by a thread which does not run, is nil with one LWP: whoever finds it taken
 * would have found the holder not running anyway.
 *
 * Mutex kinds: BLOCK waits on the list. ADAPTIVE is BLOCK: with one LWP the owner never runs while
 * somebody else wants the mutex, so the spinning part is always empty. SPIN tries again after each
 * yield; it takes a free mutex in any order.
 *
 * A wait list is a queue through uthread.next. Not async-signal-safe: a handler must not call them.
 */
#ifndef TL_USER_SYNC_H
#define TL_USER_SYNC_H

#define USER_SEM_MAX 0x7fffffffu /* SEM_VALUE_MAX of the C library */

/* Invariant: waiters only while owned. */
struct user_mutex {
    struct uthread *owner;
    struct queue waiters;
    bool spins;
};

/* Invariant: all waiters gave the same mutex. */
struct user_cond {
    struct queue waiters;
    struct user_mutex *mutex;
};

/* Invariant: waiters only while count is 0. */
struct user_sem {
    unsigned count;
    struct queue waiters;
};

_Static_assert(sizeof(struct user_mutex) <= TL_MUTEX_SIZE, "fits the caller's storage");
_Static_assert(sizeof(struct user_cond) <= TL_COND_SIZE, "fits the caller's storage");
_Static_assert(sizeof(struct user_sem) <= TL_SEM_SIZE, "fits the caller's storage");

static inline struct user_mutex *mutex_of(struct tl_mutex *m)
{
    return (struct user_mutex *)(void *)m->opaque;
}

static inline struct user_cond *cond_of(struct tl_cond *c)
{
    return (struct user_cond *)(void *)c->opaque;
}

static inline struct user_sem *sem_of(struct tl_sem *s)
{
    return (struct user_sem *)(void *)s->opaque;
}

/* ---- mutex ----------------------------------------------------------------------------------- */

static int user_mutex_init(struct tl_mutex *opaque, enum tl_mutex_kind kind)
{
    struct user_mutex *m = mutex_of(opaque);

    if (kind != TL_MUTEX_BLOCK && kind != TL_MUTEX_SPIN && kind != TL_MUTEX_ADAPTIVE)
        return EINVAL;
    *m = (struct user_mutex){.spins = kind == TL_MUTEX_SPIN};
    return 0;
}

static __attribute__((noinline)) int mutex_wait(struct user_mutex *m)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;

    if (m->spins) {
        do {
            if (!lwp->ready.head) /* a yield would come straight back, for ever */
                idle(lwp);
            user_yield();
        } while (m->owner);
        m->owner = self;
        return 0;
    }
    queue_push(&m->waiters, self);
    park(lwp, self, USER_WAITS_MUTEX);
    return 0;
}

static int user_mutex_lock(struct tl_mutex *opaque)
{
    struct user_mutex *m = mutex_of(opaque);

    if (USER_UNLIKELY(m->owner != NULL))
        return mutex_wait(m);
    m->owner = lwp_self()->current;
    return 0;
}

static int user_mutex_trylock(struct tl_mutex *opaque)
{
    struct user_mutex *m = mutex_of(opaque);

    if (m->owner)
        return EBUSY;
    m->owner = lwp_self()->current;
    return 0;
}

static inline void mutex_release(struct user_mutex *m)
{
    struct uthread *heir = queue_pop(&m->waiters);

    m->owner = heir;
    if (USER_UNLIKELY(heir != NULL))
        make_ready(lwp_self(), heir);
}

/* EPERM: it is not the caller's. */
static int user_mutex_unlock(struct tl_mutex *opaque)
{
    struct user_mutex *m = mutex_of(opaque);

    if (USER_UNLIKELY(m->owner != lwp_self()->current))
        return EPERM;
    mutex_release(m);
    return 0;
}

static int user_mutex_destroy(struct tl_mutex *opaque)
{
    return mutex_of(opaque)->owner ? EBUSY : 0;
}

/* ---- condition variable ---------------------------------------------------------------------- */

static int user_cond_init(struct tl_cond *opaque)
{
    *cond_of(opaque) = (struct user_cond){0};
    return 0;
}

/* EPERM: the caller does not hold the mutex. EINVAL: others wait here with another mutex. */
static int user_cond_wait(struct tl_cond *opaque, struct tl_mutex *opaque_mutex)
{
    struct user_cond *c = cond_of(opaque);
    struct user_mutex *m = mutex_of(opaque_mutex);
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;

    if (m->owner != self)
        return EPERM;
    if (c->waiters.head && c->mutex != m)
        return EINVAL;
    c->mutex = m;
    queue_push(&c->waiters, self);
    mutex_release(m);
    park(lwp, self, USER_WAITS_COND); /* whoever makes it ready has given it the mutex */
    return 0;
}

static int user_cond_signal(struct tl_cond *opaque)
{
    struct user_cond *c = cond_of(opaque);
    struct uthread *t = queue_pop(&c->waiters);

    if (!t)
        return 0;
    if (c->mutex->owner) {
        t->context.state = USER_WAITS_MUTEX;
        queue_push(&c->mutex->waiters, t);
    } else {
        c->mutex->owner = t;
        make_ready(lwp_self(), t);
    }
    return 0;
}

/* The states of those that move on to the mutex stay USER_WAITS_COND: touching each would make it
 * linear, and only a report reads them. */
static int user_cond_broadcast(struct tl_cond *opaque)
{
    struct user_cond *c = cond_of(opaque);

    if (!c->waiters.head)
        return 0;
    user_cond_signal(opaque);
    queue_append(&c->mutex->waiters, &c->waiters);
    return 0;
}

static int user_cond_destroy(struct tl_cond *opaque)
{
    return cond_of(opaque)->waiters.head ? EBUSY : 0;
}

/* ---- semaphore ------------------------------------------------------------------------------- */

static int user_sem_init(struct tl_sem *opaque, unsigned count)
{
    if (count > USER_SEM_MAX)
        return EINVAL;
    *sem_of(opaque) = (struct user_sem){.count = count};
    return 0;
}

static int user_sem_wait(struct tl_sem *opaque)
{
    struct user_sem *s = sem_of(opaque);
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;

    if (s->count) {
        s->count--;
        return 0;
    }
    queue_push(&s->waiters, self);
    park(lwp, self, USER_WAITS_SEM);
    return 0;
}

static int user_sem_trywait(struct tl_sem *opaque)
{
    struct user_sem *s = sem_of(opaque);

    if (!s->count)
        return EAGAIN;
    s->count--;
    return 0;
}

static int user_sem_post(struct tl_sem *opaque)
{
    struct user_sem *s = sem_of(opaque);
    struct uthread *t = queue_pop(&s->waiters);

    if (t) {
        make_ready(lwp_self(), t);
        return 0;
    }
    if (s->count == USER_SEM_MAX)
        return EOVERFLOW;
    s->count++;
    return 0;
}

static int user_sem_destroy(struct tl_sem *opaque)
{
    return sem_of(opaque)->waiters.head ? EBUSY : 0;
}

static const struct tl_mutex_ops user_mutex_ops = {
    .init = user_mutex_init,
    .lock = user_mutex_lock,
    .trylock = user_mutex_trylock,
    .unlock = user_mutex_unlock,
    .destroy = user_mutex_destroy,
};

static const struct tl_cond_ops user_cond_ops = {
    .init = user_cond_init,
    .wait = user_cond_wait,
    .signal = user_cond_signal,
    .broadcast = user_cond_broadcast,
    .destroy = user_cond_destroy,
};

static const struct tl_sem_ops user_sem_ops = {
    .init = user_sem_init,
    .wait = user_sem_wait,
    .trywait = user_sem_trywait,
    .post = user_sem_post,
    .destroy = user_sem_destroy,
};

#endif

/*
 * sync.h - condition variable, semaphore. Included by user.h only.
 *
 * Policy, as for the mutex: first come, first served, by direct hand-over. post gives the unit;
 * signal moves the waiter to the mutex (or gives it, if free), so that a broadcast wakes one thread
 * after the other, never a crowd. From then on the waiter can no longer be interrupted, so that no
 * signal is lost on one that is cancelled or whose time has come; nor does it look at the
 * condition, which may be gone.
 *
 * A wait list is a queue through uthread.next.
 */
#ifndef TL_USER_SYNC_H
#define TL_USER_SYNC_H

#define USER_SEM_MAX 0x7fffffffu /* SEM_VALUE_MAX of the C library */

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

_Static_assert(sizeof(struct user_cond) <= TL_COND_SIZE, "fits the caller's storage");
_Static_assert(sizeof(struct user_sem) <= TL_SEM_SIZE, "fits the caller's storage");

static inline struct user_cond *cond_of(struct tl_cond *c)
{
    return (struct user_cond *)(void *)c->opaque;
}

static inline struct user_sem *sem_of(struct tl_sem *s)
{
    return (struct user_sem *)(void *)s->opaque;
}

/* ---- condition variable ---------------------------------------------------------------------- */

static int user_cond_init(struct tl_cond *opaque)
{
    *cond_of(opaque) = (struct user_cond){0};
    return 0;
}

/* The caller was taken off the condition: no signal was meant for it. Cleanup handlers run with the
 * mutex held. */
static __attribute__((noinline)) int cond_interrupted(struct uthread *self, struct user_mutex *m,
                                                      const struct user_deadline *until)
{
    int err = until && deadline_due(until) ? ETIMEDOUT : 0;

    if (m->owner)
        mutex_wait(m, NULL);
    else
        m->owner = self;
    cancellation_point(self);
    return err;
}

/* EPERM: the caller does not hold the mutex, or holds it more than once. EINVAL: others wait here
 * with another mutex. until: NULL, for ever. */
static inline __attribute__((always_inline)) int
cond_wait(struct tl_cond *opaque, struct tl_mutex *opaque_mutex, const struct user_deadline *until)
{
    struct user_cond *c = cond_of(opaque);
    struct user_mutex *m = mutex_of(opaque_mutex);
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;
    bool early;

    if (m->owner != self)
        return EPERM;
    if (c->waiters.head && c->mutex != m)
        return EINVAL;
    cancellation_point(self);
    c->mutex = m;
    deadline_arm(lwp, self, until);
    /* On the list before the mutex is free: who gets it then may signal. */
    self->rest->waits.list = &c->waiters;
    queue_push(&c->waiters, self);
    mutex_release(m);
    early = park(lwp, self, USER_WAITS_COND);
    deadline_disarm(lwp, self, until);
    if (USER_UNLIKELY(early))
        return cond_interrupted(self, m, until);
    return 0; /* whoever made it ready has given it the mutex */
}

static int user_cond_wait(struct tl_cond *opaque, struct tl_mutex *m)
{
    return cond_wait(opaque, m, NULL);
}

static int user_cond_timedwait(struct tl_cond *opaque, struct tl_mutex *m, clockid_t clock,
                               uint64_t deadline_ns)
{
    struct user_deadline until = {clock, deadline_ns};

    return deadline_valid(&until) ? cond_wait(opaque, m, &until) : EINVAL;
}

static int user_cond_signal(struct tl_cond *opaque)
{
    struct user_cond *c = cond_of(opaque);
    struct uthread *t = queue_pop(&c->waiters);

    if (!t)
        return 0;
    if (c->mutex->owner) {
        t->context.state = USER_WAITS_AGAIN;
        queue_push(&c->mutex->waiters, t);
    } else {
        c->mutex->owner = t;
        make_ready(lwp_self(), t);
    }
    return 0;
}

/* Linear, because each must be told that it is signalled: the one line that is touched is the one
 * that its switch will need. */
static int user_cond_broadcast(struct tl_cond *opaque)
{
    struct user_cond *c = cond_of(opaque);

    if (!c->waiters.head)
        return 0;
    user_cond_signal(opaque);
    for (struct uthread *t = c->waiters.head; t; t = t->next)
        t->context.state = USER_WAITS_AGAIN;
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

/* until: NULL, for ever. Whoever is interrupted tries anew, behind the others. */
static __attribute__((noinline)) int sem_wait_until(struct user_sem *s,
                                                    const struct user_deadline *until)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;
    bool early;

    do {
        cancellation_point(self);
        if (s->count) {
            s->count--;
            return 0;
        }
        if (until && deadline_due(until))
            return ETIMEDOUT;
        deadline_arm(lwp, self, until);
        early = park_on(lwp, self, &s->waiters, USER_WAITS_SEM_TIMED);
        deadline_disarm(lwp, self, until);
    } while (USER_UNLIKELY(early));
    return 0; /* whoever made it ready has given it the unit */
}

/* A wait of sem_block was interrupted: goes on with it until it has a unit. */
static void sem_wait_again(struct uthread *self)
{
    struct queue *list = self->rest->waits.list;

    sem_wait_until((struct user_sem *)(void *)((char *)list - offsetof(struct user_sem, waiters)),
                   NULL);
}

/* Apart, so that a wait which need not block saves no registers. */
static __attribute__((noinline)) int sem_block(struct user_sem *s)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;

    if (USER_UNLIKELY(self->context.flags & USER_CANCELLED))
        return sem_wait_until(s, NULL);
    self->rest->waits.list = &s->waiters;
    queue_push(&s->waiters, self);
    park_trusting(lwp, self, USER_WAITS_SEM);
    return 0; /* whoever made it ready has given it the unit, or arrive() has got one */
}

static int user_sem_wait(struct tl_sem *opaque)
{
    struct user_sem *s = sem_of(opaque);

    if (USER_LIKELY(s->count && !(lwp_self()->current->context.flags & USER_CANCELLED))) {
        s->count--;
        return 0;
    }
    return sem_block(s);
}

static int user_sem_timedwait(struct tl_sem *opaque, clockid_t clock, uint64_t deadline_ns)
{
    struct user_deadline until = {clock, deadline_ns};

    return deadline_valid(&until) ? sem_wait_until(sem_of(opaque), &until) : EINVAL;
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

static int user_sem_getvalue(struct tl_sem *opaque, int *value)
{
    *value = (int)sem_of(opaque)->count;
    return 0;
}

static int user_sem_destroy(struct tl_sem *opaque)
{
    return sem_of(opaque)->waiters.head ? EBUSY : 0;
}

static const struct tl_cond_ops user_cond_ops = {
    .init = user_cond_init,
    .wait = user_cond_wait,
    .signal = user_cond_signal,
    .broadcast = user_cond_broadcast,
    .destroy = user_cond_destroy,
    .timedwait = user_cond_timedwait,
};

static const struct tl_sem_ops user_sem_ops = {
    .init = user_sem_init,
    .wait = user_sem_wait,
    .trywait = user_sem_trywait,
    .post = user_sem_post,
    .destroy = user_sem_destroy,
    .timedwait = user_sem_timedwait,
    .getvalue = user_sem_getvalue,
};

#endif

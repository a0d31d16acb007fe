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

    if (!mutex_grab(m))
        mutex_wait(m, NULL);
    cancellation_point(self);
    return err;
}

/* The caller has it, and waits. */
static inline void cond_release(struct user_mutex *m)
{
#if USER_MN
    struct uthread *heir;

    if (USER_UNLIKELY(lib.multi || !is_plain(m))) {
        mutex_unlock(m);
        return;
    }
    heir = pass_on(m);
    if (heir)
        make_ready(lwp_self(), heir);
#else
    mutex_release(m);
#endif
}

/* EPERM: the caller does not hold the mutex, or holds it more than once. EINVAL: others wait here
 * with another mutex. until: NULL, for ever. */
static inline __attribute__((always_inline)) int
cond_wait(struct tl_cond *opaque, struct tl_mutex *opaque_mutex, const struct user_deadline *until)
{
    struct user_cond *c = cond_of(opaque);
    struct user_mutex *m = mutex_of(opaque_mutex);
    struct uthread *self = lwp_self()->current;
    bool early;

    if ((USER_MN ? owner_of(m) : m->owner) != self || (USER_MN && m->again))
        return EPERM;
    cancellation_point(self);
    list_lock(&c->waiters);
    if (c->waiters.head && c->mutex != m) {
        list_unlock(&c->waiters);
        return EINVAL;
    }
    c->mutex = m;
    /* On the list before the mutex is free: who gets it then may signal. */
    wait_on(lwp_self(), self, &c->waiters, USER_WAITS_COND);
    list_unlock(&c->waiters);
    deadline_arm(self, until);
    cond_release(m);
    USER_POINT("user.cond.before-park");
    early = park(self);
    deadline_disarm(self, until);
    if (USER_UNLIKELY(early))
        return cond_interrupted(self, m, until);
#if USER_MN
    if (owner_of(m) != self)
        mutex_wait(m, NULL);
#endif
    return 0; /* M:1: whoever made it ready has given it the mutex */
}

#if USER_MN
#include "turn.h"
#else

static int user_cond_wait(struct tl_cond *opaque, struct tl_mutex *m)
{
    return cond_wait(opaque, m, NULL);
}

#endif

static int user_cond_timedwait(struct tl_cond *opaque, struct tl_mutex *m, clockid_t clock,
                               uint64_t deadline_ns)
{
    struct user_deadline until = {clock, deadline_ns};

    return deadline_valid(&until) ? cond_wait(opaque, m, &until) : EINVAL;
}

#if USER_MN

static int user_cond_signal(struct tl_cond *opaque)
{
    struct user_cond *c = cond_of(opaque);
    struct user_mutex *m;
    struct uthread *t;

    if (!USER_LOAD(c->waiters.head))
        return 0;
    if (USER_LIKELY(!lib.multi)) {
        turn_signal(c);
        return 0;
    }
    list_lock(&c->waiters);
    m = c->mutex;
    t = wait_pop(&c->waiters);
    if (t)
        state_set(t, USER_WAITS_AGAIN);
    list_unlock(&c->waiters);
    if (t)
        plain_requeue(m, t);
    return 0;
}

/* All who wait now; the condition may be gone as soon as its list is empty. */
static int user_cond_broadcast(struct tl_cond *opaque)
{
    struct user_cond *c = cond_of(opaque);
    struct queue all = {0};
    struct user_mutex *m;
    struct uthread *t;

    if (!USER_LOAD(c->waiters.head))
        return 0;
    list_lock(&c->waiters);
    m = c->mutex;
    while ((t = wait_pop(&c->waiters))) {
        state_set(t, USER_WAITS_AGAIN);
        queue_push(&all, t);
    }
    list_unlock(&c->waiters);
    while ((t = queue_pop(&all)))
        plain_requeue(m, t);
    return 0;
}

#else

static int user_cond_signal(struct tl_cond *opaque)
{
    struct user_cond *c = cond_of(opaque);
    struct uthread *t = queue_pop(&c->waiters);

    if (!t)
        return 0;
    if (c->mutex->owner) {
        state_set(t, USER_WAITS_AGAIN);
        t->rest->waits.list = &c->mutex->waiters;
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
    for (struct uthread *t = c->waiters.head; t; t = t->next) {
        state_set(t, USER_WAITS_AGAIN);
        t->rest->waits.list = &c->mutex->waiters;
    }
    queue_append(&c->mutex->waiters, &c->waiters);
    return 0;
}

#endif

static int user_cond_destroy(struct tl_cond *opaque)
{
    return USER_LOAD(cond_of(opaque)->waiters.head) ? EBUSY : 0;
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
static inline __attribute__((always_inline)) int sem_wait_for(struct user_sem *s,
                                                              const struct user_deadline *until)
{
    struct uthread *self = lwp_self()->current;
    bool early;

    do {
        cancellation_point(self);
        list_lock(&s->waiters);
        if (s->count) {
            USER_STORE(s->count, s->count - 1);
            list_unlock(&s->waiters);
            return 0;
        }
        if (until && deadline_due(until)) {
            list_unlock(&s->waiters);
            return ETIMEDOUT;
        }
        wait_on(lwp_self(), self, &s->waiters, USER_WAITS_SEM_TIMED);
        list_unlock(&s->waiters);
        USER_POINT("user.sem.before-park");
        deadline_arm(self, until);
        early = park(self);
        deadline_disarm(self, until);
    } while (USER_UNLIKELY(early));
    return 0; /* whoever made it ready has given it the unit */
}

static __attribute__((noinline)) int sem_wait_until(struct user_sem *s,
                                                    const struct user_deadline *until)
{
    return sem_wait_for(s, until);
}

/* A wait of sem_block was interrupted: goes on with it until it has a unit. */
static void sem_wait_again(struct uthread *self)
{
    struct queue *list = self->rest->waits.list;

    sem_wait_until((struct user_sem *)(void *)((char *)list - offsetof(struct user_sem, waiters)),
                   NULL);
}

/* While there is one LWP. Apart, so that a wait which need not block saves no registers. */
static __attribute__((noinline)) int sem_block(struct user_sem *s)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;

    if (USER_UNLIKELY(self->context.flags & USER_CANCELLED))
        return sem_wait_until(s, NULL);
    wait_on(lwp, self, &s->waiters, USER_WAITS_SEM);
    park_here(lwp, self);
    return 0; /* whoever made it ready has given it the unit, or arrive() has got one */
}

static int user_sem_wait(struct tl_sem *opaque)
{
    struct user_sem *s = sem_of(opaque);

#if USER_MN
    if (lib.multi)
        return sem_wait_until(s, NULL);
#endif
    if (USER_LIKELY(s->count && !(lwp_self()->current->context.flags & USER_CANCELLED))) {
        USER_STORE(s->count, s->count - 1);
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
    int err = EAGAIN;

    list_lock(&s->waiters);
    if (s->count) {
        USER_STORE(s->count, s->count - 1);
        err = 0;
    }
    list_unlock(&s->waiters);
    return err;
}

#if USER_MN
#define SEM_POST_INLINE static __attribute__((noinline))
#else
#define SEM_POST_INLINE static inline
#endif
SEM_POST_INLINE int sem_post_among_all(struct user_sem *s)
{
    struct uthread *t;
    int err = 0;

    list_lock(&s->waiters);
    t = wait_pop(&s->waiters);
    if (!t) {
        if (s->count == USER_SEM_MAX)
            err = EOVERFLOW;
        else
            USER_STORE(s->count, s->count + 1);
    }
    list_unlock(&s->waiters); /* it may be gone now */
    if (t)
        make_ready(lwp_self(), t);
    return err;
}
#undef SEM_POST_INLINE

static int user_sem_post(struct tl_sem *opaque)
{
    struct user_sem *s = sem_of(opaque);

#if USER_MN
    if (USER_LIKELY(!lib.multi && s->waiters.head)) {
        make_ready(lwp_self(), wait_pop(&s->waiters));
        return 0;
    }
#endif
    return sem_post_among_all(s);
}

static int user_sem_getvalue(struct tl_sem *opaque, int *value)
{
    *value = (int)USER_LOAD(sem_of(opaque)->count);
    return 0;
}

static int user_sem_destroy(struct tl_sem *opaque)
{
    return USER_LOAD(sem_of(opaque)->waiters.head) ? EBUSY : 0;
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
    .post_in_handler = true,
};

#endif

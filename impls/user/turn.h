/*
 * turn.h - conditions on the only LWP. Included by sync.h, of M:N only.
 *
 * The turn of a monitor: whoever has it signals the next one, which is moved to the mutex, and
 * waits, which gives that one the mutex and the PU. The common way for this (sync.h, barge.h,
 * sched.h) asks some questions several times, and goes through the slot; here each is asked once,
 * before anything is done. If an answer is no the common way is taken instead.
 *
 * While lib.multi is false no other kernel thread looks at any of this, and a signal that comes
 * while the library runs waits (text.h). Lists and words are left as the common way leaves them, so
 * that this or that may go on with them. Only a thread of this LWP makes lib.multi true: not in
 * here, but maybe while turn_pass is switched away. After its switch it assumes one LWP no more.
 */
#ifndef TL_USER_TURN_H
#define TL_USER_TURN_H

/* t, which was signalled, goes on with m: as plain_requeue. */
static inline void turn_requeue(struct user_mutex *m, struct uthread *t)
{
    struct uthread *owner = USER_LOAD(m->owner);

    t->tries = 0;
    if (USER_UNLIKELY(!owner || owner == tagged(NULL))) {
        plain_requeue(m, t);
        return;
    }
    USER_STORE(m->owner, tagged(owner));
    t->rest->waits.list = &m->waiters;
    queue_push(&m->waiters, t);
}

/* Somebody waits. */
static inline void turn_signal(struct user_cond *c)
{
    struct uthread *t = wait_pop(&c->waiters);

    state_set(t, USER_WAITS_AGAIN);
    turn_requeue(c->mutex, t);
}

/* Whether a wait for c gives the mutex, which the caller has, to one who was signalled, and that
 * is who runs next. The caller has nothing else to do first. */
static inline bool turn_may_pass(const struct lwp *lwp, const struct user_cond *c,
                                 const struct user_mutex *m)
{
    const struct uthread *self = lwp->current, *heir;

    if (USER_UNLIKELY(!is_next(lwp) || lwp->slot)) /* the lists are read after that */
        return false;
    heir = m->waiters.head;
    return heir && owner_of(m) == self && is_plain(m) && state_of(heir) == USER_WAITS_AGAIN &&
           !heir->home && !((uintptr_t)self->tp & USER_TP_TAG) &&
           !(self->context.flags & USER_CANCELLED) && (!c->waiters.head || c->mutex == m);
}

static inline int turn_pass(struct lwp *lwp, struct user_cond *c, struct user_mutex *m)
{
    struct uthread *self = lwp->current, *heir = queue_pop(&m->waiters);

    c->mutex = m;
    wait_on(lwp, self, &c->waiters, USER_WAITS_COND);
    USER_STORE(m->owner, m->waiters.head ? tagged(heir) : heir);
    state_set(heir, USER_ACTIVE);
    USER_STORE(lwp->picks, lwp->picks + 1);
    switch_at_once(lwp, self, heir);
    if (USER_UNLIKELY(state_of(self) != USER_ACTIVE)) {
        state_set(self, USER_ACTIVE);
        return cond_interrupted(self, m, NULL);
    }
    if (USER_UNLIKELY(owner_of(m) != self))
        mutex_wait(m, NULL);
    return 0;
}

static __attribute__((noinline)) int turn_refused(struct tl_cond *opaque, struct tl_mutex *m)
{
    return cond_wait(opaque, m, NULL);
}

static int user_cond_wait(struct tl_cond *opaque, struct tl_mutex *opaque_mutex)
{
    struct user_cond *c = cond_of(opaque);
    struct user_mutex *m = mutex_of(opaque_mutex);
    struct lwp *lwp = lwp_self();

    return USER_LIKELY(turn_may_pass(lwp, c, m)) ? turn_pass(lwp, c, m)
                                                 : turn_refused(opaque, opaque_mutex);
}

#endif

/*
 * push.h - ready threads of several LWPs: to which queue one goes, and who is told. Included by
 * steal.h, which says what the queues are. That nobody sleeps on is proved in lwp.h: what is pushed
 * is P1 there.
 */
#ifndef TL_USER_PUSH_H
#define TL_USER_PUSH_H

static inline void fifo_push(struct lwp *lwp, struct uthread *t)
{
    lock_take(&lwp->lock);
    queue_push(&lwp->fifo, t);
    lock_release(&lwp->lock);
}

/* Whether an LWP that serves `home` runs, so that it gets to what is pushed there; *sleeper: one
 * that sleeps, the home itself if it does. home->lock is held: who stops serving (goes outside,
 * retires, moves) says so first and then looks at the queue under this lock (place_look). */
static bool place_served(struct lwp *home, struct lwp **sleeper)
{
    bool served = false;

    *sleeper = NULL;
    for (unsigned i = USER_LOAD(lib.lwps_used); i-- > 0;) {
        struct lwp *lwp = USER_LOAD_ACQUIRE(lib.lwp[i]); /* as in steal() */

        if (!lwp || USER_LOAD(lwp->serves) != home)
            continue;
        served = served || lwp_runs(lwp);
        if (lwp_sleeps(lwp) && *sleeper != home)
            *sleeper = lwp;
    }
    return served;
}

/* Of a thread that has a home. An LWP that sleeps is woken for it even if another one serves the
 * same home: that one may be blocked in the kernel, and nobody has noticed. */
static __attribute__((noinline)) void pinned_push(struct uthread *t, bool front)
{
    struct lwp *home = USER_LOAD(t->home), *sleeper = NULL;
    bool strict = USER_LOAD(t->context.flags) & USER_STRICT, served = true;

    lock_take(&home->lock);
    if (front)
        queue_push_front(&home->pinned, t);
    else
        queue_push(&home->pinned, t);
    light(); /* P2 of the protocol in lwp.h: what place_served looks at is P3 */
    if (USER_LIKELY(!home->bound && !strict))
        served = place_served(home, &sleeper);
    lock_release(&home->lock);
    if (home->bound || strict) {
        if (home != lwp_self())
            lwp_wake(home);
    } else if (USER_UNLIKELY(!served)) {
        place_attend(home, false);
    } else if (sleeper) {
        lwp_claim_sleeper(sleeper);
    } else {
        notify_slot(); /* likewise: who serves it gets to it soon, or the lookout sees (rescue) */
    }
}

/* By a policy that has one queue; or by who has none of his own. */
static __attribute__((noinline)) void shared_push(struct uthread *t, bool front)
{
    lock_take(&lib.queue_lock);
    if (steals())
        queue_push(&lib.inbox, t);
    else if (lib.policy == USER_PRIORITY)
        level_push(&lib.queue, t, front);
    else if (front)
        queue_push_front(&lib.queue.ready, t);
    else if (lib.policy == USER_LIFO)
        queue_push_front(&lib.queue.ready, t);
    else
        queue_push(&lib.queue.ready, t);
    lock_release(&lib.queue_lock);
    notify();
    preempt_urgent(lwp_self());
}

/* With several LWPs, or if it does not go to a slot. */
static __attribute__((noinline)) void make_ready_among_all(struct lwp *lwp, struct uthread *t)
{
    struct uthread *before;

    if (USER_UNLIKELY(USER_LOAD(t->home) != NULL)) {
        pinned_push(t, false);
        return;
    }
    if (USER_UNLIKELY(!steals() || !lwp || lwp->bound)) {
        shared_push(t, false);
        return;
    }
    before = __atomic_exchange_n(&lwp->slot, t, __ATOMIC_ACQ_REL);
    if (before) {
        fifo_push(lwp, before);
        notify_own();
    } else {
        notify_slot();
    }
}

/* lwp: the caller's; NULL: it is none. The only one is, and is not bound. */
static inline void make_ready_as(struct lwp *lwp, struct uthread *t, enum user_state state)
{
    state_set(t, state);
    if (USER_LIKELY(!((uintptr_t)USER_LOAD(t->home) | (uintptr_t)lib.multi |
                      (uintptr_t)USER_LOAD(lib.slow.policy)))) {
        struct uthread *before = lwp->slot;

        lwp->slot = t;
        if (before)
            queue_push(&lwp->fifo, before);
        return;
    }
    make_ready_among_all(lwp, t);
}

/* The caller lends its turn to another one that it switches to: it is the next. */
static inline void push_next(struct lwp *lwp, struct uthread *self)
{
    if (USER_UNLIKELY(USER_LOAD(self->home) != NULL)) {
        pinned_push(self, true);
    } else if (USER_UNLIKELY(!steals())) {
        shared_push(self, true);
    } else if (USER_UNLIKELY(!deque_push(&lwp->deque, self))) {
        fifo_push(lwp, self); /* no memory for a longer deque */
    } else {
        notify_own();
    }
}

#endif

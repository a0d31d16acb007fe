/*
 * yield.h - giving up the PU to others that are ready, with several LWPs. Included by sched.h, of
 * M:N only; it relies on the queues of steal.h.
 */
#ifndef TL_USER_YIELD_H
#define TL_USER_YIELD_H

/* Behind all others. */
static inline void push_behind(struct lwp *lwp, struct uthread *self)
{
    struct lwp *home = USER_LOAD(self->home);

    if (USER_LIKELY(!home)) {
        fifo_push(lwp, self);
        return;
    }
    lock_take(&home->lock);
    queue_push(&home->pinned, self);
    lock_release(&home->lock);
}

/* The head of the queue that all LWPs have, to the end of which self goes. NULL: it is empty, and
 * self is where it was. */
static struct uthread *shared_exchange(struct uthread *self)
{
    struct uthread *t = NULL;

    lock_take(&lib.queue_lock);
    if (queue_any(&lib.queue)) {
        shared_behind(self);
        t = shared_pop();
    }
    lock_release(&lib.queue_lock);
    return t;
}

/* Those that the queue of all LWPs does not have. */
static struct uthread *own_take(struct lwp *lwp)
{
    struct uthread *t = queue_pop(&lwp->preempt.here);

    return t ? t : pinned_take(lwp);
}

/* With one queue for all LWPs: in turn from there and from what is this LWP's alone. */
static __attribute__((noinline)) struct uthread *yield_shared(struct lwp *lwp, struct uthread *self)
{
    bool own_first, home = USER_LOAD(self->home) != NULL;
    struct uthread *t;

    USER_STORE(lwp->picks, lwp->picks + 1);
    own_first = lwp->picks & 1;
    t = own_first ? own_take(lwp) : NULL;
    if (!t && !home) {
        t = shared_exchange(self);
        if (t)
            return t;
    }
    if (!t && home)
        t = shared_take();
    if (!t && !own_first)
        t = own_take(lwp);
    if (!t)
        return NULL;
    if (home) {
        push_behind(lwp, self);
    } else {
        lock_take(&lib.queue_lock);
        shared_behind(self);
        lock_release(&lib.queue_lock);
        notify(); /* nobody was taken out of there */
    }
    return t;
}

/* Who yields and yields may wait for a thread in the queues of an LWP that is blocked in the
 * kernel: now and then it looks there. */
static __attribute__((noinline)) struct uthread *yield_alone(struct lwp *lwp)
{
    USER_STORE(lwp->picks, lwp->picks + 1);
    return lwp->picks % USER_FAIR_EVERY ? NULL : steal(lwp, true);
}

/* On the only LWP, nobody is ready but those that yielded, and nothing else is to be done: as in
 * M:1. Nobody has a home then, but for the first thread at its end, and nobody fills the inbox. By
 * one branch: each of these alone would be a cheap one, but there are many. */
static inline bool only_yielders(struct lwp *lwp)
{
    return USER_LOAD(lwp->fifo.head) &&
           !(USER_LOAD(lib.slow.any) | (uintptr_t)lib.multi | (uintptr_t)USER_LOAD(lwp->slot) |
             (uintptr_t)lwp->preempt.here.head | deque_size(&lwp->deque));
}

static __attribute__((noinline)) void yield_among_all(struct lwp *lwp)
{
    struct uthread *self = lwp->current, *next;

    if (USER_UNLIKELY(USER_LOAD(lib.slow.any))) {
        if (USER_LOAD(lib.slow.signals)) {
            signals_deliver(self, NULL);
            lwp = lwp_self();
        }
        look_around(lwp);
        if (USER_LOAD(lib.slow.yields))
            count(&lwp->counts.yields);
        if (USER_UNLIKELY(USER_LOAD(lib.slow.stop))) {
            world_yield(lwp, self, false);
            return;
        }
        if (lib.slow.policy && lwp->bound != self) {
            next = yield_shared(lwp, self);
            USER_POINT("user.yield.before-switch");
            if (next && next != self)
                switch_to(lwp, self, next);
            return;
        }
    }
    if (USER_UNLIKELY(lwp->bound == self)) {
        SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        return;
    }
    if (!USER_LOAD(lwp->slot) && !deque_any(&lwp->deque) && !USER_LOAD(lwp->fifo.head) &&
        !pinned_any(lwp) && !USER_LOAD(lib.inbox.head) && !lwp->preempt.here.head) {
        next = lib.multi ? yield_alone(lwp) : NULL;
        if (USER_LIKELY(!next))
            return;
        push_behind(lwp, self);
        switch_to(lwp, self, next);
        return;
    }
    push_behind(lwp, self);
    USER_POINT("user.yield.pushed");
    next = pick_own(lwp);
    if (USER_UNLIKELY(!next)) /* all of them were stolen, the caller too */
        next = lwp->idle;
    if (next != self)
        switch_to(lwp, self, next);
}

static void user_yield(void)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self, *next, *head;

    if (USER_UNLIKELY(!only_yielders(lwp))) {
        yield_among_all(lwp);
        return;
    }
    /* Pushed before the other is popped, the queue is never empty: no branch for that. */
    self = lwp->current;
    next = lwp->fifo.head;
    self->next = NULL;
    lwp->fifo.tail->next = self;
    lwp->fifo.tail = self;
    head = next->next;
    USER_STORE(lwp->fifo.head, head); /* atomic: not in one vector with tail */
    prefetch_ahead(head);
    switch_at_once(lwp, self, next);
}

/* Threads that are more urgent than the caller go first; it is the first among its equals, or the
 * last. */
static __attribute__((noinline)) void yield_to_higher(struct lwp *lwp, struct uthread *self,
                                                      bool first)
{
    struct uthread *next = NULL;
    bool placed = USER_LOAD(self->home) != NULL;

    lock_take(&lib.queue_lock);
    if (lib.queue.occupied >> self->rest->priority >> 1) {
        next = level_pop(&lib.queue);
        if (!placed)
            level_push(&lib.queue, self, first);
    }
    lock_release(&lib.queue_lock);
    if (!next)
        return;
    if (placed)
        pinned_push(self, first);
    switch_to(lwp, self, next);
}

#endif

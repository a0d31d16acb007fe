/*
 * end.h - the end of a thread: what it leaves is given back, and who goes on. Included by life.h.
 */
#ifndef TL_USER_END_H
#define TL_USER_END_H

/* sigmask.h */
static void signals_drop(struct uthread *t);
static void signals_close(struct uthread *t);

/* Gives back what an ended thread leaves on its stack; runs on the next one's. locked: its lock is
 * held. */
static USER_ON_NEXT_STACK inline __attribute__((always_inline)) void reap(struct uthread *t,
                                                                          bool locked)
{
    struct uthread_rest *rest = t->rest;
    struct lwp *lwp = lwp_self();
    bool reuse = false;

    (void)locked; /* M:1: there is none */
#ifdef USER_TSAN
    __tsan_destroy_fiber(rest->fiber);
#endif
    if (USER_UNLIKELY(!lib.recycle && lib.full_tls)) {
        lwp->hold++;
        tls_delete(tp_of(t));
        lwp->hold--;
        t->tp = NULL;
    }
#if USER_MN
    struct uthread *joiner;

    if (!locked)
        thread_lock(t);
    /* Once that is released it may be joined, and its slot be another thread's. */
    if (USER_UNLIKELY(rest->signals != NULL))
        signals_close(t);
    USER_STORE(t->rest, NULL);
    joiner = t->joiner;
    USER_STORE(t->joiner, NULL);
    if (joiner)
        waits_no_more(joiner);
    state_set(t, USER_ENDED);
    if (t->context.flags & USER_DETACHED)
        reuse = table_retire(t);
    thread_unlock(t);
    if (USER_UNLIKELY(lwp->bound == t))
        lwp->ended = true;
    if (joiner)
        make_ready(lwp, joiner);
#else
    t->rest = NULL;
    if (t->context.flags & USER_DETACHED)
        reuse = table_retire(t);
#endif
    if (reuse)
        table_untake(lwp, t);
    if (USER_LIKELY(rest->pool != NULL)) {
        pool_give(lwp, rest->pool, rest->high);
    } else {
        struct stack stack = rest->alone; /* it holds the rest itself */

        lwp->hold++;
        give_alone(&stack);
        lwp->hold--;
    }
}

static USER_ON_NEXT_STACK void reap_stack(void *arg)
{
    reap(arg, false);
}

static void reap_and_arrive(void *arg)
{
    reap_stack(arg);
    arrive(lwp_self()->current);
}

#if USER_MN
static USER_ON_NEXT_STACK void reap_locked(void *arg)
{
    reap(arg, true);
}

static void reap_locked_and_arrive(void *arg)
{
    reap_locked(arg);
    arrive(lwp_self()->current);
}

/* With several LWPs, in a tree of threads: nobody waits for self, and the one whose turn it has
 * been running on is the youngest of the deque. Taking that asks for a fence, and reaping self for
 * its lock: here the lock is the fence. It is held then. NULL: not so, and it is not. */
static inline struct uthread *lender_after(struct lwp *lwp, struct uthread *self)
{
    struct uthread *t;
    int64_t at;

    if ((uintptr_t)USER_LOAD(self->joiner) | USER_LOAD(lib.slow.any) |
        (uintptr_t)USER_LOAD(lwp->slot) | (uintptr_t)lwp->preempt.here.head)
        return NULL;
    if ((lwp->picks + 1) % USER_FAIR_EVERY == 0 || USER_MUTANT("user-deque-take-looks-first") ||
        !deque_take_begin(&lwp->deque, &at))
        return NULL;
    USER_STORE(lwp->picks, lwp->picks + 1);
    atomic_signal_fence(memory_order_seq_cst);
    thread_lock(self); /* on x86 an exchange is a full fence; pairs with that of deque_steal */
    atomic_signal_fence(memory_order_seq_cst);
#ifndef __x86_64__
    DEQUE_FENCE();
#endif
    t = deque_take_end(&lwp->deque, at, false);
    if (!t)
        thread_unlock(self);
    return t;
}
#endif

/* Who goes on when self has ended: its joiner, who is taken for that, if he may run here. */
static inline struct uthread *next_after(struct lwp *lwp, struct uthread *self)
{
#if USER_MN
    struct uthread *joiner = USER_LOAD(self->joiner);
    const struct lwp *home;

    if (!joiner || lib.policy != USER_STEAL)
        return pick_next(lwp);
    home = USER_LOAD(joiner->home);
    if (home ? home != served_by(lwp) : lwp->bound != NULL)
        return pick_next(lwp);
    thread_lock(self);
    joiner = self->joiner;
    USER_STORE(self->joiner, NULL);
    if (joiner)
        waits_no_more(joiner);
    thread_unlock(self);
    if (!joiner) /* it was interrupted just now */
        return pick_next(lwp);
    state_set(joiner, USER_ACTIVE);
    return joiner;
#else
    struct uthread *joiner = self->rest->joiner;

    if (!joiner)
        return pick_next(lwp);
    if (lib.policy == USER_PRIORITY) {
        make_ready(lwp, joiner);
        return pick_next(lwp);
    }
    state_set(joiner, USER_ACTIVE);
    return joiner;
#endif
}

/* No signal is for it any more. What it was told of it leaves to others. */
static inline void signals_shun(struct uthread *self)
{
    uint64_t awaited = ~self->rest->mask | self->rest->sigwait;

    USER_STORE(self->rest->mask, ~UINT64_C(0));
    USER_STORE(self->rest->sigwait, 0);
    mask_changed();
    if (USER_UNLIKELY((awaited & USER_LOAD(lib.pending)) != 0))
        signals_left(awaited);
}

/* No other mask has those bits that nobody can block. */
static inline bool has_shunned(const struct uthread *t)
{
    return !~t->rest->mask;
}

/* The stack and its TLS block are in use until switch_leave. Inlined, because a call that does not
 * return puts the processor's return addresses out of step: the joiner's next returns would be
 * mispredicted (17 ns of the 28 of a create and join). */
static inline __attribute__((always_inline, noreturn)) void leave(struct lwp *lwp,
                                                                  struct uthread *self, void *value)
{
    struct uthread *next;

    signals_shun(self);
    live_less(lwp);
#if USER_MN
    if (USER_UNLIKELY(lib.multi)) {
        next = lender_after(lwp, self);
        if (next) {
            self->value = value;
            switch_leave(lwp, self, next, reap_locked, reap_locked_and_arrive);
        }
    }
#endif
    next = next_after(lwp, self);
    self->value = value; /* in the place of the context, which is needed no more */
#if !USER_MN
    state_set(self, USER_ENDED);
#endif
    switch_leave(lwp, self, next, reap_stack, reap_and_arrive);
}

/* What a thread does before it leaves: cleanup handlers, keys, robust mutexes. */
static __attribute__((noinline)) void finish(struct uthread *self)
{
    personal_finish(&self->rest->personal);
    mutexes_abandon(lwp_self(), self);
    signals_drop(self);
}

#endif

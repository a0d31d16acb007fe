/*
 * interrupt.h - a thread is taken off what it waits for: by a time, a signal, a cancellation; and
 * looking now and then whether such a time has come. Included by sched.h, which says what becomes
 * of the thread. It relies on the wait lists and on make_ready_as() there.
 */
#ifndef TL_USER_INTERRUPT_H
#define TL_USER_INTERRUPT_H

/* Takes it off what it waits for; the lock of that is held. EARLY...: how it is to be made ready.
 * USER_ACTIVE: it does not wait, or not for something that it can be taken off. */
static enum user_state take_off(struct uthread *t)
{
    enum user_state early = USER_EARLY;

    switch (state_of(t)) {
    case USER_WAITS_SEM:
        early = USER_EARLY_SEM;
        tp_tag(t);
        queue_remove(t->rest->waits.list, t);
        break;
    case USER_WAITS_MUTEX:
    case USER_WAITS_COND:
    case USER_WAITS_SEM_TIMED:
    case USER_WAITS_IO:
    case USER_WAITS_SIGNAL:
        queue_remove(t->rest->waits.list, t);
        break;
    case USER_WAITS_JOIN:
        USER_STORE(USER_JOINER(t->rest->waits.target), NULL);
        break;
    case USER_SLEEPS:
    case USER_SUSPENDED:
        break;
    default:
        return USER_ACTIVE;
    }
    waits_no_more(t);
    return early;
}

/* False: it does not wait, or not for something that it can be taken off. Its timer, if any, is its
 * own to stop. With several LWPs the thread may be another one in the same slot by now, or wait
 * again: who waits bears being interrupted for nothing. */
static bool interrupt(struct lwp *lwp, struct uthread *t)
{
    enum user_state early;
#if USER_MN
    void *at;

    do {
        at = USER_LOAD_ACQUIRE(t->waits_at);
        if (!at)
            return false;
        list_lock(at);
        if (USER_LOAD(t->waits_at) == at)
            break;
        list_unlock(at);
    } while (1);
    early = take_off(t);
    list_unlock(at);
#else
    early = take_off(t);
#endif
    if (early == USER_ACTIVE)
        return false;
    make_ready_as(lwp, t, early);
    if (!USER_MN || lwp)
        count(&lwp->counts.interrupts);
    return true;
}

static __attribute__((noinline)) void wake_due(struct lwp *lwp)
{
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);

    lwp->tick = 0;
    for (;;) {
        struct uthread *t;

        lock_take(&lib.timer_lock);
        t = lib.timers;
        if (t && t->rest->deadline_ns <= now)
            heap_remove(t);
        else
            t = NULL;
        lock_release(&lib.timer_lock);
        if (!t)
            break;
        count(&lwp->counts.timers);
        interrupt(lwp, t);
    }
}

static void poller_look(struct lwp *lwp); /* poller.h */
static void poller_doze(struct lwp *lwp, uint64_t deadline_ns);

/* Whatever keeps giving up the PU from its fast path. */
static inline void look_around(struct lwp *lwp)
{
    if (USER_LOAD(lib.slow.timers) && ++lwp->tick >= USER_CLOCK_EVERY)
        wake_due(lwp);
    if (USER_LOAD_ACQUIRE(lib.slow.io) && ++lwp->io_tick >= USER_POLL_EVERY)
        poller_look(lwp);
}

#endif

/*
 * sigwait.h - waiting for signals: sigwait, sigtimedwait, sigsuspend. Included by user.h only.
 *
 * Only the caller waits. Who sends, or the LWP that the kernel interrupts, takes it off the list
 * and makes it ready; if no thread is, the idle LWP sleeps until the kernel has a signal.
 */
#ifndef TL_USER_SIGWAIT_H
#define TL_USER_SIGWAIT_H

/* until: NULL, for ever. Handlers of other signals run meanwhile; it waits on. EAGAIN: its time has
 * come. */
static int signal_wait(uint64_t set, siginfo_t *info, int *sig, const struct user_deadline *until)
{
    uint64_t outer = lwp_self()->current->rest->sigwait; /* this may be a handler in the same */
    bool told = false, asked = false;

    set &= SIGNALS_OURS;
    if (set & ~signals.known)
        signals_adopt(set & ~signals.known);
    for (;;) {
        struct lwp *lwp = lwp_self();
        struct uthread *self = lwp->current;
        struct uthread_rest *rest = self->rest;

        cancellation_point(self);
        if (USER_LOAD(lib.lowered) & set)
            signals_raise(USER_LOAD(lib.lowered) & set);
        *sig = signal_next(self, set, info);
        /* Before the kernel's mask is open: what is kept here came first. */
        kernel_sync(lwp);
        if (USER_LOAD(lib.slow.signals))
            signals_deliver(self, NULL);
        if (*sig) {
            USER_STORE(rest->sigwait, outer);
            if (told) /* perhaps of another one */
                signals_left(set);
            return 0;
        }
        if ((USER_LOAD(rest->pending) | USER_LOAD(lib.pending)) & set)
            continue; /* the kernel had it */
        if (until && deadline_due(until)) {
            if (!asked) {
                asked = true;
                signals_ask(lwp, set);
                continue;
            }
            USER_STORE(rest->sigwait, outer);
            return EAGAIN;
        }
        USER_STORE(rest->sigwait, set);
        list_lock(&signals.waiters);
        wait_on(lwp_self(), self, &signals.waiters, USER_WAITS_SIGNAL);
        list_unlock(&signals.waiters);
        mask_changed();
        if ((USER_LOAD(rest->pending) | USER_LOAD(lib.pending)) & set)
            interrupt(lwp_self(), self);
        deadline_arm(self, until);
        park(self);
        told = true;
        deadline_disarm(self, until);
    }
}

static int user_sigwait(const sigset_t *set, int *sig)
{
    return signal_wait(bits_of(set), NULL, sig, NULL);
}

static int user_sigtimedwait(const sigset_t *set, siginfo_t *info, uint64_t ns)
{
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
    struct user_deadline until = {CLOCK_MONOTONIC,
                                  ns > USER_NS_NEVER - now ? USER_NS_NEVER : now + ns};
    int sig;

    return signal_wait(bits_of(set), info, &sig, &until);
}

static int user_suspend(const sigset_t *mask)
{
    struct uthread *self = lwp_self()->current;
    struct uthread_rest *rest = self->rest;
    uint64_t before = rest->mask, during = bits_of(mask) & ~SIGNALS_NEVER;
    uint32_t handled = rest->handled;

    if (during & ~signals.known)
        signals_adopt(during & ~signals.known);
    mask_set(self, during);
    for (;;) {
        signals_deliver(self, NULL);
        if (rest->handled != handled)
            break;
        cancellation_point(self);
        list_lock(rest);
        state_set(self, USER_SUSPENDED);
#if USER_MN
        USER_STORE(self->waits_at, (void *)rest);
#endif
        list_unlock(rest);
        mask_changed();
        if ((USER_LOAD(rest->pending) | USER_LOAD(lib.pending)) & ~during)
            interrupt(lwp_self(), self);
        park(self);
    }
    mask_set(self, before);
    signals_deliver(self, NULL);
    return 0;
}

#if !USER_MN
/* Something outside this LWP may yet make a thread ready: one waits for a signal, or has one open
 * that has a handler. */
static bool signals_may_come(void)
{
    if (signals.waiters.head)
        return true;
    for (size_t i = 0; signals.handlers && i < lib.table_used; i++) {
        const struct uthread *t = &lib.table[i];

        if (can_handle(t) && (signals.handlers & ~t->rest->mask))
            return true;
    }
    return false;
}
#endif

#endif

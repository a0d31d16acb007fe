/*
 * sigmask.h - signals: masks, kill, what is pending. Included by user.h only.
 */
#ifndef TL_USER_SIGMASK_H
#define TL_USER_SIGMASK_H

#include <sys/resource.h>

static void signals_adopt(uint64_t bits); /* sigaction.h */

/* The calling thread's. What it does not let in any more may be another's. */
static inline void mask_set(struct uthread *self, uint64_t mask)
{
    uint64_t before = self->rest->mask;

    USER_STORE(self->rest->mask, mask);
    mask_changed();
    if (USER_UNLIKELY((mask & ~before & USER_LOAD(lib.pending)) != 0))
        signals_left(mask & ~before);
}

static int user_mask(int how, const sigset_t *set, sigset_t *old)
{
    struct uthread *self = lwp_self()->current;
    struct uthread_rest *rest = self->rest;
    uint64_t before = rest->mask, now = before, bits;

    if (set) {
        bits = bits_of(set) & ~SIGNALS_NEVER;
        if (how == SIG_BLOCK)
            now |= bits;
        else if (how == SIG_UNBLOCK)
            now &= ~bits;
        else if (how == SIG_SETMASK)
            now = bits;
        else
            return EINVAL;
        if (USER_UNLIKELY(now & ~signals.known))
            signals_adopt(now & ~signals.known);
        mask_set(self, now);
    }
    if (old)
        bits_to(before, old);
    if (USER_UNLIKELY(
            (before & ~now &
             (USER_LOAD(rest->pending) | USER_LOAD(lib.pending) | USER_LOAD(lib.lowered))) != 0) ||
        USER_UNLIKELY(USER_LOAD(lib.slow.signals)))
        signals_deliver(self, NULL);
    return 0;
}

/* Of a jump: the handlers' frames are gone. */
static uint32_t user_handlers(uint32_t most)
{
    struct uthread *self = lwp_self()->current;
    struct uthread_rest *rest = self->rest;

    if (rest->in_handler > most)
        rest->in_handler = most;
    if (!rest->in_handler)
        over_drop(self, 0);
    return rest->in_handler;
}

/* What nobody handles has its effect on the process, whichever thread it is for. */
static bool acts_at_once(const struct uthread *t, uint64_t bit)
{
    if (bit & SIGNALS_NEVER)
        return true;
    return !(USER_LOAD(t->rest->mask) & bit) && !(signals.handlers & bit) &&
           !(bit & SIGNALS_FAULTS) && !(t->rest->sigwait & bit);
}

static bool is_ignored(const struct sigaction *act)
{
    return !(act->sa_flags & SA_SIGINFO) && act->sa_handler == SIG_IGN;
}

/* From the caller. */
static siginfo_t signal_made(int sig, int code, const union sigval *value)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = value ? SI_QUEUE : code;
    info.si_pid = lib.pid;
    info.si_uid = (uid_t)SYS_CALL(SYS_getuid, 0, 0, 0, 0, 0, 0);
    if (value)
        info.si_value = *value;
    return info;
}

/* Without SIGRTMIN, which is a call of the C library: the caller holds a lock of its own. */
static bool queue_is_full(uint64_t bit)
{
    struct rlimit limit;

    for (int i = 0; i < 1000 && USER_MUTANT("user-lock-kept-outside"); i++)
        if (!SIGRTMIN)
            return true;
    return !(bit & SIGNALS_STANDARD) &&
           !SYS_CALL(SYS_prlimit64, 0, RLIMIT_SIGPENDING, NULL, &limit, 0, 0) &&
           USER_LOAD(signals.queued) >= limit.rlim_cur;
}

/* Async-signal-safe, but that a full stock is not filled up in a handler (EAGAIN). */
static int user_kill(struct tl_thread id, int sig, const union sigval *value)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current, *t;
    uint64_t bit = sig > 0 && sig < NSIG ? signal_bit(sig) : 0;
    siginfo_t info;
    int err;

    if (bit & ~signals.known)
        signals_adopt(bit); /* perhaps with a handler that sigaction(2) has set */
    if (!self->rest->in_handler)
        signals_stock();
    t = table_find_locked(id);
    if (!t)
        return ESRCH;
    if (has_ended(t) || !bit) {
        err = has_ended(t) ? ESRCH : sig ? EINVAL : 0;
        thread_unlock(t);
        return err;
    }
    info = signal_made(sig, SI_TKILL, value);
    if (acts_at_once(t, bit)) {
        thread_unlock(t);
        return signals.known & SIGNALS_OURS & bit ? default_action(sig, &info)
                                                  : signal_to_kernel(&info);
    }
    if (t == self && !((self->rest->mask | USER_LOAD(self->rest->pending)) & bit)) {
        thread_unlock(t);
        signal_handle(self, &info, NULL);
        signals_deliver(self, NULL);
        return 0;
    }
    if (queue_is_full(bit)) {
        thread_unlock(t);
        return EAGAIN;
    }
    err = signal_keep(lwp, t, &info);
    if (!err && t == self)
        signals_deliver(self, NULL);
    return err;
}

/* The caller has met a pipe without readers: its handler has run when it hears of that. */
static __attribute__((noinline)) void pipe_broken(struct uthread *self)
{
    siginfo_t info = signal_made(SIGPIPE, SI_USER, NULL);

    self->rest->pipe = PIPE_NONE;
    if (!self->rest->in_handler)
        signals_stock();
    thread_lock(self);
    if (signal_keep(lwp_self(), self, &info))
        signal_to_kernel(&info);
    signals_deliver(self, NULL);
}

#define FETCH_RESERVE 16 /* of the stock: other LWPs take of it meanwhile */

/* What the kernel has for the process and has given to nobody is taken from it, in its order.
 * False: there is no memory at hand to keep more of it, and the kernel may have some still. */
static bool signals_fetch(struct lwp *lwp, uint64_t set)
{
    struct timespec now = {0, 0};
    siginfo_t info;

    set &= signals.known & SIGNALS_OURS & ~signal_bit(USER_RETRY_SIGNAL);
    for (;;) {
        if (!lwp->current->rest->in_handler)
            signals_stock();
        if (USER_LOAD(signals.stocked) < FETCH_RESERVE)
            return false;
        if (SYS_CALL(SYS_rt_sigtimedwait, &set, &info, &now, sizeof(set), 0, 0) <= 0)
            return true;
        signals_route(lwp, &info);
    }
}

/* Only the first kernel thread of a process may claim that what it sends comes from kill(2). */
static int signal_by_kernel(int sig, const siginfo_t *info, const union sigval *value)
{
    if (!value)
        return (int)-SYS_CALL(SYS_kill, lib.pid, sig, 0, 0, 0, 0);
    return (int)-SYS_CALL(SYS_rt_sigqueueinfo, lib.pid, sig, info, 0, 0, 0);
}

/* The kernel stops and continues the process with these, and forgets one for the other. */
#define SIGNALS_JOB \
    (signal_bit(SIGCONT) | signal_bit(SIGTSTP) | signal_bit(SIGTTIN) | signal_bit(SIGTTOU))

/* By the kernel one would be sent to an LWP of its choice, and be known when that one is on a PU:
 * others would not see it pending, or not get it when they open it, and of two that two LWPs have
 * taken the later one may come first. Here it is with its receiver when this returns. What the
 * library has not taken over is the kernel's; what that has kept of the signal came before. */
static int user_send(int sig, const union sigval *value)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;
    uint64_t bit = sig > 0 && sig < NSIG ? signal_bit(sig) : 0;
    siginfo_t info = signal_made(sig, SI_USER, value);
    bool fetched = true;
    int err;

    if (!(bit & signals.known & SIGNALS_OURS & ~SIGNALS_JOB))
        return signal_by_kernel(sig, &info, value);
    if (is_ignored(&signals.action[sig]))
        return 0;
    if (!self->rest->in_handler)
        signals_stock();
    if (USER_LOAD(lib.slow.signals))
        signals_look(lwp);
    if (USER_LOAD(lib.lowered) & bit)
        fetched = signals_fetch(lwp, bit);
    err = queue_is_full(bit) || !fetched ? EAGAIN : signals_route(lwp, &info);
    /* A standard one needs no memory of anybody's; behind what the kernel has it may stand, too. */
    if (err && ((bit & SIGNALS_STANDARD) || !fetched))
        err = signal_by_kernel(sig, &info, value);
    signals_deliver(self, NULL);
    return err;
}

#if USER_MN
/* An LWP that is ready to run may be kept from it by others for that long, and longer. */
#define SETTLE_LONGEST_NS UINT64_C(200000000)

/* What the kernel has given to that LWP is in its ring, or where it belongs, when this returns.
 *
 * Between taking a signal in the kernel and noting it in on_signal() an LWP is on its way to user
 * mode: it neither sleeps, nor takes a retry, which is blocked in on_signal(). So it is past that
 * as soon as it sleeps, or has heard a retry that came to it afterwards. One that sleeps is not
 * disturbed: some calls that are interrupted do not go on. */
static void settle(struct lwp *mine, struct lwp *lwp)
{
    unsigned heard = USER_LOAD(lwp->signals.heard);
    uint64_t until = 0, now;
    char state;

    if (lwp == mine)
        return;
    for (unsigned spins = 0; USER_LOAD_ACQUIRE(lwp->signals.heard) == heard; spins++) {
        if (spins % 512) {
            cpu_relax();
            continue;
        }
        now = clock_now_ns(CLOCK_MONOTONIC);
        state = world_state(lwp);
        if ((state != 'R' && state != 'D') || (until && now > until))
            return;
        if (until) {
            SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
            continue;
        }
        until = now + SETTLE_LONGEST_NS;
        SYS_CALL(SYS_tgkill, lib.pid, USER_LOAD(lwp->tid), USER_RETRY_SIGNAL, 0, 0, 0);
    }
}

static void signals_settle(struct lwp *mine)
{
    if (!lib.multi || !lib.signals_used)
        return;
    hold(mine);
    for (unsigned i = 0; i < USER_LOAD_ACQUIRE(lib.lwps_used); i++)
        settle(mine, lib.lwp[i]);
    for (struct lwp *at = USER_LOAD_ACQUIRE(lib.bound_ever); at; at = at->next_ever)
        settle(mine, at);
    release(mine);
}
#endif

/* All that has been sent to the process and is in the set is here from now on, but for what the
 * kernel keeps, if that is told (with one LWP, or without memory): that is behind it, but in the
 * child of a fork. */
static uint64_t signals_ask(struct lwp *lwp, uint64_t set)
{
    uint64_t kernel = 0;

#if USER_MN
    if (USER_MUTANT("user-signal-not-asked"))
        return 0;
    signals_fetch(lwp, set); /* what comes from here on may be missed */
    signals_settle(lwp);
    signals_look(lwp);
#endif
    /* At the return from any call the kernel delivers what this kernel thread has open. */
    if (!USER_MN || USER_LOAD(lib.lowered))
        SYS_CALL(SYS_rt_sigpending, &kernel, sizeof(kernel), 0, 0, 0, 0);
    signals_deliver(lwp->current, NULL);
    return kernel & set;
}

static int user_pending(sigset_t *set)
{
    const struct uthread_rest *rest = lwp_self()->current->rest;
    uint64_t kernel = signals_ask(lwp_self(), rest->mask);

    sigemptyset(set);
    bits_to((rest->pending | USER_LOAD(lib.pending) | kernel) & rest->mask, set);
    return 0;
}

/* No signal is for t any more. t is locked. */
static void signals_close(struct uthread *t)
{
    lock_take(&lib.signal_lock);
    USER_STORE(t->rest->pending, 0);
    for (; t->rest->signals; signals.queued--)
        signal_free(signal_unlink(&t->rest->signals));
    lock_release(&lib.signal_lock);
}

/* It ends: what was for it alone has missed it, what was for the process has not. */
static void signals_drop(struct uthread *t)
{
    signals_shun(t);
    over_drop(t, 0);
    thread_lock(t);
    signals_close(t);
    tp_untag(t);
    thread_unlock(t);
}

#endif

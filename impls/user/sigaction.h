/*
 * sigaction.h - signals: actions, and the handler that the kernel calls. Included by user.h only.
 *
 * The library takes a signal over from the kernel when somebody sets a handler for it, or blocks or
 * awaits it: from then on the kernel calls on_signal(), in whatever it interrupts, and the default
 * action is made here by giving the signal back for a moment. Signals that nobody ever did that
 * with, and those for faults of a thread, keep the kernel's disposition. A signal that is ignored
 * stays with the kernel, which drops it, blocked or not (POSIX leaves that open).
 *
 * on_signal() runs with all of the library's signals blocked by the kernel. Where it has
 * interrupted the library it only leaves the signal in the ring (sigkernel.h). Otherwise it is as
 * good as called by the thread: it routes the signal, and delivers what the thread has open, with
 * the kernel's mask open while a user's handler runs, so that other signals get through and the
 * handler may switch threads. What the kernel's mask is at the return (sigreturn) is what the LWP
 * wants at that moment, not what it was before: all is blocked once more while that is written.
 *
 * Not so: siglongjmp out of a handler restores the kernel's mask, not the thread's, unless whoever
 * jumps says so (user_handlers, user_mask). sigaction(2) and sigprocmask(2) called past the library
 * are not seen by it.
 */
#ifndef TL_USER_SIGACTION_H
#define TL_USER_SIGACTION_H

/* The LWP is at work in the library, or sleeps. */
static void signal_later(struct lwp *lwp, const siginfo_t *info)
{
    struct uthread_rest *rest = lwp->current->rest;

    if (info->si_signo == SIGPIPE && info->si_code == SI_USER && info->si_pid == lib.pid && rest &&
        rest->pipe) {
        rest->pipe = PIPE_BROKEN; /* see pipe_broken */
        return;
    }
    if (!is_retry(info))
        ring_put(lwp, info);
#if USER_MN
    if (lwp->current == lwp->idle) {
        atomic_store(&lwp->token, 1); /* it looks before it sleeps */
        if (atomic_load(&lwp->polls))
            poller_kick();
        return;
    }
    if (USER_LOAD(lwp->outside))
        wake_one();
#else
    if (atomic_load(&lwp->polls))
        poller_kick();
#endif
    if (!ring_empty(lwp) || USER_LOAD(lib.slow.signals) ||
        (rest && (USER_LOAD(rest->pending) | USER_LOAD(lib.pending)) & ~rest->mask))
        retry_soon(lwp);
}

/* A kernel thread that is no LWP. The kernel lets only the receiver say that it sent it. */
static void signal_forward(const siginfo_t *info)
{
#if USER_MN
    siginfo_t sent = *info;

    if (is_retry(info)) /* for an LWP that had its number */
        return;
    if (sent.si_code >= 0 || sent.si_code == SI_TKILL)
        sent.si_code = SI_QUEUE;
    if (lib.lwp[0])
        SYS_CALL(SYS_rt_tgsigqueueinfo, lib.pid, lib.lwp[0]->tid, sent.si_signo, &sent, 0, 0);
#else
    (void)info;
#endif
}

/* The world is to stop (world.h), and the handler has interrupted code of the user's: the thread
 * goes on in this handler when the world does. */
static void stop_here(struct lwp *lwp, const ucontext_t *uc)
{
#if USER_MN && !defined(USER_ASAN) && !defined(USER_TSAN)
    const struct uthread_rest *rest = lwp->current->rest;

    if (!text_known() || text_of(text_interrupted(uc)) != TEXT_USER || rest->critical ||
        rest->in_handler || in_fault_handler(uc) ||
        !preempt_on_own_stack(rest, text_stack_pointer(uc)))
        return;
    lwp->signals.kernel = SIGNALS_OURS;
    world_yield(lwp, lwp->current, true);
#else
    (void)lwp;
    (void)uc;
#endif
}

/* Of the kernel thread that returns from it. It may return to the handler of a fault, which the
 * kernel has blocked. */
static void frame_mask(struct lwp *lwp, ucontext_t *uc)
{
    uint64_t faults = bits_of(&uc->uc_sigmask) & SIGNALS_FAULTS;

    lwp->signals.kernel = kernel_wanted(lwp);
    bits_to(lwp->signals.kernel | faults, &uc->uc_sigmask);
}

/* What the kernel's frame has of its thread is to be that of the one that returns from it. */
static void renew_frame(ucontext_t *uc)
{
    struct lwp *lwp = lwp_self();

    frame_mask(lwp, uc);
    if (USER_MN)
        SYS_CALL(SYS_sigaltstack, NULL, &uc->uc_stack, 0, 0, 0, 0);
}

/* A timer of the program may have its next signal pending before the one before has been dealt
 * with: then a thread that runs would not get on at all. After that many in less than the time of a
 * retry each the rest stays with the kernel, where a timer has one pending at most, for the time of
 * some retries; of twice as many as before while that is too short for what has come. */
#define USER_FLOOD 64
#define USER_FLOOD_LONGEST 256 /* retries: 5 ms; 64 are handled in 0.1 ms, if nobody else runs */

/* Without a timer nobody would end it. */
static void flood_on(struct lwp *lwp)
{
    retry_soon(lwp);
    if (!lwp->signals.armed)
        lwp->signals.flooded = 0;
}

/* The kernel has delivered that one. */
static void flood_count(struct lwp *lwp, const siginfo_t *info)
{
    struct lwp_signals *s = &lwp->signals;
    uint64_t now;

    if ((info->si_code != SI_TIMER && info->si_code != SI_KERNEL) ||
        state_of(lwp->current) != USER_ACTIVE || ++s->timers < USER_FLOOD)
        return;
    s->timers = 0;
    now = clock_now_ns(CLOCK_MONOTONIC);
    if (now - s->timers_since < USER_FLOOD * USER_RETRY_NS) {
        s->flooded = s->flood += s->flood == 0;
        flood_on(lwp);
    } else {
        s->flood = 0;
    }
    s->timers_since = now;
}

/* A retry has come meanwhile. */
static void flood_ebb(struct lwp *lwp, const ucontext_t *uc)
{
    struct lwp_signals *s = &lwp->signals;

    if (state_of(lwp->current) == USER_ACTIVE && --s->flooded) {
        flood_on(lwp);
        if (s->flooded)
            return;
    }
    s->flooded = 0;
    s->timers_since = clock_now_ns(CLOCK_MONOTONIC);
    if (!lwp->current->rest->in_handler && !is_inside(lwp, uc))
        s->flood = 1; /* the program is at work */
    else if (s->flood < USER_FLOOD_LONGEST)
        s->flood *= 2;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    struct lwp *lwp = lwp_self();
    ucontext_t *uc = context;
    struct uthread *self;
    bool bounced;

    (void)sig;
    if (!lwp || !lwp->current) {
        if (!is_retry(info)) /* there is nothing that it could look at again */
            signal_forward(info);
        return;
    }
    self = lwp->current;
    if (is_retry(info)) {
        lwp->signals.armed = false;
        if (USER_UNLIKELY(lwp->signals.flooded))
            flood_ebb(lwp, uc);
        USER_STORE_RELEASE(lwp->signals.heard, lwp->signals.heard + 1);
    } else {
        flood_count(lwp, info);
    }
    bounced = USER_UNLIKELY(lwp->bounced) && !is_retry(info);
    if (!bounced && (is_inside(lwp, uc) || !over_begin(self))) {
        signal_later(lwp, info);
        frame_mask(lwp, uc);
        return;
    }
    if (bounced) {
        lwp->bounced = false;
        lwp->signals.kernel = SIGNALS_OURS;
        signal_handle(self, info, uc);
    } else if (info->si_code == SI_TKILL && info->si_pid == lib.pid && !is_retry(info) &&
               !has_shunned(self)) {
        thread_lock(self); /* raise(3) and the like: for the thread that runs */
        if (signal_keep(lwp, self, info))
            ring_put(lwp, info);
    } else if (!is_retry(info)) {
        ring_put(lwp, info);
    }
    lwp->signals.kernel = SIGNALS_OURS;
    if (USER_UNLIKELY(USER_LOAD(lib.slow.stop)) && is_retry(info))
        stop_here(lwp, uc);
    do {
        signals_deliver(self, uc);
        lwp = lwp_self(); /* handlers may switch */
        if (lwp->signals.kernel != SIGNALS_OURS) {
            kernel_mask(SIG_BLOCK, SIGNALS_OURS);
            lwp->signals.kernel = SIGNALS_OURS;
        }
    } while (!ring_empty(lwp) ||
             ((USER_LOAD(self->rest->pending) | USER_LOAD(lib.pending)) & ~self->rest->mask));
    if (!bounced)
        over_end(self);
    renew_frame(uc);
}

/* ---- what the kernel does with it ------------------------------------------------------------ */

/* The default action is to do nothing. */
static bool ignored_by_default(int sig)
{
    return sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH;
}

/* Tells the kernel what follows from signals.action. */
static int kernel_install(int sig)
{
    const struct sigaction *act = &signals.action[sig];
    struct sigaction ours = {.sa_sigaction = on_signal};

    if (is_ignored(act))
        return sigaction(sig, act, NULL) ? errno : 0;
    ours.sa_flags = SA_SIGINFO | (act->sa_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
    ours.sa_flags |= is_function(act) ? act->sa_flags & (SA_RESTART | SA_ONSTACK) : SA_RESTART;
    bits_to(SIGNALS_OURS, &ours.sa_mask);
    return sigaction(sig, &ours, NULL) ? errno : 0;
}

/* Of what has no handler. Ends or stops the process, or does nothing. */
static int default_action(int sig, const siginfo_t *info)
{
    struct lwp *lwp = lwp_self();
    struct sigaction usual = {.sa_handler = SIG_DFL};
    uint64_t mask = lwp->signals.kernel;

    if (ignored_by_default(sig) || is_ignored(&signals.action[sig]))
        return 0;
    if (sigaction(sig, &usual, NULL))
        return errno;
    signal_to_kernel(info);
    kernel_mask(SIG_UNBLOCK, signal_bit(sig));
    /* It was a stop, and the process has been continued. */
    kernel_mask(SIG_SETMASK, mask);
    return kernel_install(sig);
}

/* From now on on_signal is between the kernel and the threads. */
static __attribute__((noinline)) void signals_adopt(uint64_t bits)
{
    struct lwp *lwp = lwp_self();
    int saved = errno;

    USER_STORE(lib.signals_used, true);
    bits |= signal_bit(USER_RETRY_SIGNAL);
    signals_stock();
    bits &= SIGNALS_OURS & ~signals.known;
    hold(lwp);
    lock_take(&lib.signal_lock);
    if (!USER_MUTANT("user-signal-adopted-twice"))
        bits &= ~signals.known; /* another thread may have been here with the same */
    for (; bits; bits &= bits - 1) {
        int sig = __builtin_ctzll(bits) + 1;

        if (sigaction(sig, NULL, &signals.action[sig]))
            continue;
        if (is_function(&signals.action[sig]))
            signals.handlers |= signal_bit(sig);
        if (kernel_install(sig) == 0)
            signals.known |= signal_bit(sig);
    }
    lock_release(&lib.signal_lock);
    release(lwp);
    errno = saved;
}

/* What is pending of it is gone. */
static void signal_purge(struct lwp *lwp, int sig)
{
    uint64_t bit = signal_bit(sig);

    if (USER_LOAD(lib.slow.signals))
        signals_look(lwp);
    for (size_t i = 0; i < lib.table_used; i++) {
        struct uthread *t = &lib.table[i];

        thread_lock(t);
        lock_take(&lib.signal_lock);
        while (t->rest && signal_take(&t->rest->signals, &t->rest->pending, sig, NULL))
            ;
        lock_release(&lib.signal_lock);
        thread_unlock(t);
    }
    lock_take(&lib.signal_lock);
    while (signal_take(&signals.kept, &lib.pending, sig, NULL))
        ;
    USER_STORE(lib.lowered, lib.lowered & ~bit);
    lock_release(&lib.signal_lock);
    kernel_sync(lwp);
}

static int user_action(int sig, const struct sigaction *act, struct sigaction *old)
{
    struct lwp *lwp = lwp_self();
    struct sigaction before;
    int saved = errno, err = 0;
    uint64_t bit;

    if (sig < 1 || sig >= NSIG || sig == 32 || sig == 33)
        return EINVAL;
    bit = signal_bit(sig);
    /* Who resets all signals, before exec say, is not told; nobody gets to it. */
    if (bit & lib.reserved && act && is_function(act))
        return EINVAL;
    if (bit & lib.reserved) {
        if (old)
            *old = (struct sigaction){.sa_handler = SIG_DFL};
        return 0;
    }
    if (!(bit & SIGNALS_OURS)) {
        if (sigaction(sig, act, old))
            err = errno;
        errno = saved;
        return err;
    }
    if (act)
        signals_adopt(bit);
    hold(lwp);
    lock_take(&lib.signal_lock);
    if (signals.known & bit)
        before = signals.action[sig];
    else if (sigaction(sig, NULL, &before))
        err = errno;
    if (act && !err) {
        signals.action[sig] = *act;
        if (is_function(act))
            signals.handlers |= bit;
        else
            signals.handlers &= ~bit;
    }
    lock_release(&lib.signal_lock);
    if (act && !err) {
        if (!is_function(act) && (is_ignored(act) || ignored_by_default(sig)))
            signal_purge(lwp, sig);
        lock_take(&lib.signal_lock);
        err = kernel_install(sig); /* what is in the table by now */
        lock_release(&lib.signal_lock);
    }
    release(lwp);
    if (old && !err)
        *old = before;
    errno = saved;
    signals_deliver(lwp->current, NULL); /* signal_purge may have been told of others */
    return err;
}

/* ---- boot, end, fork ------------------------------------------------------------------------- */

/* Before anything can fail: signals_end gives it back. */
static void signals_note_mask(void)
{
    SYS_CALL(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &lib.mask_at_boot, sizeof(lib.mask_at_boot), 0,
             0);
}

/* What the first thread has blocked is the kernel's mask at that time. */
static void signals_boot(struct lwp *lwp, struct uthread *self)
{
    uint64_t mask = 0;

    signals.known = SIGNALS_FAULTS | SIGNALS_NEVER;
    SYS_CALL(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask), 0, 0);
    lwp->signals.kernel = mask & SIGNALS_OURS;
    USER_STORE(self->rest->mask, mask);
    if (mask & SIGNALS_OURS) {
        signals_adopt(mask);
        kernel_sync(lwp);
        if (USER_LOAD(lib.slow.signals))
            signals_deliver(self, NULL);
    }
}

static void retry_end(struct lwp *lwp)
{
    if (lwp->signals.has_timer)
        SYS_CALL(SYS_timer_delete, lwp->signals.timer, 0, 0, 0, 0, 0);
    lwp->signals.has_timer = false;
}

/* While there is a thread that on_signal can ask: none comes to this LWP from here on. */
static void signals_shut(void)
{
    kernel_mask(SIG_BLOCK, SIGNALS_OURS);
}

/* The kernel has its mask and the actions again. No other LWP is left. */
static void signals_end(struct lwp *lwp)
{
    retry_end(lwp);
    for (uint64_t bits = signals.known & SIGNALS_OURS; bits; bits &= bits - 1) {
        int sig = __builtin_ctzll(bits) + 1;

        if (sig == USER_RETRY_SIGNAL)
            signal(sig, SIG_IGN); /* so that a late one is gone */
        sigaction(sig, &signals.action[sig], NULL);
    }
    kernel_mask(SIG_SETMASK, lib.mask_at_boot);
    while (signals.kept)
        signal_free(signal_unlink(&signals.kept));
    while (signals.free) {
        struct user_signal *s = signals.free;

        signals.free = s->next;
        free(s);
    }
    memset(&signals, 0, sizeof(signals));
    memset(&lwp->signals, 0, sizeof(lwp->signals));
    lib.lowered = lib.pending = 0;
    lib.signals_used = false;
}

/* The child of fork: nothing is pending for it (POSIX.1-2017 XSH fork), and it has no timers. What
 * its only thread has blocked nobody has open: the kernel hears of it now, for a program that the
 * child may execute. */
static void signals_fork(struct lwp *lwp, bool all)
{
    for (int sig = 1; sig < NSIG; sig++)
        while (signal_take(&signals.kept, &lib.pending, sig, NULL))
            ;
    for (size_t i = 0; i < lib.table_used; i++) {
        struct uthread_rest *rest = lib.table[i].rest;

        for (int sig = 1; rest && rest->signals && sig < NSIG; sig++)
            while (signal_take(&rest->signals, &rest->pending, sig, NULL))
                ;
    }
#if USER_MN
    for (unsigned i = 0; i < lib.lwps_used; i++)
        lib.lwp[i]->signals.out = lib.lwp[i]->signals.in;
    for (struct lwp *at = lib.bound_ever; at; at = at->next_ever)
        at->signals.out = at->signals.in;
#endif
    lwp->signals.out = lwp->signals.in;
    lwp->signals.full = false;
    lib.lowered = all ? 0 : lwp->current->rest->mask & SIGNALS_OURS;
    lib.slow.signals = 0;
    lwp->signals.has_timer = lwp->signals.armed = false;
    lwp->signals.flooded = 0;
    lwp->signals.kernel = SIGNALS_OURS; /* see fork_signals_wait */
}

static const struct tl_signal_ops user_signal_ops = {
    .kill = user_kill,
    .mask = user_mask,
    .wait = user_sigwait,
    .timedwait = user_sigtimedwait,
    .suspend = user_suspend,
    .pending = user_pending,
    .action = user_action,
    .send = user_send,
    .handlers = user_handlers,
};

#endif

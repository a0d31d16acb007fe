/*
 * sigrun.h - signals: how a handler is run. Included by user.h only.
 *
 * A handler that is run here is called as a function: no system call. What the kernel would have
 * arranged for it is arranged here: the mask, the siginfo of the sender, a fresh floating-point
 * environment, a context. With SA_ONSTACK the kernel is asked to do it.
 *
 * A handler may do what the library offers: lock, post, yield, block, end the thread.
 */
#ifndef TL_USER_SIGRUN_H
#define TL_USER_SIGRUN_H

#include <fenv.h>
#include <ucontext.h>

static int default_action(int sig, const siginfo_t *info);        /* sigaction.h */
static inline void mask_set(struct uthread *self, uint64_t mask); /* sigmask.h */

static bool is_function(const struct sigaction *act)
{
    return (act->sa_flags & SA_SIGINFO) ||
           (act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN);
}

/* The kernel does with it what it is to do with it, before this returns. Leaves errno alone. */
static int signal_to_kernel(const siginfo_t *info)
{
    return (int)-SYS_CALL(SYS_rt_tgsigqueueinfo, lib.pid, lwp_self()->tid, info->si_signo, info, 0,
                          0);
}

/* Where the thread goes on, and its mask. The registers of a caller are not known to anybody. */
static __attribute__((noinline)) void context_here(ucontext_t *uc, void *pc, void *sp)
{
    memset(uc, 0, sizeof(*uc));
#if defined(__x86_64__)
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)pc;
    uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)sp;
#elif defined(__aarch64__)
    uc->uc_mcontext.pc = (uintptr_t)pc;
    uc->uc_mcontext.sp = (uintptr_t)sp;
#endif
}

/* Calls it. The handler may change the mask that the thread goes on with: it is in uc. */
static void call_handler(const struct sigaction *act, siginfo_t *info, ucontext_t *uc,
                         uint64_t *mask)
{
    bits_to(*mask, &uc->uc_sigmask);
    if (act->sa_flags & SA_SIGINFO)
        act->sa_sigaction(info->si_signo, info, uc);
    else
        act->sa_handler(info->si_signo);
    *mask = bits_of(&uc->uc_sigmask) & ~SIGNALS_NEVER;
}

static __attribute__((noinline)) void call_handler_here(const struct sigaction *act,
                                                        siginfo_t *info, uint64_t *mask)
{
    ucontext_t uc;
    fenv_t env;

    context_here(&uc, __builtin_return_address(0), __builtin_frame_address(0));
    fegetenv(&env);
    fesetenv(FE_DFL_ENV);
    call_handler(act, info, &uc, mask);
    fesetenv(&env);
}

/* uc: what the kernel made for it, NULL: the library delivers it. */
static void signal_handle(struct uthread *self, siginfo_t *info, ucontext_t *uc)
{
    struct uthread_rest *rest = self->rest;
    int sig = info->si_signo;
    uint64_t bit = signal_bit(sig), mask = rest->mask;
    uint32_t over;
    struct sigaction act;
    bool bounce;

    if (!(signals.known & SIGNALS_OURS & bit)) {
        signal_to_kernel(info);
        return;
    }
    lock_take(&lib.signal_lock);
    act = signals.action[sig];
    bounce = (act.sa_flags & SA_ONSTACK) && !uc && !lwp_self()->bounced;
    if ((act.sa_flags & SA_RESETHAND) && is_function(&act) && !bounce) {
        signals.action[sig].sa_flags &= ~SA_SIGINFO;
        signals.action[sig].sa_handler = SIG_DFL;
        signals.handlers &= ~bit;
    }
    lock_release(&lib.signal_lock);
    if (!is_function(&act)) {
        if (act.sa_handler == SIG_DFL)
            default_action(sig, info);
        return;
    }
    if (bounce) {
        struct lwp *lwp = lwp_self();

        lwp->bounced = true;
        if (signal_to_kernel(info))
            lwp->bounced = false;
        else if (lwp->signals.kernel & bit)
            kernel_mask(SIG_UNBLOCK, bit); /* at once: where it goes on it may be at work */
        return;
    }
    mask_set(self, mask | (bits_of(&act.sa_mask) & ~SIGNALS_NEVER) |
                       (act.sa_flags & SA_NODEFER ? 0 : bit));
    rest->in_handler++;
    over = over_of(self);
    kernel_sync(lwp_self());
    if (uc)
        call_handler(&act, info, uc, &mask);
    else
        call_handler_here(&act, info, &mask);
    over_drop(self, over); /* of handlers within this one, which jumped here */
    rest->in_handler--;
    rest->handled++;
    rest->io_handled |= USER_HANDLED | (act.sa_flags & SA_RESTART ? 0 : USER_NO_RESTART);
    mask_set(self, mask);
}

/* All that the calling thread has open and that is pending for it or for the process. */
static __attribute__((noinline)) void signals_deliver(struct uthread *self, ucontext_t *uc)
{
    for (;;) {
        struct lwp *lwp = lwp_self();
        uint64_t open = ~self->rest->mask;
        siginfo_t info;

        if (USER_LOAD(lib.slow.signals) || !ring_empty(lwp)) {
            if (!uc && !self->rest->in_handler) /* which may have interrupted malloc */
                signals_stock();
            signals_look(lwp);
        }
        if (USER_LOAD(lib.lowered) & open)
            signals_raise(USER_LOAD(lib.lowered) & open);
        if (!signal_next(self, open, &info)) {
            if (uc || lwp->signals.kernel == kernel_wanted(lwp))
                return; /* with uc the kernel learns it at the return from the handler */
            kernel_sync(lwp);
            continue;
        }
        signal_handle(self, &info, uc);
    }
}

static void sem_wait_again(struct uthread *self); /* sync.h */

/* A handler may do what it likes: end the thread; give up the PU, which overwrites the context that
 * the thread is about to go on with (the switches of M:N keep a copy of their own); wait, for time,
 * too, while the thread is in the heap still for the wait that was interrupted. That one arms its
 * timer anew if it goes on. */
static inline __attribute__((always_inline)) void arrive_body(struct uthread *self)
{
#if !USER_MN
    struct context resumed = self->context;
#endif
    enum user_state was = state_of(self);
    struct queue *list = self->rest->waits.list;

    timer_stop(self);
    state_set(self, USER_ACTIVE); /* what it was is not for a handler that gives up the PU */
    signals_deliver(self, NULL);
    if (was == USER_EARLY_SEM) {
        was = USER_ACTIVE;
        self->rest->waits.list = list; /* a handler that waited has put its own there */
        sem_wait_again(self);
    }
#if !USER_MN
    resumed.flags = self->context.flags;
    self->context = resumed;
#endif
    state_set(self, was);
}

/* On the thread's own stack, before it goes on. */
static void arrive(void *arg)
{
    struct uthread *self = arg;

    switch_arrived(self);
    arrive_body(self);
    switch_announce(self, self, false);
}

/* The same for a thread that is switched to by itself. */
static __attribute__((noinline)) void arrive_here(struct uthread *self)
{
    arrive_body(self);
}

#endif

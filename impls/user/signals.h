/*
 * signals.h - signals. Included by user.h only.
 *
 * The kernel knows one thread, so a signal of its own reaches whoever runs, on the stack it is on.
 * A signal for another thread is kept here, by signal number and then by age, as the kernel would:
 * a standard one once, a real-time one as often as it was sent. When the library switches to that
 * thread (see switch.h) it raises them, before the thread goes on: the handler runs in the thread
 * and on its stack, with the siginfo of the sender. A thread that waits is interrupted for that,
 * and waits again; but not one that a condition has let go to its mutex: it has its turn first.
 *
 * The mask is the kernel thread's: shared by all threads (but in a ucontext configuration, where
 * swapcontext keeps one per thread). What is raised while it is masked stays pending with the
 * kernel, for whoever runs when the mask is opened.
 *
 * kill is not async-signal-safe when aimed at another thread.
 */
#ifndef TL_USER_SIGNALS_H
#define TL_USER_SIGNALS_H

#include "../common/sys.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

struct user_signal {
    struct user_signal *next;
    siginfo_t info;
};

static struct user_signal **signal_place(struct uthread *t, int sig)
{
    struct user_signal **at = &t->rest->signals;

    while (*at && (*at)->info.si_signo <= sig)
        at = &(*at)->next;
    return at;
}

static void signal_free(struct user_signal *s)
{
    lock_take(&lib.signal_lock);
    s->next = lib.signals_free;
    lib.signals_free = s;
    lib.signals--;
    lock_release(&lib.signal_lock);
}

/* NULL: no memory, or as many are queued as the kernel would queue. */
static struct user_signal *signal_new(int sig)
{
    struct user_signal *s;
    struct rlimit limit;

    lock_take(&lib.signal_lock);
    s = lib.signals_free;
    if (sig >= SIGRTMIN && !getrlimit(RLIMIT_SIGPENDING, &limit) && lib.signals >= limit.rlim_cur) {
        s = NULL;
    } else if (s) {
        lib.signals_free = s->next;
        lib.signals++;
    } else {
        s = malloc(sizeof(*s));
        lib.signals += s != NULL;
    }
    lock_release(&lib.signal_lock);
    return s;
}

/* What never reached it. */
static void signals_drop(struct uthread *t)
{
    struct user_signal *s;

    thread_lock(t);
    while ((s = t->rest->signals)) {
        t->rest->signals = s->next;
        signal_free(s);
    }
    tp_untag(t);
    thread_unlock(t);
}

/* The kernel delivers it before it returns, unless it is masked. Leaves errno alone. */
static int signal_raise(const siginfo_t *info)
{
    return (int)-SYS_CALL(SYS_rt_tgsigqueueinfo, lib.pid, lwp_self()->tid, info->si_signo, info, 0,
                          0);
}

static struct user_signal *signal_first(struct uthread *self)
{
    struct user_signal *s;

    thread_lock(self);
    s = self->rest->signals;
    if (s)
        USER_STORE(self->rest->signals, s->next);
    thread_unlock(self);
    return s;
}

/* What its handler, if it has one and runs now, does to a call that waits. */
static uint8_t signal_interrupts(int sig)
{
    struct sigaction action;
    sigset_t masked;

    if (sigprocmask(SIG_BLOCK, NULL, &masked) || sigismember(&masked, sig))
        return 0;
    if (sigaction(sig, NULL, &action) || action.sa_handler == SIG_DFL ||
        action.sa_handler == SIG_IGN)
        return 0;
    return action.sa_flags & SA_RESTART ? USER_HANDLED : USER_HANDLED | USER_NO_RESTART;
}

static void signals_raise(struct uthread *self)
{
    struct user_signal *s;
    uint8_t handled = 0;

    while ((s = signal_first(self))) {
        siginfo_t info = s->info;

        handled |= signal_interrupts(info.si_signo);
        if (signal_raise(&info)) {
            /* Masked, and the kernel's queue is full: kept for the next time. */
            thread_lock(self);
            s->next = self->rest->signals;
            USER_STORE(self->rest->signals, s);
            thread_unlock(self);
            break;
        }
        signal_free(s);
    }
    self->rest->handled |= handled; /* at last: a handler may have waited, too */
}

/* On the thread's own stack, before it goes on. A handler may do what it likes: end the thread, or
 * give up the PU, which overwrites the context that the thread is about to go on with. */
static void arrive(void *arg)
{
    struct uthread *self = arg;
#if !USER_MN
    struct context resumed = self->context; /* the _shared switch keeps its own copy */
#endif
    enum user_state was = state_of(self);

    state_set(self, USER_ACTIVE); /* what it was is not for a handler that gives up the PU */
    switch_arrived(self);
    signals_raise(self);
    if (was == USER_EARLY_SEM) {
        was = USER_ACTIVE;
        sem_wait_again(self);
    }
#if !USER_MN
    resumed.flags = self->context.flags;
    self->context = resumed;
#endif
    state_set(self, was);
    switch_announce(self, self, false);
}

/* EAGAIN: no memory, or as many are queued as the kernel would queue. t is locked, and lives. */
static int signal_keep(struct uthread *t, const siginfo_t *info)
{
    struct user_signal **place = signal_place(t, info->si_signo), *s;

    if (info->si_signo < SIGRTMIN)
        for (s = t->rest->signals; s; s = s->next)
            if (s->info.si_signo == info->si_signo)
                return 0; /* pending already: once is enough */
    s = signal_new(info->si_signo);
    if (!s)
        return EAGAIN;
    s->info = *info;
    s->next = *place;
    USER_STORE(*place, s);
    tp_tag(t);
    return 0;
}

static int user_kill(struct tl_thread id, int sig, const union sigval *value)
{
    struct uthread *self = lwp_self()->current, *t = table_find_locked(id);
    int saved = errno, err = 0;
    siginfo_t info;

    if (!t)
        return ESRCH;
    if (has_ended(t))
        err = ESRCH;
    else if (sig < 0 || sig >= NSIG)
        err = EINVAL;
    if (err || !sig) {
        thread_unlock(t);
        return err;
    }
    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = value ? SI_QUEUE : SI_TKILL;
    info.si_pid = lib.pid;
    info.si_uid = getuid();
    if (value)
        info.si_value = *value;
    if (t != self)
        err = signal_keep(t, &info);
    thread_unlock(t);
    if (t == self)
        return signal_raise(&info);
#if USER_MN
    heavy(); /* it may be about to wait: see user_cancel */
#endif
    if (!err)
        interrupt(lwp_self(), t);
    errno = saved;
    return err;
}

static int user_mask(int how, const sigset_t *set, sigset_t *old)
{
    int saved = errno, err = 0;

    if (sigprocmask(how, set, old))
        err = errno;
    errno = saved;
    return err;
}

static void signals_end(void)
{
    struct user_signal *s;

    while ((s = lib.signals_free)) {
        lib.signals_free = s->next;
        free(s);
    }
}

/* wait, timedwait, suspend, pending: see user_why_not. */
static const struct tl_signal_ops user_signal_ops = {
    .kill = user_kill,
    .mask = user_mask,
};

#endif

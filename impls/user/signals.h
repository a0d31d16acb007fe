/*
 * signals.h - signals and fork. Included by user.h only.
 *
 * Signals: the kernel knows one thread, so a signal reaches whoever runs, on the stack it is on.
 * kill therefore aims at the caller only. The mask is the kernel thread's: shared by all threads
 * (but in a ucontext configuration, where swapcontext keeps one per thread).
 *
 * Fork: all threads are memory of the process, so the child has them all; fork1 semantics are made
 * by dropping every thread but the caller from the table, the run queue and the timers. Their
 * stacks stay mapped until run() ends. If the caller was not the first thread, the child ends with
 * exit(0) when its last thread does.
 */
#ifndef TL_USER_SIGNALS_H
#define TL_USER_SIGNALS_H

#include "../common/atfork.h"

#include <signal.h>
#include <string.h>

static int user_kill(struct tl_thread id, int sig, const union sigval *value)
{
    struct uthread *self = lwp_self()->current, *t = table_find(id);
    int saved = errno, err = 0;
    siginfo_t info;

    if (!t || has_ended(t))
        return ESRCH;
    if (sig < 0 || sig >= NSIG)
        return EINVAL;
    if (!sig)
        return 0;
    if (t != self)
        return ENOTSUP;
    if (value) {
        memset(&info, 0, sizeof(info));
        info.si_signo = sig;
        info.si_code = SI_QUEUE;
        info.si_pid = getpid();
        info.si_uid = getuid();
        info.si_value = *value;
        if (syscall(SYS_rt_tgsigqueueinfo, getpid(), lib.tid, sig, &info))
            err = errno;
    } else if (syscall(SYS_tgkill, getpid(), lib.tid, sig)) {
        err = errno;
    }
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

/* The child: only self is left. */
static void drop_others(struct lwp *lwp, struct uthread *self)
{
    for (size_t i = 0; i < lib.table_used; i++) {
        struct uthread *t = &lib.table[i];

        if (t != self && state_of(t) != USER_FREE) {
            t->context.flags = 0;
            t->rest = NULL;
            if (t == lib.first)
                t->tp = NULL; /* the kernel thread's, never for another thread */
            table_give(t);
        }
    }
    if (lib.first != self)
        lib.first = NULL;
    lwp->ready.head = NULL;
    lwp->timers = NULL;
    self->rest->joiner = NULL;
    lib.live = 1;
    lib.tid = (int)syscall(SYS_gettid);
}

/* fork(3) walks a list of threads that only the kernel thread's own TLS block is part of, and sets
 * the TID there: it must run with that block. */
static __attribute__((noinline)) pid_t fork_as_kernel_thread(int *err)
{
    pid_t pid = fork();

    *err = pid < 0 ? errno : 0;
    return pid;
}

static int user_fork(pid_t *pid)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;
    int err, saved = errno;

    atfork_prepare();
    if (lib.full_tls && self->tp != lib.tp) {
        write_tp(lib.tp);
        *pid = fork_as_kernel_thread(&err);
        write_tp(self->tp);
    } else {
        *pid = fork_as_kernel_thread(&err);
    }
    if (err || *pid) {
        atfork_parent();
    } else {
        drop_others(lwp, self);
        if (lib.full_tls)
            tls_set_tid(self->tp, lib.tid);
        atfork_child();
    }
    errno = saved;
    return err;
}

static const struct tl_signal_ops user_signal_ops = {
    .kill = user_kill, .mask = user_mask, .wait = NULL, /* see user_why_not */
};

static const struct tl_fork_ops user_fork_ops = {
    .fork = user_fork,
    .atfork = atfork_add,
};

#endif

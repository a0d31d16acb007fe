/*
 * fork.h - fork, of the caller or of all threads. Included by user.h only.
 *
 * All threads are memory of the process, so the child has them all, which is fork_all. fork1
 * semantics are made by dropping every thread but the caller from the table, the run queue and the
 * timers. Their stacks stay mapped until run() ends. If the caller of fork was not the first
 * thread, the child ends with exit(0) when its last thread does; the child of fork_all returns from
 * run() as its parent does.
 *
 * In the child of fork_all every other thread goes on where it was: ready, or waiting. None can
 * have been inside a system call.
 */
#ifndef TL_USER_FORK_H
#define TL_USER_FORK_H

#include "../common/atfork.h"

/* The child: only self is left. */
static void drop_others(struct lwp *lwp, struct uthread *self)
{
    for (size_t i = 0; i < lib.table_used; i++) {
        struct uthread *t = &lib.table[i];

        if (t != self && state_of(t) != USER_FREE) {
            if (t->rest)
                signals_drop(t);
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
    lwp->occupied = 0;
    memset(lwp->levels, 0, sizeof(lwp->levels));
    lwp->timers = NULL;
    lwp->slow.timers = 0;
    self->rest->joiner = NULL;
    lib.live = 1;
}

/* The child: the kernel thread has another TID. */
static void renumber(void)
{
    lib.tid = (int)syscall(SYS_gettid);
    lib.pid = getpid();
    for (size_t i = 0; lib.full_tls && i < lib.table_used; i++) {
        struct uthread *t = &lib.table[i];

        if (t->rest) /* the others get it at their next use */
            tls_set_tid((void *)((uintptr_t)t->tp & ~(uintptr_t)USER_TP_TAG), lib.tid);
    }
}

/* Calls f(arg) with the kernel thread's own TLS block: what the C library keeps about itself there.
 */
static void as_kernel_thread(void (*f)(void *), void *arg)
{
    const struct uthread *self = lwp_self()->current;

    if (lib.full_tls && self->tp != lib.tp) {
        write_tp(lib.tp);
        f(arg);
        write_tp(self->tp);
    } else {
        f(arg);
    }
}

struct forked {
    pid_t pid;
    int err;
};

/* fork(3) walks a list of threads that only the kernel thread's own TLS block is part of, and sets
 * the TID there. */
static __attribute__((noinline)) void fork_now(void *arg)
{
    struct forked *forked = arg;

    forked->pid = fork();
    forked->err = forked->pid < 0 ? errno : 0;
}

static int fork_some(pid_t *pid, bool all)
{
    struct lwp *lwp = lwp_self();
    struct forked forked;
    int saved = errno;

    atfork_prepare();
    as_kernel_thread(fork_now, &forked);
    if (forked.err || forked.pid) {
        atfork_parent();
    } else {
        if (!all)
            drop_others(lwp, lwp->current);
        renumber();
        atfork_child();
    }
    *pid = forked.pid;
    errno = saved;
    return forked.err;
}

static int user_fork(pid_t *pid)
{
    return fork_some(pid, false);
}

static int user_fork_all(pid_t *pid)
{
    return fork_some(pid, true);
}

static const struct tl_fork_ops user_fork_ops = {
    .fork = user_fork,
    .atfork = atfork_add,
    .fork_all = user_fork_all,
};

#endif

/*
 * signal.c - signals to one thread, and fork.
 *
 * fork is the C library's: it knows what to do with its own locks. It works from these threads
 * because their TLS blocks have the right TID and a list node of their own (see tls.c).
 */
#include "thread.h"

#include "../common/atfork.h"
#include "../common/futex.h"
#include "../common/futex_sync.h"
#include "../common/tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define KERNEL_SET 8 /* bytes of a sigset_t that the kernel knows */

static int send(struct thread *t, int sig, const union sigval *value)
{
    pid_t pid = getpid();
    pid_t tid = (pid_t)atomic_load_explicit(t->tid, memory_order_relaxed);
    siginfo_t info;

    if (!value)
        return (int)-SYS_CALL(SYS_tgkill, pid, tid, sig, 0, 0, 0);
    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = SI_QUEUE;
    info.si_pid = pid;
    info.si_uid = getuid();
    info.si_value = *value;
    return (int)-SYS_CALL(SYS_rt_tgsigqueueinfo, pid, tid, sig, &info, 0, 0);
}

/* The pair senders, ending is explained in thread.h. ending is read before the id: a thread that
 * was created since then has cleared ending after it changed the id. */
static int kill_thread(struct tl_thread id, int sig, const union sigval *value)
{
    struct thread *t = pool_find(id);
    int err = ESRCH;

    if (!t)
        return ESRCH;
    if (t == thread_self()) /* it cannot end meanwhile; its handlers may do anything */
        goto self;
    atomic_fetch_add_explicit(&t->senders, 1, memory_order_seq_cst);
    if (!atomic_load_explicit(&t->ending, memory_order_seq_cst) && pool_find(id) == t) {
        if (sig)
            atomic_store_explicit(&t->signaled, true, memory_order_relaxed);
        err = send(t, sig, value);
    }
    atomic_fetch_sub_explicit(&t->senders, 1, memory_order_seq_cst);
    return err;
self:
    if (sig)
        atomic_store_explicit(&t->signaled, true, memory_order_relaxed);
    return send(t, sig, value);
}

static int mask(int how, const sigset_t *set, sigset_t *old)
{
    if (old)
        memset(old, 0, sizeof(*old));
    return (int)-SYS_CALL(SYS_rt_sigprocmask, how, set, old, KERNEL_SET, 0, 0);
}

static int wait_signal(const sigset_t *set, int *sig)
{
    long got;

    futex_sleeps(true);
    do {
        got = SYS_CALL(SYS_rt_sigtimedwait, set, NULL, NULL, KERNEL_SET, 0, 0);
    } while (got == -EINTR);
    futex_sleeps(false);
    if (got < 0)
        return (int)-got;
    *sig = (int)got;
    return 0;
}

static void forked_child(void)
{
    struct thread *t = thread_self();
    bool first = (uint32_t)atomic_load(&t->life) == CLONE_FIRST;

    pool_forget_others(t);
    atomic_store(&t->senders, 0);
    atomic_store(&clone_state.live, first ? 0 : 1);
    clone_state.orphan = !first;
}

static int fork_process(pid_t *pid)
{
    int saved = errno, err = 0;

    atfork_prepare();
    pool_lock(); /* so that no other thread is half way through the lists in the child */
    *pid = fork();
    if (*pid < 0)
        err = errno;
    if (*pid) {
        pool_unlock();
        atfork_parent();
    } else {
        forked_child();
        pool_unlock();
        atfork_child();
    }
    errno = saved;
    return err;
}

const struct tl_signal_ops clone_signal = {
    .kill = kill_thread,
    .mask = mask,
    .wait = wait_signal,
};

const struct tl_fork_ops clone_fork = {
    .fork = fork_process,
    .atfork = atfork_add,
};

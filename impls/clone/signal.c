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

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KERNEL_SET 8 /* bytes of a sigset_t that the kernel knows */

static int send(int tid, int sig, const union sigval *value)
{
    pid_t pid = getpid();
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

static int kill_thread(struct tl_thread id, int sig, const union sigval *value)
{
    struct thread *t;
    int tid, err = thread_hold(id, &t, &tid);

    if (err)
        return err;
    if (sig)
        atomic_store_explicit(&t->signaled, true, memory_order_relaxed);
    err = send(tid, sig, value);
    thread_release(t);
    return err;
}

/* ---- masks and waits: the signal of cancellation is never blocked and never seen --------------
 */

static void give_set(uint64_t bits, sigset_t *set)
{
    bits = cancel_sys_without(&bits);
    memset(set, 0, sizeof(*set));
    memcpy(set, &bits, sizeof(bits));
}

static int mask(int how, const sigset_t *set, sigset_t *old)
{
    uint64_t was = 0, wanted = set && how != SIG_UNBLOCK ? cancel_sys_without(set) : 0;
    const void *given = set && how != SIG_UNBLOCK ? (const void *)&wanted : set;
    int err = (int)-SYS_CALL(SYS_rt_sigprocmask, how, given, old ? &was : NULL, KERNEL_SET, 0, 0);

    if (old)
        give_set(was, old);
    return err;
}

/* The signal's number, or an error number, negative. deadline in CLOCK_MONOTONIC, 0: none. */
static long take_signal(const sigset_t *set, siginfo_t *info, uint64_t deadline)
{
    uint64_t wanted = cancel_sys_without(set);
    struct timespec now, left;
    uint64_t ns;
    long got;

    cancel_sys_test();
    do {
        if (deadline) {
            clock_gettime(CLOCK_MONOTONIC, &now);
            ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
            ns = deadline > ns ? deadline - ns : 0;
            left = (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
        }
        futex_sleeps(true);
        got = CANCEL_SYS_CALL(SYS_rt_sigtimedwait, &wanted, info, deadline ? &left : NULL,
                              KERNEL_SET, 0, 0);
        futex_sleeps(false);
        if (got == CANCEL_SYS_CANCELED) {
            personal_test();
            got = -EINTR;
        }
    } while (got == -EINTR);
    return got;
}

static int wait_signal(const sigset_t *set, int *sig)
{
    long got = take_signal(set, NULL, 0);

    if (got < 0)
        return (int)-got;
    *sig = (int)got;
    return 0;
}

static int timedwait(const sigset_t *set, siginfo_t *info, uint64_t ns)
{
    struct timespec now;
    long got;

    clock_gettime(CLOCK_MONOTONIC, &now);
    got = take_signal(set, info, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + ns);
    return got < 0 ? (int)-got : 0;
}

static int suspend(const sigset_t *set)
{
    uint64_t wanted = cancel_sys_without(set);
    long answer;

    cancel_sys_test();
    futex_sleeps(true);
    answer = CANCEL_SYS_CALL(SYS_rt_sigsuspend, &wanted, KERNEL_SET, 0, 0, 0, 0);
    futex_sleeps(false);
    if (answer == CANCEL_SYS_CANCELED)
        personal_test();
    return answer == -EINTR || answer == CANCEL_SYS_CANCELED ? 0 : (int)-answer;
}

static int pending(sigset_t *set)
{
    uint64_t bits = 0;
    int err = (int)-SYS_CALL(SYS_rt_sigpending, &bits, KERNEL_SET, 0, 0, 0, 0);

    give_set(bits, set);
    return err;
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void forked_child(void)
{
    struct thread *t = thread_self();
    bool first = (uint32_t)atomic_load(&t->life) == CLONE_LIFE_FIRST;

    pool_forget_others(t);
    futex_owned_forked();
    atomic_store(&t->senders, 0);
    atomic_store(&clone_state.live, first ? 0 : 1);
    clone_state.orphan = !first;
}

/* No handler comes while the locks of the pool and of the C library are held, and in the child
 * while nobody holds them any more but for it: a handler may fork, and some print though they may
 * not. */
static int fork_process(pid_t *pid)
{
    const uint64_t all = UINT64_MAX;
    struct atfork_run run;
    int saved = errno, err = 0;
    uint64_t was = 0;

    atfork_prepare(&run);
    SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &all, &was, KERNEL_SET, 0, 0);
    pool_lock(); /* so that no other thread is half way through the lists in the child */
    *pid = fork();
    if (*pid < 0)
        err = errno;
    if (*pid) {
        pool_unlock();
        SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &was, NULL, KERNEL_SET, 0, 0);
        atfork_parent(&run);
    } else {
        forked_child();
        pool_unlock();
        SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &was, NULL, KERNEL_SET, 0, 0);
        atfork_child(&run);
    }
    errno = saved;
    return err;
}

const struct tl_signal_ops clone_signal = {
    .kill = kill_thread,
    .mask = mask,
    .wait = wait_signal,
    .timedwait = timedwait,
    .suspend = suspend,
    .pending = pending,
};

const struct tl_fork_ops clone_fork = {
    .fork = fork_process,
    .atfork = atfork_add,
};

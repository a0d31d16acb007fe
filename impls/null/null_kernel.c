/*
 * null_kernel.c - signals, fork, read and write of the one kernel thread. A wait for a signal that
 * is not there, or for a descriptor that is not ready, answers EDEADLK at once, as any other: what
 * could come from outside the process is not waited for.
 */
#include "null.h"

#include "../common/atfork.h"

#include <limits.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- signals --------------------------------------------------------------------------------- */

static int signal_kill(struct tl_thread t, int sig, const union sigval *value)
{
    int saved = errno;

    if (null_state_of(t.id) != NULL_RUNS)
        return ESRCH;
    if (t.id != null_frame->id)
        return ENOTSUP; /* a caller of the caller: it does not run before the caller has ended */
    if (value) {
        siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};

        info.si_pid = getpid();
        info.si_uid = getuid();
        info.si_value = *value;
        return posix_answer((int)syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), sig, &info),
                            saved);
    }
    return posix_answer((int)syscall(SYS_tgkill, getpid(), gettid(), sig), saved);
}

static int signal_mask(int how, const sigset_t *set, sigset_t *old)
{
    int saved = errno;

    return posix_answer(sigprocmask(how, set, old), saved);
}

static int signal_timedwait(const sigset_t *set, siginfo_t *info, uint64_t ns)
{
    null_point();
    return posix_sigtimedwait(set, info, ns);
}

static int signal_wait(const sigset_t *set, int *sig)
{
    siginfo_t info;
    int err;

    null_point();
    err = posix_sigtimedwait(set, &info, 0);
    if (err)
        return err == EAGAIN ? EDEADLK : err;
    *sig = info.si_signo;
    return 0;
}

static int signal_suspend(const sigset_t *mask)
{
    sigset_t pending, open;
    int err;

    null_point();
    err = posix_sigpending(&pending);
    if (err)
        return err;
    sigemptyset(&open);
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sigismember(&pending, sig) == 1 && sigismember(mask, sig) == 0)
            sigaddset(&open, sig);
    if (sigisemptyset(&open))
        return EDEADLK;
    return posix_sigsuspend(mask);
}

const struct tl_signal_ops null_signal = {
    .kill = signal_kill,
    .mask = signal_mask,
    .wait = signal_wait,
    .timedwait = signal_timedwait,
    .suspend = signal_suspend,
    .pending = posix_sigpending,
};

/* ---- fork ------------------------------------------------------------------------------------ */

static int fork_one(pid_t *pid)
{
    struct atfork_run run;
    int saved = errno, err;

    atfork_prepare(&run);
    *pid = fork();
    err = posix_answer(*pid < 0, saved);
    if (*pid)
        atfork_parent(&run);
    else
        atfork_child(&run);
    return err;
}

const struct tl_fork_ops null_fork = {
    .fork = fork_one,
    .atfork = atfork_add,
    .fork_all = fork_one, /* the threads are frames of one stack, which the child has too */
};

/* ---- read, write ----------------------------------------------------------------------------- */

/* EDEADLK: the call would have to wait. A bad descriptor is for the call itself to tell. */
static int ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int saved = errno, n;

    null_point();
    n = poll(&p, 1, 0);
    errno = saved;
    return n == 0 ? EDEADLK : 0;
}

static int io_read(int fd, void *buffer, size_t size, size_t *done)
{
    int saved = errno, err = ready(fd, POLLIN);
    ssize_t n;

    if (err)
        return err;
    n = read(fd, buffer, size);
    *done = n < 0 ? 0 : (size_t)n;
    return posix_answer(n < 0, saved);
}

/* A pipe that is ready takes PIPE_BUF bytes without waiting, and perhaps not more. */
static int io_write(int fd, const void *buffer, size_t size, size_t *done)
{
    int saved = errno, err;
    ssize_t n;

    *done = 0;
    do {
        size_t left = size - *done;

        err = ready(fd, POLLOUT);
        if (err)
            return err;
        n = write(fd, (const char *)buffer + *done, left < PIPE_BUF ? left : PIPE_BUF);
        err = posix_answer(n < 0, saved);
        if (n > 0)
            *done += (size_t)n;
    } while (n > 0 && *done < size);
    return *done ? 0 : err;
}

const struct tl_io_ops null_io = {
    .read = io_read,
    .write = io_write,
};

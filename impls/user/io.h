/*
 * io.h - jackets: calls that would stop the kernel thread stop the caller only. Included by user.h
 * only.
 *
 * Each tries its call in a way that cannot block; where it would, the caller waits in the poller
 * and tries again. The descriptor's own O_NONBLOCK belongs to whoever shares the file, so it is not
 * set to that end (but see connect): a descriptor that has it answers EAGAIN at once, as ever. What
 * "in a way that cannot block" is:
 *
 *     read, write     preadv2, pwritev2 with RWF_NOWAIT (pipes, sockets: Linux 6.4; files). Where
 *                     the file does not know that: recv, send with MSG_DONTWAIT; where it is no
 *                     socket (terminals, older pipes): poll(2) without waiting, then the plain call
 *     accept          poll(2) without waiting, then accept4: it has no flag for this one call
 *     connect         O_NONBLOCK, for the one system call that sends the first packet; the answer
 *                     is SO_ERROR's
 *     poll            poll(2) without waiting; several descriptors wait in an epoll instance of
 *                     their own, for which the caller waits in the poller
 *     waitpid         WNOHANG; a pidfd tells the end of one process. A group, any child, and stops
 *                     are asked for again and again, up to 10 ms late: SIGCHLD belongs to the
 *                     program
 *
 * Between poll(2) and the plain call another process that shares the file may take what was there;
 * then the kernel thread blocks, with all threads on it, until there is more. No other thread of
 * this library can come between: neither call switches, and with several kernel threads they take
 * turns at a descriptor. Regular files never answer "would block": epoll refuses them, and the
 * plain call waits for the disk; in M:N the LWP lets another one have its threads meanwhile.
 * io_uring would cover files and accept, but is switched off in many containers.
 *
 * Each is a cancellation point. A request ends the wait; bytes that were written before it came are
 * answered first, and the thread ends at its next point. Signal handlers: see poller_wait.
 */
#ifndef TL_USER_IO_H
#define TL_USER_IO_H

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x8 /* Linux 4.14 */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3 */
#endif

/* A wait without an event is tried again after so long, doubled each time. */
#define USER_RETRY_FIRST_NS UINT64_C(500000)
#define USER_RETRY_LAST_NS UINT64_C(10000000)

/* ---- what the descriptor is ------------------------------------------------------------------ */

/* poll(2) without waiting: how many are ready, or -errno. Under a filter that asks a monitor
 * (detector=seccomp) a signal interrupts even this. */
static long io_poll_now(struct pollfd *fds, size_t n)
{
    struct timespec none = {0, 0};
    long ready;

    do
        ready = SYS_CALL(SYS_ppoll, fds, n, &none, NULL, 0, 0);
    while (ready == -EINTR);
    return ready;
}

/* One of `events` is there, or an error that the call will tell. */
static bool io_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return io_poll_now(&p, 1) != 0;
}

static bool io_nonblocking(int fd)
{
    long flags = SYS_CALL(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);

    return flags >= 0 && flags & O_NONBLOCK;
}

/* S_IFREG, S_IFIFO ...; 0: nothing. */
static mode_t io_kind(int fd)
{
    struct stat st;
    int saved = errno;
    mode_t kind = fstat(fd, &st) ? 0 : st.st_mode & S_IFMT;

    errno = saved;
    return kind;
}

/* The time limit of a socket (SO_RCVTIMEO, SO_SNDTIMEO), from now. NULL: none. */
static const struct user_deadline *io_limit(int fd, int option, struct user_deadline *until)
{
    struct timeval limit = {0, 0};
    socklen_t size = sizeof(limit);

    if (SYS_CALL(SYS_getsockopt, fd, SOL_SOCKET, option, &limit, &size, 0) ||
        (!limit.tv_sec && !limit.tv_usec))
        return NULL;
    *until = (struct user_deadline){CLOCK_MONOTONIC, clock_now_ns(CLOCK_MONOTONIC) +
                                                         (uint64_t)limit.tv_sec * USER_NS_PER_S +
                                                         (uint64_t)limit.tv_usec * 1000};
    return until;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* One call on its way. */
struct io_call {
    struct user_deadline limit;
    const struct user_deadline *until; /* of a socket; NULL: none */
    bool waited;                       /* until is known */
};

/* fd would block. 0: try again. EAGAIN: it is not to wait, or not so long. EPERM: it never has to.
 * Else what the call answers. */
static int io_wait(struct io_call *call, int fd, uint32_t events, int option)
{
    bool restart;
    int err;

    if (!call->waited) {
        if (io_nonblocking(fd)) /* which means nothing to a file */
            return io_kind(fd) == S_IFREG || io_kind(fd) == S_IFBLK ? EPERM : EAGAIN;
        call->until = io_limit(fd, option, &call->limit);
        call->waited = true;
    }
    err = poller_wait(fd, events, call->until, &restart);
    if (err == EINTR && restart)
        return 0;
    return err == ETIMEDOUT ? EAGAIN : err;
}

/* Waits a while for what no descriptor tells. EINTR: as poller_wait. */
static int io_nap(uint64_t *ns, bool *restart)
{
    struct user_deadline until = {CLOCK_MONOTONIC, clock_now_ns(CLOCK_MONOTONIC) + *ns};
    int err = poller_wait(-1, 0, &until, restart);

    *ns = *ns * 2 < USER_RETRY_LAST_NS ? *ns * 2 : USER_RETRY_LAST_NS;
    return err == ETIMEDOUT ? 0 : err;
}

static struct uthread *io_self(void)
{
    return lwp_self()->current;
}

/* ---- several kernel threads ------------------------------------------------------------------ */

#if USER_MN
/* f(arg) may block. */
static int user_blocking(void (*f)(void *), void *arg)
{
    jacket_begin(lwp_self());
    f(arg);
    jacket_end(lwp_self());
    return 0;
}

/* From a look at the descriptor to the call that relies on it, no other thread does the same. Who
 * has to wait yields: a turn is two system calls, unless another process comes between. */
static void io_turn_take(int fd)
{
    while (__atomic_exchange_n(&poller.buckets[poller_bucket(fd)].turn, 1, __ATOMIC_ACQUIRE))
        user_yield();
}

static void io_turn_give(int fd)
{
    USER_STORE_RELEASE(poller.buckets[poller_bucket(fd)].turn, 0);
}

/* A read or write that waits for a disk. */
static long io_outside(long number, int fd, const void *buffer, size_t size)
{
    long n;

    jacket_begin(lwp_self());
    n = SYS_CALL(number, fd, buffer, size, 0, 0, 0);
    jacket_end(lwp_self());
    return n;
}
#else
#define io_turn_take(fd) ((void)0)
#define io_turn_give(fd) ((void)0)
#define io_outside(number, fd, buffer, size) SYS_CALL(number, fd, buffer, size, 0, 0, 0)
#endif

/* ---- read, write ----------------------------------------------------------------------------- */

static long io_try_read(int fd, void *buffer, size_t size)
{
    struct iovec v = {buffer, size};
    long n = SYS_CALL(SYS_preadv2, fd, &v, 1, -1, -1, RWF_NOWAIT);

    if (n != -EOPNOTSUPP)
        return n;
    n = SYS_CALL(SYS_recvfrom, fd, buffer, size, MSG_DONTWAIT, NULL, NULL);
    if (n != -ENOTSOCK)
        return n;
    io_turn_take(fd);
    n = io_ready(fd, POLLIN) ? SYS_CALL(SYS_read, fd, buffer, size, 0, 0, 0) : -EAGAIN;
    io_turn_give(fd);
    return n;
}

/* The rest of a regular file's that was not in memory, for which a reader need not ask again. */
static long io_rest(int fd, char *buffer, size_t size, long n)
{
    if (n > 0 && (size_t)n < size && io_kind(fd) == S_IFREG) {
        long more = io_outside(SYS_read, fd, buffer + n, size - (size_t)n);

        n += more > 0 ? more : 0;
    }
    return n;
}

static int user_read(int fd, void *buffer, size_t size, size_t *done)
{
    struct io_call call = {.waited = false};
    long n;

    for (;;) {
        int err;

        cancellation_point(io_self());
        n = io_try_read(fd, buffer, size);
        if (USER_LIKELY(n != -EAGAIN))
            break;
        err = io_wait(&call, fd, EPOLLIN, SO_RCVTIMEO);
        if (err == EPERM) {
            n = io_outside(SYS_read, fd, buffer, size);
            break;
        }
        if (err)
            return err;
    }
    n = io_rest(fd, buffer, size, n);
    if (n < 0)
        return (int)-n;
    *done = (size_t)n;
    return 0;
}

/* A pipe that is ready takes PIPE_BUF bytes without waiting, and perhaps not more. */
static long io_try_write(int fd, const char *buffer, size_t size)
{
    struct iovec v = {(void *)(uintptr_t)buffer, size};
    long n = SYS_CALL(SYS_pwritev2, fd, &v, 1, -1, -1, RWF_NOWAIT);

    if (n != -EOPNOTSUPP)
        return n;
    n = SYS_CALL(SYS_sendto, fd, buffer, size, MSG_DONTWAIT, NULL, 0);
    if (n != -ENOTSOCK)
        return n;
    if (size > PIPE_BUF && io_kind(fd) == S_IFIFO)
        size = PIPE_BUF;
    io_turn_take(fd);
    n = io_ready(fd, POLLOUT) ? SYS_CALL(SYS_write, fd, buffer, size, 0, 0, 0) : -EAGAIN;
    io_turn_give(fd);
    return n;
}

/* All of it, as a plain write, unless an error, a handler or a request comes in between: then what
 * was written. */
static int user_write(int fd, const void *buffer, size_t size, size_t *done)
{
    struct io_call call = {.waited = false};
    const char *from = buffer;
    struct uthread *self = io_self();
    uint8_t before = self->rest->pipe; /* of a write that a handler has interrupted */
    size_t written = 0;
    int err = 0;

    self->rest->pipe = PIPE_WRITES;
    do {
        long n;

        if (!written)
            cancellation_point(io_self());
        else if (personal_due(&io_self()->rest->personal))
            break;
        n = io_try_write(fd, from + written, size - written);
        if (n == -EAGAIN) {
            err = io_wait(&call, fd, EPOLLOUT, SO_SNDTIMEO);
            if (err == EPERM) {
                err = 0;
                n = io_outside(SYS_write, fd, from + written, size - written);
            }
        }
        if (n > 0)
            written += (size_t)n;
        else if (n < 0 && n != -EAGAIN)
            err = (int)-n;
        else if (!n)
            break;
    } while (written < size && !err);
    if (USER_UNLIKELY(self->rest->pipe == PIPE_BROKEN))
        pipe_broken(self);
    self->rest->pipe = before;
    *done = written;
    return written ? 0 : err;
}

/* ---- accept, connect ------------------------------------------------------------------------- */

/* Who does not listen answers at once; it may never be ready. */
static bool io_listens(int fd)
{
    int on = 0;
    socklen_t size = sizeof(on);

    return !SYS_CALL(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size, 0) && on;
}

static int user_accept(int fd, struct sockaddr *address, unsigned *size, int flags, int *done)
{
    struct io_call call = {.waited = false};

    for (;;) {
        int err;

        cancellation_point(io_self());
        io_turn_take(fd);
        if (io_ready(fd, POLLIN) || !io_listens(fd))
            break;
        io_turn_give(fd);
        err = io_wait(&call, fd, EPOLLIN, SO_RCVTIMEO);
        if (err)
            return err;
    }
    *done = (int)SYS_CALL(SYS_accept4, fd, address, size, flags, 0, 0);
    io_turn_give(fd);
    return *done < 0 ? -*done : 0;
}

/* With O_NONBLOCK for as long as the system call takes. Another process that shares a socket which
 * is not connected yet could see it. */
static int connect_start(int fd, const struct sockaddr *address, unsigned size)
{
    long flags = SYS_CALL(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0), answer;

    if (flags < 0)
        return (int)-flags;
    io_turn_take(fd);
    SYS_CALL(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK, 0, 0, 0);
    answer = SYS_CALL(SYS_connect, fd, address, size, 0, 0, 0);
    SYS_CALL(SYS_fcntl, fd, F_SETFL, flags, 0, 0, 0);
    io_turn_give(fd);
    return (int)-answer;
}

/* A local socket whose listener has no room answers EAGAIN, and no event says when there is. */
static int connect_local(int fd, const struct sockaddr *address, unsigned size)
{
    uint64_t ns = USER_RETRY_FIRST_NS;
    bool restart;
    int err;

    do {
        err = io_nap(&ns, &restart);
        if (err && !(err == EINTR && restart))
            return err;
        cancellation_point(io_self());
        err = connect_start(fd, address, size);
    } while (err == EAGAIN);
    return err;
}

static int user_connect(int fd, const struct sockaddr *address, unsigned size)
{
    struct io_call call = {.waited = false};
    socklen_t error_size = sizeof(int);
    int err, error = 0;

    cancellation_point(io_self());
    if (io_nonblocking(fd))
        return (int)-SYS_CALL(SYS_connect, fd, address, size, 0, 0, 0);
    err = connect_start(fd, address, size);
    if (err == EAGAIN)
        return connect_local(fd, address, size);
    if (err != EINPROGRESS && err != EALREADY)
        return err;
    while (!io_ready(fd, POLLOUT)) {
        err = io_wait(&call, fd, EPOLLOUT, SO_SNDTIMEO);
        if (err)
            return err == EAGAIN ? EINPROGRESS : err; /* and goes on by itself */
        cancellation_point(io_self());
    }
    err = (int)-SYS_CALL(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &error_size, 0);
    if (err || error)
        return err ? err : error;
    /* The kernel notices that the socket is connected when it is asked once more. */
    err = connect_start(fd, address, size);
    return err == EISCONN ? 0 : err;
}

/* ---- poll ------------------------------------------------------------------------------------ */

/* Fills the set of a poll of several descriptors. */
static int poll_fill(int set, const struct pollfd *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct epoll_event event = {.events = (uint16_t)fds[i].events};
        long answer;

        if (fds[i].fd < 0)
            continue;
        answer = SYS_CALL(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fds[i].fd, &event, 0, 0);
        if (answer == -EEXIST) { /* the same one again: for all that it is named for */
            for (size_t j = 0; j < i; j++)
                if (fds[j].fd == fds[i].fd)
                    event.events |= (uint16_t)fds[j].events;
            answer = SYS_CALL(SYS_epoll_ctl, set, EPOLL_CTL_MOD, fds[i].fd, &event, 0, 0);
        }
        if (answer && answer != -EPERM) /* a file, asked for nothing: it never has an event */
            return (int)-answer;
    }
    return 0;
}

/* None is ready. The set, which the caller closes, or a single descriptor, or -1: nothing to wait
 * for but the time. */
static int poll_set(const struct pollfd *fds, size_t n, int *set)
{
    long fd;
    int err;

    *set = -1;
    if (!n || (n == 1 && fds->fd < 0))
        return 0;
    fd = SYS_CALL(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
    if (fd < 0)
        return (int)-fd;
    err = poll_fill((int)fd, fds, n);
    if (err)
        SYS_CALL(SYS_close, fd, 0, 0, 0, 0, 0);
    else
        *set = (int)fd;
    return err;
}

static int user_poll(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    struct user_deadline limit = {CLOCK_MONOTONIC, 0}, *until = NULL;
    bool one = n == 1 && fds->fd >= 0, restart;
    long ready;
    int set = -1, err = 0;

    cancellation_point(io_self());
    ready = io_poll_now(fds, n);
    if (ready || !timeout_ms)
        goto out;
    if (timeout_ms > 0) {
        limit.ns = clock_now_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000000;
        until = &limit;
    }
    if (!one) {
        err = poll_set(fds, n, &set);
        if (err)
            return err;
    }
    do {
        err = one ? poller_wait(fds->fd, (uint16_t)fds->events, until, &restart)
                  : poller_wait(set, EPOLLIN, until, &restart);
        if (err == EPERM) /* a file, asked for nothing */
            err = poller_wait(-1, 0, until, &restart);
        ready = err && err != ETIMEDOUT ? -err : io_poll_now(fds, n);
    } while (!ready && !err && !personal_due(&io_self()->rest->personal));
    if (set >= 0)
        SYS_CALL(SYS_close, set, 0, 0, 0, 0, 0);
    if (!ready)
        cancellation_point(io_self());
out:
    *done = (int)ready;
    return ready < 0 ? (int)-ready : 0;
}

/* ---- waitpid --------------------------------------------------------------------------------- */

static int user_waitpid(pid_t pid, int *status, int options, pid_t *done)
{
    uint64_t ns = USER_RETRY_FIRST_NS;
    bool restart;
    long ended, pidfd = -1;
    int err = 0;

    cancellation_point(io_self());
    for (;;) {
        ended = SYS_CALL(SYS_wait4, pid, status, options | WNOHANG, NULL, 0, 0);
        if (ended || options & WNOHANG || err)
            break;
        if (pidfd == -1 && pid > 0 && !(options & (WUNTRACED | WCONTINUED)))
            pidfd = SYS_CALL(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
        /* No pidfd: an old kernel, or no descriptor is left. */
        err = pidfd >= 0 ? poller_wait((int)pidfd, EPOLLIN, NULL, &restart) : io_nap(&ns, &restart);
        if (err == EINTR && restart)
            err = 0;
        if (personal_due(&io_self()->rest->personal))
            break;
    }
    if (pidfd >= 0)
        SYS_CALL(SYS_close, pidfd, 0, 0, 0, 0, 0);
    if (!ended)
        cancellation_point(io_self());
    *done = (pid_t)ended;
    return ended < 0 ? (int)-ended : ended ? 0 : err;
}

static const struct tl_io_ops user_io_ops = {
    .read = user_read,
    .write = user_write,
    .accept = user_accept,
    .connect = user_connect,
    .poll = user_poll,
    .waitpid = user_waitpid,
#if USER_MN
    .blocking = user_blocking,
#endif
};

#endif

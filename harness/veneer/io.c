/*
 * io.c - reads, writes and sockets: each waits until it can be done without waiting, in one of the
 * ways of wait.c, then is done. A file that is to answer EAGAIN (O_NONBLOCK) is not waited for.
 *
 * What else POSIX has as a cancellation point is one, too, but waits as the plain call does.
 */
#include "veneer.h"

#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

static bool waits(int fd)
{
    int saved = errno, flags;

    if (!veneer.running)
        return false;
    flags = fcntl(fd, F_GETFL);
    errno = saved;
    return flags >= 0 && !(flags & O_NONBLOCK);
}

/* False: errno says why not. */
static bool ready(int fd, short events)
{
    int err = waits(fd) ? veneer_wait_fd(fd, events) : 0;

    if (err)
        errno = err;
    return !err;
}

/* ---- read, write ----------------------------------------------------------------------------- */

static long answer(int err, size_t done)
{
    if (!err)
        return (long)done;
    errno = err;
    return -1;
}

static long read_now(const long *a)
{
    const struct tl_io_ops *io = veneer.impl->io;
    size_t done;
    int err;

    if (io && io->read && waits((int)a[0])) {
        err = io->read((int)a[0], (void *)a[1], (size_t)a[2], &done);
        return answer(err, done);
    }
    return ready((int)a[0], POLLIN) ? read((int)a[0], (void *)a[1], (size_t)a[2]) : -1;
}

ssize_t WRAP(read)(int fd, void *buffer, size_t size);
ssize_t WRAP(read)(int fd, void *buffer, size_t size)
{
    return POINT(read_now, fd, (long)buffer, (long)size);
}

/* Where a write that does not fit would stop the others, in pieces that do: a pipe that is ready
 * takes PIPE_BUF. */
static long write_pieces(int fd, const char *from, size_t size)
{
    size_t done = 0;
    struct stat st;

    if (fstat(fd, &st) || S_ISREG(st.st_mode))
        return write(fd, from, size);
    do {
        size_t piece = size - done < PIPE_BUF ? size - done : PIPE_BUF;
        ssize_t n = ready(fd, POLLOUT) ? write(fd, from + done, piece) : -1;

        if (n < 0)
            return done ? (long)done : -1;
        done += (size_t)n;
    } while (done < size);
    return (long)done;
}

static long write_now(const long *a)
{
    const struct tl_io_ops *io = veneer.impl->io;
    size_t done;
    int err;

    if (io && io->write && waits((int)a[0])) {
        err = io->write((int)a[0], (const void *)a[1], (size_t)a[2], &done);
        return answer(err, done);
    }
    if (!veneer.blocks_alone && waits((int)a[0]))
        return write_pieces((int)a[0], (const char *)a[1], (size_t)a[2]);
    return ready((int)a[0], POLLOUT) ? write((int)a[0], (const void *)a[1], (size_t)a[2]) : -1;
}

ssize_t WRAP(write)(int fd, const void *buffer, size_t size);
ssize_t WRAP(write)(int fd, const void *buffer, size_t size)
{
    return POINT(write_now, fd, (long)buffer, (long)size);
}

static long readv_now(const long *a)
{
    return ready((int)a[0], POLLIN) ? readv((int)a[0], (void *)a[1], (int)a[2]) : -1;
}

ssize_t WRAP(readv)(int fd, const struct iovec *v, int n);
ssize_t WRAP(readv)(int fd, const struct iovec *v, int n)
{
    return POINT(readv_now, fd, (long)v, n);
}

static long writev_now(const long *a)
{
    return ready((int)a[0], POLLOUT) ? writev((int)a[0], (void *)a[1], (int)a[2]) : -1;
}

ssize_t WRAP(writev)(int fd, const struct iovec *v, int n);
ssize_t WRAP(writev)(int fd, const struct iovec *v, int n)
{
    return POINT(writev_now, fd, (long)v, n);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static long accept_now(const long *a)
{
    return ready((int)a[0], POLLIN) ? accept4((int)a[0], (void *)a[1], (void *)a[2], (int)a[3])
                                    : -1;
}

int WRAP(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags);
int WRAP(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return (int)POINT(accept_now, fd, (long)address, (long)size, flags);
}

int WRAP(accept)(int fd, struct sockaddr *address, socklen_t *size);
int WRAP(accept)(int fd, struct sockaddr *address, socklen_t *size)
{
    return __wrap_accept4(fd, address, size, 0);
}

/* A connect that would wait is begun without, and waited for. */
static long connect_now(const long *a)
{
    int fd = (int)a[0], flags, err = 0, result;
    const struct sockaddr *address = (const void *)a[1];
    socklen_t size = (socklen_t)a[2], length = sizeof(err);

    if (!waits(fd))
        return connect(fd, address, size);
    flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    result = connect(fd, address, size);
    if (result)
        err = errno;
    fcntl(fd, F_SETFL, flags);
    if (err == EINPROGRESS) {
        err = veneer_wait_fd(fd, POLLOUT);
        if (!err)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length);
    } else if (err ==
               EAGAIN) { /* a local socket whose queue is full: there is nothing to wait for */
        return connect(fd, address, size);
    }
    return veneer_answer(err);
}

int WRAP(connect)(int fd, const struct sockaddr *address, socklen_t size);
int WRAP(connect)(int fd, const struct sockaddr *address, socklen_t size)
{
    return (int)POINT(connect_now, fd, (long)address, size);
}

static bool ready_for(int fd, short events, int flags)
{
    return flags & MSG_DONTWAIT || ready(fd, events);
}

static long recv_now(const long *a)
{
    return ready_for((int)a[0], POLLIN, (int)a[3]) ? recvfrom((int)a[0], (void *)a[1], (size_t)a[2],
                                                              (int)a[3], (void *)a[4], (void *)a[5])
                                                   : -1;
}

ssize_t WRAP(recvfrom)(int fd, void *buffer, size_t size, int flags, struct sockaddr *from,
                       socklen_t *length);
ssize_t WRAP(recvfrom)(int fd, void *buffer, size_t size, int flags, struct sockaddr *from,
                       socklen_t *length)
{
    return POINT(recv_now, fd, (long)buffer, (long)size, flags, (long)from, (long)length);
}

ssize_t WRAP(recv)(int fd, void *buffer, size_t size, int flags);
ssize_t WRAP(recv)(int fd, void *buffer, size_t size, int flags)
{
    return __wrap_recvfrom(fd, buffer, size, flags, NULL, NULL);
}

static long recvmsg_now(const long *a)
{
    return ready_for((int)a[0], POLLIN, (int)a[2]) ? recvmsg((int)a[0], (void *)a[1], (int)a[2])
                                                   : -1;
}

ssize_t WRAP(recvmsg)(int fd, struct msghdr *message, int flags);
ssize_t WRAP(recvmsg)(int fd, struct msghdr *message, int flags)
{
    return POINT(recvmsg_now, fd, (long)message, flags);
}

static long send_now(const long *a)
{
    return ready_for((int)a[0], POLLOUT, (int)a[3])
               ? sendto((int)a[0], (void *)a[1], (size_t)a[2], (int)a[3], (void *)a[4],
                        (socklen_t)a[5])
               : -1;
}

ssize_t WRAP(sendto)(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *to,
                     socklen_t length);
ssize_t WRAP(sendto)(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *to,
                     socklen_t length)
{
    return POINT(send_now, fd, (long)buffer, (long)size, flags, (long)to, length);
}

ssize_t WRAP(send)(int fd, const void *buffer, size_t size, int flags);
ssize_t WRAP(send)(int fd, const void *buffer, size_t size, int flags)
{
    return __wrap_sendto(fd, buffer, size, flags, NULL, 0);
}

static long sendmsg_now(const long *a)
{
    return ready_for((int)a[0], POLLOUT, (int)a[2]) ? sendmsg((int)a[0], (void *)a[1], (int)a[2])
                                                    : -1;
}

ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags);
ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags)
{
    return POINT(sendmsg_now, fd, (long)message, flags);
}

/* ---- message queues -------------------------------------------------------------------------- */

/* The descriptor of a queue can be polled on Linux. end 0: for ever. */
static bool queue_ready(mqd_t queue, short events, const struct timespec *until)
{
    struct pollfd one = {.fd = (int)queue, .events = events};
    const struct veneer_thread *self = veneer_self();
    uint32_t interrupted = veneer_interrupted(self);

    if (!waits((int)queue))
        return true;
    if (!until)
        return ready((int)queue, events);
    while (!poll(&one, 1, 0)) {
        if (veneer_interrupted(self) != interrupted) {
            errno = EINTR;
            return false;
        }
        if (!veneer_time_ok(until) || veneer_now(CLOCK_REALTIME) >= veneer_ns(until))
            return true; /* the plain call says so */
        veneer_pause(VENEER_POLL_NS);
    }
    return true;
}

static long mq_receive_now(const long *a)
{
    if (!queue_ready((mqd_t)a[0], POLLIN, (void *)a[4]))
        return -1;
    return a[4] ? mq_timedreceive((mqd_t)a[0], (void *)a[1], (size_t)a[2], (void *)a[3],
                                  (void *)a[4])
                : mq_receive((mqd_t)a[0], (void *)a[1], (size_t)a[2], (void *)a[3]);
}

ssize_t WRAP(mq_timedreceive)(mqd_t queue, char *message, size_t size, unsigned *priority,
                              const struct timespec *until);
ssize_t WRAP(mq_timedreceive)(mqd_t queue, char *message, size_t size, unsigned *priority,
                              const struct timespec *until)
{
    return POINT(mq_receive_now, queue, (long)message, (long)size, (long)priority, (long)until);
}

ssize_t WRAP(mq_receive)(mqd_t queue, char *message, size_t size, unsigned *priority);
ssize_t WRAP(mq_receive)(mqd_t queue, char *message, size_t size, unsigned *priority)
{
    return __wrap_mq_timedreceive(queue, message, size, priority, NULL);
}

static long mq_send_now(const long *a)
{
    if (!queue_ready((mqd_t)a[0], POLLOUT, (void *)a[4]))
        return -1;
    return a[4]
               ? mq_timedsend((mqd_t)a[0], (void *)a[1], (size_t)a[2], (unsigned)a[3], (void *)a[4])
               : mq_send((mqd_t)a[0], (void *)a[1], (size_t)a[2], (unsigned)a[3]);
}

int WRAP(mq_timedsend)(mqd_t queue, const char *message, size_t size, unsigned priority,
                       const struct timespec *until);
int WRAP(mq_timedsend)(mqd_t queue, const char *message, size_t size, unsigned priority,
                       const struct timespec *until)
{
    return (int)POINT(mq_send_now, queue, (long)message, (long)size, (long)priority, (long)until);
}

int WRAP(mq_send)(mqd_t queue, const char *message, size_t size, unsigned priority);
int WRAP(mq_send)(mqd_t queue, const char *message, size_t size, unsigned priority)
{
    return __wrap_mq_timedsend(queue, message, size, priority, NULL);
}

/* ---- the other cancellation points ----------------------------------------------------------- */

/* Where the plain call is one already it runs within a point, so that our handlers run in time;
 * elsewhere it is looked before it. */
#define PLAIN(type, name, parameters, arguments, call) \
    static long name##_now(const long *a)              \
    {                                                  \
        return (long)(call);                           \
    }                                                  \
    type WRAP(name) parameters;                        \
    type WRAP(name) parameters                         \
    {                                                  \
        return (type)POINT(name##_now, arguments);     \
    }
#define LIST(...) __VA_ARGS__

PLAIN(int, close, (int fd), LIST(fd), close((int)a[0]))
PLAIN(int, fsync, (int fd), LIST(fd), fsync((int)a[0]))
PLAIN(int, fdatasync, (int fd), LIST(fd), fdatasync((int)a[0]))
PLAIN(int, msync, (void *at, size_t size, int flags), LIST((long)at, (long)size, flags),
      msync((void *)a[0], (size_t)a[1], (int)a[2]))
PLAIN(int, tcdrain, (int fd), LIST(fd), tcdrain((int)a[0]))

/* With _FILE_OFFSET_BITS=64 a program calls the name with 64 at its end. */
_Static_assert(sizeof(off_t) == sizeof(off64_t), "one function serves both names");
#define PREAD(name)                                                     \
    PLAIN(ssize_t, name, (int fd, void *buffer, size_t size, off_t at), \
          LIST(fd, (long)buffer, (long)size, at),                       \
          pread((int)a[0], (void *)a[1], (size_t)a[2], a[3]))
#define PWRITE(name)                                                          \
    PLAIN(ssize_t, name, (int fd, const void *buffer, size_t size, off_t at), \
          LIST(fd, (long)buffer, (long)size, at),                             \
          pwrite((int)a[0], (const void *)a[1], (size_t)a[2], a[3]))
PREAD(pread)
PREAD(pread64)
PWRITE(pwrite)
PWRITE(pwrite64)

/* open: the mode counts with O_CREAT only, and is harmless without. */
static long open_now(const long *a)
{
    return veneer_open_file((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
}

static mode_t mode_of(int flags, va_list list)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0;
}

#define OPEN(name)                                                      \
    int WRAP(name)(const char *path, int flags, ...);                   \
    int WRAP(name)(const char *path, int flags, ...)                    \
    {                                                                   \
        va_list list;                                                   \
        mode_t mode;                                                    \
        va_start(list, flags);                                          \
        mode = mode_of(flags, list);                                    \
        va_end(list);                                                   \
        return (int)POINT(open_now, AT_FDCWD, (long)path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                              \
    int WRAP(name)(int at, const char *path, int flags, ...);     \
    int WRAP(name)(int at, const char *path, int flags, ...)      \
    {                                                             \
        va_list list;                                             \
        mode_t mode;                                              \
        va_start(list, flags);                                    \
        mode = mode_of(flags, list);                              \
        va_end(list);                                             \
        return (int)POINT(open_now, at, (long)path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name)                                                                            \
    int WRAP(name)(const char *path, mode_t mode);                                             \
    int WRAP(name)(const char *path, mode_t mode)                                              \
    {                                                                                          \
        return (int)POINT(open_now, AT_FDCWD, (long)path, O_CREAT | O_WRONLY | O_TRUNC, mode); \
    }
CREAT(creat)
CREAT(creat64)

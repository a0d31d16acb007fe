/*
 * io.c - reads and writes: each waits until it can be done without waiting, in one of the
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

bool veneer_waits(int fd)
{
    int saved = errno, flags;

    if (!veneer.running)
        return false;
    flags = fcntl(fd, F_GETFL);
    errno = saved;
    return flags >= 0 && !(flags & O_NONBLOCK);
}

bool veneer_ready(int fd, short events)
{
    int err = veneer_waits(fd) ? veneer_wait_fd(fd, events) : 0;

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

    if (io && io->read && veneer_waits((int)a[0])) {
        err = io->read((int)a[0], (void *)a[1], (size_t)a[2], &done);
        return answer(err, done);
    }
    return veneer_ready((int)a[0], POLLIN) ? read((int)a[0], (void *)a[1], (size_t)a[2]) : -1;
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
        ssize_t n = veneer_ready(fd, POLLOUT) ? write(fd, from + done, piece) : -1;

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

    if (io && io->write && veneer_waits((int)a[0])) {
        err = io->write((int)a[0], (const void *)a[1], (size_t)a[2], &done);
        return answer(err, done);
    }
    if (!veneer.blocks_alone && veneer_waits((int)a[0]))
        return write_pieces((int)a[0], (const char *)a[1], (size_t)a[2]);
    return veneer_ready((int)a[0], POLLOUT) ? write((int)a[0], (const void *)a[1], (size_t)a[2])
                                            : -1;
}

ssize_t WRAP(write)(int fd, const void *buffer, size_t size);
ssize_t WRAP(write)(int fd, const void *buffer, size_t size)
{
    return POINT(write_now, fd, (long)buffer, (long)size);
}

static long readv_now(const long *a)
{
    return veneer_ready((int)a[0], POLLIN) ? readv((int)a[0], (void *)a[1], (int)a[2]) : -1;
}

ssize_t WRAP(readv)(int fd, const struct iovec *v, int n);
ssize_t WRAP(readv)(int fd, const struct iovec *v, int n)
{
    return POINT(readv_now, fd, (long)v, n);
}

/* What fits into a pipe at once is written at once; of more, each part waits by itself. A message
 * has its bounds: the socket's own call. */
static long write_parts(int fd, const struct iovec *v, int n)
{
    char whole[PIPE_BUF];
    size_t size = 0;
    long done = 0;

    for (int i = 0; i < n; i++)
        size += v[i].iov_len;
    if (size <= sizeof whole) {
        size = 0;
        for (int i = 0; i < n; size += v[i++].iov_len)
            if (v[i].iov_len)
                memcpy(whole + size, v[i].iov_base, v[i].iov_len);
        return write_now((const long[]){fd, (long)whole, (long)size});
    }
    for (int i = 0; i < n; i++) {
        long part = v[i].iov_len
                        ? write_now((const long[]){fd, (long)v[i].iov_base, (long)v[i].iov_len})
                        : 0;

        if (part < 0)
            return done ? done : -1;
        done += part;
        if ((size_t)part < v[i].iov_len)
            break;
    }
    return done;
}

static long writev_now(const long *a)
{
    int fd = (int)a[0], n = (int)a[2];
    struct iovec *v = (void *)a[1];
    struct stat st;

    if (!veneer.blocks_alone && n > 0 && n <= IOV_MAX && veneer_waits(fd) && !fstat(fd, &st)) {
        struct msghdr message = {.msg_iov = v, .msg_iovlen = (size_t)n};

        if (S_ISSOCK(st.st_mode))
            return veneer_send(fd, &message, 0);
        if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
            return write_parts(fd, v, n);
    }
    return veneer_ready(fd, POLLOUT) ? writev(fd, v, n) : -1;
}

ssize_t WRAP(writev)(int fd, const struct iovec *v, int n);
ssize_t WRAP(writev)(int fd, const struct iovec *v, int n)
{
    return POINT(writev_now, fd, (long)v, n);
}

/* ---- message queues -------------------------------------------------------------------------- */

/* What a call on a queue is given. */
struct queued {
    bool sends;
    mqd_t queue;
    char *message;
    size_t size;
    unsigned *priority;
    const struct timespec *until; /* NULL: for ever */
};

static long queue_call(const struct queued *q, const struct timespec *until)
{
    return q->sends ? mq_timedsend(q->queue, q->message, q->size, *q->priority, until)
                    : mq_timedreceive(q->queue, q->message, q->size, q->priority, until);
}

/* Until the queue may have what is waited for; false: errno says why not. */
static bool queue_ready(const struct queued *q, uint32_t interrupted)
{
    if (!q->until)
        return veneer_ready((int)q->queue, q->sends ? POLLOUT : POLLIN);
    veneer_pause(VENEER_POLL_NS);
    if (veneer_interrupted(veneer_self()) == interrupted)
        return true;
    errno = EINTR;
    return false;
}

/* A call whose time is over does not wait, but finds what there is, or what is wrong. One that
 * stops nobody else waits in the kernel, in slices, as XSH mq_notify wants: who waits for a message
 * gets it, and nobody is notified. */
static long queue_now(const struct queued *q)
{
    uint32_t interrupted = veneer_interrupted(veneer_self());
    struct timespec slice = {0};
    uint64_t now, end;
    long n;

    if (!veneer.running)
        return queue_call(q, q->until);
    for (;;) {
        if (veneer.blocks_alone && (!q->until || veneer_time_ok(q->until))) {
            now = veneer_now(CLOCK_REALTIME);
            end = q->until ? veneer_ns(q->until) : UINT64_MAX;
            slice = veneer_timespec(end < now + VENEER_SLICE_NS ? end : now + VENEER_SLICE_NS);
        }
        n = queue_call(q, &slice);
        if (n >= 0 || errno != ETIMEDOUT)
            return n;
        if (q->until && !veneer_time_ok(q->until))
            return veneer_answer(EINVAL);
        if (q->until && veneer_now(CLOCK_REALTIME) >= veneer_ns(q->until))
            return veneer_answer(ETIMEDOUT);
        if (veneer.blocks_alone)
            veneer_test();
        else if (!queue_ready(q, interrupted))
            return -1;
    }
}

static long mq_receive_now(const long *a)
{
    return queue_now(&(struct queued){false, (mqd_t)a[0], (void *)a[1], (size_t)a[2], (void *)a[3],
                                      (void *)a[4]});
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
    unsigned priority = (unsigned)a[3];

    return queue_now(
        &(struct queued){true, (mqd_t)a[0], (void *)a[1], (size_t)a[2], &priority, (void *)a[4]});
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

#define OPEN(name, parameters, at)                                \
    int WRAP(name) parameters;                                    \
    int WRAP(name) parameters                                     \
    {                                                             \
        va_list list;                                             \
        mode_t mode;                                              \
        va_start(list, flags);                                    \
        mode = mode_of(flags, list);                              \
        va_end(list);                                             \
        return (int)POINT(open_now, at, (long)path, flags, mode); \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int at, const char *path, int flags, ...), at)
OPEN(openat64, (int at, const char *path, int flags, ...), at)

#define CREAT(name)                                                                            \
    int WRAP(name)(const char *path, mode_t mode);                                             \
    int WRAP(name)(const char *path, mode_t mode)                                              \
    {                                                                                          \
        return (int)POINT(open_now, AT_FDCWD, (long)path, O_CREAT | O_WRONLY | O_TRUNC, mode); \
    }
CREAT(creat)
CREAT(creat64)

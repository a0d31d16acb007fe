/*
 * socket.c - sockets: each call waits until it can be done without waiting, as those of io.c.
 */
#include "veneer.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static bool is_stream(int fd)
{
    int type = 0, saved = errno;
    socklen_t size = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
        errno = saved;
    return type == SOCK_STREAM;
}

/* Of several threads that wait for a connection one gets it, and the others go on waiting. */
static long accept_now(const long *a)
{
    const struct tl_io_ops *io = veneer.impl->io;
    int fd = (int)a[0], got = -1, err;

    if (!veneer.blocks_alone && io && io->accept && veneer_waits(fd)) {
        err = io->accept(fd, (void *)a[1], (unsigned *)a[2], (int)a[3], &got);
        return err ? veneer_answer(err) : got;
    }
    return veneer_ready(fd, POLLIN) ? accept4(fd, (void *)a[1], (void *)a[2], (int)a[3]) : -1;
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

    if (!veneer_waits(fd))
        return connect(fd, address, size);
    flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    result = connect(fd, address, size);
    if (result)
        err = errno;
    fcntl(fd, F_SETFL, flags);
    if (err == EINPROGRESS) {
        err = veneer_wait_fd(fd, POLLOUT);
        if (err == EAGAIN) /* SO_SNDTIMEO: it goes on */
            err = EINPROGRESS;
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
    return flags & MSG_DONTWAIT || veneer_ready(fd, events);
}

/* Where the plain call would stop the others, and what made the socket ready may be another
 * thread's by now. MSG_WAITALL: until all of it is there. */
static long recv_some(const long *a)
{
    int fd = (int)a[0], flags = ((int)a[3] & ~MSG_WAITALL) | MSG_DONTWAIT;
    size_t size = (size_t)a[2], done = 0;
    bool all = (int)a[3] & MSG_WAITALL && !((int)a[3] & MSG_PEEK) && is_stream(fd);

    for (;;) {
        ssize_t n = veneer_ready(fd, POLLIN) ? recvfrom(fd, (char *)a[1] + done, size - done, flags,
                                                        (void *)a[4], (void *)a[5])
                                             : -2;

        if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
            continue;
        if (n < 0)
            return done ? (long)done : -1;
        done += (size_t)n;
        if (!all || !n || done == size)
            return (long)done;
    }
}

static long recv_now(const long *a)
{
    if (!veneer.blocks_alone && !((int)a[3] & (MSG_DONTWAIT | MSG_ERRQUEUE)) &&
        veneer_waits((int)a[0]))
        return recv_some(a);
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

long veneer_send(int fd, const struct msghdr *message, int flags)
{
    const struct iovec *v = message->msg_iov;
    size_t part = 0, offset = 0, done = 0, parts = message->msg_iovlen;
    bool stream = is_stream(fd);
    struct msghdr rest = *message;
    struct iovec cut;

    for (;;) {
        ssize_t n = veneer_ready(fd, POLLOUT) ? sendmsg(fd, &rest, flags | MSG_DONTWAIT) : -2;

        if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            veneer_pause(VENEER_POLL_NS); /* ready, but not for this much, or for this receiver */
            continue;
        }
        if (n < 0)
            return done ? (long)done : -1;
        done += (size_t)n;
        offset += (size_t)n;
        while (part < parts && offset >= v[part].iov_len)
            offset -= v[part++].iov_len;
        if (!stream || part == parts)
            return (long)done;
        /* The caller's parts stay as they are: one that is sent in part goes on by itself. */
        cut = (struct iovec){(char *)v[part].iov_base + offset, v[part].iov_len - offset};
        rest = (struct msghdr){.msg_iov = offset ? &cut : message->msg_iov + part,
                               .msg_iovlen = offset ? 1 : parts - part};
    }
}

static bool sends_alone(int fd, int flags)
{
    return !veneer.blocks_alone && !(flags & MSG_DONTWAIT) && veneer_waits(fd);
}

static long send_now(const long *a)
{
    struct iovec v = {(void *)a[1], (size_t)a[2]};
    struct msghdr message = {
        .msg_name = (void *)a[4], .msg_namelen = (socklen_t)a[5], .msg_iov = &v, .msg_iovlen = 1};

    if (sends_alone((int)a[0], (int)a[3]))
        return veneer_send((int)a[0], &message, (int)a[3]);
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
    if (sends_alone((int)a[0], (int)a[2]))
        return veneer_send((int)a[0], (const struct msghdr *)a[1], (int)a[2]);
    return ready_for((int)a[0], POLLOUT, (int)a[2]) ? sendmsg((int)a[0], (void *)a[1], (int)a[2])
                                                    : -1;
}

ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags);
ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags)
{
    return POINT(sendmsg_now, fd, (long)message, flags);
}

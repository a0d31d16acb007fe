/*
 * io.h - one way to make a call that may block: by the jacket of the implementation where there is
 * one, else the plain call. For checks and benchmarks.
 *
 *     if (!io_offered(ctx, accept)) return tl_refused(ctx, "io.accept");
 *
 * All answer 0 or an error number. The control, where a thread runs within create, has nobody who
 * could end a wait: there the plain call is given IO_CONTROL_MS, and answers EDEADLK.
 */
#ifndef SUITES_IO_H
#define SUITES_IO_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define IO_CONTROL_MS 100

#define io_has(ctx, member) ((ctx)->impl->io && (ctx)->impl->io->member)

/* A call that stops its caller only can be made. Else the refusal is of "io.MEMBER". */
#define io_offered(ctx, member) \
    (io_has(ctx, member) || tl_trait(ctx, TL_BLOCKS_ALONE) || !tl_trait(ctx, TL_CONCURRENT))

/* False: it would block the control for ever. */
static inline bool io_control_ready(struct tl_ctx *ctx, int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return tl_trait(ctx, TL_CONCURRENT) || poll(&p, 1, IO_CONTROL_MS) != 0;
}

static inline int io_answer(ssize_t answer)
{
    return answer < 0 ? errno : 0;
}

static inline int io_read(struct tl_ctx *ctx, int fd, void *buffer, size_t size, size_t *done)
{
    ssize_t n;

    if (io_has(ctx, read))
        return ctx->impl->io->read(fd, buffer, size, done);
    if (!io_control_ready(ctx, fd, POLLIN))
        return EDEADLK;
    n = read(fd, buffer, size);
    *done = n < 0 ? 0 : (size_t)n;
    return io_answer(n);
}

static inline int io_write(struct tl_ctx *ctx, int fd, const void *buffer, size_t size,
                           size_t *done)
{
    ssize_t n;

    if (io_has(ctx, write))
        return ctx->impl->io->write(fd, buffer, size, done);
    if (!io_control_ready(ctx, fd, POLLOUT))
        return EDEADLK;
    n = write(fd, buffer, size);
    *done = n < 0 ? 0 : (size_t)n;
    return io_answer(n);
}

static inline int io_accept(struct tl_ctx *ctx, int fd, int flags, int *done)
{
    if (io_has(ctx, accept))
        return ctx->impl->io->accept(fd, NULL, NULL, flags, done);
    if (!io_control_ready(ctx, fd, POLLIN))
        return EDEADLK;
    *done = accept4(fd, NULL, NULL, flags);
    return io_answer(*done);
}

static inline int io_connect(struct tl_ctx *ctx, int fd, const void *address, unsigned size)
{
    if (io_has(ctx, connect))
        return ctx->impl->io->connect(fd, address, size);
    return io_answer(connect(fd, address, size));
}

static inline int io_poll(struct tl_ctx *ctx, struct pollfd *fds, size_t n, int timeout_ms,
                          int *done)
{
    bool control = !tl_trait(ctx, TL_CONCURRENT);

    if (io_has(ctx, poll))
        return ctx->impl->io->poll(fds, n, timeout_ms, done);
    *done = poll(fds, n, control && timeout_ms < 0 ? IO_CONTROL_MS : timeout_ms);
    return control && timeout_ms < 0 && !*done ? EDEADLK : io_answer(*done);
}

static inline int io_waitpid(struct tl_ctx *ctx, pid_t pid, int *status, int options, pid_t *done)
{
    if (io_has(ctx, waitpid))
        return ctx->impl->io->waitpid(pid, status, options, done);
    if (!tl_trait(ctx, TL_CONCURRENT) && !(options & WNOHANG)) {
        *done = waitpid(pid, status, options | WNOHANG);
        for (int ms = 0; !*done && ms < IO_CONTROL_MS; ms++) {
            usleep(1000);
            *done = waitpid(pid, status, options | WNOHANG);
        }
        return *done ? io_answer(*done) : EDEADLK;
    }
    *done = waitpid(pid, status, options);
    return io_answer(*done);
}

#endif

/*
 * waits.h - the ways to wait in a blocking call, as the checks of them bring them about: for each
 * what makes it wait, the call, and what ends the wait.
 *
 *     w->before()    first thread: the call will have to wait
 *     w->call()      any thread
 *     w->let()       first thread: now it need not wait; looks at what came of it
 *     w->after()     first thread: tidies up
 */
#ifndef SUITES_IO_WAITS_H
#define SUITES_IO_WAITS_H

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/un.h>

#include "check.h"

#include "../common/io.h"

static struct tl_ctx *ctx;
static int ends[2];

/* One call, as the waiting thread makes it, and what ends it. */
struct wait {
    const char *name;
    bool (*before)(void); /* first thread. False: noted */
    int (*call)(void);    /* the waiting thread; notes what is wrong with an answer of 0 */
    void (*let)(void);    /* first thread: ends the wait */
    void (*after)(void);  /* first thread */
};
static bool system_call(bool worked, const char *what)
{
    return TL_EXPECT(ctx, worked, "%s: %s", what, strerror(errno));
}

/* ---- read ------------------------------------------------------------------------------------ */

static bool pipe_before(void)
{
    return system_call(pipe(ends) == 0, "pipe");
}

static void pipe_after(void)
{
    close(ends[0]);
    close(ends[1]);
}

static int read_call(void)
{
    char bytes[8] = "";
    size_t done = 0;
    int err = io_read(ctx, ends[0], bytes, sizeof(bytes), &done);

    TL_EXPECT(ctx, err || (done == 3 && !memcmp(bytes, "abc", 3)),
              "read answered %zu bytes, not the 3 that were written", done);
    return err;
}

static void read_let(void)
{
    system_call(write(ends[1], "abc", 3) == 3, "write");
}

/* ---- write ----------------------------------------------------------------------------------- */

#define MUCH (1 << 18) /* more than a pipe holds */

/* The pipe is full already. write_size: set by the check before `before`. */
static char much[MUCH];
static size_t write_size, filled, seen;
static bool write_lost; /* the write that waits will not be made */

static bool write_before(void)
{
    ssize_t n;

    for (size_t i = 0; i < MUCH; i++)
        much[i] = (char)(i % 251);
    if (!pipe_before() || !system_call(!fcntl(ends[1], F_SETFL, O_NONBLOCK), "fcntl"))
        return false;
    seen = 0;
    for (filled = 0; (n = write(ends[1], much + filled, 4096)) > 0; filled += (size_t)n)
        ;
    return system_call(!fcntl(ends[1], F_SETFL, 0), "fcntl");
}

static int write_call(void)
{
    size_t done = 0;
    int err = io_write(ctx, ends[1], much, write_size, &done);

    TL_EXPECT(ctx, err || done == write_size, "write answered %zu of %zu bytes", done, write_size);
    return err;
}

/* Whatever has come so far; never waits. */
static void drain(void)
{
    char bytes[4096];
    struct pollfd p = {.fd = ends[0], .events = POLLIN};

    while (poll(&p, 1, 0) == 1) {
        ssize_t n = read(ends[0], bytes, sizeof(bytes));

        if (!system_call(n > 0, "read"))
            return;
        for (ssize_t i = 0; i < n; i++, seen++)
            if (!TL_EXPECT(ctx,
                           bytes[i] == much[seen < filled ? seen : (seen - filled) % write_size],
                           "byte %zu is another", seen))
                return;
    }
}

static void write_let(void)
{
    size_t all = filled + (write_lost ? 0 : write_size);
    uint64_t until = tl_now_ns() + 10000000000u;

    for (drain(); seen < all && tl_verdict(ctx) == TL_OK && tl_now_ns() < until; drain())
        ctx->impl->yield();
    TL_EXPECT(ctx, seen == all, "%zu of %zu bytes came through", seen, all);
}

/* ---- accept ---------------------------------------------------------------------------------- */

static int listener, caller;
static struct sockaddr_un address;
static socklen_t address_size;

static bool listen_before(int backlog)
{
    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    address_size = sizeof(address);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    caller = socket(AF_UNIX, SOCK_STREAM, 0);
    /* Without a path: the kernel gives it a name of its own. */
    return system_call(listener >= 0 && caller >= 0, "socket") &&
           system_call(!bind(listener, (void *)&address, sizeof(sa_family_t)), "bind") &&
           system_call(!listen(listener, backlog), "listen") &&
           system_call(!getsockname(listener, (void *)&address, &address_size), "getsockname");
}

static bool accept_before(void)
{
    return listen_before(4);
}

static int accept_call(void)
{
    int fd = -1, err = io_accept(ctx, listener, SOCK_CLOEXEC | SOCK_NONBLOCK, &fd);

    if (err)
        return err;
    TL_EXPECT(ctx, fcntl(fd, F_GETFD) & FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK,
              "the new socket has not got the flags that were asked for");
    TL_EXPECT(ctx, !(fcntl(listener, F_GETFL) & O_NONBLOCK), "the listener has got O_NONBLOCK");
    close(fd);
    return 0;
}

static void accept_let(void)
{
    system_call(!connect(caller, (void *)&address, address_size), "connect");
}

static void sockets_after(void)
{
    close(listener);
    close(caller);
}

/* ---- connect --------------------------------------------------------------------------------- */

static int first;

/* The listener has no room after the first one. */
static bool connect_before(void)
{
    if (!listen_before(0))
        return false;
    first = socket(AF_UNIX, SOCK_STREAM, 0);
    return system_call(first >= 0, "socket") &&
           system_call(!connect(first, (void *)&address, address_size), "the first connect");
}

/* The control would wait for ever. */
static int connect_call(void)
{
    if (!tl_trait(ctx, TL_CONCURRENT))
        return EDEADLK;
    return io_connect(ctx, caller, &address, address_size);
}

static void connect_let(void)
{
    int fd = accept(listener, NULL, NULL);

    system_call(fd >= 0, "accept");
    close(fd);
}

static void connect_after(void)
{
    sockets_after();
    close(first);
}

/* ---- poll ------------------------------------------------------------------------------------ */

static int poll_call(void)
{
    struct pollfd p[2] = {{.fd = ends[1], .events = 0}, {.fd = ends[0], .events = POLLIN}};
    int n = -1, err = io_poll(ctx, p, 2, -1, &n);

    TL_EXPECT(ctx, err || (n == 1 && !p[0].revents && p[1].revents == POLLIN),
              "poll answered %d, events %x and %x", n, (unsigned)p[0].revents,
              (unsigned)p[1].revents);
    return err;
}

/* ---- waitpid --------------------------------------------------------------------------------- */

static pid_t child;

/* It ends when it is let. */
static bool child_before(void)
{
    char byte;

    if (!pipe_before())
        return false;
    child = fork();
    if (child == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 1 ? 7 : 8);
    }
    return system_call(child > 0, "fork");
}

static int wait_for(pid_t pid)
{
    int status = 0;
    pid_t done = 0;
    int err = io_waitpid(ctx, pid, &status, 0, &done);

    TL_EXPECT(ctx, err || (done == child && WIFEXITED(status) && WEXITSTATUS(status) == 7),
              "waitpid answered %d, not %d, with status %x", (int)done, (int)child,
              (unsigned)status);
    return err;
}

static int wait_one(void)
{
    return wait_for(child);
}

static int wait_any(void)
{
    return wait_for(-1);
}

static int wait_group(void)
{
    return wait_for(0);
}

/* The control has not waited for it. */
static void child_after(void)
{
    if (!tl_trait(ctx, TL_CONCURRENT))
        waitpid(child, NULL, 0);
    pipe_after();
}

/* ---- all of them ----------------------------------------------------------------------------- */

enum { READ, WRITE, ACCEPT, CONNECT, POLL, WAITPID, WAITPID_ANY, WAITPID_GROUP, WAITS };

static const struct wait waits_in[WAITS] = {
    {"read", pipe_before, read_call, read_let, pipe_after},
    {"write", write_before, write_call, write_let, pipe_after},
    {"accept", accept_before, accept_call, accept_let, sockets_after},
    {"connect", connect_before, connect_call, connect_let, connect_after},
    {"poll", pipe_before, poll_call, read_let, pipe_after},
    {"waitpid of a child", child_before, wait_one, read_let, child_after},
    {"waitpid of any child", child_before, wait_any, read_let, child_after},
    {"waitpid of the group", child_before, wait_group, read_let, child_after},
};

/* NULL, or the member that the implementation would need for it: "io.accept". */
static const char *waits_refused(struct tl_ctx *c, int wait)
{
    switch (wait) {
    case READ:
        return io_offered(c, read) ? NULL : "io.read";
    case WRITE:
        return io_offered(c, write) ? NULL : "io.write";
    case ACCEPT:
        return io_offered(c, accept) ? NULL : "io.accept";
    case CONNECT:
        return io_offered(c, connect) ? NULL : "io.connect";
    case POLL:
        return io_offered(c, poll) ? NULL : "io.poll";
    default:
        return io_offered(c, waitpid) ? NULL : "io.waitpid";
    }
}

#endif

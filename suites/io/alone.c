/*
 * alone.c - io.read-blocks-alone, io.write-blocks-alone, io.accept-blocks-alone,
 * io.connect-blocks-alone, io.poll-blocks-alone, io.waitpid-blocks-alone: a thread that waits in
 * the call stops nobody else, and comes back with the right answer when the wait is over.
 *
 * In each, one thread waits in the call until another one has taken its turns and ends the wait.
 */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/un.h>

#include "check.h"

#include "../common/io.h"
#include "../common/mutant.h"

#define ROUNDS 10
#define TURNS 10 /* of the other: each may cost a time slice */

static struct tl_ctx *ctx;
static _Atomic int waits;
static int ends[2];

/* One call, as the waiting thread makes it, and what ends it. */
struct wait {
    const char *name;
    bool (*before)(void); /* first thread. False: noted */
    int (*call)(void);    /* the waiting thread; notes what is wrong with an answer of 0 */
    void (*let)(void);    /* first thread: ends the wait */
    void (*after)(void);  /* first thread */
};
static const struct wait *wait_now;

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

#define MUCH (1 << 20) /* more than a pipe holds */

static char much[MUCH];
static size_t seen;

static int write_call(void)
{
    size_t done = 0;
    int err;

    for (size_t i = 0; i < MUCH; i++)
        much[i] = (char)(i % 251);
    err = io_write(ctx, ends[1], much, MUCH, &done);
    TL_EXPECT(ctx, err || done == MUCH, "write answered %zu of %d bytes", done, MUCH);
    return err;
}

/* Whatever has come so far; never waits. */
static void drain(void)
{
    char bytes[4096];
    struct pollfd p = {.fd = ends[0], .events = POLLIN};

    while (seen < MUCH && poll(&p, 1, 0) == 1) {
        ssize_t n = read(ends[0], bytes, sizeof(bytes));

        if (!system_call(n > 0, "read"))
            return;
        for (ssize_t i = 0; i < n; i++, seen++)
            if (!TL_EXPECT(ctx, bytes[i] == (char)(seen % 251), "byte %zu is another", seen))
                return;
    }
}

static void write_let(void)
{
    uint64_t until = tl_now_ns() + 10000000000u;

    for (seen = 0; seen < MUCH && tl_verdict(ctx) == TL_OK && tl_now_ns() < until;) {
        drain();
        ctx->impl->yield();
    }
    TL_EXPECT(ctx, seen == MUCH, "%zu of %d bytes came through", seen, MUCH);
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

/* ---- the checks ------------------------------------------------------------------------------ */

static void *waiter(void *arg)
{
    atomic_store(&waits, 1);
    tl_delay(ctx, "before the call");
    TL_EXPECT(ctx, tl_call(ctx, wait_now->name, wait_now->call(), 0), "%s", wait_now->name);
    return arg;
}

static void one_round(const struct wait *w)
{
    struct tl_thread t;

    atomic_store(&waits, 0);
    wait_now = w;
    if (!w->before())
        return;
    if (tl_start(ctx, 1, &t, waiter, NULL)) {
        if (tl_await(ctx, &waits, "the other thread to be about to wait"))
            for (int i = 0; i < TURNS; i++)
                ctx->impl->yield();
        tl_delay(ctx, "before the wait is ended");
        w->let(); /* whatever happened: it is to come back */
        tl_finish(ctx, t);
    }
    w->after();
}

static enum tl_status rounds(struct tl_ctx *c, const struct wait *w)
{
    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++)
        one_round(w);
    return tl_verdict(c);
}

static const struct wait waits_in[] = {
    {"read", pipe_before, read_call, read_let, pipe_after},
    {"write", pipe_before, write_call, write_let, pipe_after},
    {"accept", accept_before, accept_call, accept_let, sockets_after},
    {"connect", connect_before, connect_call, connect_let, connect_after},
    {"poll", pipe_before, poll_call, read_let, pipe_after},
    {"waitpid of a child", child_before, wait_one, read_let, child_after},
    {"waitpid of any child", child_before, wait_any, read_let, child_after},
    {"waitpid of the group", child_before, wait_group, read_let, child_after},
};

#define RUN(function, member, i)                     \
    static enum tl_status function(struct tl_ctx *c) \
    {                                                \
        if (!io_offered(c, member))                  \
            return tl_refused(c, "io." #member);     \
        return rounds(c, &waits_in[i]);              \
    }
RUN(run_read, read, 0)
RUN(run_write, write, 1)
RUN(run_accept, accept, 2)
RUN(run_connect, connect, 3)
RUN(run_poll, poll, 4)

static enum tl_status run_waitpid(struct tl_ctx *c)
{
    if (!io_offered(c, waitpid))
        return tl_refused(c, "io.waitpid");
    if (rounds(c, &waits_in[5]) == TL_OK && rounds(c, &waits_in[6]) == TL_OK)
        rounds(c, &waits_in[7]);
    return tl_verdict(c);
}

#define CHECK(symbol, call, what, from, function)                                                  \
    static const struct tl_check symbol = {                                                        \
        .abi = TL_ABI,                                                                             \
        .name = "io." call "-blocks-alone",                                                        \
        .group = "Blocking calls",                                                                 \
        .promise = "a thread that waits in " call " stops nobody else, and answers " what,         \
        .source = from,                                                                            \
        .method = "a thread makes the call where it has to wait; another one takes ten turns and " \
                  "then ends the wait; 10 seeded rounds",                                          \
        .meaning = "whoever stops all threads in the call never ends its wait; the call is the "   \
                   "implementation's, where it has one, else the plain one",                       \
        .flags = TL_CHECK_CONCURRENT,                                                              \
        .run = function,                                                                           \
    };                                                                                             \
    TL_CHECK(symbol)
CHECK(alone_read, "read", "the bytes that came",
      "POSIX.1-2017 XSH read (\"shall block the calling thread\")", run_read);
CHECK(alone_write, "write", "that all of a megabyte was written, which came through in order",
      "POSIX.1-2017 XSH write (\"a write request may cause the thread to block, but on normal "
      "completion it shall return nbyte\")",
      run_write);
CHECK(alone_accept, "accept", "a socket that has the flags which were asked for",
      "POSIX.1-2017 XSH accept (\"shall block until a connection is present\"); accept4(2)",
      run_accept);
CHECK(alone_connect, "connect", "success when a full listener has room again",
      "POSIX.1-2017 XSH connect (\"shall block for up to an unspecified timeout interval until "
      "the connection is established\"); unix(7)",
      run_connect);
CHECK(alone_poll, "poll", "the one descriptor of two that is ready",
      "POSIX.1-2017 XSH poll (\"shall wait ... for an event to occur\")", run_poll);
CHECK(alone_waitpid, "waitpid", "for a child, any child and one of the group how it ended",
      "POSIX.1-2017 XSH waitpid (\"shall suspend execution of the calling thread\")", run_waitpid);

/* ---- mutants --------------------------------------------------------------------------------- */

#define PATIENCE_MS 300 /* the plain call, cut short so that the check ends */

/* What the plain call does to all threads. EDEADLK: nobody has come in that time. */
static int stop_all(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, PATIENCE_MS) ? 0 : EDEADLK;
}

static const struct tl_io_ops *sound;

static int plain_read(int fd, void *buffer, size_t size, size_t *done)
{
    int err = stop_all(fd, POLLIN);

    return err ? err : sound->read(fd, buffer, size, done);
}

static int plain_write(int fd, const void *buffer, size_t size, size_t *done)
{
    size_t step;
    int err = 0;

    for (*done = 0; *done < size && !err; *done += err ? 0 : step) {
        err = stop_all(fd, POLLOUT);
        if (!err)
            err = sound->write(fd, (const char *)buffer + *done,
                               size - *done < 4096 ? size - *done : 4096, &step);
    }
    return err;
}

static int plain_accept(int fd, struct sockaddr *from, unsigned *size, int flags, int *done)
{
    int err = stop_all(fd, POLLIN);

    return err ? err : sound->accept(fd, from, size, flags, done);
}

static int plain_connect(int fd, const struct sockaddr *to, unsigned size)
{
    struct timeval limit = {0, PATIENCE_MS * 1000};
    int err;

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    err = connect(fd, to, size) ? errno : 0;
    return err;
}

static int plain_poll(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    *done = poll(fds, n, timeout_ms < 0 ? PATIENCE_MS : timeout_ms);
    return *done < 0 ? errno : !*done && timeout_ms < 0 ? EDEADLK : 0;
}

static int plain_waitpid(pid_t pid, int *status, int options, pid_t *done)
{
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        *done = waitpid(pid, status, options | WNOHANG);
        if (*done)
            return *done < 0 ? errno : 0;
        usleep(1000);
    }
    return EDEADLK;
}

static void apply_plain(struct tl_impl *impl)
{
    struct tl_io_ops *io;

    sound = impl->io;
    io = TL_MUTATE(impl, io);
    io->read = plain_read;
    io->write = plain_write;
    io->accept = plain_accept;
    io->connect = plain_connect;
    io->poll = plain_poll;
    io->waitpid = plain_waitpid;
}

#define ALL_CALLS                                                                                \
    "io.read-blocks-alone io.write-blocks-alone io.accept-blocks-alone io.connect-blocks-alone " \
    "io.poll-blocks-alone io.waitpid-blocks-alone"
MUTANT(jackets_plain, "io-jackets-are-plain",
       "the jackets make the plain call: it stops the kernel thread, and all threads with it",
       ALL_CALLS, "green ucontext", apply_plain);

static int write_some(int fd, const void *buffer, size_t size, size_t *done)
{
    return sound->write(fd, buffer, size < 65536 ? size : 65536, done);
}

static int accept_without_flags(int fd, struct sockaddr *from, unsigned *size, int flags, int *done)
{
    (void)flags;
    return sound->accept(fd, from, size, 0, done);
}

static int poll_first(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    int err = sound->poll(fds, n, timeout_ms, done);

    if (!err && *done > 0)
        *done = (int)n;
    return err;
}

static int waitpid_no_status(pid_t pid, int *status, int options, pid_t *done)
{
    (void)status;
    return sound->waitpid(pid, NULL, options, done);
}

static void apply_half(struct tl_impl *impl)
{
    struct tl_io_ops *io;

    sound = impl->io;
    io = TL_MUTATE(impl, io);
    io->write = write_some;
    io->accept = accept_without_flags;
    io->poll = poll_first;
    io->waitpid = waitpid_no_status;
}

MUTANT(jackets_half, "io-jackets-answer-half",
       "write answers part of the bytes, accept forgets the flags, poll counts all, waitpid "
       "forgets the status",
       "io.write-blocks-alone io.accept-blocks-alone io.poll-blocks-alone "
       "io.waitpid-blocks-alone",
       "green ucontext", apply_half);

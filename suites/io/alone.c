/*
 * alone.c - io.read-blocks-alone, io.write-blocks-alone, io.accept-blocks-alone,
 * io.connect-blocks-alone, io.poll-blocks-alone, io.waitpid-blocks-alone: a thread that waits in
 * the call stops nobody else, and comes back with the right answer when the wait is over.
 *
 * In each, one thread waits in the call until another one has taken its turns and ends the wait.
 */
#include "waits.h"

#include "../common/mutant.h"

#define ROUNDS 10
#define TURNS 10 /* of the other: each may cost a time slice */

/* ---- the checks ------------------------------------------------------------------------------ */

static _Atomic int waits;
static const struct wait *wait_now;

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

static enum tl_status rounds(struct tl_ctx *c, int from, int to)
{
    const char *lacks = waits_refused(c, from);

    if (lacks)
        return tl_refused(c, lacks);
    ctx = c;
    write_size = MUCH;
    for (int w = from; w <= to; w++)
        for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++)
            one_round(&waits_in[w]);
    return tl_verdict(c);
}

#define RUN(function, from, to)                      \
    static enum tl_status function(struct tl_ctx *c) \
    {                                                \
        return rounds(c, from, to);                  \
    }
RUN(run_read, READ, READ)
RUN(run_write, WRITE, WRITE)
RUN(run_accept, ACCEPT, ACCEPT)
RUN(run_connect, CONNECT, CONNECT)
RUN(run_poll, POLL, POLL)
RUN(run_waitpid, WAITPID, WAITPID_GROUP)

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
CHECK(alone_write, "write", "that all of 256 KiB were written, which came through in order",
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
       "green ucontext hybrid", apply_half);

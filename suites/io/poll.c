/*
 * poll.c - io.poll-timeout, io.poll-events: what poll answers, and when.
 */
#include "waits.h"

#include "../common/mutant.h"

#define MS UINT64_C(1000000)

/* ---- timeout --------------------------------------------------------------------------------- */

/* Answers 0, not before the time, and leaves the descriptors alone. */
static void expires(struct pollfd *fds, size_t n, int timeout_ms)
{
    uint64_t begin = tl_now_ns(), took;
    int ready = -1;

    for (size_t i = 0; i < n; i++)
        fds[i].revents = 0x7fff;
    if (!TL_CALL(ctx, io_poll(ctx, fds, n, timeout_ms, &ready)))
        return;
    took = tl_now_ns() - begin;
    TL_EXPECT(ctx, ready == 0, "poll of %zu descriptors answered %d", n, ready);
    TL_EXPECT(ctx, took >= (uint64_t)timeout_ms * MS, "poll for %d ms came back after %lu us",
              timeout_ms, (unsigned long)(took / 1000));
    for (size_t i = 0; i < n; i++)
        TL_EXPECT(ctx, !fds[i].revents, "an event that is none: %x", (unsigned)fds[i].revents);
}

static enum tl_status run_timeout(struct tl_ctx *c)
{
    const char *lacks = waits_refused(c, POLL);
    struct pollfd fds[4];
    int file;

    ctx = c;
    if (lacks)
        return tl_refused(c, lacks);
    file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (!system_call(file >= 0, "open") || !pipe_before())
        return tl_verdict(c);
    for (int ms = 0; ms <= 10; ms += 5) {
        fds[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = -1, .events = POLLIN};
        fds[2] = (struct pollfd){.fd = ends[0], .events = POLLIN | POLLPRI};
        fds[3] = (struct pollfd){.fd = file, .events = 0};
        expires(fds, 1, ms);
        expires(fds, 4, ms);
        expires(fds + 1, 1, ms);
        expires(fds + 3, 1, ms);
        expires(fds, 0, ms);
    }
    pipe_after();
    close(file);
    return tl_verdict(c);
}

static const struct tl_check poll_timeout = {
    .abi = TL_ABI,
    .name = "io.poll-timeout",
    .group = "Blocking calls",
    .promise = "poll answers 0 when its time is over and not earlier, whatever it was given to "
               "watch",
    .source = "POSIX.1-2017 XSH poll (\"shall wait at least timeout milliseconds\")",
    .method = "polls an empty pipe, the same with a negative descriptor, itself again and a file "
              "that is asked for nothing, those alone, and nothing at all, for 0, 5 and 10 ms",
    .meaning = "how late it is cannot be a verdict; that others run meanwhile is "
               "io.poll-blocks-alone",
    .run = run_timeout,
};
TL_CHECK(poll_timeout);

/* ---- events ---------------------------------------------------------------------------------- */

static _Atomic int polls;
static struct pollfd three[3];
static int answer;

static void *poller_thread(void *arg)
{
    atomic_store(&polls, 1);
    TL_CALL(ctx, io_poll(ctx, three, 3, -1, &answer));
    return arg;
}

/* The other thread polls both ends of the pipe, one of them twice; then something happens. */
static void while_polled(short in, short again, void (*happen)(void), short right,
                         short right_again)
{
    struct tl_thread t;

    three[0] = (struct pollfd){.fd = ends[0], .events = in};
    three[1] = (struct pollfd){.fd = -1};
    three[2] = (struct pollfd){.fd = ends[0], .events = again};
    answer = -1;
    atomic_store(&polls, 0);
    if (!tl_start(ctx, 1, &t, poller_thread, NULL))
        return;
    if (tl_await(ctx, &polls, "the thread to be about to poll"))
        for (int i = 0; i < 10; i++)
            ctx->impl->yield();
    happen();
    tl_finish(ctx, t);
    /* Entry after entry is looked at: what happens in between is seen by the later one only. */
    if (answer == 1 && right && right_again && !three[0].revents && three[2].revents == right_again)
        TL_CALL(ctx, io_poll(ctx, three, 3, -1, &answer));
    TL_EXPECT(ctx, answer == !!right + !!right_again, "poll answered %d", answer);
    TL_EXPECT(ctx, three[0].revents == right && three[2].revents == right_again,
              "events %x and %x, not %x and %x", (unsigned)three[0].revents,
              (unsigned)three[2].revents, (unsigned)right, (unsigned)right_again);
}

static void write_one(void)
{
    system_call(write(ends[1], "a", 1) == 1, "write");
}

static void hang_up(void)
{
    close(ends[1]);
}

static void at_once(int fd, short events, short right)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n = -1;

    TL_CALL(ctx, io_poll(ctx, &p, 1, -1, &n));
    TL_EXPECT(ctx, n == 1 && p.revents == right, "poll answered %d with %x, not %x", n,
              (unsigned)p.revents, (unsigned)right);
}

static enum tl_status run_events(struct tl_ctx *c)
{
    const char *lacks = waits_refused(c, POLL);
    int file, gone;
    char byte;

    ctx = c;
    if (lacks)
        return tl_refused(c, lacks);
    file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (!system_call(file >= 0, "open") || !pipe_before())
        return tl_verdict(c);
    at_once(ends[1], POLLOUT, POLLOUT);
    at_once(file, POLLIN | POLLOUT, POLLIN | POLLOUT);
    gone = dup(file);
    close(gone);
    at_once(gone, POLLIN, POLLNVAL);
    while_polled(POLLIN, 0, write_one, POLLIN, 0);
    system_call(read(ends[0], &byte, 1) == 1, "read");
    while_polled(POLLPRI, POLLIN, write_one, 0, POLLIN);
    system_call(read(ends[0], &byte, 1) == 1, "read");
    while_polled(POLLIN, POLLPRI, hang_up, POLLHUP, POLLHUP);
    close(ends[0]);
    close(file);
    return tl_verdict(c);
}

static const struct tl_check poll_events = {
    .abi = TL_ABI,
    .name = "io.poll-events",
    .group = "Blocking calls",
    .promise = "poll tells for each entry what was asked for and has happened, and POLLHUP and "
               "POLLNVAL unasked",
    .source = "POSIX.1-2017 XSH poll",
    .method = "polls what is ready, a file and a descriptor that is closed; then a thread polls a "
              "pipe by two entries that ask for different things, while another writes, or closes "
              "the other end",
    .meaning = "whoever keeps one set of events for a descriptor answers for the wrong entry",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_events,
};
TL_CHECK(poll_events);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_io_ops *sound;

/* As if the time were counted in ticks that have begun. */
static int poll_early(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    return sound->poll(fds, n, timeout_ms > 0 ? timeout_ms - 2 : timeout_ms, done);
}

static int poll_same(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    int err = sound->poll(fds, n, timeout_ms, done);

    for (size_t i = 1; i < n && !err; i++)
        if (fds[i].fd == fds[0].fd)
            fds[i].revents = fds[0].revents;
    return err;
}

static void apply_early(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->poll = poll_early;
}

static void apply_same(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->poll = poll_same;
}
MUTANT(early, "io-poll-ends-early", "poll comes back up to a tick too early", "io.poll-timeout",
       "green ucontext hybrid clone", apply_early);
MUTANT(same, "io-poll-one-set-per-descriptor",
       "two entries for one descriptor get the events of the first", "io.poll-events",
       "green ucontext hybrid clone", apply_same);

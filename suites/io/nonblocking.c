/*
 * nonblocking.c - io.nonblocking-kept: O_NONBLOCK is the caller's: a call on such a descriptor
 * answers EAGAIN at once, and a call that waits does not set it.
 */
#include "../common/settle.h"
#include "waits.h"

#include "../common/mutant.h"

static const struct wait *wait_now;
static _Atomic int waits;

static void *waiter(void *arg)
{
    atomic_store(&waits, 1);
    TL_CALL(ctx, wait_now->call());
    return arg;
}

static void is_blocking(int fd, const char *when)
{
    TL_EXPECT(ctx, !(fcntl(fd, F_GETFL) & O_NONBLOCK), "the descriptor has got O_NONBLOCK %s",
              when);
}

/* While a thread waits, and afterwards. */
static void flags_stay(const struct wait *w, const int *fd)
{
    struct tl_thread t;

    if (!w->before())
        return;
    wait_now = w;
    atomic_store(&waits, 0);
    if (tl_start(ctx, 1, &t, waiter, NULL)) {
        if (tl_await(ctx, &waits, "the thread to be about to wait"))
            settle(ctx);
        if (w != &waits_in[CONNECT]) /* see .meaning */
            is_blocking(*fd, "while a thread waits");
        w->let();
        tl_finish(ctx, t);
        is_blocking(*fd, "after a thread has waited");
    }
    w->after();
}

/* Nobody will end the wait: it would be for ever. */
static void at_once(const struct wait *w, const int *fd)
{
    int err;

    if (!w->before())
        return;
    if (system_call(!fcntl(*fd, F_SETFL, O_NONBLOCK), "fcntl")) {
        err = w->call();
        TL_EXPECT(ctx, err == EAGAIN, "%s with O_NONBLOCK answered %d, not EAGAIN", w->name, err);
        TL_EXPECT(ctx, fcntl(*fd, F_GETFL) & O_NONBLOCK, "%s has taken O_NONBLOCK away", w->name);
    }
    w->after();
}

/* What fits is written, and told. */
static void part_fits(void)
{
    size_t done = 0;

    if (!pipe_before())
        return;
    if (system_call(!fcntl(ends[1], F_SETFL, O_NONBLOCK), "fcntl") &&
        TL_CALL(ctx, io_write(ctx, ends[1], much, MUCH, &done)))
        TL_EXPECT(ctx, done > 0 && done < MUCH, "write to a pipe with O_NONBLOCK answered %zu",
                  done);
    pipe_after();
}

static enum tl_status run(struct tl_ctx *c)
{
    static const struct {
        int wait;
        const int *fd;
    } cases[] = {{READ, &ends[0]}, {WRITE, &ends[1]}, {ACCEPT, &listener}, {CONNECT, &caller}};

    ctx = c;
    write_size = 1000;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]) && tl_verdict(c) == TL_OK; i++) {
        const char *lacks = waits_refused(c, cases[i].wait);

        if (lacks)
            return tl_refused(c, lacks);
        flags_stay(&waits_in[cases[i].wait], cases[i].fd);
        if (tl_verdict(c) == TL_OK)
            at_once(&waits_in[cases[i].wait], cases[i].fd);
    }
    if (tl_verdict(c) == TL_OK)
        part_fits();
    return tl_verdict(c);
}

static const struct tl_check nonblocking_kept = {
    .abi = TL_ABI,
    .name = "io.nonblocking-kept",
    .group = "Blocking calls",
    .promise = "O_NONBLOCK is the caller's: with it read, write, accept and connect answer EAGAIN "
               "at once, without it they wait and do not set it",
    .source = "POSIX.1-2017 XBD <fcntl.h>, XSH fcntl: file status flags belong to the open file "
              "description, which other processes may share",
    .method = "looks at the flag while a thread waits in each call and after that; sets it and "
              "makes each call where it would have to wait",
    .meaning = "a library that sets the flag of every descriptor changes what other processes see; "
               "connect, which nothing else keeps from waiting, may have it set for a moment: a "
               "socket that is not connected is hardly shared",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(nonblocking_kept);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_io_ops *sound;

static int read_nonblocking(int fd, void *buffer, size_t size, size_t *done)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n, flags = fcntl(fd, F_GETFL), err;

    if (flags & O_NONBLOCK)
        return sound->read(fd, buffer, size, done);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    sound->poll(&p, 1, -1, &n);
    err = sound->read(fd, buffer, size, done);
    fcntl(fd, F_SETFL, flags);
    return err;
}

static void apply_set(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->read = read_nonblocking;
}
MUTANT(sets_nonblock, "io-read-sets-nonblock",
       "read gives the descriptor O_NONBLOCK for as long as it waits", "io.nonblocking-kept",
       "green ucontext hybrid clone", apply_set);

/* Gives up in time, so that the check ends. */
static int write_waits(int fd, const void *buffer, size_t size, size_t *done)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int n, err = sound->write(fd, buffer, size, done);

    if (err != EAGAIN)
        return err;
    err = sound->poll(&p, 1, 100, &n);
    return err ? err : n ? sound->write(fd, buffer, size, done) : ETIMEDOUT;
}

static void apply_waits(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->write = write_waits;
}
MUTANT(write_ignores_flag, "io-write-waits-in-spite-of-nonblock",
       "write to a full pipe with O_NONBLOCK waits", "io.nonblocking-kept",
       "green ucontext hybrid clone", apply_waits);

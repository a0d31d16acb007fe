/*
 * cancel.c - io.cancel: each blocking call is a cancellation point that acts while it waits, and
 * takes nothing with it that was meant for others.
 */
#include "../cancel/victim.h"
#include "waits.h"

#include "../common/mutant.h"
#include "../common/wrap.h"

#define ROUNDS 8

static const struct wait *wait_now;

static void block(void)
{
    wait_now->call();
}

/* Whoever comes after the cancelled thread gets what it would have got. */
static void others(const struct wait *w)
{
    write_lost = true;
    w->let();
    write_lost = false;
    TL_EXPECT(ctx, tl_call(ctx, w->name, w->call(), 0), "after a cancelled %s", w->name);
}

static void one_round(const struct wait *w, bool asleep)
{
    if (!w->before())
        return;
    wait_now = w;
    if (victim_start(ctx, block)) {
        if (asleep)
            settle(ctx);
        else
            tl_delay(ctx, "before cancel");
        victim_cancel();
        if (victim_end(ctx, w->name))
            others(w);
        else
            w->let();
    }
    w->after();
}

static enum tl_status run(struct tl_ctx *c)
{
    const char *lacks;

    ctx = c;
    write_size = 1000;
    for (int w = 0; w < WAITS; w++) {
        lacks = waits_refused(c, w);
        if (lacks)
            return tl_refused(c, lacks);
        for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++)
            one_round(&waits_in[w], i % 2);
    }
    return tl_verdict(c);
}

static const struct tl_check io_cancel = {
    .abi = TL_ABI,
    .name = "io.cancel",
    .group = "Blocking calls",
    .promise = "a thread that waits in read, write, accept, connect, poll or waitpid can be "
               "cancelled there, and takes nothing with it",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (cancellation points that shall occur)",
    .method = "a thread makes each call where it has to wait, and is cancelled: half of 8 seeded "
              "rounds when it most likely waits, half when it is about to; then the wait is ended, "
              "and another thread's call must answer what this one's would have",
    .meaning = "a request that does not wake the thread leaves it there for ever; one that acts "
               "when the call has had its effect loses bytes, a connection or a child",
    .needs = "cancel protect",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(io_cancel);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_io_ops *sound;
static const struct tl_cancel_ops *cancel;

static int poll_disabled(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    int state, err;

    cancel->set_state(TL_CANCEL_DISABLE, &state);
    err = sound->poll(fds, n, timeout_ms, done);
    cancel->set_state(state, NULL);
    return err;
}

static void apply_poll(struct tl_impl *impl)
{
    sound = impl->io;
    cancel = impl->cancel;
    TL_MUTATE(impl, io)->poll = poll_disabled;
}
MUTANT(poll_no_point, "io-poll-ignores-cancel", "a thread that waits in poll cannot be cancelled",
       "io.cancel", "green ucontext hybrid clone", apply_poll);

/* The others likewise. */
#define DISABLED(member, call_, parameters, ...)                                                \
    static int member##_disabled parameters                                                     \
    {                                                                                           \
        int state, err;                                                                         \
        cancel->set_state(TL_CANCEL_DISABLE, &state);                                           \
        err = sound->member(__VA_ARGS__);                                                       \
        cancel->set_state(state, NULL);                                                         \
        return err;                                                                             \
    }                                                                                           \
    static void apply_disabled_##member(struct tl_impl *impl)                                   \
    {                                                                                           \
        sound = impl->io;                                                                       \
        cancel = impl->cancel;                                                                  \
        TL_MUTATE(impl, io)->member = member##_disabled;                                        \
    }                                                                                           \
    MUTANT(member##_no_point, "io-" call_ "-ignores-cancel",                                    \
           "a thread that waits in " call_ " cannot be cancelled", "io.cancel", "green hybrid", \
           apply_disabled_##member)

DISABLED(read, "read", (int fd, void *p, size_t size, size_t *done), fd, p, size, done);
DISABLED(write, "write", (int fd, const void *p, size_t size, size_t *done), fd, p, size, done);
DISABLED(accept, "accept", (int fd, struct sockaddr *a, unsigned *size, int flags, int *done), fd,
         a, size, flags, done);
DISABLED(connect, "connect", (int fd, const struct sockaddr *a, unsigned size), fd, a, size);
DISABLED(waitpid, "waitpid", (pid_t pid, int *status, int options, pid_t *done), pid, status,
         options, done);

/* Until the request or the child. */
static int waitpid_then_test(pid_t pid, int *status, int options, pid_t *done)
{
    int err = sound->waitpid(pid, status, options, done);

    if (!err && wrap_once_in(2))
        *done = waitpid(pid, status, options | WNOHANG);
    return err;
}

static void apply_waitpid(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->waitpid = waitpid_then_test;
}
MUTANT(waitpid_twice, "io-waitpid-reaps-twice",
       "waitpid asks again after it has reaped, and answers that there is no child",
       "io.cancel io.waitpid-blocks-alone", "green ucontext hybrid clone", apply_waitpid);

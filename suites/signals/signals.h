/*
 * signals.h - for the checks of signals: handlers, masks, and counts that somebody waits for.
 *
 * Handlers use what POSIX.1-2017 XSH 2.4.3 calls async-signal-safe: atomics, and self() of the
 * implementation (pthread_self is on that list).
 */
#ifndef SUITES_SIGNALS_H
#define SUITES_SIGNALS_H

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "check.h"

#include "../common/action.h"

/* A count with a goal. reached is 1 from the moment that count is goal. */
struct tally {
    _Atomic int count, reached;
    int goal; /* constant while anybody counts */
};

static inline void tally_reset(struct tally *t, int goal)
{
    t->goal = goal;
    atomic_store(&t->count, 0);
    atomic_store(&t->reached, goal == 0);
}

/* Async-signal-safe. Returns the new count. */
static inline int tally_add(struct tally *t)
{
    int now = atomic_fetch_add(&t->count, 1) + 1;

    if (now == t->goal)
        atomic_store(&t->reached, 1); /* release: pairs with the acquire in tl_await */
    return now;
}

static inline sigset_t signals_of(int sig)
{
    sigset_t set;

    sigemptyset(&set);
    if (sig)
        sigaddset(&set, sig);
    return set;
}

/* All signals are blocked while a handler runs. */
static inline bool signals_handle(struct tl_ctx *ctx, int sig,
                                  void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    int err;

    sigfillset(&action.sa_mask);
    err = tl_sigaction(ctx->impl, sig, &action, NULL);
    return TL_EXPECT(ctx, err == 0, "sigaction(%d): %s", sig, strerror(err));
}

/* how: SIG_BLOCK, SIG_UNBLOCK. False: noted. */
static inline bool signals_mask(struct tl_ctx *ctx, int how, int sig)
{
    sigset_t set = signals_of(sig);

    return TL_CALL(ctx, ctx->impl->signal->mask(how, &set, NULL));
}

/* Whether the calling thread has it blocked, as the implementation says. */
static inline bool signals_blocked(struct tl_ctx *ctx, int sig)
{
    sigset_t now = signals_of(0);

    TL_CALL(ctx, ctx->impl->signal->mask(SIG_BLOCK, NULL, &now));
    return sigismember(&now, sig) == 1;
}

/* Sends to the process, with a payload; a full queue is waited for: others' signals count, too. */
static inline bool signals_to_process(struct tl_ctx *ctx, int sig, int payload)
{
    union sigval value = {.sival_int = payload};
    int saved = errno, err;

    while ((err = sigqueue(getpid(), sig, value) ? errno : 0) == EAGAIN)
        ctx->impl->yield();
    errno = saved;
    return TL_EXPECT(ctx, err == 0, "sigqueue: %s", strerror(err));
}

/* To the process, by a program that knows the library: what POSIX says of the moment when kill or
 * sigqueue returns is to hold. value: NULL, or the payload. */
static inline int signals_send_op(const struct tl_signal_ops *ops, int sig,
                                  const union sigval *value)
{
    int saved = errno, err;

    if (ops && ops->send)
        return ops->send(sig, value);
    err = (value ? sigqueue(getpid(), sig, *value) : kill(getpid(), sig)) ? errno : 0;
    errno = saved;
    return err;
}

/* A full queue is waited for. False: noted. */
static inline bool signals_send(struct tl_ctx *ctx, int sig, const union sigval *value)
{
    int err;

    while ((err = signals_send_op(ctx->impl->signal, sig, value)) == EAGAIN)
        ctx->impl->yield();
    return TL_EXPECT(ctx, err == 0, "a signal to the process: %s", strerror(err));
}

/* signal.kill; a full queue is waited for. */
static inline int signals_kill(struct tl_ctx *ctx, struct tl_thread t, int sig, int payload)
{
    union sigval value = {.sival_int = payload};
    int err;

    while ((err = ctx->impl->signal->kill(t, sig, &value)) == EAGAIN)
        ctx->impl->yield();
    return err;
}

/* So that a thread that waits for sig goes on: by kill, or, where that cannot be aimed or fails, by
 * one to the process. Returns what kill answered. */
static inline int signals_wake(struct tl_ctx *ctx, struct tl_thread t, int sig)
{
    int err = signals_kill(ctx, t, sig, 0);

    if (err)
        signals_to_process(ctx, sig, 0);
    return err;
}

/* For a check that would wait for ever where create runs the thread to its end. False: noted. */
static inline bool signals_concurrent(struct tl_ctx *ctx)
{
    return TL_EXPECT(ctx, tl_trait(ctx, TL_CONCURRENT), "no thread is alive while another runs");
}

/* Gives others the time to get into a wait or out of it: no verdict may rest on it. Few yields:
 * beside busy neighbours each may cost a thread of the kernel its time slice, and theirs. */
static inline void signals_linger(struct tl_ctx *ctx)
{
    for (int i = 0; i < 4; i++)
        ctx->impl->yield();
    if (ctx->impl->traits & TL_BLOCKS_ALONE)
        usleep(1000);
}

/* ---- checks that use `outside` ----------------------------------------------------------------
 */

struct signals_body {
    struct tl_ctx *ctx;
    void *(*entry)(void *);
};

static inline void *signals_first(void *arg)
{
    const struct signals_body *body = arg;
    struct tl_thread t;

    if (tl_start(body->ctx, 1, &t, body->entry, NULL))
        tl_finish(body->ctx, t);
    return NULL;
}

/* In a child process: boots, and runs entry of the struct signals_body in a thread that is not the
 * first. Returns the exit status. */
static inline int signals_boot(struct tl_ctx *ctx, void *body)
{
    int err;

    prctl(PR_SET_DUMPABLE, 0); /* no core files */
    err = tl_boot(ctx, signals_first, body, NULL);
    TL_EXPECT(ctx, err == 0, "run: %s", strerror(err));
    return tl_verdict(ctx) == TL_OK ? 0 : 1;
}

/* The same with a child of its own, as tl_child. False: noted. */
static inline bool signals_child(struct tl_ctx *ctx, void *(*entry)(void *), uint64_t deadline_ms,
                                 struct tl_child *end)
{
    struct signals_body body = {ctx, entry};

    return TL_CALL(ctx, tl_child(ctx, signals_boot, &body, deadline_ms, end));
}

static inline void signals_unused(int sig)
{
    (void)sig;
}

/* The implementation keeps this signal for itself, and says so by EINVAL for a handler. It may do
 * that with SIGPWR, which is not POSIX's. */
static inline bool signals_keeps(const struct tl_impl *impl, int sig)
{
    struct sigaction some = {.sa_handler = signals_unused}, usual = {.sa_handler = SIG_DFL};

    if (sig != SIGPWR)
        return false;
    if (tl_sigaction(impl, sig, &some, NULL))
        return true;
    tl_sigaction(impl, sig, &usual, NULL);
    return false;
}

/* A page that is shared with child processes; NULL: noted. */
static inline void *signals_share(struct tl_ctx *ctx)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    TL_EXPECT(ctx, page != MAP_FAILED, "mmap: %s", strerror(errno));
    return page == MAP_FAILED ? NULL : page;
}

#endif

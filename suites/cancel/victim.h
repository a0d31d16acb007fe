/*
 * victim.h - for the checks of cancellation: a thread that is to be cancelled, and what can be seen
 * of how it ends.
 *
 *     victim_start(ctx, body)       it is there, and runs body() within a cleanup handler
 *     tl_await(ctx, &victim.entered, ...); cancel it
 *     victim_end(ctx)               it has left body(), either way, and was joined
 */
#ifndef SUITES_CANCEL_VICTIM_H
#define SUITES_CANCEL_VICTIM_H

#include "check.h"

#include "../common/settle.h"

#include <errno.h>
#include <stdatomic.h>

/* One at a time. Each flag goes from 0 to 1 once in its life. */
static struct {
    struct tl_ctx *ctx;
    void (*body)(void);
    struct tl_thread thread;
    _Atomic int go, entered; /* it may begin; it is in body */
    _Atomic int returned;    /* body has returned: it was not cancelled there */
    _Atomic int left;        /* its cleanup handler has run, as it does either way */
} victim;

static inline void victim_left(void *arg)
{
    (void)arg;
    TL_EXPECT(victim.ctx, atomic_exchange(&victim.left, 1) == 0,
              "the cleanup handler ran a second time");
}

static inline void victim_body(void *arg)
{
    (void)arg;
    atomic_store(&victim.entered, 1);
    tl_delay(victim.ctx, "before what is to be cancelled");
    victim.body();
    atomic_store(&victim.returned, 1);
}

/* Its value is &victim, unless it was cancelled. Where a thread runs within create, the wait for
 * `go` fails, before it does anything that nobody could end. */
static inline void *victim_entry(void *arg)
{
    (void)arg;
    if (tl_await(victim.ctx, &victim.go, "create to return"))
        victim.ctx->impl->protect(victim_body, NULL, victim_left, NULL, true);
    return &victim;
}

/* Returns when it runs. False: noted. */
static inline bool victim_start(struct tl_ctx *ctx, void (*body)(void))
{
    victim.ctx = ctx;
    victim.body = body;
    atomic_store(&victim.go, 0);
    atomic_store(&victim.entered, 0);
    atomic_store(&victim.returned, 0);
    atomic_store(&victim.left, 0);
    if (tl_verdict(ctx) != TL_OK || !tl_start(ctx, 1, &victim.thread, victim_entry, NULL))
        return false;
    atomic_store(&victim.go, 1);
    return tl_await(ctx, &victim.entered, "the thread to run");
}

static inline void victim_cancel(void)
{
    TL_CALL(victim.ctx, victim.ctx->impl->cancel->cancel(victim.thread));
}

/* The same where it may have ended: who can tell answers ESRCH. */
static inline void victim_cancel_late(void)
{
    int err = victim.ctx->impl->cancel->cancel(victim.thread);

    TL_EXPECT(victim.ctx, !err || err == ESRCH, "cancel answered %d", err);
}

/* Expects that it ends by being cancelled in body(); `what` names that. */
static inline bool victim_end(struct tl_ctx *ctx, const char *what)
{
    void *value;

    if (!tl_await(ctx, &victim.left, what))
        return false;
    value = tl_finish(ctx, victim.thread);
    return TL_EXPECT(ctx, !atomic_load(&victim.returned), "%s returned in a cancelled thread",
                     what) &&
           TL_EXPECT(ctx, value == TL_CANCELED, "cancelled in %s, its value is %p", what, value);
}

#endif

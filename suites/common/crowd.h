/*
 * crowd.h - for checks: threads that are all half way at the same time, and meet again and again.
 */
#ifndef SUITES_CROWD_H
#define SUITES_CROWD_H

#include "check.h"

#include <stdatomic.h>

#define CROWD_MAX 16

/* Invariants: met counts all arrivals of all meetings; steps all calls of crowd_step; body and n
 * are constant while they run. */
static struct {
    struct tl_ctx *ctx;
    void (*body)(unsigned i);
    unsigned n;
    _Atomic unsigned met, steps;
    _Atomic bool leaving;     /* one body has returned */
    _Atomic int meeting[256]; /* 1: the i-th meeting is complete */
} crowd;

/* Each of the crowd calls it equally often, at most 256 times. Returns when all have: false, when
 * they will not (tl_await has noted why). */
static inline bool crowd_meet(void)
{
    unsigned at = atomic_fetch_add(&crowd.met, 1);
    unsigned which = at / crowd.n;

    if (at % crowd.n == crowd.n - 1)
        atomic_store(&crowd.meeting[which], 1);
    return tl_await(crowd.ctx, &crowd.meeting[which], "all threads to be there");
}

/* Yields, once at least, until another thread has come here as well: a kernel's yield alone may not
 * run anybody else for as long as a short check takes. No promise: it gives up, and does not wait
 * where a body has returned. */
static inline void crowd_step(void)
{
    unsigned mine = atomic_fetch_add(&crowd.steps, 1) + 1, turns = 0;

    do {
        crowd.ctx->impl->yield();
    } while (atomic_load(&crowd.steps) == mine && !atomic_load(&crowd.leaving) && ++turns < 50);
}

static void *crowd_entry(void *arg)
{
    if (crowd_meet())
        crowd.body((unsigned)(uintptr_t)arg);
    atomic_store(&crowd.leaving, true);
    return NULL;
}

static inline bool crowd_start(struct tl_ctx *ctx, unsigned i, struct tl_thread *t, bool bound)
{
    struct tl_attr attr = TL_ATTR_INIT;
    void *arg = (void *)(uintptr_t)i;

    if (!bound)
        return tl_start(ctx, i, t, crowd_entry, arg);
    attr.bound = true;
    attr.slot = (int)(i % ctx->nslots);
    return TL_CALL(ctx, ctx->impl->create(t, &attr, crowd_entry, arg));
}

/* Runs body(0) to body(n - 1) in n threads, all of which are there before the first one goes on.
 * Once at a time. bound: to kernel threads of their own. */
static inline void crowd_run_as(struct tl_ctx *ctx, unsigned n, void (*body)(unsigned i),
                                bool bound)
{
    struct tl_thread t[CROWD_MAX];
    unsigned made = 0;

    crowd.ctx = ctx;
    crowd.body = body;
    crowd.n = n;
    atomic_store(&crowd.met, 0);
    atomic_store(&crowd.steps, 0);
    atomic_store(&crowd.leaving, false);
    for (size_t i = 0; i < sizeof(crowd.meeting) / sizeof(crowd.meeting[0]); i++)
        atomic_store(&crowd.meeting[i], 0);
    while (made < n && crowd_start(ctx, made, &t[made], bound))
        made++;
    while (made)
        tl_finish(ctx, t[--made]);
}

static inline void crowd_run(struct tl_ctx *ctx, unsigned n, void (*body)(unsigned i))
{
    crowd_run_as(ctx, n, body, false);
}

#endif

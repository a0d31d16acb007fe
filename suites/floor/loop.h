/*
 * loop.h - what the floors share that are one call in a loop: count the calls that answered as
 * they should, compare after the clock.
 */
#ifndef SUITES_LOOP_H
#define SUITES_LOOP_H

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct loop {
    uint64_t asked;
    uint64_t right; /* answered as expected */
};

static inline enum tl_status loop_setup(struct tl_ctx *ctx)
{
    ctx->state = calloc(1, sizeof(struct loop));
    return ctx->state ? TL_OK : tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
}

static inline void loop_done(struct tl_ctx *ctx, uint64_t n, uint64_t right)
{
    struct loop *st = ctx->state;

    st->asked += n;
    st->right += right;
    tl_count(ctx, "calls", n);
}

static inline enum tl_status loop_verify(struct tl_ctx *ctx)
{
    struct loop *st = ctx->state;

    if (st->right != st->asked)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " calls answered as they should",
                          st->right, st->asked);
    return TL_OK;
}

static inline void loop_teardown(struct tl_ctx *ctx)
{
    free(ctx->state);
    ctx->state = NULL;
}

/* Neither blocks nor enters the kernel, but for neighbours and the timer. */
static inline void loop_expect_user(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    (void)ctx;
    expect->switches = (struct tl_range){0, 0.01};
    expect->syscalls = (struct tl_range){0, 0.01};
    expect->why = "the op stays in user mode";
}

static inline void loop_expect_syscall(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    (void)ctx;
    expect->switches = (struct tl_range){0, 0.01};
    expect->syscalls = (struct tl_range){0.99, 1.01};
    expect->why = "the op is one system call that does not block";
}

#endif

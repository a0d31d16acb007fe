/*
 * switch.sem - two threads hand a token back and forth through two semaphores: block and wake. The
 * first thread is one of the two.
 */
#include "pingpong.h"

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct pingpong *p = aligned_alloc(_Alignof(struct pingpong), sizeof(*p));
    struct tl_attr attr = tl_worker_attr(ctx, 1);

    if (!p)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(p, 0, sizeof(*p));
    ctx->state = p;
    return pingpong_setup(ctx, p, &attr);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct pingpong *p = ctx->state;
    uint64_t rounds = (n + 1) / 2, made;
    int error;

    tl_begin(ctx);
    error = pingpong_play(p, rounds, &made);
    tl_end(ctx, 2 * (made ? made : 1));

    if (error)
        return tl_failed(ctx, "sem: %s", strerror(error));
    tl_count(ctx, "handovers", 2 * rounds);
    return pingpong_status(ctx, p);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    return pingpong_verify(ctx, ctx->state);
}

static void teardown(struct tl_ctx *ctx)
{
    struct pingpong *p = ctx->state;
    int error = p ? pingpong_end(p) : 0;

    if (error) { /* the thread may still use the state: it stays */
        tl_failed(ctx, "join: %s", strerror(error));
        return;
    }
    free(p);
    ctx->state = NULL;
}

static const char *const rests_on[] = {
    "create.runs",
    "sem.count",
    NULL,
};

static const struct tl_bench switch_sem = {
    .abi = TL_ABI,
    .name = "switch.sem",
    .version = 1,
    .title = "Semaphore ping-pong between two threads",
    .op = "one hand-over: post by one thread until the other is back from its wait",
    .needs = TL_NEED_SEM,
    .workers = 2,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = pingpong_expect,
};
TL_BENCH(switch_sem);

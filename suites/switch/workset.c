/*
 * switch.workset - threads that read a private working set between two yields: what a switch costs
 * beyond itself, because the next thread finds the caches full of the last one's data.
 *
 * One load per line of 64 bytes, in address order. Metric walk: the same walk by one thread alone,
 * again and again (its set as warm as it gets): what an op would cost if switching were free and
 * left the caches alone.
 */
#include "rota.h"

static void walk(struct rota_worker *w, size_t bytes)
{
    const unsigned char *set = w->set;
    uint64_t sum = 0;

    for (size_t at = 0; at < bytes; at += 64)
        sum += *(const volatile uint64_t *)(const void *)(set + at);
    w->sum += sum;
}

static void work(struct gate *g, unsigned index, void *arg)
{
    struct rota *r = arg;

    (void)g;
    if (r->one_at_a_time)
        rota_loop(r, index, true, walk);
    else
        rota_loop(r, index, false, walk);
}

/* The least of a few: what disturbs only adds. */
static uint64_t walk_alone_ns(struct rota *r)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 20; i++) {
        uint64_t start = tl_now_ns(), spent;

        for (int j = 0; j < 100; j++)
            walk(&r->worker[0], r->walk_bytes);
        spent = tl_now_ns() - start;
        best = spent < best ? spent : best;
    }
    r->worker[0].sum = 0;
    return best;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    enum tl_status status = rota_setup(ctx, work, (size_t)tl_axis_int(ctx, "ws"));

    if (status == TL_OK)
        tl_metric(ctx, "walk", (double)walk_alone_ns(ctx->state) / 100, "ns");
    return status;
}

/* Every byte of the sets is 1: a walk adds a known sum. */
static enum tl_status verify(struct tl_ctx *ctx)
{
    struct rota *r = ctx->state;
    uint64_t once = (r->walk_bytes + 63) / 64 * UINT64_C(0x0101010101010101);

    for (unsigned i = 0; i < r->threads; i++) {
        const struct rota_worker *w = &r->worker[i];

        if (w->sum != once * w->yields)
            return tl_invalid(ctx,
                              "thread %u did not walk its set before each of %" PRIu64 " yields", i,
                              w->yields);
    }
    return rota_verify(ctx);
}

static const struct tl_axis axes[] = {
    {"threads", "2", "2,8", "2,4,8", "threads that yield in turn"},
    {"ws", "0,256k", "0,16k,256k", "0,4k,16k,64k,256k,1M", "working set of each thread, bytes"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs",
    "sem.count",
    "yield.round-robin",
    NULL,
};

static const struct tl_bench switch_workset = {
    .abi = TL_ABI,
    .name = "switch.workset",
    .version = 1,
    .title = "Yield among threads with a working set each",
    .op = "one hand-over by yield, and the walk of the thread's working set",
    .needs = TL_NEED_SEM,
    .workers = 1,
    .axes = axes,
    .vary = "tls",
    .rests_on = rests_on,
    .setup = setup,
    .run = rota_run,
    .verify = verify,
    .teardown = rota_teardown,
    .expect = rota_expect,
};
TL_BENCH(switch_workset);

/*
 * lock.contended - N threads that never give up the PU of themselves share one lock: does it pay to
 * spin or to block, for a critical section of this length?
 *
 * With as many threads as PUs the holder always runs while others wait; with more, or all of them
 * on one PU, the kernel may preempt it inside. Threads that switch only where they ask for it would
 * never meet there: for them, and for what a holder that does not run costs, see lock.yielding.
 *
 * Sampling: with sections below 1,000 ns every 8th acquisition of a thread is timed (two clock
 * readings of some 20 ns), otherwise each.
 */
#include "lock.h"

static void work(struct gate *g, unsigned index, void *arg)
{
    (void)g;
    lock_loop(arg, index, false, false);
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    uint64_t cs_ns = (uint64_t)tl_axis_int(ctx, "cs_ns");

    return lock_crowd_setup(ctx, work, cs_ns, (uint64_t)tl_axis_int(ctx, "think_ns"),
                            cs_ns < 1000 ? 7 : 0);
}

/* The first holder makes one hand-over of its own. On one PU a window may be over before the kernel
 * preempts the first thread: there the metric handover_share says how much contention there was. */
static enum tl_status verify(struct tl_ctx *ctx)
{
    struct lock_crowd *c = ctx->state;

    return lock_crowd_verify(ctx, model_same_pu(ctx) || c->handovers > 1);
}

static const struct tl_axis axes[] = {
    {"kind", "block,spin,adaptive", NULL, NULL, "how it waits"},
    {"cs_ns", "0,1000", "0,1000,10000", "0,100,300,1000,3000,10000,30000,100000",
     "work while holding, ns"},
    {"think_ns", "0", NULL, "0,1000,10000", "work between two acquisitions, ns"},
    {"threads", "4", "2,4", "2,4,8,16", "contenders"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "mutex.exclusion", "sem.count", NULL};

static const struct tl_bench lock_contended = {
    .abi = TL_ABI,
    .name = "lock.contended",
    .version = 1,
    .title = "Spin or block: threads compete for one mutex",
    .op = "one acquisition by any of the threads: lock, work of cs_ns, unlock, work of think_ns",
    .needs = TL_NEED_MUTEX | TL_NEED_SEM | TL_NEED_PARALLEL,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = lock_crowd_run,
    .verify = verify,
    .teardown = lock_crowd_teardown,
};
TL_BENCH(lock_contended);

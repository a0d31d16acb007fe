/*
 * lock.yielding - the holder yields once inside each critical section. So the lock is found taken
 * by a holder that may not run, which is what a preempted holder does to the others, but on
 * purpose, and in every model: user-level threads contend too.
 *
 * What is inside the number: the lock, the yield, the unlock, and the waits of the others where
 * they do not overlap. Every acquisition is timed.
 */
#include "lock.h"

static void work(struct gate *g, unsigned index, void *arg)
{
    (void)g;
    lock_loop(arg, index, true, false);
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    return lock_crowd_setup(ctx, work, (uint64_t)tl_axis_int(ctx, "cs_ns"), 0, 0);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct lock_crowd *c = ctx->state;

    return lock_crowd_verify(ctx, c->met);
}

/* kind=spin never blocks, but is preempted, so nothing can be said. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    model_expect_no_switches(ctx, expect);
}

static const struct tl_axis axes[] = {
    {"kind", "spin,block,adaptive", NULL, NULL, "how it waits"},
    {"cs_ns", "0", "0,1000", "0,100,1000,10000", "work while holding, before the yield, ns"},
    {"threads", "2,4", NULL, "2,4,16", "contenders"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "mutex.exclusion", "mutex.handoff-progress", "sem.count", NULL,
};

static const struct tl_bench lock_yielding = {
    .abi = TL_ABI,
    .name = "lock.yielding",
    .version = 1,
    .title = "A mutex whose holder yields inside the critical section",
    .op = "one acquisition by any of the threads: lock, work of cs_ns, one yield, unlock",
    .needs = TL_NEED_MUTEX | TL_NEED_SEM,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = lock_crowd_run,
    .verify = verify,
    .teardown = lock_crowd_teardown,
    .expect = expect,
};
TL_BENCH(lock_yielding);

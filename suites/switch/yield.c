/*
 * switch.yield - threads that do nothing but yield: the cost of handing the PU to the next one.
 * With many threads it is also the cost of finding their stacks and control blocks in memory.
 */
#include "rota.h"

static void work(struct gate *g, unsigned index, void *arg)
{
    struct rota *r = arg;

    (void)g;
    if (r->one_at_a_time)
        rota_loop(r, index, true, NULL);
    else
        rota_loop(r, index, false, NULL);
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    return rota_setup(ctx, work, 0);
}

static const struct tl_axis axes[] = {
    {"threads", "2,1000", "2,16,1000,100000", NULL, "threads that yield in turn"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "create.many", "sem.count", "yield.round-robin", NULL,
};

static const struct tl_bench switch_yield = {
    .abi = TL_ABI,
    .name = "switch.yield",
    .version = 1,
    .title = "Yield among N threads",
    .op = "one hand-over of the PU from a thread that yields to another",
    .needs = TL_NEED_SEM,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = rota_run,
    .verify = rota_verify,
    .teardown = rota_teardown,
    .expect = rota_expect,
};
TL_BENCH(switch_yield);

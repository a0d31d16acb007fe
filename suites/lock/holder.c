/*
 * lock.holder - more threads than PUs compete for a lock, and each of them needs a time slice for
 * few sections: sooner or later the scheduler stops one that holds it (lock-holder preemption;
 * "invisible" to the threads, as Anderson et al., "Scheduler Activations", SOSP 1991, section 2.2,
 * call it). What do the others lose, by how they wait?
 *
 * Those that block leave the PU to the holder; those that spin burn their slices first. A library
 * with no more kernel threads than PUs never has its holders stopped, unless by its own timer:
 * --set lwps=8 shows what it is spared.
 *
 * The histogram `stall` is the time between the ends of two sections in a row, whoever held;
 * stopped_holders says how often the scenario happened: no time per op is worth much without it.
 */
#include "lock.h"

/* Longer than an interrupt or two, shorter than any time slice. */
#define STOP_NS 200000
/* Of work in the shortest window: some time slices. */
#define WINDOW_NS 5000000

static void work(struct gate *g, unsigned index, void *arg)
{
    (void)g;
    lock_loop(arg, index, false, true);
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    uint64_t cs_ns = (uint64_t)tl_axis_int(ctx, "cs_ns");
    enum tl_status status =
        lock_crowd_setup(ctx, work, cs_ns, (uint64_t)tl_axis_int(ctx, "think_ns"), 0);
    struct lock_crowd *c = ctx->state;

    if (status == TL_OK) {
        lock_crowd_grain(c, WINDOW_NS, cs_ns);
        c->stop_ns = 2 * cs_ns + STOP_NS;
        c->stall = tl_hist(ctx, "stall");
    }
    return status;
}

/* How often a holder is stopped is luck, and the record says it: no verdict rests on it. */
static enum tl_status verify(struct tl_ctx *ctx)
{
    struct lock_crowd *c = ctx->state;

    return lock_crowd_verify(ctx, model_same_pu(ctx) || c->handovers > 1);
}

/* The threads that wait in a slice, and so the slices in a window, are no function of n. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    (void)ctx;
    expect->not_linear = true;
    expect->why = "a window holds few time slices, and stopping a holder costs whole ones";
}

static const struct tl_axis axes[] = {
    {"kind", "block,spin,adaptive,pi", NULL, NULL,
     "how it waits; pi: and the holder inherits the priority of who waits"},
    {"cs_ns", "20000", NULL, "2000,20000", "work while holding, ns"},
    {"think_ns", "20000", NULL, "0,20000", "work between two acquisitions, ns"},
    {"threads", "4", "8", "4,8,16", "contenders"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "mutex.exclusion", "sem.count", NULL};

static const struct tl_bench lock_holder = {
    .abi = TL_ABI,
    .name = "lock.holder",
    .version = 1,
    .title = "A lock whose holder is preempted",
    .op = "one acquisition by any of the threads: lock, work of cs_ns, unlock, work of think_ns",
    .needs = TL_NEED_MUTEX | TL_NEED_SEM | TL_NEED_PARALLEL,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .places = "compact",
    .setup = setup,
    .run = lock_crowd_run,
    .verify = verify,
    .teardown = lock_crowd_teardown,
    .expect = expect,
};
TL_BENCH(lock_holder);

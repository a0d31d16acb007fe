/*
 * lock.sweep - the length of the critical section against how one waits, without and with more
 * threads than PUs: where does spinning lose to blocking, and does the adaptive mutex (Eykholt et
 * al., "Beyond Multiprocessing", USENIX Summer 1992, section 6) stand at the better of the two?
 *
 * Each thread does as much work outside the lock as inside, so that a section of the others can
 * overlap with it. On one PU a spinner only keeps the holder from running. lock.contended, without
 * work outside, is the worst case of the same thing; here no window is shorter than a time slice.
 */
#include "lock.h"

/* Of work in the shortest window: about a time slice. */
#define WINDOW_NS 3000000

static void work(struct gate *g, unsigned index, void *arg)
{
    (void)g;
    lock_loop(arg, index, false, false);
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    uint64_t ns = (uint64_t)tl_axis_int(ctx, "section_ns");
    enum tl_status status = lock_crowd_setup(ctx, work, ns, ns, ns < 1000 ? 7 : 0);

    if (status == TL_OK)
        lock_crowd_grain(ctx->state, WINDOW_NS, ns);
    return status;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct lock_crowd *c = ctx->state;

    return lock_crowd_verify(ctx, model_same_pu(ctx) || c->handovers > 1);
}

/* A waiter may spin a slice away in one window and not in the next. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    (void)ctx;
    expect->not_linear = true;
    expect->why = "a window holds few time slices, of which waiters may take some";
}

static const struct tl_axis axes[] = {
    {"kind", "block,spin,adaptive", NULL, NULL, "how it waits"},
    {"section_ns", "1000", "0,100,1000,10000,100000", NULL,
     "work while holding, and as much outside, ns"},
    {"threads", "4", NULL, "2,4,8", "contenders"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "mutex.exclusion", "sem.count", NULL};

static const struct tl_bench lock_sweep = {
    .abi = TL_ABI,
    .name = "lock.sweep",
    .version = 1,
    .title = "Contended lock against the length of the critical section",
    .op = "one acquisition by any of the threads: lock, section_ns of work, unlock, as much work",
    .needs = TL_NEED_MUTEX | TL_NEED_SEM | TL_NEED_PARALLEL,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .places = "compact,same-pu",
    .setup = setup,
    .run = lock_crowd_run,
    .verify = verify,
    .teardown = lock_crowd_teardown,
    .expect = expect,
};
TL_BENCH(lock_sweep);

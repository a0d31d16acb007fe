/*
 * floor.sched-yield - sched_yield by the only thread: the way through the kernel's scheduler that
 * ends where it began. With others runnable on the PU the count of switches shows it.
 */
#include <sched.h>

#include "loop.h"

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    uint64_t right = 0;

    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++)
        right += sched_yield() == 0;
    tl_end(ctx, n);
    loop_done(ctx, n, right);
    return TL_OK;
}

static const struct tl_bench floor_sched_yield = {
    .abi = TL_ABI,
    .name = "floor.sched-yield",
    .version = 1,
    .title = "sched_yield with nobody to yield to",
    .op = "one sched_yield that returns to its caller",
    .flags = TL_NO_IMPL,
    .setup = loop_setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
    .expect = loop_expect_syscall,
};
TL_BENCH(floor_sched_yield);

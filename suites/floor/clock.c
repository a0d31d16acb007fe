/*
 * floor.clock - reading the harness's own timer, as latency benchmarks do within their ops.
 */
#include "loop.h"

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    uint64_t last = 0, right = 0;

    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t now = tl_now_ns();

        right += now >= last;
        last = now;
    }
    tl_end(ctx, n);
    loop_done(ctx, n, right);
    return TL_OK;
}

static const struct tl_bench floor_clock = {
    .abi = TL_ABI,
    .name = "floor.clock",
    .version = 1,
    .title = "Read the timer of this harness",
    .op = "one reading, which is not before the one ahead of it",
    .flags = TL_NO_IMPL,
    .setup = loop_setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
};
TL_BENCH(floor_clock);

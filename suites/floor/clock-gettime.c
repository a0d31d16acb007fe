/*
 * floor.clock-gettime - clock_gettime(CLOCK_MONOTONIC): the vDSO, or a system call where the
 * machine's clock source does not allow it; nothing is promised about which.
 */
#include <time.h>

#include "loop.h"

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct timespec last = {0, 0}, now = {0, 0};
    uint64_t right = 0;

    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++) {
        int failed = clock_gettime(CLOCK_MONOTONIC, &now);

        right += !failed && (now.tv_sec > last.tv_sec ||
                             (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec));
        last = now;
    }
    tl_end(ctx, n);
    loop_done(ctx, n, right);
    return TL_OK;
}

static const struct tl_bench floor_clock_gettime = {
    .abi = TL_ABI,
    .name = "floor.clock-gettime",
    .version = 1,
    .title = "clock_gettime(CLOCK_MONOTONIC)",
    .op = "one reading, which is not before the one ahead of it",
    .flags = TL_NO_IMPL,
    .setup = loop_setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
};
TL_BENCH(floor_clock_gettime);

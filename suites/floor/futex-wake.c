/*
 * floor.futex-wake - a wake-up that nobody waits for: what an unlock pays that cannot tell whether
 * there are waiters.
 */
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop.h"

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    static _Atomic uint32_t word;
    uint64_t right = 0;

    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++)
        right += syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0;
    tl_end(ctx, n);
    loop_done(ctx, n, right);
    return TL_OK;
}

static const struct tl_bench floor_futex_wake = {
    .abi = TL_ABI,
    .name = "floor.futex-wake",
    .version = 1,
    .title = "Futex wake without a waiter",
    .op = "one FUTEX_WAKE_PRIVATE that wakes nobody",
    .flags = TL_NO_IMPL,
    .setup = loop_setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
    .expect = loop_expect_syscall,
};
TL_BENCH(floor_futex_wake);

/*
 * floor.syscall - the cheapest way into the kernel and back: getppid through syscall(2), which no
 * library or vDSO answers by itself.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "loop.h"

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    const long parent = getppid();
    uint64_t right = 0;

    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++)
        right += syscall(SYS_getppid) == parent;
    tl_end(ctx, n);
    loop_done(ctx, n, right);
    return TL_OK;
}

static const struct tl_bench floor_syscall = {
    .abi = TL_ABI,
    .name = "floor.syscall",
    .version = 1,
    .title = "System call that does nothing",
    .op = "one getppid through syscall(2)",
    .flags = TL_NO_IMPL,
    .setup = loop_setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
    .expect = loop_expect_syscall,
};
TL_BENCH(floor_syscall);

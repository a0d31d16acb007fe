/*
 * fork.atfork - what N atfork handlers add to a fork. Each of the N has all three parts, which
 * count their calls.
 */
#include "fork.h"

static uint64_t prepared, continued; /* one thread forks; the child's calls are in its own copy */

static void on_prepare(void)
{
    prepared++;
}

static void on_parent(void)
{
    continued++;
}

static void on_child(void)
{
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    int64_t handlers = tl_axis_int(ctx, "handlers");

    for (int64_t i = 0; i < handlers; i++) {
        int error = ctx->impl->fork->atfork(on_prepare, on_parent, on_child);

        if (error)
            return tl_failed(ctx, "fork.atfork: %s", strerror(error));
    }
    return fork_setup(ctx, "fork", 1, 0);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct fork_state *st = ctx->state;
    uint64_t calls = st->started * (uint64_t)tl_axis_int(ctx, "handlers");

    if (prepared != calls || continued != calls)
        return tl_invalid(ctx,
                          "%" PRIu64 " calls of handlers were due, %" PRIu64
                          " prepared and %" PRIu64 " continued in the parent",
                          calls, prepared, continued);
    return fork_verify(ctx);
}

static const struct tl_axis axes[] = {
    {"handlers", "0,16", "0,16", "0,1,16,256", "atfork handlers registered"},
    {0},
};

static const char *const rests_on[] = {"fork.atfork-order", "fork.caller-continues", NULL};

static const struct tl_bench fork_atfork = {
    .abi = TL_ABI,
    .name = "fork.atfork",
    .version = 1,
    .title = "fork with atfork handlers",
    .op = "one fork with its handlers, the child run and reaped",
    .needs = TL_NEED_FORK,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = fork_run,
    .verify = verify,
    .teardown = fork_teardown,
};
TL_BENCH(fork_atfork);

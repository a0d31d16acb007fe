/*
 * create.join - one thread is created and joined at a time: the cost of a thread's whole life,
 * with nothing else alive. `stack` and `guard` say what a bigger or a guarded stack costs; the
 * implementation's recycling says how much of the life is set-up that can be kept.
 */
#include <errno.h>

#include "create.h"

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct create_lives *st = calloc(1, sizeof(*st));

    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = st;
    st->attr = (struct tl_attr)TL_ATTR_INIT;
    st->attr.stack_size = (size_t)tl_axis_int(ctx, "stack");
    st->attr.no_guard = strcmp(tl_axis(ctx, "guard"), "off") == 0;
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    return create_lives_run(ctx, ctx->state, n, 0);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    return create_lives_verify(ctx, ctx->state);
}

static void teardown(struct tl_ctx *ctx)
{
    free(ctx->state);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"stack", "64k", "16k,64k,1M", "16k,64k,256k,1M,8M", "usable stack of the thread, bytes"},
    {"guard", "on", "on,off", NULL, "memory below the stack that faults"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "create.arg", "join.waits", "join.value", "recycle.clean", NULL,
};

static const struct tl_bench create_join = {
    .abi = TL_ABI,
    .name = "create.join",
    .version = 1,
    .title = "Create and join, one thread at a time",
    .op = "one thread created, run to its end and joined",
    .workers = 1,
    .axes = axes,
    .vary = "recycle,cache,tls",
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = create_expect,
};
TL_BENCH(create_join);

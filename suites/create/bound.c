/*
 * create.bound - the life of a thread with a kernel thread of its own against one without; the two
 * columns of the first table in Powell et al., "SunOS Multi-thread Architecture", USENIX Winter
 * 1991. In a 1:1 implementation every thread is bound, so that both rows are the same thing.
 */
#include <errno.h>

#include "create.h"

#include "../common/scope.h"

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct create_lives *st = calloc(1, sizeof(*st));

    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = st;
    st->attr = (struct tl_attr)TL_ATTR_INIT;
    st->attr.stack_size = 65536;
    st->attr.bound = strcmp(tl_axis(ctx, "scope"), "bound") == 0;
    return scope_prove(ctx, st->attr);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    return create_lives_run(ctx, ctx->state, n, 0);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    const struct create_lives *st = ctx->state;
    enum tl_status status = scope_prove(ctx, st->attr);

    return status == TL_OK ? create_lives_verify(ctx, st) : status;
}

static void teardown(struct tl_ctx *ctx)
{
    free(ctx->state);
    ctx->state = NULL;
}

/* A kernel thread is created and ends in the window: what switches that takes is not promised. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    const struct create_lives *st = ctx->state;

    if (!st->attr.bound)
        create_expect(ctx, expect);
}

static const struct tl_axis axes[] = {
    {"scope", "unbound,bound", NULL, NULL, "bound: on a kernel thread of its own"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "create.arg", "join.waits", "join.value", NULL,
};

static const struct tl_bench create_bound = {
    .abi = TL_ABI,
    .name = "create.bound",
    .version = 1,
    .title = "Create and join, bound and unbound",
    .op = "one thread created, run to its end and joined",
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(create_bound);

/*
 * create.join - one thread is created and joined at a time: the cost of a thread's whole life,
 * with nothing else alive. `stack` and `guard` say what a bigger or a guarded stack costs; the
 * implementation's recycling says how much of the life is set-up that can be kept.
 */
#include <errno.h>

#include "create.h"

struct state {
    struct tl_attr attr;
    uint64_t ran;      /* counted by the threads */
    uint64_t created;  /* by us, like the next */
    uint64_t returned; /* joins that brought the right value */
};

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = calloc(1, sizeof(*st));

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
    struct state *st = ctx->state;
    const struct tl_impl *impl = ctx->impl;
    uint64_t done, returned = 0;
    int create_error = 0, join_error = 0;

    tl_begin(ctx);
    for (done = 0; done < n; done++) {
        struct tl_thread t;
        void *value = NULL;

        create_error = impl->create(&t, &st->attr, create_entry, &st->ran);
        if (create_error)
            break;
        join_error = impl->join(t, &value);
        if (join_error)
            break;
        returned += value == &st->ran;
    }
    tl_end(ctx, done ? done : 1);

    if (create_error)
        return create_failed(ctx, st->created + done, create_error);
    if (join_error)
        return tl_failed(ctx, "join of thread %" PRIu64 ": %s", done + 1, strerror(join_error));
    st->created += done;
    st->returned += returned;
    tl_count(ctx, "threads", done);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (st->ran != st->created)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " threads ran", st->ran, st->created);
    if (st->returned != st->created)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " joins brought the thread's value",
                          st->returned, st->created);
    return TL_OK;
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

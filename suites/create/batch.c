/*
 * create.batch - N threads are created, then all of them joined. Unlike create.join, N stacks and
 * control blocks are in use at once (as far as the implementation does not run a thread to its end
 * within create), so a pool that keeps only a few of them shows here.
 */
#include <errno.h>

#include "create.h"

struct state {
    struct tl_attr attr;
    unsigned threads;         /* of a batch */
    struct tl_thread *thread; /* [threads] */
    uint64_t *ran;            /* [threads], counted by each thread */
    uint64_t batches;         /* by us, like the next */
    uint64_t returned;        /* joins that brought the right value */
};

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = calloc(1, sizeof(*st));

    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = st;
    st->attr = (struct tl_attr)TL_ATTR_INIT;
    st->attr.stack_size = 65536;
    st->threads = (unsigned)tl_axis_int(ctx, "threads");
    st->thread = calloc(st->threads, sizeof(*st->thread));
    st->ran = calloc(st->threads, sizeof(*st->ran));
    if (!st->thread || !st->ran)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    /* The pages of our own arrays are not to fault in the window. */
    memset(st->thread, 0xff, st->threads * sizeof(*st->thread));
    memset(st->ran, 0, st->threads * sizeof(*st->ran));
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_impl *impl = ctx->impl;
    uint64_t batches = (n + st->threads - 1) / st->threads, returned = 0, done;
    unsigned made = 0;
    int create_error = 0, join_error = 0;

    tl_begin(ctx);
    for (done = 0; done < batches && !create_error && !join_error; done++) {
        for (made = 0; made < st->threads; made++) {
            create_error = impl->create(&st->thread[made], &st->attr, create_entry, &st->ran[made]);
            if (create_error)
                break;
        }
        for (unsigned i = 0; i < made; i++) {
            void *value = NULL;
            int error = impl->join(st->thread[i], &value);

            if (error)
                join_error = error;
            returned += value == &st->ran[i];
        }
    }
    tl_end(ctx, done * st->threads);

    if (create_error)
        return create_failed(ctx, made, create_error);
    if (join_error)
        return tl_failed(ctx, "join: %s", strerror(join_error));
    st->batches += done;
    st->returned += returned;
    tl_count(ctx, "threads", done * st->threads);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    uint64_t created = st->batches * st->threads;

    for (unsigned i = 0; i < st->threads; i++) {
        if (st->ran[i] != st->batches)
            return tl_invalid(ctx, "thread %u ran %" PRIu64 " times in %" PRIu64 " batches", i,
                              st->ran[i], st->batches);
    }
    if (st->returned != created)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " joins brought the thread's value",
                          st->returned, created);
    create_reused(ctx);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    free(st->ran);
    free(st->thread);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"threads", "16,1000", NULL, "16,1000,10000", "threads of a batch"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "create.arg", "create.many", "join.waits", "join.value", "join.after-exit", NULL,
};

static const struct tl_bench create_batch = {
    .abi = TL_ABI,
    .name = "create.batch",
    .version = 1,
    .title = "Create N threads, then join them all",
    .op = "one thread of the batch created, run to its end and joined",
    .workers = 1,
    .axes = axes,
    .vary = "recycle,cache",
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = create_expect,
};
TL_BENCH(create_batch);

/*
 * create.parked - N threads are alive and blocked. What does each of them hold in memory, and what
 * does the life of one more thread cost among them?
 *
 * Metrics: resident (bytes of user memory per parked thread, from /proc/self/smaps_rollup before
 * and after; the benchmark's own arrays are touched before), page_tables (kernel memory per thread
 * for mapping that, from VmPTE), park (time to create one of the N and see it blocked).
 */
#include <errno.h>
#include <stdatomic.h>

#include "create.h"

#include "../common/proc.h"

struct state {
    const struct tl_impl *impl;
    struct create_lives lives; /* of the threads that run() creates */
    unsigned threads, made;
    unsigned sems;            /* initialised: all, then hold */
    struct tl_thread *thread; /* [threads] */
    struct tl_sem all;        /* posted by the last one that arrives */
    struct tl_sem hold;       /* all N wait here until teardown */
    _Atomic int error;        /* of a sem call in a parked thread */
    _Alignas(64) _Atomic unsigned arrived;
    _Atomic unsigned left;
};

static void *parked(void *arg)
{
    struct state *st = arg;
    int error = 0;

    if (atomic_fetch_add(&st->arrived, 1) + 1 == st->threads)
        error = st->impl->sem->post(&st->all);
    if (!error)
        error = st->impl->sem->wait(&st->hold);
    if (error)
        atomic_store(&st->error, error);
    atomic_fetch_add(&st->left, 1);
    return NULL;
}

static enum tl_status park_all(struct tl_ctx *ctx, struct state *st)
{
    int error;

    for (; st->made < st->threads && !atomic_load(&st->error); st->made++) {
        error = st->impl->create(&st->thread[st->made], &st->lives.attr, parked, st);
        if (error)
            return create_failed(ctx, st->made, error);
    }
    error = atomic_load(&st->error);
    if (!error)
        error = st->impl->sem->wait(&st->all);
    if (error == EDEADLK)
        return tl_invalid(ctx, "0 of %u threads stayed blocked: a thread runs inside create",
                          st->threads);
    return error ? tl_failed(ctx, "sem: %s", strerror(error)) : TL_OK;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    int64_t rss, tables;
    uint64_t start;
    enum tl_status status;
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->impl = ctx->impl;
    st->lives.attr = (struct tl_attr)TL_ATTR_INIT;
    st->lives.attr.stack_size = 16384;
    st->threads = (unsigned)tl_axis_int(ctx, "threads");
    st->thread = malloc(st->threads * sizeof(*st->thread));
    if (!st->thread)
        return tl_failed(ctx, "malloc: %s", strerror(ENOMEM));
    memset(st->thread, 0xff, st->threads * sizeof(*st->thread));
    for (; st->sems < 2; st->sems++) {
        error = st->impl->sem->init(st->sems == 0 ? &st->all : &st->hold, 0);
        if (error)
            return tl_failed(ctx, "sem.init: %s", strerror(error));
    }

    proc_resident(); /* stdio's first use allocates too */
    rss = proc_resident();
    tables = proc_page_tables();
    start = tl_now_ns();
    status = park_all(ctx, st);
    if (status != TL_OK)
        return status;
    tl_metric(ctx, "park", (double)(tl_now_ns() - start) / st->threads, "ns");
    if (rss < 0 || tables < 0)
        return tl_unsupported(ctx, "no Rss in /proc/self/smaps_rollup or VmPTE in status");
    tl_metric(ctx, "resident", (double)(proc_resident() - rss) / st->threads, "bytes");
    tl_metric(ctx, "page_tables", (double)(proc_page_tables() - tables) / st->threads, "bytes");
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;

    return create_lives_run(ctx, &st->lives, n, st->threads);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    unsigned blocked = atomic_load(&st->arrived) - atomic_load(&st->left);

    if (blocked != st->threads)
        return tl_invalid(ctx, "%u of %u threads stayed blocked", blocked, st->threads);
    return create_lives_verify(ctx, &st->lives);
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    int error = 0;

    if (!st)
        return;
    for (unsigned i = 0; i < st->made && st->sems == 2; i++)
        st->impl->sem->post(&st->hold);
    for (unsigned i = 0; i < st->made && !error; i++)
        error = st->impl->join(st->thread[i], NULL);
    if (error) { /* the threads may still use the state: it stays */
        tl_failed(ctx, "join: %s", strerror(error));
        return;
    }
    if (st->sems > 1)
        st->impl->sem->destroy(&st->hold);
    if (st->sems > 0)
        st->impl->sem->destroy(&st->all);
    free(st->thread);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"threads", "1000", NULL, "1000,10000,100000,1000000", "threads alive and blocked"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "create.many", "join.waits", "join.value", "sem.count", NULL,
};

static const struct tl_bench create_parked = {
    .abi = TL_ABI,
    .name = "create.parked",
    .version = 1,
    .title = "Create and join among N blocked threads, and the memory these hold",
    .op = "one thread created, run to its end and joined while N others are blocked",
    .needs = TL_NEED_SEM,
    .workers = 1,
    .axes = axes,
    .vary = "tls",
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = create_expect,
};
TL_BENCH(create_parked);

/*
 * switch.stacks - the same yields with the stacks in other places: what it is worth that a stack
 * lies near its control block, and that stacks do not start at the same offset of their pages.
 *
 * A switch loads a few lines of the thread that comes: its control block and the top frames of its
 * stack. All of the caller's stacks (tl_attr.stack) have the same size, so only addresses differ:
 *
 *     own        where the implementation has them
 *     packed     one behind the other, an odd number of lines apart: any thread's top frames may
 *                be in any set of the caches
 *     aligned    a power of two apart: the top frames of all threads are in the same few sets
 *     coloured   as aligned, but thread i starts i % 32 lines lower (Bonwick 1994, "The Slab
 *                Allocator", section 4.1)
 *     scattered  each in 2 MiB of its own, in random order, at a random page and line: no two share
 *                a page of the page table
 *
 * With threads whose frames fit in the first-level cache all are alike; what counts is the number
 * at which they part. "own" of a library that lays out control block and stack together and
 * colours them should be as good as the best.
 */
#include <sys/mman.h>

#include "rota.h"

#define APART 65536
#define ALONE ((size_t)2 << 20)

/* A cell has a process of its own. */
static struct {
    char *base;
    size_t size;
    void **at; /* of each thread */
} stacks;

static void work(struct gate *g, unsigned index, void *arg)
{
    struct rota *r = arg;

    (void)g;
    if (r->one_at_a_time)
        rota_loop(r, index, true, NULL);
    else
        rota_loop(r, index, false, NULL);
}

static void *place(unsigned index, void *arg)
{
    (void)arg;
    return stacks.at[index];
}

/* Fisher and Yates. */
static void shuffle(unsigned *order, unsigned n, uint64_t *seed)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned j = (unsigned)(tl_random(seed) % i), kept = order[i - 1];

        order[i - 1] = order[j];
        order[j] = kept;
    }
}

static size_t stride_of(const char *layout)
{
    return !strcmp(layout, "packed")      ? ROTA_STACK + 64
           : !strcmp(layout, "scattered") ? ALONE
                                          : APART;
}

/* Where the stack of thread i begins, within its stride. */
static size_t offset_of(const char *layout, unsigned i, uint64_t *seed)
{
    if (!strcmp(layout, "coloured"))
        return APART - ROTA_STACK - (size_t)(i % 32) * 64;
    if (!strcmp(layout, "aligned"))
        return APART - ROTA_STACK;
    if (!strcmp(layout, "scattered"))
        return tl_random(seed) % ((ALONE - ROTA_STACK) / 64) * 64;
    return 0;
}

static enum tl_status lay_out(struct tl_ctx *ctx, const char *layout, unsigned threads)
{
    size_t stride = stride_of(layout);
    uint64_t seed = ctx->seed;
    unsigned *order = malloc(threads * sizeof(*order));

    stacks.at = malloc(threads * sizeof(*stacks.at));
    if (!order || !stacks.at) {
        free(order);
        return tl_failed(ctx, "malloc: %s", strerror(ENOMEM));
    }
    for (unsigned i = 0; i < threads; i++)
        order[i] = i;
    if (!strcmp(layout, "scattered"))
        shuffle(order, threads, &seed);
    stacks.size = stride * threads;
    stacks.base = mmap(NULL, stacks.size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks.base == MAP_FAILED) {
        free(order);
        return tl_failed(ctx, "mmap of %zu bytes: %s", stacks.size, strerror(errno));
    }
    /* A huge page would spare the walks of the page table that are to be seen. */
    madvise(stacks.base, stacks.size, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < threads; i++)
        stacks.at[i] = stacks.base + stride * order[i] + offset_of(layout, i, &seed);
    free(order);
    return TL_OK;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    const char *layout = tl_axis(ctx, "stacks");
    enum tl_status status;

    if (!strcmp(layout, "own"))
        return rota_setup(ctx, work, 0);
    status = lay_out(ctx, layout, (unsigned)tl_axis_int(ctx, "threads"));
    return status == TL_OK ? rota_setup_at(ctx, work, 0, place) : status;
}

static void teardown(struct tl_ctx *ctx)
{
    rota_teardown(ctx);
    if (ctx->state) /* a thread could not be joined: it is on its stack */
        return;
    if (stacks.base && stacks.base != MAP_FAILED)
        munmap(stacks.base, stacks.size);
    free(stacks.at);
    memset(&stacks, 0, sizeof(stacks));
}

static const struct tl_axis axes[] = {
    {"threads", "1000", "16,1000", "2,16,100,1000,10000,100000", "threads that yield in turn"},
    {"stacks", "own,packed,aligned,scattered", "own,packed,aligned,coloured,scattered", NULL,
     "where they lie: see the source"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "sem.count", "stack.user-supplied", "yield.round-robin", NULL,
};

static const struct tl_bench switch_stacks = {
    .abi = TL_ABI,
    .name = "switch.stacks",
    .version = 1,
    .title = "Yield by layout of the stacks",
    .op = "one hand-over of the PU from a thread that yields to another",
    .needs = TL_NEED_SEM,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = rota_run,
    .verify = rota_verify,
    .teardown = teardown,
    .expect = rota_expect,
};
TL_BENCH(switch_stacks);

/*
 * tree.skynet - a root creates ten threads, each of them ten, and so on down to the leaves, which
 * bring their numbers up to be summed; after the "skynet" test of goroutine-like libraries (A.
 * Temerev, "Skynet 1M concurrency microbenchmark", 2016).
 *
 * Each thread creates its ten children before it joins the first of them: a FIFO scheduler has the
 * whole tree alive at once. The speed-up is the ratio of two cells of one run: lwps=1 over lwps=2.
 */
#include "tree.h"

#define WAYS 10

static void skynet(struct tree_node *node)
{
    struct tree_node child[WAYS];
    struct tl_thread thread[WAYS];
    unsigned made = 0;

    if (node->size == 1) {
        node->value = node->first;
        return;
    }
    for (; made < WAYS && !node->error; made += !node->error) {
        uint64_t size = node->size / WAYS;

        child[made] = (struct tree_node){
            .size = size, .first = node->first + made * size, .slot = node->slot + made};
        node->error = tree_create(&thread[made], &child[made]);
    }
    for (unsigned i = 0; i < made; i++)
        tree_join(thread[i], &child[i], node);
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    uint64_t leaves = (uint64_t)tl_axis_int(ctx, "leaves"), threads = 0, level = 1;

    while (level < leaves)
        threads += level *= WAYS;
    if (leaves < WAYS || level != leaves || leaves > 1000000000)
        return tl_unsupported(ctx, "leaves=%" PRIu64 ": it takes a power of ten from 10 to 10^9",
                              leaves);
    return tree_setup(ctx, skynet, leaves, leaves * (leaves - 1) / 2, threads);
}

static const struct tl_axis axes[] = {
    {"leaves", "1000", "1000,100000", "1000,100000,1000000",
     "leaves of the tree; a ninth more threads"},
    {0},
};

static const struct tl_bench tree_skynet = {
    .abi = TL_ABI,
    .name = "tree.skynet",
    .version = 1,
    .title = "A million threads in a tree sum their numbers",
    .op = "one thread created, run to its end and joined, in a tree that is ten wide",
    .workers = 2,
    .axes = axes,
    .vary = "lwps",
    .rests_on = tree_rests_on,
    .kernel_threads = "leaves",
    .deadline_ns = TREE_DEADLINE_NS,
    .setup = setup,
    .run = tree_run,
    .verify = tree_verify,
};
TL_BENCH(tree_skynet);

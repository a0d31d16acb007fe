/*
 * tree.fib - Fibonacci numbers by threads: each call above the leaves creates a thread for
 * fib(n-1), computes fib(n-2) itself and joins. The customary test of fork-join schedulers since
 * Cilk (Blumofe et al., "Cilk: An Efficient Multithreaded Runtime System", PPoPP 1995, section 4):
 * there is no work but the threads, and its tree is lopsided, so that a scheduler must balance.
 *
 * The speed-up is the ratio of two cells of one run: lwps=1 over lwps=2.
 */
#include "tree.h"

static void fib(struct tree_node *node)
{
    struct tree_node child = {.size = node->size - 1, .slot = node->slot + 1};
    struct tree_node rest = {.size = node->size - 2, .slot = node->slot};
    struct tl_thread t;

    if (node->size < 2) {
        node->value = node->size;
        return;
    }
    node->error = tree_create(&t, &child);
    if (node->error)
        return;
    fib(&rest);
    node->value = rest.value;
    node->threads = rest.threads;
    node->error = rest.error;
    tree_join(t, &child, node);
}

/* Each call above the leaves makes one addition, and as many leaves bring the value 1 or 0 as there
 * are calls above them, and one more: fib(n + 1) leaves. */
static enum tl_status setup(struct tl_ctx *ctx)
{
    uint64_t n = (uint64_t)tl_axis_int(ctx, "n"), value = 0, leaves = 1;

    if (n < 2 || n > 40)
        return tl_unsupported(ctx, "n=%" PRIu64 ": a tree has n from 2 to 40", n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t next = value + leaves;

        value = leaves;
        leaves = next;
    }
    return tree_setup(ctx, fib, n, value, leaves - 1);
}

static const struct tl_axis axes[] = {
    {"n", "15", NULL, "15,20,25", "number to compute: 986, 10945, 121392 threads"},
    {0},
};

static const struct tl_bench tree_fib = {
    .abi = TL_ABI,
    .name = "tree.fib",
    .version = 1,
    .title = "Fibonacci numbers by threads",
    .op = "one thread created, run to its end and joined, in a lopsided binary tree",
    .workers = 2,
    .axes = axes,
    .vary = "lwps",
    .rests_on = tree_rests_on,
    .deadline_ns = TREE_DEADLINE_NS,
    .setup = setup,
    .run = tree_run,
    .verify = tree_verify,
};
TL_BENCH(tree_fib);

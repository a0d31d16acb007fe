/*
 * tree.h - fork-join trees: every inner node creates threads for its children and joins them, so
 * that the work is nothing but threads.
 *
 * A node is on its creator's stack until it is joined; it brings back its value and how many
 * threads were created below it. So nothing is shared between two branches: a common counter would
 * be what all PUs wait for. Both sums are compared with what arithmetic says.
 *
 * How many threads are alive at once is the scheduler's choice: depth first, some dozens; breadth
 * first (a FIFO run queue, or a kernel), up to all of them.
 */
#ifndef SUITES_TREE_H
#define SUITES_TREE_H

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define TREE_STACK 16384
#define TREE_DEADLINE_NS UINT64_C(300000000000)

struct tree_node {
    uint64_t size, first; /* the case's: how large a part of the problem, and which */
    unsigned slot;
    uint64_t value;
    uint64_t threads; /* created below it that came back by the right join */
    int error;        /* the first that a call answered below it */
};

/* One a process. Written by setup and run only. */
static struct {
    const struct tl_impl *impl;
    unsigned nslots;
    bool slots;                           /* say where a thread is to run */
    uint64_t size, value, threads;        /* of the whole tree; the last two: expected */
    uint64_t trees, right, created;       /* in all windows */
    void (*grow)(struct tree_node *node); /* the case's; runs in the node's own thread */
} tree;

static inline void *tree_entry(void *arg)
{
    tree.grow(arg);
    return arg;
}

/* A kernel thread inherits its creator's PU, so that all of a 1:1 tree would run on one: it is told
 * a slot, children in turn. An M:N library balances by itself: that is what is measured there. */
static inline int tree_create(struct tl_thread *t, struct tree_node *child)
{
    struct tl_attr attr = TL_ATTR_INIT;

    attr.stack_size = TREE_STACK;
    child->slot %= tree.nslots;
    if (tree.slots)
        attr.slot = (int)child->slot;
    return tree.impl->create(t, &attr, tree_entry, child);
}

/* Joins a child that was created and adds what it brought. */
static inline void tree_join(struct tl_thread t, const struct tree_node *child,
                             struct tree_node *node)
{
    void *value = NULL;
    int error = tree.impl->join(t, &value);

    node->threads += child->threads + (value == child);
    node->value += child->value;
    if (!node->error)
        node->error = error ? error : child->error;
}

/* What the file holds, one number; 0: not known. */
static inline uint64_t tree_number_in(const char *path)
{
    FILE *f = fopen(path, "re");
    uint64_t number = 0;

    if (f && fscanf(f, "%" SCNu64, &number) != 1)
        number = 0;
    if (f)
        fclose(f);
    return number;
}

/* value and threads: what the tree of that size must bring. */
static inline enum tl_status tree_setup(struct tl_ctx *ctx, void (*grow)(struct tree_node *),
                                        uint64_t size, uint64_t value, uint64_t threads)
{
    uint64_t pids = tree_number_in("/proc/sys/kernel/pid_max");

    tree.impl = ctx->impl;
    tree.nslots = ctx->nslots;
    tree.slots = tl_trait(ctx, TL_ONE_TO_ONE);
    tree.grow = grow;
    tree.size = size;
    tree.value = value;
    tree.threads = threads;
    /* Not tried: it would take the identifiers away from the whole machine. */
    if (tl_trait(ctx, TL_ONE_TO_ONE) && pids && threads >= pids)
        return tl_unsupported(ctx,
                              "up to %" PRIu64 " threads alive at once: each is a kernel thread "
                              "here, and kernel.pid_max=%" PRIu64,
                              threads, pids);
    return TL_OK;
}

static inline enum tl_status tree_failed(struct tl_ctx *ctx, const struct tree_node *root)
{
    if (root->error == EAGAIN || root->error == ENOMEM)
        return tl_trait(ctx, TL_ONE_TO_ONE)
                   ? tl_unsupported(ctx,
                                    "create: %s, with %" PRIu64 " of %" PRIu64 " kernel threads "
                                    "created: more alive at once than the limits allow",
                                    strerror(root->error), root->threads, tree.threads)
                   : tl_failed(ctx, "create: %s, with %" PRIu64 " of %" PRIu64 " threads created",
                               strerror(root->error), root->threads, tree.threads);
    return tl_failed(ctx, "create or join: %s", strerror(root->error));
}

/* Whole trees, one after the other, at least one; the root is the first thread's. */
static inline enum tl_status tree_run(struct tl_ctx *ctx, uint64_t n)
{
    uint64_t trees = n / tree.threads + (n % tree.threads > 0), right = 0, created = 0, done;
    struct tree_node root;

    tl_begin(ctx);
    for (done = 0; done < trees; done++) {
        root = (struct tree_node){.size = tree.size};
        tree.grow(&root);
        created += root.threads;
        if (root.error)
            break;
        right += root.value == tree.value && root.threads == tree.threads;
    }
    tl_end(ctx, created ? created : 1);

    if (done < trees)
        return tree_failed(ctx, &root);
    tree.trees += trees;
    tree.right += right;
    tree.created += created;
    tl_count(ctx, "threads", created);
    return TL_OK;
}

static inline enum tl_status tree_verify(struct tl_ctx *ctx)
{
    if (tree.right != tree.trees || tree.created != tree.trees * tree.threads)
        return tl_invalid(ctx,
                          "%" PRIu64 " of %" PRIu64 " trees brought %" PRIu64 "; %" PRIu64
                          " threads ran of %" PRIu64,
                          tree.right, tree.trees, tree.value, tree.created,
                          tree.trees * tree.threads);
    return TL_OK;
}

static const char *const tree_rests_on[] = {
    "create.runs", "create.arg", "create.many", "join.waits", "join.value", NULL,
};

#endif

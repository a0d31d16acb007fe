/*
 * atfork-order.c - fork.atfork-order, fork.atfork-nested: handlers run in the order that lets locks
 * be taken in the order of the hierarchy and released in the reverse one.
 */
#include "forked.h"

static char log_text[64];

static void note(char c)
{
    size_t n = strlen(log_text);

    if (n + 1 < sizeof(log_text)) {
        log_text[n] = c;
        log_text[n + 1] = '\0';
    }
}

/* Three sets: prepare A B C, parent a b c, child 1 2 3. */
static void prepare_a(void)
{
    note('A');
}
static void prepare_b(void)
{
    note('B');
}
static void prepare_c(void)
{
    note('C');
}
static void parent_a(void)
{
    note('a');
}
static void parent_b(void)
{
    note('b');
}
static void parent_c(void)
{
    note('c');
}
static void child_1(void)
{
    note('1');
}
static void child_2(void)
{
    note('2');
}
static void child_3(void)
{
    note('3');
}

static void expect_log(struct tl_ctx *ctx, const char *who, const char *right)
{
    TL_EXPECT(ctx, strcmp(log_text, right) == 0, "%s: handlers ran as %s, right is %s", who,
              log_text, right);
}

static void add_all(struct tl_ctx *ctx)
{
    const struct tl_fork_ops *ops = ctx->impl->fork;

    TL_CALL(ctx, ops->atfork(prepare_a, parent_a, child_1));
    TL_CALL(ctx, ops->atfork(prepare_b, parent_b, child_2));
    TL_CALL(ctx, ops->atfork(prepare_c, parent_c, child_3));
    TL_CALL(ctx, ops->atfork(NULL, NULL, NULL));
}

static void in_child(struct tl_ctx *ctx, void *arg)
{
    (void)arg;
    expect_log(ctx, "child", "CBA123");
}

static enum tl_status run_order(struct tl_ctx *ctx)
{
    add_all(ctx);
    forked(ctx, in_child, NULL);
    expect_log(ctx, "parent", "CBAabc");
    return tl_verdict(ctx);
}

static const struct tl_check atfork_order = {
    .abi = TL_ABI,
    .name = "fork.atfork-order",
    .group = "Fork",
    .promise = "prepare handlers run last registered first, parent and child handlers in the order "
               "of registration",
    .source = "POSIX.1-2017 XSH pthread_atfork",
    .method = "three sets of handlers that note who they are, and one of NULLs; one fork",
    .meaning = "the order is fixed: what one fork shows, all do",
    .needs = "fork.fork fork.atfork",
    .run = run_order,
};
TL_CHECK(atfork_order);

static void in_grandchild(struct tl_ctx *ctx, void *arg)
{
    (void)arg;
    expect_log(ctx, "grandchild", "CBA123CBA123");
}

static void in_child_again(struct tl_ctx *ctx, void *arg)
{
    forked(ctx, in_grandchild, arg);
    expect_log(ctx, "child", "CBA123CBAabc");
}

static enum tl_status run_nested(struct tl_ctx *ctx)
{
    add_all(ctx);
    forked(ctx, in_child_again, NULL);
    expect_log(ctx, "parent", "CBAabc");
    return tl_verdict(ctx);
}

static const struct tl_check atfork_nested = {
    .abi = TL_ABI,
    .name = "fork.atfork-nested",
    .group = "Fork",
    .promise = "the handlers are still there in the child, and run when it forks itself",
    .source = "POSIX.1-2017 XSH pthread_atfork, fork (the child is a copy)",
    .method = "a child forks again; child and grandchild compare what has run",
    .meaning = "the order is fixed: what one fork shows, all do",
    .needs = "fork.fork fork.atfork",
    .run = run_nested,
};
TL_CHECK(atfork_nested);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_fork_ops *sound;

static int swap_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return sound->atfork(prepare, child, parent);
}

static void apply_swap(struct tl_impl *impl)
{
    sound = impl->fork;
    TL_MUTATE(impl, fork)->atfork = swap_handlers;
}

static const struct tl_mutant atfork_swapped = {
    .abi = TL_ABI,
    .name = "atfork-parent-child-swapped",
    .fault = "parent handlers run in the child and the other way round",
    .kills = "fork.atfork-order fork.atfork-nested",
    .of = "nptl clone green hybrid",
    .apply = apply_swap,
};
TL_MUTANT_OF(atfork_swapped);

/* Prepare handlers first in, first out: one that runs them all, registered last. */
static void (*prepares[8])(void);
static unsigned nprepares;

static void run_prepares(void)
{
    for (unsigned i = 0; i < nprepares; i++)
        prepares[i]();
}

static int collect(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    bool first = nprepares == 0;

    if (prepare && nprepares < 8)
        prepares[nprepares++] = prepare;
    return sound->atfork(first ? run_prepares : NULL, parent, child);
}

static void apply_fifo(struct tl_impl *impl)
{
    sound = impl->fork;
    TL_MUTATE(impl, fork)->atfork = collect;
}

static const struct tl_mutant atfork_fifo = {
    .abi = TL_ABI,
    .name = "atfork-prepare-fifo",
    .fault = "prepare handlers run in the order of registration",
    .kills = "fork.atfork-order",
    .of = "nptl clone green hybrid",
    .apply = apply_fifo,
};
TL_MUTANT_OF(atfork_fifo);

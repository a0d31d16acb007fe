/*
 * all.c - fork.all: after fork_all every thread goes on in the child.
 */
#include "forked.h"

static struct forked_siblings siblings;

static enum tl_status run(struct tl_ctx *ctx)
{
    pid_t pid = -1;

    if (!forked_siblings_start(ctx, &siblings))
        goto out;
    if (!TL_CALL(ctx, ctx->impl->fork->fork_all(&pid)))
        goto out;
    /* Both go on from here, each with its siblings, and end them. */
    unsigned long before = atomic_load(&siblings.counted);
    tl_step(ctx, pid ? "the siblings go on in the parent" : "the siblings go on in the child");
    for (int i = 0; i < 10000 && atomic_load(&siblings.counted) < before + 100; i++)
        ctx->impl->yield();
    TL_EXPECT(ctx, atomic_load(&siblings.counted) >= before + 100,
              "the other threads do not go on in the %s", pid ? "parent" : "child");
    if (pid == 0) {
        forked_siblings_stop(&siblings);
        _exit(tl_verdict(ctx) == TL_OK ? 0 : 1);
    }
    forked_wait(ctx, pid, 0);
out:
    forked_siblings_stop(&siblings);
    return tl_verdict(ctx);
}

static const struct tl_check fork_all = {
    .abi = TL_ABI,
    .name = "fork.all",
    .group = "Fork",
    .promise = "after fork_all all threads go on in parent and child, and can be joined in both",
    .source = "Solaris forkall(2); Powell et al. 1991, section on fork",
    .method = "three threads count; after fork_all they have to go on counting in both processes, "
              "which then end and join them",
    .meaning = "a thread that is lost in the child would neither count nor be joined",
    .needs = "fork.fork_all",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(fork_all);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void apply(struct tl_impl *impl)
{
    int (*fork1)(pid_t * pid) = impl->fork->fork;

    TL_MUTATE(impl, fork)->fork_all = fork1;
}

static const struct tl_mutant fork_all_is_fork1 = {
    .abi = TL_ABI,
    .name = "forkall-is-fork1",
    .fault = "fork_all keeps only the caller, as fork does",
    .kills = "fork.all",
    .of = "green ucontext hybrid",
    .apply = apply,
};
TL_MUTANT_OF(fork_all_is_fork1);

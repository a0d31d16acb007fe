/*
 * one-thread.c - fork.one-thread: only the caller of fork lives on in the child.
 */
#include "forked.h"

static struct forked_siblings siblings;

static void child(struct tl_ctx *ctx, void *arg)
{
    unsigned long before = atomic_load(&siblings.counted);

    (void)arg;
    for (int i = 0; i < 200; i++)
        ctx->impl->yield();
    usleep(20000); /* for those that would run in parallel */
    TL_EXPECT(ctx, atomic_load(&siblings.counted) == before,
              "another thread runs in the child: it counted from %lu to %lu", before,
              atomic_load(&siblings.counted));
}

static enum tl_status run(struct tl_ctx *ctx)
{
    unsigned long before;

    if (forked_siblings_start(ctx, &siblings) && forked(ctx, child, NULL)) {
        before = atomic_load(&siblings.counted);
        while (atomic_load(&siblings.counted) == before) /* else: hung */
            ctx->impl->yield();
    }
    forked_siblings_stop(&siblings);
    return tl_verdict(ctx);
}

static const struct tl_check fork_one_thread = {
    .abi = TL_ABI,
    .name = "fork.one-thread",
    .group = "Fork",
    .promise = "the child of fork has one thread, the caller; in the parent all go on",
    .source = "POSIX.1-2017 XSH fork",
    .method = "three threads count without end; in the child of a fork the count must stand still "
              "over 200 yields and 20 ms, in the parent it must go on",
    .meaning = "a thread that lives on in the child and is scheduled at all would count; one that "
               "is merely never scheduled would not be seen",
    .needs = "fork.fork",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(fork_one_thread);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_impl *sound;
static struct tl_impl saved;
static void *(*last_entry)(void *);
static void *last_arg;

static int remember(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                    void *arg)
{
    last_entry = entry;
    last_arg = arg;
    return sound->create(t, attr, entry, arg);
}

static int fork_two(pid_t *pid)
{
    struct tl_thread t;
    int err = sound->fork->fork(pid);

    if (!err && *pid == 0)
        sound->create(&t, NULL, last_entry, last_arg);
    return err;
}

static void apply(struct tl_impl *impl)
{
    saved = *impl;
    sound = &saved;
    impl->create = remember;
    TL_MUTATE(impl, fork)->fork = fork_two;
}

static const struct tl_mutant fork_keeps_thread = {
    .abi = TL_ABI,
    .name = "fork-keeps-thread",
    .fault = "one of the other threads goes on in the child",
    .kills = "fork.one-thread",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(fork_keeps_thread);

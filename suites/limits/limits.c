/*
 * limits.c - limit.address-space, limit.nproc, limit.first: what stops you first as threads are
 * added, and that hitting it is an error which leaves the runtime usable.
 */
#include "check.h"

#include "../common/address-space.h"
#include "../common/proc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST 4000

static struct tl_ctx *ctx;
static struct tl_sem gate;
static struct tl_thread all[MOST];

static void *stand(void *arg)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&gate));
    return arg;
}

static void *same(void *arg)
{
    return arg;
}

/* Adds threads until an error, lets all go, and needs to be able to create again. Returns how many
 * there were; *error: what ended it, 0: nothing did. */
static int fill(int *error)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;
    int n = 0;

    attr.stack_size = 1 << 20;
    *error = 0;
    while (n < MOST && !(*error = ctx->impl->create(&all[n], &attr, stand, NULL)))
        n++;
    TL_EXPECT(ctx, !*error || *error == EAGAIN || *error == ENOMEM,
              "at the limit create answered %s, right is EAGAIN", strerrorname_np(*error));
    for (int i = 0; i < n; i++)
        TL_CALL(ctx, ctx->impl->sem->post(&gate));
    for (int i = 0; i < n; i++)
        tl_finish(ctx, all[i]);
    for (int i = 0; i < 20 && tl_verdict(ctx) == TL_OK; i++)
        if (TL_CALL(ctx, ctx->impl->create(&t, NULL, same, &gate)))
            TL_EXPECT(ctx, tl_finish(ctx, t) == &gate,
                      "a thread created after the limit was hit "
                      "gives another value");
    return n;
}

static void *fill_twice(void *arg)
{
    const char *what = arg;
    int error, first, second;

    TL_CALL(ctx, ctx->impl->sem->init(&gate, 0));
    first = fill(&error);
    if (!error && tl_verdict(ctx) == TL_OK) {
        tl_say(ctx, "%s: not reached with %d threads", what, first);
        return NULL;
    }
    second = fill(&error);
    tl_say(ctx, "%s: %s after %d threads, and after %d", what, error ? strerrorname_np(error) : "0",
           first, second);
    TL_EXPECT(ctx, second >= first / 2, "after the limit was hit %d threads can be had, before %d",
              second, first);
    return NULL;
}

/* ---- address space --------------------------------------------------------------------------- */

/* From the inside: what an implementation reserves when it boots is its own affair. */
static void *fill_little_memory(void *arg)
{
    struct rlimit before;

    TL_CALL(ctx, space_limit((size_t)512 << 20, &before));
    return fill_twice(arg);
}

static int in_little_memory(struct tl_ctx *c, void *arg)
{
    return tl_boot(c, fill_little_memory, arg, NULL);
}

static enum tl_status verdict_of(struct tl_ctx *c, const struct tl_child *end)
{
    TL_EXPECT(c, !end->signal && !end->hung, "at the limit the process %s: %s",
              end->hung ? "hangs" : "crashes", end->words);
    TL_EXPECT(c, end->signal || end->hung || end->status == 0, "the child ended with status %d: %s",
              end->status, end->words);
    return tl_verdict(c);
}

static enum tl_status outside_memory(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    TL_CALL(c, tl_child(c, in_little_memory, (void *)"RLIMIT_AS, 512 MiB more", 0, &end));
    return verdict_of(c, &end);
}

static const struct tl_check limit_address_space = {
    .abi = TL_ABI,
    .name = "limit.address-space",
    .group = "Limits",
    .promise =
        "when memory for stacks ends create answers EAGAIN or ENOMEM, and all goes on as before",
    .source = "POSIX.1-2017 XSH pthread_create (EAGAIN); pthread_create(3)",
    .method = "a child process may map 512 MiB more; threads with stacks of 1 MiB are added until "
              "create fails, let go, joined, and added again",
    .meaning =
        "a create that half succeeded crashes, hangs, or leaves less room for the second time",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT | TL_CHECK_ALONE,
    .deadline_s = 180,
    .outside = outside_memory,
};
TL_CHECK(limit_address_space);

/* ---- processes of a user --------------------------------------------------------------------- */

#define NOBODY 54321 /* a user id that nobody else has processes of */

static int as_nobody(struct tl_ctx *c, void *arg)
{
    struct rlimit limit = {100, 100};

    if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY) ||
        setrlimit(RLIMIT_NPROC, &limit))
        return 2;
    return tl_boot(c, fill_twice, arg, NULL);
}

static enum tl_status outside_nproc(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    if (geteuid() != 0)
        return tl_unsupported(c, "needs root, to become a user with no other processes");
    TL_CALL(c, tl_child(c, as_nobody, (void *)"RLIMIT_NPROC 100", 0, &end));
    return verdict_of(c, &end);
}

static const struct tl_check limit_nproc = {
    .abi = TL_ABI,
    .name = "limit.nproc",
    .group = "Limits",
    .promise =
        "when the user's number of tasks ends create answers EAGAIN, and all goes on as before",
    .source = "getrlimit(2), RLIMIT_NPROC; pthread_create(3) (EAGAIN)",
    .method = "a child process of an unprivileged user that may have 100 tasks adds threads until "
              "create fails, lets them go, joins them, and adds again; user-level ones never fail",
    .meaning =
        "a create that half succeeded crashes, hangs, or leaves less room for the second time",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT | TL_CHECK_ALONE,
    .deadline_s = 180,
    .outside = outside_nproc,
};
TL_CHECK(limit_nproc);

/* ---- what comes first ------------------------------------------------------------------------ */

static long number_in(const char *path)
{
    FILE *f = fopen(path, "r");
    long value = -1;

    if (f && fscanf(f, "%ld", &value) != 1)
        value = -1;
    if (f)
        fclose(f);
    return value;
}

/* Of a thread as it is by default: mappings and kernel threads that 100 of them add. */
static enum tl_status run_first(struct tl_ctx *c)
{
    struct limit {
        const char *name;
        long limit, each_hundred;
    } limits[3];
    long maps = 0, before = 0;
    int made = 0, first = 0;
    bool kernel = c->impl->traits & TL_ONE_TO_ONE;

    ctx = c;
    TL_CALL(c, c->impl->sem->init(&gate, 0));
    for (int round = 0; round < 2; round++) {
        before = maps;
        maps = proc_lines("/proc/self/maps");
        while (!round && made < 100 && tl_start(c, 0, &all[made], stand, NULL))
            made++;
    }
    for (int i = 0; i < made; i++)
        TL_CALL(c, c->impl->sem->post(&gate));
    while (made)
        tl_finish(c, all[--made]);
    limits[0] =
        (struct limit){"vm.max_map_count", number_in("/proc/sys/vm/max_map_count"), maps - before};
    limits[1] =
        (struct limit){"kernel.pid_max", number_in("/proc/sys/kernel/pid_max"), kernel ? 100 : 0};
    limits[2] = (struct limit){"kernel.threads-max", number_in("/proc/sys/kernel/threads-max"),
                               kernel ? 100 : 0};
    for (int i = 0; i < 3; i++) {
        const struct limit *l = &limits[i], *best = &limits[first];

        if (l->each_hundred <= 0 || l->limit <= 0)
            tl_say(c, "%-20s %8ld  does not end it", l->name, l->limit);
        else
            tl_say(c, "%-20s %8ld  ends it after about %ld threads", l->name, l->limit,
                   l->limit * 100 / l->each_hundred);
        if (l->each_hundred > 0 && (best->each_hundred <= 0 ||
                                    l->limit / l->each_hundred < best->limit / best->each_hundred))
            first = i;
    }
    tl_say(c, "first: %s", limits[first].each_hundred > 0 ? limits[first].name : "memory");
    return tl_verdict(c);
}

static const struct tl_check limit_first = {
    .abi = TL_ABI,
    .name = "limit.first",
    .group = "Limits",
    .promise =
        "100 threads more cost a number of mappings and tasks that says which limit comes first",
    .source = "proc(5): max_map_count, pid_max, threads-max",
    .method = "mappings are counted with and without 100 threads that stand in a semaphore, and "
              "divided into the limits of this machine",
    .meaning = "an extrapolation: memory is not in it; fails only if the threads cannot be had",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT | TL_CHECK_ALONE,
    .run = run_first,
};
TL_CHECK(limit_first);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

/* Forgets to give back the room of the one that failed. */
static int create_losing(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                         void *arg)
{
    static bool lost;
    int err = lost ? EAGAIN : sound.create(t, attr, entry, arg);

    lost = lost || err == EAGAIN || err == ENOMEM;
    return err;
}

static int create_few(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                      void *arg)
{
    static int calls;

    return ++calls > 50 ? EPERM : sound.create(t, attr, entry, arg);
}

static void apply_losing(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_losing;
}

static void apply_few(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_few;
}

static const struct tl_mutant limit_sticks = {
    .abi = TL_ABI,
    .name = "limit-sticks",
    .fault = "once create has failed it fails for ever",
    .kills = "limit.address-space",
    .of = "nptl clone green",
    .apply = apply_losing,
};
TL_MUTANT_OF(limit_sticks);

static const struct tl_mutant limit_sticks_tasks = {
    .abi = TL_ABI,
    .name = "limit-of-tasks-sticks",
    .fault = "once create has failed for want of a task it fails for ever",
    .kills = "limit.nproc",
    .of = "nptl clone",
    .apply = apply_losing,
};
TL_MUTANT_OF(limit_sticks_tasks);

static const struct tl_mutant create_eperm = {
    .abi = TL_ABI,
    .name = "create-answers-eperm",
    .fault = "after 50 threads create answers EPERM",
    .kills = "limit.address-space limit.nproc limit.first",
    .of = "nptl clone green",
    .apply = apply_few,
};
TL_MUTANT_OF(create_eperm);

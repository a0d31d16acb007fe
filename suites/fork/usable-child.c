/*
 * usable-child.c - fork.create-in-child, fork.lock-state, fork.malloc-usable, fork.storm: the child
 * of a threaded process is a process of its own that works.
 */
#include "forked.h"

#include <malloc.h>
#include <sys/syscall.h>

static struct tl_ctx *ctx;

static void *same(void *arg)
{
    return arg;
}

static void create_and_join(struct tl_ctx *c, unsigned n)
{
    struct tl_thread t;

    for (unsigned i = 0; i < n && tl_verdict(c) == TL_OK; i++)
        if (tl_start(c, i, &t, same, &ctx))
            TL_EXPECT(c, tl_finish(c, t) == &ctx, "a thread of the child has another value");
}

/* ---- create ---------------------------------------------------------------------------------- */

static struct forked_siblings siblings;

static void child_create(struct tl_ctx *c, void *arg)
{
    (void)arg;
    create_and_join(c, 10);
}

static enum tl_status run_create(struct tl_ctx *c)
{
    ctx = c;
    if (forked_siblings_start(c, &siblings))
        for (int i = 0; i < 5 && tl_verdict(c) == TL_OK; i++)
            forked(c, child_create, NULL);
    forked_siblings_stop(&siblings);
    return tl_verdict(c);
}

static const struct tl_check create_in_child = {
    .abi = TL_ABI,
    .name = "fork.create-in-child",
    .group = "Fork",
    .promise = "threads can be created and joined in the child of a threaded process",
    .source = "practice: glibc, musl and Solaris do it; POSIX.1-2017 XSH fork promises only "
              "async-signal-safe calls there",
    .method = "while three siblings run, five children create and join ten threads each",
    .meaning =
        "stale state of vanished threads (lists, counters, stacks) shows as an error, a crash "
        "or a hang",
    .needs = "fork.fork",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_create,
};
TL_CHECK(create_in_child);

/* ---- locks ----------------------------------------------------------------------------------- */

static struct tl_mutex theirs, mine;
static _Atomic int held, release;

static void *hold(void *arg)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&theirs));
    atomic_store(&held, 1);
    tl_await(ctx, &release, "the forks to be over");
    TL_CALL(ctx, ctx->impl->mutex->unlock(&theirs));
    return arg;
}

static void child_locks(struct tl_ctx *c, void *arg)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;

    (void)arg;
    TL_ANSWERS(c, ops->trylock(&theirs), EBUSY);
    TL_CALL(c, ops->unlock(&mine));
    TL_CALL(c, ops->lock(&mine));
    TL_CALL(c, ops->unlock(&mine));
}

static enum tl_status run_locks(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    TL_CALL(c, c->impl->mutex->init(&theirs, TL_MUTEX_BLOCK));
    TL_CALL(c, c->impl->mutex->init(&mine, TL_MUTEX_BLOCK));
    if (tl_start(c, 1, &t, hold, NULL)) {
        if (tl_await(c, &held, "the other thread to hold its mutex")) {
            TL_CALL(c, c->impl->mutex->lock(&mine));
            forked(c, child_locks, NULL);
            TL_CALL(c, c->impl->mutex->unlock(&mine));
        }
        atomic_store(&release, 1);
        tl_finish(c, t);
    }
    return tl_verdict(c);
}

static const struct tl_check lock_state = {
    .abi = TL_ABI,
    .name = "fork.lock-state",
    .group = "Fork",
    .promise = "locks are in the child as they were: those of the caller are its own, those of "
               "vanished threads stay held",
    .source =
        "POSIX.1-2017 XSH fork (the states of mutexes are copied); rationale of pthread_atfork",
    .method = "the caller holds one mutex, another thread a second one; the child tries the second "
              "(EBUSY), unlocks and relocks the first",
    .meaning = "one fork, no race; what a child may do about the second one is what atfork is for",
    .needs = "fork.fork mutex",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_locks,
};
TL_CHECK(lock_state);

/* ---- malloc ---------------------------------------------------------------------------------- */

#define BLOCKS 200

static _Atomic int go, stop;

/* Beyond what a thread's cache keeps, so that the lock of the arena is taken. */
static void use_heap(void)
{
    void *block[16];

    for (int i = 0; i < 16; i++) {
        block[i] = malloc(2000 + (size_t)i * 1000);
        if (block[i])
            memset(block[i], i, 64);
    }
    for (int i = 0; i < 16; i++)
        free(block[i]);
}

static void *allocate(void *arg)
{
    tl_await(ctx, &go, "create to return");
    while (!atomic_load(&stop) && tl_verdict(ctx) == TL_OK) {
        use_heap();
        ctx->impl->yield();
    }
    return arg;
}

static void child_malloc(struct tl_ctx *c, void *arg)
{
    (void)c;
    (void)arg;
    for (int i = 0; i < BLOCKS / 16; i++)
        use_heap();
}

static enum tl_status run_malloc(struct tl_ctx *c)
{
    struct tl_thread t[3];
    unsigned made = 0;

    ctx = c;
    mallopt(M_ARENA_MAX, 1); /* all threads at one lock */
    while (made < 3 && tl_start(c, made, &t[made], allocate, NULL))
        made++;
    atomic_store(&go, 1);
    tl_step(c, "a child allocates");
    for (int i = 0; i < 100 && tl_verdict(c) == TL_OK; i++) {
        tl_delay(c, "between two forks");
        forked(c, child_malloc, NULL);
    }
    atomic_store(&stop, 1);
    while (made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check malloc_usable = {
    .abi = TL_ABI,
    .name = "fork.malloc-usable",
    .group = "Fork",
    .promise = "malloc works in the child although other threads were inside it at the fork",
    .source = "practice: glibc malloc/arena.c (__malloc_fork_lock_parent); not promised by POSIX",
    .method = "three threads allocate and free from one arena without end, while 100 children are "
              "forked that allocate",
    .meaning =
        "an implementation whose fork goes around the C library's leaves the arena locked in "
        "some children, which hang; a fork at a lucky moment is not noticed",
    .needs = "fork.fork",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_malloc,
};
TL_CHECK(malloc_usable);

/* ---- storm ----------------------------------------------------------------------------------- */

static void *create_without_end(void *arg)
{
    tl_await(ctx, &go, "create to return");
    while (!atomic_load(&stop) && tl_verdict(ctx) == TL_OK) {
        create_and_join(ctx, 1);
        ctx->impl->yield();
    }
    return arg;
}

static void child_storm(struct tl_ctx *c, void *arg)
{
    (void)arg;
    create_and_join(c, 2);
}

static enum tl_status run_storm(struct tl_ctx *c)
{
    struct tl_thread t[2];
    unsigned made = 0;

    ctx = c;
    while (made < 2 && tl_start(c, made, &t[made], create_without_end, NULL))
        made++;
    atomic_store(&go, 1);
    tl_step(c, "a child creates threads");
    for (int i = 0; i < 60 && tl_verdict(c) == TL_OK; i++) {
        tl_delay(c, "between two forks");
        forked(c, child_storm, NULL);
    }
    atomic_store(&stop, 1);
    while (made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check fork_storm = {
    .abi = TL_ABI,
    .name = "fork.storm",
    .group = "Fork",
    .promise = "fork while other threads are being created and joined gives a working child",
    .source = "practice, as fork.create-in-child; fork takes the locks of the thread list",
    .method = "two threads create and join without end while 60 children are forked, each of which "
              "creates and joins two threads",
    .meaning = "a list or lock caught half way shows as an error, a crash or a hang of some child; "
               "seeded, so a race that never comes up stays unseen",
    .needs = "fork.fork",
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run_storm,
};
TL_CHECK(fork_storm);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *sound;
static struct tl_impl saved;
static bool in_child;

static int fork_noting(pid_t *pid)
{
    int err = saved.fork->fork(pid);

    in_child = in_child || (!err && *pid == 0);
    return err;
}

static int create_not_in_child(struct tl_thread *t, const struct tl_attr *attr,
                               void *(*entry)(void *), void *arg)
{
    return in_child ? EAGAIN : sound->create(t, attr, entry, arg);
}

static int lock_free_in_child(struct tl_mutex *m)
{
    return in_child ? 0 : saved.mutex->trylock(m);
}

static void apply_create(struct tl_impl *impl)
{
    saved = *impl;
    sound = &saved;
    impl->create = create_not_in_child;
    TL_MUTATE(impl, fork)->fork = fork_noting;
}

static void apply_locks(struct tl_impl *impl)
{
    saved = *impl;
    TL_MUTATE(impl, mutex)->trylock = lock_free_in_child;
    TL_MUTATE(impl, fork)->fork = fork_noting;
}

static const struct tl_mutant no_create_in_child = {
    .abi = TL_ABI,
    .name = "fork-child-cannot-create",
    .fault = "the child still counts the vanished threads and refuses to create one",
    .kills = "fork.create-in-child fork.storm",
    .of = "nptl clone green hybrid",
    .apply = apply_create,
};
TL_MUTANT_OF(no_create_in_child);

static const struct tl_mutant fork_frees_locks = {
    .abi = TL_ABI,
    .name = "fork-frees-locks",
    .fault = "a mutex that a vanished thread holds can be had in the child",
    .kills = "fork.lock-state",
    .of = "nptl clone green hybrid",
    .apply = apply_locks,
};
TL_MUTANT_OF(fork_frees_locks);

/* Goes around the C library: nobody takes malloc's locks first. */
static int raw_fork(pid_t *pid)
{
#ifdef SYS_fork
    *pid = (pid_t)syscall(SYS_fork);
#else
    *pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
    return *pid < 0 ? EAGAIN : 0;
}

static void apply_raw(struct tl_impl *impl)
{
    TL_MUTATE(impl, fork)->fork = raw_fork;
}

static const struct tl_mutant fork_by_syscall = {
    .abi = TL_ABI,
    .name = "fork-by-system-call",
    .fault = "fork is the bare system call: the locks of the C library stay as they are",
    .kills = "fork.malloc-usable",
    .of = "nptl",
    .apply = apply_raw,
};
TL_MUTANT_OF(fork_by_syscall);

/*
 * exec.c - fork.exec, fork.spawn, fork.vfork, exec.ends-threads: other ways out of a threaded
 * process.
 */
#include "forked.h"

#include <spawn.h>
#include <stdio.h>

static struct tl_ctx *ctx;
static struct forked_siblings siblings;

/* A shell that tells whether SIGUSR1 is blocked (the bit of 1 << 9 in SigBlk) by its status. */
static char *const blocked_argv[] = {
    (char *)"sh", (char *)"-c",
    (char *)"while read -r k v; do case $k in SigBlk:) case $v in "
            "*[2367abef]?\?) exit 8;; *) exit 7;; esac;; esac; done </proc/self/status",
    NULL};
static char *const no_environment[] = {NULL};

static void mask_one(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    TL_CALL(ctx, ctx->impl->signal->mask(how, &set, NULL));
}

/* ---- fork and exec --------------------------------------------------------------------------- */

static enum tl_status run_exec(struct tl_ctx *c)
{
    pid_t pid = -1;

    ctx = c;
    if (forked_siblings_start(c, &siblings)) {
        if (TL_CALL(c, c->impl->fork->fork(&pid))) {
            if (pid == 0) {
                execve("/bin/sh", blocked_argv, no_environment);
                _exit(127);
            }
            forked_wait(c, pid, 7);
        }
        mask_one(SIG_BLOCK);
        if (TL_CALL(c, c->impl->fork->fork(&pid))) {
            if (pid == 0) {
                execve("/bin/sh", blocked_argv, no_environment);
                _exit(127);
            }
            forked_wait(c, pid, 8);
        }
        mask_one(SIG_UNBLOCK);
    }
    forked_siblings_stop(&siblings);
    return tl_verdict(c);
}

static const struct tl_check fork_exec = {
    .abi = TL_ABI,
    .name = "fork.exec",
    .group = "Fork",
    .promise = "a threaded process can fork and execute another program, which gets the caller's "
               "signal mask and nothing of the threads",
    .source = "POSIX.1-2017 XSH fork, exec",
    .method = "with three siblings running, two children execute a shell that answers whether "
              "SIGUSR1 is blocked, as it was not and then was in the caller",
    .meaning = "the exit statuses 7 and 8 come from the new program only",
    .needs = "fork.fork signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_exec,
};
TL_CHECK(fork_exec);

/* ---- posix_spawn, vfork ---------------------------------------------------------------------- */

static void *spawn_here(void *arg)
{
    pid_t pid;
    int err = posix_spawn(&pid, "/bin/sh", NULL, NULL, blocked_argv, no_environment);

    if (TL_EXPECT(ctx, err == 0, "posix_spawn: %s", strerror(err)))
        forked_wait(ctx, pid, 7);
    return arg;
}

static enum tl_status on_thread(struct tl_ctx *c, void *(*entry)(void *))
{
    struct tl_thread t;

    ctx = c;
    if (forked_siblings_start(c, &siblings) && tl_start(c, 1, &t, entry, NULL))
        tl_finish(c, t);
    forked_siblings_stop(&siblings);
    return tl_verdict(c);
}

static enum tl_status run_spawn(struct tl_ctx *c)
{
    return on_thread(c, spawn_here);
}

static const struct tl_check fork_spawn = {
    .abi = TL_ABI,
    .name = "fork.spawn",
    .group = "Fork",
    .promise = "posix_spawn works from any thread of a threaded process, and the program gets that "
               "thread's signal mask",
    .source = "POSIX.1-2017 XSH posix_spawn",
    .method = "a thread with three siblings spawns a shell that answers whether SIGUSR1 is blocked",
    .meaning = "a thread that starts with a mask of its own, or a stack on which the C library's "
               "clone(2) does not work, shows as another exit status",
    .needs = "fork",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_spawn,
};
TL_CHECK(fork_spawn);

static void *vfork_here(void *arg)
{
    volatile int before = 1;
    sigset_t now;
    pid_t pid;

    sigprocmask(SIG_BLOCK, NULL, &now);
    pid = vfork();
    if (pid == 0)
        _exit(sigismember(&now, SIGUSR1) ? 8 : 7);
    if (TL_EXPECT(ctx, pid > 0, "vfork: %s", strerror(errno)))
        forked_wait(ctx, pid, 7);
    TL_EXPECT(ctx, before == 1, "the caller's stack changed");
    return arg;
}

static enum tl_status run_vfork(struct tl_ctx *c)
{
    return on_thread(c, vfork_here);
}

static const struct tl_check fork_vfork = {
    .abi = TL_ABI,
    .name = "fork.vfork",
    .group = "Fork",
    .promise = "vfork works from any thread: the caller goes on when the child has ended",
    .source = "vfork(2), Linux: only the calling thread is suspended",
    .method = "a thread with three siblings calls vfork; the child ends at once",
    .meaning = "shows that the stack of such a thread serves parent and child in turn; how the "
               "siblings fare meanwhile is the kernel's promise, not the implementation's",
    .needs = "fork",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_vfork,
};
TL_CHECK(fork_vfork);

/* ---- exec of the process itself -------------------------------------------------------------- */

static _Atomic int in_exec;

static void *exec_here(void *arg)
{
    static char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 9", NULL};

    atomic_store(&in_exec, 1);
    execve("/bin/sh", argv, no_environment);
    return arg;
}

static void *exec_from_thread(void *arg)
{
    struct tl_thread t;

    if (forked_siblings_start(ctx, &siblings) && tl_start(ctx, 1, &t, exec_here, NULL))
        tl_finish(ctx, t);
    return arg;
}

static int child_of_exec(struct tl_ctx *c, void *arg)
{
    tl_boot(c, exec_from_thread, arg, NULL);
    return 1;
}

static enum tl_status outside(struct tl_ctx *c)
{
    struct tl_child end;
    int err;

    ctx = c;
    err = tl_child(c, child_of_exec, NULL, 0, &end);
    TL_EXPECT(c, err == 0, "fork: %s", strerror(err));
    TL_EXPECT(c, !end.hung, "exec from a thread did not come back");
    TL_EXPECT(c, end.status == 9, "the new program did not run: exit status %d, signal %d: %s",
              end.status, end.signal, end.words);
    return tl_verdict(c);
}

static const struct tl_check exec_ends_threads = {
    .abi = TL_ABI,
    .name = "exec.ends-threads",
    .group = "Fork",
    .promise = "exec from any thread replaces the whole process: all other threads are gone",
    .source = "POSIX.1-2017 XSH exec; execve(2)",
    .method = "in a child process a thread with three siblings executes a shell that ends with a "
              "status of its own",
    .meaning = "the status comes from the new program, whose process id is the old one's",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside,
};
TL_CHECK(exec_ends_threads);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_fork_ops *sound;
static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg);

static int fork_opening(pid_t *pid)
{
    sigset_t none;
    int err = sound->fork(pid);

    sigemptyset(&none);
    if (!err && *pid == 0)
        sigprocmask(SIG_SETMASK, &none, NULL);
    return err;
}

static void apply_opening(struct tl_impl *impl)
{
    sound = impl->fork;
    TL_MUTATE(impl, fork)->fork = fork_opening;
}

static const struct tl_mutant fork_loses_mask = {
    .abi = TL_ABI,
    .name = "fork-exec-loses-mask",
    .fault = "the child of fork has no signal blocked, and so has the program it executes",
    .kills = "fork.exec",
    .of = "nptl clone green hybrid",
    .apply = apply_opening,
};
TL_MUTANT_OF(fork_loses_mask);

struct masked {
    void *(*entry)(void *);
    void *arg;
};

static void *start_masked(void *arg)
{
    struct masked m = *(struct masked *)arg;
    sigset_t all;

    free(arg);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    return m.entry(m.arg);
}

static int create_masked(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                         void *arg)
{
    struct masked *m = malloc(sizeof(*m));

    if (!m)
        return EAGAIN;
    *m = (struct masked){entry, arg};
    return sound_create(t, attr, start_masked, m);
}

static void apply_masked(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_masked;
}

static const struct tl_mutant threads_start_masked = {
    .abi = TL_ABI,
    .name = "threads-start-masked",
    .fault = "a new thread has all signals blocked, and so has the program that it spawns",
    .kills = "fork.spawn fork.vfork",
    .of = "nptl clone green hybrid",
    .apply = apply_masked,
};
TL_MUTANT_OF(threads_start_masked);

/* Threads that are processes, as they were before NPTL: exec replaces one of them only. */
static int create_process(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    pid_t pid = fork();

    (void)t;
    (void)attr;
    if (pid == 0) {
        atomic_store(&siblings.running, FORKED_SIBLINGS);
        entry(arg);
        _exit(0);
    }
    atomic_store(&siblings.running, FORKED_SIBLINGS);
    return pid < 0 ? EAGAIN : 0;
}

static int join_nothing(struct tl_thread t, void **value)
{
    (void)t;
    (void)value;
    return 0;
}

static void apply_process(struct tl_impl *impl)
{
    impl->create = create_process;
    impl->join = join_nothing;
}

static const struct tl_mutant threads_are_processes = {
    .abi = TL_ABI,
    .name = "threads-are-processes",
    .fault = "each thread is a process: exec replaces only one of them",
    .kills = "exec.ends-threads",
    .of = "nptl green hybrid",
    .apply = apply_process,
};
TL_MUTANT_OF(threads_are_processes);

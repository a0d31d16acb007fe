/*
 * no-syscall.c - switch.no-syscall, create.no-syscall: user-level threads that are warm go on
 * without the kernel.
 *
 * The implementation runs in a child that is traced (PTRACE_SYSCALL): its parent counts each entry
 * into the kernel while the child says so in memory that they share.
 */
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 3
#define WARM 200
#define COUNTED 500

static struct tl_ctx *ctx;

/* Shared with the parent. */
struct counts {
    _Atomic int counting;
    _Atomic long first; /* number of the first call that was counted */
    _Atomic unsigned entries, ops;
};
static struct counts *counts;

/* ---- what the child does --------------------------------------------------------------------- */

static _Atomic int stop;

static void *yield_along(void *arg)
{
    while (!atomic_load(&stop))
        ctx->impl->yield();
    return arg;
}

static void *switching(void *arg)
{
    struct tl_thread t[THREADS];
    unsigned made = 0;

    if (!tl_trait(ctx, TL_CONCURRENT))
        atomic_store(&stop, 1);
    while (made < THREADS && tl_start(ctx, made, &t[made], yield_along, NULL))
        made++;
    for (int i = 0; i < WARM + COUNTED; i++) {
        if (i == WARM)
            atomic_store(&counts->counting, 1);
        ctx->impl->yield();
    }
    atomic_store(&counts->counting, 0);
    /* Each round switches to every thread and back. */
    atomic_store(&counts->ops, COUNTED * (THREADS + 1));
    atomic_store(&stop, 1);
    while (made)
        tl_finish(ctx, t[--made]);
    return arg;
}

static void *same(void *arg)
{
    return arg;
}

static void *creating(void *arg)
{
    struct tl_thread t;

    for (int i = 0; i < WARM + COUNTED && tl_verdict(ctx) == TL_OK; i++) {
        if (i == WARM)
            atomic_store(&counts->counting, 1);
        if (tl_start(ctx, 0, &t, same, NULL))
            tl_finish(ctx, t);
    }
    atomic_store(&counts->counting, 0);
    atomic_store(&counts->ops, COUNTED);
    return arg;
}

static void traced(void *(*entry)(void *))
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(errno == EPERM ? 126 : 127);
    raise(SIGSTOP);
    int err = tl_boot(ctx, entry, NULL, NULL);
    TL_EXPECT(ctx, !err, "run: %s", strerror(err));
    _exit(0);
}

/* ---- what its parent does -------------------------------------------------------------------- */

/* A stop for a call: its entry, if the kernel says so. */
static void count_entry(pid_t pid)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY || !atomic_load(&counts->counting))
        return;
    if (!atomic_fetch_add(&counts->entries, 1))
        atomic_store(&counts->first, (long)info.entry.nr);
}

/* Lets the child run to its end. Returns how it ended. */
static int trace(pid_t pid)
{
    const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    int status = 0, sig = 0;

    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return status;
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options);
    while (!ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig)) {
        if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
            break;
        sig = 0;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            count_entry(pid);
        else
            sig = WSTOPSIG(status);
    }
    return status;
}

static enum tl_status count(struct tl_ctx *c, void *(*entry)(void *), const char *op)
{
    int status;
    pid_t pid;

    ctx = c;
    if (tl_trait(c, TL_ONE_TO_ONE))
        return tl_unsupported(c, "each thread is a kernel thread: it cannot be made, nor switched "
                                 "to, without the kernel");
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return tl_failed(c, "mmap: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        return tl_failed(c, "fork: %s", strerror(errno));
    if (pid == 0)
        traced(entry);
    status = trace(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 126)
        return tl_unsupported(c, "ptrace(2) is not permitted: system calls cannot be counted");
    TL_EXPECT(c, WIFEXITED(status) && !WEXITSTATUS(status), "the traced child ended with status %d",
              status);
    TL_EXPECT(c, atomic_load(&counts->ops), "the traced child did not come to its end");
    TL_EXPECT(
        c, !atomic_load(&counts->entries), "%u system calls in %u %s; the first one is number %ld",
        atomic_load(&counts->entries), atomic_load(&counts->ops), op, atomic_load(&counts->first));
    return tl_verdict(c);
}

static enum tl_status switch_outside(struct tl_ctx *c)
{
    return count(c, switching, "switches");
}

static enum tl_status create_outside(struct tl_ctx *c)
{
    return count(c, creating, "creates and joins");
}

static const struct tl_check switch_no_syscall = {
    .abi = TL_ABI,
    .name = "switch.no-syscall",
    .group = "Scheduling",
    .promise = "a switch between user-level threads enters the kernel no time",
    .source = "Anderson et al. 1992, \"Scheduler Activations\", section 2.1; Engelschall 2000, "
              "\"Portable Multithreading\", section 4.2 (the signal mask costs a system call)",
    .method = "four threads yield to each other under ptrace(2); after 200 warm rounds the system "
              "calls of 500 rounds are counted",
    .meaning =
        "an exact count, on any machine. swapcontext(3) keeps a signal mask per context, and "
        "makes a system call a switch by design: an implementation on it does not pass",
    .outside = switch_outside,
};
TL_CHECK(switch_no_syscall);

static const struct tl_check create_no_syscall = {
    .abi = TL_ABI,
    .name = "create.no-syscall",
    .group = "Scheduling",
    .promise = "a create and join of a user-level thread whose stack is kept from another enters "
               "the kernel no time",
    .source = "Anderson et al. 1989, \"The Performance Implications of Thread Management "
              "Alternatives\" (free lists of stacks); Powell et al. 1991, section 5",
    .method = "as switch.no-syscall, with 500 threads created and joined one after the other",
    .meaning = "as switch.no-syscall; the first threads, whose stacks are mapped, do not count",
    .outside = create_outside,
};
TL_CHECK(create_no_syscall);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static void yield_kernel(void)
{
    syscall(SYS_sched_yield);
    sound.yield();
}

static int create_kernel(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                         void *arg)
{
    sigset_t mask;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    return sound.create(t, attr, entry, arg);
}

static void apply_kernel(struct tl_impl *impl)
{
    sound = *impl;
    impl->yield = yield_kernel;
    impl->create = create_kernel;
}

static const struct tl_mutant enters_kernel = {
    .abi = TL_ABI,
    .name = "switch-enters-kernel",
    .fault = "each yield and each create make a system call that they do not need",
    .kills = "switch.no-syscall create.no-syscall",
    .of = "green",
    .apply = apply_kernel,
};
TL_MUTANT_OF(enters_kernel);

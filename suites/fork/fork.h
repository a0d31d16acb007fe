/*
 * fork.h - starting a child process in a threaded one, in each way that Linux has, timed from the
 * call until the child runs and until it is reaped. The benchmarks differ in what surrounds it:
 * live threads, resident memory, atfork handlers.
 *
 * The child does one thing: it writes the time into a page that it shares, and ends. A child that
 * shares memory with its parent (vfork, CLONE_VM) touches nothing else.
 */
#ifndef SUITES_FORK_H
#define SUITES_FORK_H

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#include "../common/gate.h"

#define FORK_HOWS "fork,vfork,posix_spawn,clone-none,clone-vm,clone-vm-vfork,clone-vm-all"
#define FORK_HOW_HELP                                                                      \
    "the call: clone-none copies memory, -vm shares it, -vfork waits, -all shares files, " \
    "directory "                                                                           \
    "and handlers too"
#define FORK_PROGRAM                                                            \
    "/bin/true" /* of posix_spawn: the price of exec and of its start is inside \
                 */
#define FORK_STACK 65536

extern char **environ;

/* Shared with the children. */
struct fork_page {
    _Atomic uint64_t ran_ns;
    _Atomic uint64_t ran;
};

struct fork_state {
    struct fork_page *page;
    char *stack; /* of a CLONE_VM child: one at a time */
    const char *how;
    int flags; /* of clone; -1: not by clone */
    struct tl_hist *to_running, *to_reaped;
    struct gate gate; /* live threads, parked */
    bool gated;
    char *memory; /* resident */
    size_t memory_size;
    uint64_t started, reaped, clean; /* clean: exit status 0 */
};

static const struct {
    const char *how;
    int flags;
} fork_clones[] = {
    {"clone-none", SIGCHLD},
    {"clone-vm", CLONE_VM | SIGCHLD},
    {"clone-vm-vfork", CLONE_VM | CLONE_VFORK | SIGCHLD},
    {"clone-vm-all", CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD},
};

static inline void fork_child(struct fork_page *page)
{
    atomic_store_explicit(&page->ran_ns, tl_now_ns(), memory_order_relaxed);
    atomic_fetch_add_explicit(&page->ran, 1, memory_order_relaxed);
}

static inline int fork_clone_child(void *arg)
{
    fork_child(arg);
    syscall(SYS_exit, 0);
    return 0;
}

/* In a function of its own: what vfork's child writes to this frame is gone when it returns. */
static __attribute__((noinline, unused)) pid_t fork_by_vfork(struct fork_page *page)
{
    pid_t pid = vfork();

    if (pid == 0) {
        fork_child(page);
        _exit(0);
    }
    return pid;
}

/* Starts one child. Returns 0 or an error number. */
static inline int fork_start(struct tl_ctx *ctx, struct fork_state *st, pid_t *pid)
{
    static char program[] = FORK_PROGRAM;
    char *argv[] = {program, NULL};

    if (st->flags != -1) {
        *pid = clone(fork_clone_child, st->stack + FORK_STACK, st->flags, st->page);
        return *pid < 0 ? errno : 0;
    }
    if (strcmp(st->how, "vfork") == 0) {
        *pid = fork_by_vfork(st->page);
        return *pid < 0 ? errno : 0;
    }
    if (strcmp(st->how, "posix_spawn") == 0)
        return posix_spawn(pid, FORK_PROGRAM, NULL, NULL, argv, environ);
    int error = ctx->impl->fork->fork(pid);
    if (error == 0 && *pid == 0) {
        fork_child(st->page);
        _exit(0);
    }
    return error;
}

static inline void fork_park(struct gate *g, unsigned index, void *arg)
{
    (void)g; /* the gate never opens: the threads stay blocked at their semaphore */
    (void)index;
    (void)arg;
}

/* threads: alive at once, the caller's included; resident: bytes of touched private memory. */
static inline enum tl_status fork_setup(struct tl_ctx *ctx, const char *how, unsigned threads,
                                        size_t resident)
{
    struct fork_state *st = aligned_alloc(_Alignof(struct fork_state), sizeof(*st));

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->how = how;
    st->flags = -1;
    for (size_t i = 0; i < sizeof(fork_clones) / sizeof(*fork_clones); i++)
        if (strcmp(fork_clones[i].how, how) == 0)
            st->flags = fork_clones[i].flags;
    if (strcmp(how, "posix_spawn") == 0 && access(FORK_PROGRAM, X_OK))
        return tl_unsupported(ctx, "%s cannot be run here: %s", FORK_PROGRAM, strerror(errno));
    st->page =
        mmap(NULL, sizeof(*st->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (st->page == MAP_FAILED) {
        st->page = NULL;
        return tl_failed(ctx, "mmap: %s", strerror(errno));
    }
    st->stack = aligned_alloc(4096, FORK_STACK);
    if (!st->stack)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    st->to_reaped = tl_hist(ctx, "to-reaped");
    if (strcmp(how, "posix_spawn") != 0) /* the spawned program cannot tell us */
        st->to_running = tl_hist(ctx, "to-running");
    if (resident > 0) {
        st->memory =
            mmap(NULL, resident, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (st->memory == MAP_FAILED) {
            st->memory = NULL;
            return tl_failed(ctx, "mmap of %zu bytes: %s", resident, strerror(errno));
        }
        st->memory_size = resident;
        madvise(st->memory, resident, MADV_NOHUGEPAGE); /* page tables are what fork copies */
        for (size_t i = 0; i < resident; i += 4096)
            st->memory[i] = 1;
    }
    if (threads > 1) {
        st->gated = true;
        return gate_init(&st->gate, ctx, threads - 1, 0, fork_park, NULL);
    }
    return TL_OK;
}

static inline enum tl_status fork_run(struct tl_ctx *ctx, uint64_t n)
{
    struct fork_state *st = ctx->state;
    int error = 0;
    uint64_t i;

    tl_begin(ctx);
    for (i = 0; i < n; i++) {
        pid_t pid;
        int status = -1;
        uint64_t start = tl_now_ns();

        error = fork_start(ctx, st, &pid);
        if (error)
            break;
        st->started++;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (status == -1) { /* there was no such child */
            error = ECHILD;
            break;
        }
        tl_record(st->to_reaped, tl_now_ns() - start);
        if (st->to_running)
            tl_record(st->to_running,
                      atomic_load_explicit(&st->page->ran_ns, memory_order_relaxed) - start);
        st->reaped++;
        st->clean += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    tl_end(ctx, i);
    tl_count(ctx, "children", i);
    return error ? tl_failed(ctx, "%s: %s", st->how, strerror(error)) : TL_OK;
}

static inline enum tl_status fork_verify(struct tl_ctx *ctx)
{
    struct fork_state *st = ctx->state;
    uint64_t ran = atomic_load(&st->page->ran);

    if (st->clean != st->started || st->reaped != st->started)
        return tl_invalid(
            ctx, "%" PRIu64 " children started, %" PRIu64 " reaped, %" PRIu64 " ended well",
            st->started, st->reaped, st->clean);
    if (st->to_running && ran != st->started)
        return tl_invalid(ctx, "%" PRIu64 " children started, %" PRIu64 " ran", st->started, ran);
    return TL_OK;
}

static inline void fork_teardown(struct tl_ctx *ctx)
{
    struct fork_state *st = ctx->state;

    if (!st)
        return;
    if (st->gated)
        gate_stop(&st->gate);
    if (st->memory)
        munmap(st->memory, st->memory_size);
    if (st->page)
        munmap(st->page, sizeof(*st->page));
    free(st->stack);
    free(st);
    ctx->state = NULL;
}

#endif

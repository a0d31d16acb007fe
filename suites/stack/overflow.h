/*
 * overflow.h - a thread that uses more stack than it has, among neighbours who would notice.
 *
 * In a child process (tl_child): threads fill half of their stacks with a pattern and wait; between
 * them a victim runs a function that goes beyond the end of its stack. Either the fault has its
 * default action, or a handler on an alternate stack looks at the neighbours, notes where the fault
 * was, and ends the child.
 */
#ifndef SUITES_STACK_OVERFLOW_H
#define SUITES_STACK_OVERFLOW_H

#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OVERFLOW_SIZE ((size_t)128 * 1024) /* of each stack; the guard is the default */
#define OVERFLOW_NEIGHBOURS 8
#define OVERFLOW_FAR ((size_t)4 << 20) /* who has come that far below its frame has not faulted */
#define OVERFLOW_PATTERN 0xc3
#define OVERFLOW_NAME "diver"

/* What the child tells, in shared memory. */
struct overflow_seen {
    _Atomic int begun;   /* the victim is about to leave its stack */
    _Atomic int faulted; /* with a handler: it ran */
    _Atomic int damaged; /* neighbours whose pattern is gone, as the handler saw it */
    _Atomic int survived;
    _Atomic uintptr_t frame, address; /* the victim's, and where it faulted */
    _Atomic uint64_t id;              /* the victim's */
    _Atomic int has_name;             /* it is called OVERFLOW_NAME */
};

static struct {
    struct tl_ctx *ctx;
    void (*dive)(void);
    bool handled;
    struct overflow_seen *seen;
    const volatile unsigned char *patterns[OVERFLOW_NEIGHBOURS];
    _Atomic unsigned waiting;
    _Atomic int all_wait, never;
} overflow;

static void overflow_handler(int sig, siginfo_t *info, void *context)
{
    struct overflow_seen *seen = overflow.seen;

    (void)sig;
    (void)context;
    for (unsigned i = 0; i < OVERFLOW_NEIGHBOURS; i++)
        for (size_t b = 0; b < OVERFLOW_SIZE / 2; b++)
            if (overflow.patterns[i][b] != OVERFLOW_PATTERN) {
                atomic_fetch_add(&seen->damaged, 1);
                break;
            }
    atomic_store(&seen->address, (uintptr_t)info->si_addr);
    atomic_store(&seen->faulted, 1);
    _exit(0);
}

/* The alternate stack is the kernel thread's: set where it is used. */
static void overflow_catch(void)
{
    static char memory[64 * 1024];
    stack_t alternate = {.ss_sp = memory, .ss_size = sizeof(memory)};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = overflow_handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

static void *overflow_neighbour(void *arg)
{
    volatile unsigned char pattern[OVERFLOW_SIZE / 2];

    for (size_t b = 0; b < sizeof(pattern); b++)
        pattern[b] = OVERFLOW_PATTERN;
    overflow.patterns[(uintptr_t)arg] = pattern;
    if (atomic_fetch_add(&overflow.waiting, 1) == OVERFLOW_NEIGHBOURS - 1)
        atomic_store(&overflow.all_wait, 1);
    tl_await(overflow.ctx, &overflow.never, "the end of the process");
    return (void *)(uintptr_t)pattern[0];
}

static void *overflow_victim(void *arg)
{
    struct overflow_seen *seen = overflow.seen;

    if (!tl_await(overflow.ctx, &overflow.all_wait, "the neighbours"))
        return arg;
    if (overflow.ctx->impl->info && overflow.ctx->impl->info->set_name)
        atomic_store(&seen->has_name,
                     TL_CALL(overflow.ctx, overflow.ctx->impl->info->set_name(
                                               overflow.ctx->impl->self(), OVERFLOW_NAME)));
    atomic_store(&seen->id, overflow.ctx->impl->self().id);
    atomic_store(&seen->frame, (uintptr_t)__builtin_frame_address(0));
    if (overflow.handled)
        overflow_catch();
    atomic_store(&seen->begun, 1);
    overflow.dive();
    atomic_store(&seen->survived, 1);
    _exit(0);
}

static void *overflow_first(void *arg)
{
    struct tl_thread t[OVERFLOW_NEIGHBOURS + 1];

    for (unsigned i = 0; i <= OVERFLOW_NEIGHBOURS; i++) {
        bool victim = i == OVERFLOW_NEIGHBOURS / 2; /* with neighbours on both sides */
        struct tl_attr attr = tl_worker_attr(overflow.ctx, i);
        uintptr_t which = i - (i > OVERFLOW_NEIGHBOURS / 2);

        attr.stack_size = OVERFLOW_SIZE;
        if (!TL_CALL(overflow.ctx, overflow.ctx->impl->create(
                                       &t[i], &attr, victim ? overflow_victim : overflow_neighbour,
                                       (void *)which)))
            _exit(1);
    }
    tl_await(overflow.ctx, &overflow.never, "the end of the process");
    return arg;
}

static int overflow_child(struct tl_ctx *ctx, void *arg)
{
    overflow.ctx = ctx;
    return tl_boot(ctx, overflow_first, arg, NULL);
}

/* Runs dive() in a victim. TL_OK: it came to the point; *seen and *end say what happened then. */
static enum tl_status overflow_run(struct tl_ctx *ctx, void (*dive)(void), bool handled,
                                   struct overflow_seen *seen, struct tl_child *end)
{
    int err;

    overflow.dive = dive;
    overflow.handled = handled;
    overflow.seen =
        mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (overflow.seen == MAP_FAILED)
        return tl_invalid(ctx, "no shared memory");
    err = tl_child(ctx, overflow_child, NULL, 0, end);
    memcpy(seen, overflow.seen, sizeof(*seen));
    munmap(overflow.seen, sizeof(*seen));
    if (err)
        return tl_invalid(ctx, "fork: %s", strerror(err));
    if (tl_verdict(ctx) == TL_OK)
        TL_EXPECT(ctx, seen->begun, "the thread did not come to its overflow: signal %d, status %d",
                  end->signal, end->status);
    return tl_verdict(ctx);
}

/* For a run with a handler: it faulted, in time, and the neighbours are whole. */
static inline void overflow_expect_caught(struct tl_ctx *ctx, const struct overflow_seen *seen,
                                          const struct tl_child *end)
{
    TL_EXPECT(ctx, !seen->survived, "a thread went beyond its stack of %zu bytes without a fault",
              OVERFLOW_SIZE);
    TL_EXPECT(ctx, seen->survived || seen->faulted,
              "the fault was another thread's: signal %d, status %d", end->signal, end->status);
    TL_EXPECT(ctx, !seen->damaged, "the stacks of %d other threads were written before the fault",
              seen->damaged);
}

/* Writes all of what lies below, as a recursion without end does; gives up far beyond the stack. */
static __attribute__((unused, noinline)) void overflow_recurse(void)
{
    uintptr_t end = (uintptr_t)__builtin_frame_address(0) - OVERFLOW_FAR;
    volatile unsigned char *frame;

    do {
        frame = __builtin_alloca(256);
        for (size_t b = 256; b > 0; b--)
            frame[b - 1] = 0x11;
    } while ((uintptr_t)frame > end);
}

#endif

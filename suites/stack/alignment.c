/*
 * alignment.c - stack.alignment, stack.alignment-handler: what compilers rely on when a function is
 * entered.
 */
#include "../common/action.h"
#include "../common/opaque.h"
#include "../common/wrap.h"

#include <signal.h>
#include <stdatomic.h>

#define ALIGN 16

static struct tl_ctx *ctx;
static _Atomic int handled;

/* The frame address is the stack pointer at entry less two words (x86-64: return address and frame
 * pointer), or the frame record (aarch64): a multiple of 16 in both, if the caller obeys. The
 * compiler, which assumes so, must not compute it. */
static inline __attribute__((always_inline)) void ask(const char *where)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);

    __asm__ volatile("" : "+r"(frame));
    TL_EXPECT(ctx, frame % ALIGN == 0, "the frame address %s is %#jx", where, (uintmax_t)frame);
}

static OPAQUE void *entry(void *arg)
{
    ask("at the entry of a thread");
    ctx->impl->yield();
    return arg;
}

static enum tl_status run_entry(struct tl_ctx *c)
{
    static const size_t sizes[] = {0, 64 * 1024, 100 * 1024, 65 * 1024 + 8, 20000};
    struct tl_thread t;

    ctx = c;
    for (int n = 0; n < 100 && tl_verdict(ctx) == TL_OK; n++) {
        struct tl_attr attr = tl_worker_attr(ctx, (unsigned)n);
        attr.stack_size = sizes[n % 5];
        attr.no_guard = n % 2;
        if (!TL_CALL(ctx, ctx->impl->create(&t, &attr, entry, NULL)))
            break;
        tl_finish(ctx, t);
    }
    return tl_verdict(ctx);
}

static const struct tl_check stack_alignment = {
    .abi = TL_ABI,
    .name = "stack.alignment",
    .group = "Stacks",
    .promise = "the stack pointer is aligned to 16 bytes, as the calling convention has it, when a "
               "thread's entry is called",
    .source = "System V ABI AMD64 3.2.2; AAPCS64 6.4.5.1 (both: 16 bytes at a call)",
    .method = "100 threads with default, odd and unguarded stacks look at the frame address of "
              "their entry",
    .meaning = "a stack that is off by a word works until some function uses an aligned vector "
               "instruction on it; here it is seen at once",
    .run = run_entry,
};
TL_CHECK(stack_alignment);

/* ---- in handlers ----------------------------------------------------------------------------- */

static OPAQUE void handler(int sig)
{
    (void)sig;
    ask("in a signal handler");
    atomic_fetch_add(&handled, 1);
}

/* On stack pointers that differ by less than 16, as a red zone and pushes leave them. */
static OPAQUE void *signals(void *arg)
{
    for (int n = 0; n < 20 && tl_verdict(ctx) == TL_OK; n++) {
        TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIGUSR1, NULL));
        ctx->impl->yield();
    }
    return arg;
}

static enum tl_status run_handler(struct tl_ctx *c)
{
    struct sigaction action;
    struct tl_thread t;

    ctx = c;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    tl_sigaction(ctx->impl, SIGUSR1, &action, NULL);
    if (tl_start(ctx, 1, &t, signals, NULL))
        tl_finish(ctx, t);
    TL_EXPECT(ctx, atomic_load(&handled) == 20, "%d of 20 handlers ran", atomic_load(&handled));
    return tl_verdict(ctx);
}

static const struct tl_check stack_alignment_handler = {
    .abi = TL_ABI,
    .name = "stack.alignment-handler",
    .group = "Stacks",
    .promise = "the stack pointer is aligned to 16 bytes when a signal handler is called",
    .source = "System V ABI AMD64 3.2.2; AAPCS64 6.4.5.1",
    .method = "a thread sends itself 20 signals, whose handler looks at its frame address",
    .meaning = "the kernel aligns what it delivers; a library that calls handlers by itself, or "
               "on stacks of its own, has to do so, too",
    .needs = "signal.kill",
    .run = run_handler,
};
TL_CHECK(stack_alignment_handler);

/* ---- mutants --------------------------------------------------------------------------------- */

/* function(arg) with the stack pointer half an alignment lower than it should be. */
static __attribute__((noinline)) void *call_shifted(void *(*function)(void *), void *arg)
{
#if defined(__x86_64__)
    void *value, *saved;

    __asm__ volatile("movq %%rsp, %%rbx\n\t"
                     "subq $136, %%rsp\n\t"
                     "andq $-16, %%rsp\n\t"
                     "subq $8, %%rsp\n\t"
                     "callq *%[function]\n\t"
                     "movq %%rbx, %%rsp"
                     : "=a"(value), "=b"(saved), "+D"(arg)
                     : [function] "r"(function)
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
    return value;
#else
    void *value;

    /* The first access by this stack pointer is a SIGBUS. */
    __asm__ volatile("mov x19, sp\n\t"
                     "sub x20, x19, #8\n\t"
                     "mov x0, %[arg]\n\t"
                     "mov sp, x20\n\t"
                     "blr %[function]\n\t"
                     "mov sp, x19\n\t"
                     "mov %[value], x0"
                     : [value] "=r"(value)
                     : [arg] "r"(arg), [function] "r"(function)
                     : "x0", "x19", "x20", "x30", "memory", "cc");
    return value;
#endif
}

static void apply_entry(struct tl_impl *impl)
{
    wrap_entries(impl, call_shifted);
}

static const struct tl_mutant stack_shifted = {
    .abi = TL_ABI,
    .name = "stack-shifted",
    .fault = "a thread's entry is called with the stack pointer off by 8",
    .kills = "stack.alignment",
    .of = "nptl clone green hybrid",
    .apply = apply_entry,
};
TL_MUTANT_OF(stack_shifted);

static const struct tl_signal_ops *sound;
static const struct tl_impl *mutated;

static void *call_handler(void *arg)
{
    struct sigaction action;

    tl_sigaction(mutated, (int)(intptr_t)arg, NULL, &action);
    action.sa_handler((int)(intptr_t)arg);
    return NULL;
}

static int kill_shifted(struct tl_thread t, int sig, const union sigval *value)
{
    if (value || t.id != mutated->self().id)
        return sound->kill(t, sig, value);
    call_shifted(call_handler, (void *)(intptr_t)sig);
    return 0;
}

static void apply_handler(struct tl_impl *impl)
{
    sound = impl->signal;
    mutated = impl;
    TL_MUTATE(impl, signal)->kill = kill_shifted;
}

static const struct tl_mutant handler_shifted = {
    .abi = TL_ABI,
    .name = "handler-shifted",
    .fault = "a signal to oneself is a call of the handler, with the stack pointer off by 8",
    .kills = "stack.alignment-handler",
    .of = "nptl clone green hybrid",
    .apply = apply_handler,
};
TL_MUTANT_OF(handler_shifted);

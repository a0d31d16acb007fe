/*
 * guard-hit.c - guard.hit, guard.names-thread, stack.no-growth: a recursion without end.
 */
#include "../common/wrap.h"

#include "overflow.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- guard.hit ------------------------------------------------------------------------------- */

static enum tl_status outside_hit(struct tl_ctx *ctx)
{
    struct overflow_seen seen;
    struct tl_child end;
    enum tl_status status = overflow_run(ctx, overflow_recurse, false, &seen, &end);

    if (status != TL_OK)
        return status;
    TL_EXPECT(ctx, end.signal == SIGSEGV || end.signal == SIGBUS || end.signal == SIGABRT,
              "the process did not end by the overflow: signal %d, status %d%s", end.signal,
              end.status, end.hung ? ", hung" : "");
    status = overflow_run(ctx, overflow_recurse, true, &seen, &end);
    if (status == TL_OK)
        overflow_expect_caught(ctx, &seen, &end);
    return tl_verdict(ctx);
}

static const struct tl_check guard_hit = {
    .abi = TL_ABI,
    .name = "guard.hit",
    .group = "Stacks",
    .promise = "a thread that overflows its stack faults before it writes another thread's",
    .source = "POSIX.1-2017 XSH pthread_attr_setguardsize; Powell et al. 1991, SunOS Multi-thread "
              "Architecture (red zone)",
    .method = "one of nine threads recurses without end, in a child process: the process ends by a "
              "signal; with a handler on an alternate stack, which looks at patterns in the other "
              "eight stacks, all of them are whole",
    .meaning = "without a guard the stack below is overwritten first; stacks that happen to lie "
               "apart hide that",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside_hit,
};
TL_CHECK(guard_hit);

/* ---- guard.names-thread ---------------------------------------------------------------------- */

/* Whether number is a word of text. */
static bool says(const char *text, const char *number)
{
    size_t n = strlen(number);

    for (const char *at = text; (at = strstr(at, number)); at++)
        if ((at == text || !strchr("0123456789abcdefx", at[-1])) &&
            (!at[n] || !strchr("0123456789abcdef", at[n])))
            return true;
    return false;
}

/* Whether text has a range of addresses, 0xLOW-0xHIGH, with that one in it. */
static bool tells_range(const char *text, uintptr_t inside)
{
    uintmax_t low, high;

    for (const char *at = text; (at = strstr(at, "0x")); at += 2)
        if (sscanf(at, "0x%jx-0x%jx", &low, &high) == 2 && inside >= low && inside < high)
            return true;
    return false;
}

static enum tl_status outside_names(struct tl_ctx *ctx)
{
    struct overflow_seen seen;
    struct tl_child end;
    char decimal[32], hex[32];
    enum tl_status status = overflow_run(ctx, overflow_recurse, false, &seen, &end);

    if (status != TL_OK)
        return status;
    if (!end.words[0])
        return tl_refused(ctx, "guard.names-thread");
    snprintf(decimal, sizeof(decimal), "%" PRIu64, seen.id);
    snprintf(hex, sizeof(hex), "%#" PRIx64, seen.id);
    TL_EXPECT(ctx, says(end.words, decimal) || says(end.words, hex),
              "thread %s (%s) overflowed its stack, the last words are: %.200s", decimal, hex,
              end.words);
    TL_EXPECT(ctx, !seen.has_name || strstr(end.words, OVERFLOW_NAME),
              "the thread's name is " OVERFLOW_NAME ", the last words are: %.200s", end.words);
    TL_EXPECT(ctx, tells_range(end.words, seen.frame),
              "the thread's stack is around %#jx, the last words are: %.200s",
              (uintmax_t)seen.frame, end.words);
    TL_EXPECT(ctx, end.signal == SIGSEGV || end.signal == SIGBUS,
              "after its report the process ended by signal %d, status %d", end.signal, end.status);
    return tl_verdict(ctx);
}

static const struct tl_check guard_names_thread = {
    .abi = TL_ABI,
    .name = "guard.names-thread",
    .group = "Stacks",
    .promise = "where an overflow is reported, the report names the thread at fault by its id and "
               "name, and tells the bounds of its stack; the process still ends by the fault",
    .source = "Powell et al. 1991, SunOS Multi-thread Architecture (red zone: the thread at fault "
              "is known); no standard asks for it",
    .method = "one of nine threads recurses without end in a child process, whose last words on "
              "standard error contain that thread's id, decimal or hexadecimal, its name, and the "
              "range of addresses (0x...-0x...) that its frame lies in",
    .meaning = "a report by the wrong name sends whoever reads it to the wrong thread; an "
               "implementation that ends without a word promises nothing and is unsupported",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside_names,
};
TL_CHECK(guard_names_thread);

/* ---- stack.no-growth ------------------------------------------------------------------------- */

/* Rounding up to the next power of two, a page of the implementation's own, and the guard. */
#define ROUNDING (OVERFLOW_SIZE + (size_t)128 * 1024)

static enum tl_status outside_growth(struct tl_ctx *ctx)
{
    struct overflow_seen seen;
    struct tl_child end;
    enum tl_status status = overflow_run(ctx, overflow_recurse, true, &seen, &end);

    if (status != TL_OK)
        return status;
    TL_EXPECT(ctx, !seen.survived, "a thread used %zu bytes of a stack of %zu without a fault",
              OVERFLOW_FAR, OVERFLOW_SIZE);
    if (!TL_EXPECT(ctx, seen.survived || seen.faulted,
                   "the fault was another thread's: signal %d, status %d", end.signal, end.status))
        return tl_verdict(ctx);
    TL_EXPECT(ctx, seen.survived || seen.address < seen.frame,
              "the fault at %#jx is not on the stack, which goes down from %#jx",
              (uintmax_t)seen.address, (uintmax_t)seen.frame);
    TL_EXPECT(ctx, seen.survived || seen.frame - seen.address <= OVERFLOW_SIZE + ROUNDING,
              "a stack of %zu bytes ended after %ju", OVERFLOW_SIZE,
              (uintmax_t)(seen.frame - seen.address));
    return tl_verdict(ctx);
}

static const struct tl_check stack_no_growth = {
    .abi = TL_ABI,
    .name = "stack.no-growth",
    .group = "Stacks",
    .promise = "a thread's stack does not grow: an overflow faults at the size that was asked for, "
               "rounded up",
    .source = "mmap(2), MAP_GROWSDOWN and MAP_STACK; pthread_attr_setstacksize(3): the kernel "
              "grows only the stack of the first thread",
    .method = "a thread with a stack of 128 KiB recurses without end; the fault lies at most "
              "twice that and 128 KiB below its first frame",
    .meaning = "a stack that the kernel or the library extends on demand goes on; so does a size "
               "that is ignored. Refutes that a kernel can grow the stack of any thread it knows",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside_growth,
};
TL_CHECK(stack_no_growth);

/* ---- mutants --------------------------------------------------------------------------------- */

static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg);

static int create_unguarded(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                            void *arg)
{
    struct tl_attr bare = attr ? *attr : (struct tl_attr)TL_ATTR_INIT;

    bare.no_guard = true;
    return sound_create(t, &bare, entry, arg);
}

static void apply_unguarded(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_unguarded;
}

static const struct tl_mutant guard_left_out = {
    .abi = TL_ABI,
    .name = "guard-left-out",
    .fault = "no stack has a guard",
    .kills = "guard.hit guard.jump guard.large-frame guard.size",
    .of = "nptl clone green hybrid",
    .apply = apply_unguarded,
};
TL_MUTANT_OF(guard_left_out);

static int create_growing(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    struct tl_attr large = *attr;

    large.stack_size *= 16;
    return sound_create(t, &large, entry, arg);
}

static void apply_growing(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_growing;
}

static const struct tl_mutant stack_grows = {
    .abi = TL_ABI,
    .name = "stack-grows",
    .fault = "a stack can be used up to sixteen times the size that was asked for",
    .kills = "stack.no-growth",
    .of = "nptl clone green hybrid",
    .apply = apply_growing,
};
TL_MUTANT_OF(stack_grows);

static const struct tl_impl *mutated;
static _Atomic uint64_t named; /* the thread that came first, whoever is at fault */

static void report_wrong(int sig)
{
    char line[80];
    int n = snprintf(line, sizeof(line), "stack overflow in thread %" PRIu64 "\n", named);

    if (write(2, line, (size_t)n) < 0)
        _exit(1);
    signal(sig, SIG_DFL); /* the instruction faults again */
}

/* The kernel thread's: the last one counts where there is one for all. */
static void *with_report(void *(*entry)(void *), void *arg)
{
    static char memory[OVERFLOW_NEIGHBOURS + 1][16384];
    static _Atomic unsigned used;
    stack_t alternate = {.ss_sp = memory[atomic_fetch_add(&used, 1) % (OVERFLOW_NEIGHBOURS + 1)],
                         .ss_size = sizeof(memory[0])};
    struct sigaction action;
    uint64_t nobody = 0;

    atomic_compare_exchange_strong(&named, &nobody, mutated->self().id);
    memset(&action, 0, sizeof(action));
    action.sa_handler = report_wrong;
    action.sa_flags = SA_ONSTACK;
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    return entry(arg);
}

static void apply_report(struct tl_impl *impl)
{
    mutated = impl;
    wrap_entries(impl, with_report);
}

static const struct tl_mutant guard_names_another = {
    .abi = TL_ABI,
    .name = "guard-names-another",
    .fault = "an overflow is reported by the name of the thread that was created first",
    .kills = "guard.names-thread",
    .of = "nptl clone green hybrid",
    .apply = apply_report,
};
TL_MUTANT_OF(guard_names_another);

#ifdef TL_INJECT
static const struct tl_mutant guard_tells_next = {
    .abi = TL_ABI,
    .name = "redzone-tells-next",
    .fault = "the report of an overflow tells the bounds of the stack above",
    .kills = "guard.names-thread",
    .of = "green ucontext hybrid clone",
};
TL_MUTANT_OF(guard_tells_next);

static const struct tl_mutant guard_swallows = {
    .abi = TL_ABI,
    .name = "redzone-exits",
    .fault = "after the report of an overflow the process exits, instead of ending by the fault",
    .kills = "guard.names-thread guard.hit",
    .of = "green ucontext hybrid clone",
};
TL_MUTANT_OF(guard_swallows);
#endif

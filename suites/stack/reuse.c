/*
 * reuse.c - stack.reuse-zeroed: what an ended thread leaves on its stack for the next one to read.
 *
 * No standard promises anything here. Where an implementation can be asked to hand nothing on
 * (recycle=none) that is a promise, and it is asked in that mode.
 */
#include "../common/opaque.h"
#include "../common/wrap.h"

#include <stdatomic.h>

#define SECRET UINT64_C(0x5ec2e7c0ffee5ec2)
#define BYTES ((size_t)24 * 1024)
#define WORDS (BYTES / sizeof(uint64_t))

static struct tl_ctx *ctx;
static _Atomic unsigned found;

static OPAQUE void *leaves(void *arg)
{
    volatile uint64_t frame[WORDS];

    for (size_t i = 0; i < WORDS; i++)
        frame[i] = SECRET;
    return frame[0] == SECRET ? arg : NULL;
}

/* Reads what it has not written, on purpose. */
static OPAQUE void *looks(void *arg)
{
    volatile uint64_t frame[WORDS];
    unsigned seen = 0;

    __asm__ volatile("" : "=m"(frame)); /* to the compiler it is written here */
    for (size_t i = 0; i < WORDS; i++)
        seen += frame[i] == SECRET;
    atomic_fetch_add(&found, seen);
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int n = 0; n < 20 && tl_verdict(ctx) == TL_OK; n++) {
        if (tl_start(ctx, 1, &t, leaves, NULL))
            tl_finish(ctx, t);
        if (tl_start(ctx, 1, &t, looks, NULL))
            tl_finish(ctx, t);
    }
    if (tl_verdict(ctx) == TL_OK && atomic_load(&found) && !tl_impl_param(ctx, "recycle"))
        return tl_refused(ctx, "stack.reuse-zeroed");
    TL_EXPECT(ctx, !atomic_load(&found), "%u words of ended threads were on the stacks of new ones",
              atomic_load(&found));
    return tl_verdict(ctx);
}

static const struct tl_check stack_reuse_zeroed = {
    .abi = TL_ABI,
    .name = "stack.reuse-zeroed",
    .group = "Stacks",
    .promise = "in the mode that hands nothing on, a new thread finds nothing of an ended one on "
               "its stack",
    .source = "the implementation's parameter recycle=none; mmap(2) (new pages are zero); POSIX "
              "promises nothing",
    .method = "20 times a thread fills 24 KiB of its stack with a number and ends, and the next "
              "one looks for it in a frame of that size that it has not written",
    .meaning = "a stack that is kept all the same shows the number. An implementation without "
               "that mode, whose stacks do, is unsupported: it never said otherwise",
    .params = "recycle=none",
    .run = run,
};
TL_CHECK(stack_reuse_zeroed);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void apply(struct tl_impl *impl)
{
    wrap_param(impl, "recycle", "stack");
}

static const struct tl_mutant stack_recycled_anyway = {
    .abi = TL_ABI,
    .name = "stack-recycled-anyway",
    .fault = "recycle=none keeps stacks for the next thread, content and all",
    .kills = "stack.reuse-zeroed",
    .of = "clone green ucontext hybrid",
    .apply = apply,
};
TL_MUTANT_OF(stack_recycled_anyway);

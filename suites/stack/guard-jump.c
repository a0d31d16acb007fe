/*
 * guard-jump.c - guard.jump, guard.large-frame: a frame larger than the guard, in code that probes.
 */
#include "overflow.h"

/* What compilers take a guard to be at least, when they probe large frames: GCC's and Clang's
 * -fstack-clash-protection touch every page of 4 KiB on x86-64; on aarch64 GCC skips 64 KiB. */
#if defined(__aarch64__)
#define PROBE 65536
#else
#define PROBE 4096
#endif
#define FRAME ((size_t)192 * 1024) /* beyond the stack and its guard, into the neighbour's */

/* A function with that frame: its prologue touches one byte in each interval, from the top down,
 * and then it writes to the far end. */
static __attribute__((noinline)) void jump(void)
{
    volatile unsigned char *frame;
    uintptr_t end = (uintptr_t)__builtin_frame_address(0) - FRAME;

    do {
        frame = __builtin_alloca(PROBE - 64); /* which takes some bytes more, 64 at most */
        frame[0] = 0x22;
    } while ((uintptr_t)frame > end);
    for (size_t b = 0; b < 1024; b++)
        frame[b] = 0x22;
}

static enum tl_status outside(struct tl_ctx *ctx)
{
    struct overflow_seen seen;
    struct tl_child end;
    enum tl_status status = overflow_run(ctx, jump, true, &seen, &end);

    if (status == TL_OK)
        overflow_expect_caught(ctx, &seen, &end);
    return tl_verdict(ctx);
}

static const struct tl_check guard_jump = {
    .abi = TL_ABI,
    .name = "guard.jump",
    .group = "Stacks",
    .promise = "the default guard is at least as large as the steps in which compilers probe large "
               "frames: a frame beyond the whole stack faults before it writes a neighbour's",
    .source = "GCC manual, -fstack-clash-protection, --param stack-clash-protection-guard-size; "
              "POSIX.1-2017 XSH pthread_attr_setguardsize (larger guards for larger frames)",
    .method = "one of nine threads enters a frame of 192 KiB on a stack of 128 KiB, touching a "
              "byte in each 4 KiB (aarch64: 64 KiB) from the top down; the others' patterns are "
              "whole when it faults",
    .meaning = "a guard that is smaller than a step can be jumped over. Code that does not probe "
               "jumps over any default guard; for that there is guard.size",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside,
};
TL_CHECK(guard_jump);

/* ---- guard.large-frame ----------------------------------------------------------------------- */

/* The compiler's own prologue. Only the far end is written. */
static __attribute__((noinline)) void large_frame(void)
{
    unsigned char frame[FRAME];

    memset(frame, 0x22, 1024);
    __asm__ volatile("" : : "r"(frame) : "memory"); /* somebody reads it */
}

static enum tl_status outside_large(struct tl_ctx *ctx)
{
    struct overflow_seen seen;
    struct tl_child end;
    enum tl_status status;

#ifndef TL_STACK_PROBES
    return tl_unsupported(ctx, "this compiler has no -fstack-clash-protection");
#endif
    status = overflow_run(ctx, large_frame, true, &seen, &end);
    if (status == TL_OK)
        overflow_expect_caught(ctx, &seen, &end);
    return tl_verdict(ctx);
}

static const struct tl_check guard_large_frame = {
    .abi = TL_ABI,
    .name = "guard.large-frame",
    .group = "Stacks",
    .promise = "a function with a frame beyond the whole stack, compiled with stack probes, faults "
               "in the guard, and writes nothing of a neighbour's stack",
    .source = "GCC manual, -fstack-clash-protection; Qualys 2017, The Stack Clash",
    .method = "as guard.jump; but the 192 KiB are a local array, of which only the far end is "
              "written, and the probes are the compiler's",
    .meaning =
        "shows that compiler and guard fit together; the harness and the suites are compiled "
        "so, a program that is not jumps over any default guard",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside_large,
};
TL_CHECK(guard_large_frame);

/* Their mutant is guard-left-out (guard-hit.c). */

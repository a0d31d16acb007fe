/*
 * floor.switch - a bare hand-written switch between two stacks: the limit for user-level threads
 * that save no more than the ABI demands of a call. It keeps neither the floating-point control
 * words nor anything else that a thread library has to look after.
 *
 * Pseudocode of floor_switch_stacks(save, load):
 *     push the registers that a called function has to preserve
 *     *save = stack pointer
 *     stack pointer = load
 *     pop the same registers
 *     pop the return address and jump there (a `ret` would be mispredicted: the return stack
 *     buffer holds the other side's callers)
 */
#include <stdint.h>
#include <sys/mman.h>

#include "loop.h"

#if defined(__x86_64__) || defined(__aarch64__)

void floor_switch_stacks(void **save, void *load) __attribute__((visibility("hidden")));

#ifdef __x86_64__
__asm__(".text\n"
        ".p2align 6\n"
        ".globl floor_switch_stacks\n"
        ".hidden floor_switch_stacks\n"
        ".type floor_switch_stacks, @function\n"
        "floor_switch_stacks:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rcx\n"
        "    jmpq *%rcx\n"
        ".size floor_switch_stacks, .-floor_switch_stacks\n");

/* The frame that the first switch pops: six registers, the entry, and the word where a caller's
 * return address would be, so that the stack is aligned as at a call. */
static void *first_frame(unsigned char *top, void (*entry)(void))
{
    uintptr_t *frame = (uintptr_t *)(void *)top - 8;

    frame[6] = (uintptr_t)entry;
    return frame;
}
#else
/* x19-x29, the return address in x30 and d8-d15, which the procedure call standard preserves. */
__asm__(".text\n"
        ".p2align 6\n"
        ".globl floor_switch_stacks\n"
        ".hidden floor_switch_stacks\n"
        ".type floor_switch_stacks, %function\n"
        "floor_switch_stacks:\n"
        "    stp x29, x30, [sp, #-160]!\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x2, sp\n"
        "    str x2, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x16, [sp], #160\n"
        "    mov x30, x16\n"
        "    br x16\n"
        ".size floor_switch_stacks, .-floor_switch_stacks\n");

static void *first_frame(unsigned char *top, void (*entry)(void))
{
    uintptr_t *frame = (uintptr_t *)(void *)top - 20;

    frame[1] = (uintptr_t)entry;
    return frame;
}
#endif

/* The other stack's function takes no argument; a process measures one cell. */
static struct {
    void *here, *there; /* stack pointers of the side that does not run */
    uint64_t turns;     /* counted by the other side */
} sides;

static __attribute__((no_sanitize("address", "thread"))) void other_side(void)
{
    for (;;) {
        sides.turns++;
        floor_switch_stacks(&sides.there, sides.here);
    }
}

/* The stack stays mapped until the process ends: other_side never leaves it. */
static enum tl_status setup(struct tl_ctx *ctx)
{
    const size_t size = 65536;
    unsigned char *stack =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (stack == MAP_FAILED)
        return tl_failed(ctx, "mmap: %s", strerror(errno));
    sides.there = first_frame(stack + size, other_side);
    return loop_setup(ctx);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    const uint64_t rounds = (n + 1) / 2, before = sides.turns;

    tl_begin(ctx);
    for (uint64_t i = 0; i < rounds; i++)
        floor_switch_stacks(&sides.here, sides.there);
    tl_end(ctx, 2 * rounds);
    loop_done(ctx, 2 * rounds, 2 * (sides.turns - before));
    return TL_OK;
}

#else

static enum tl_status setup(struct tl_ctx *ctx)
{
    return tl_unsupported(ctx, "no stack switch is written for this architecture");
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    (void)n;
    return tl_unsupported(ctx, "no stack switch is written for this architecture");
}

#endif

static const struct tl_bench floor_switch = {
    .abi = TL_ABI,
    .name = "floor.switch",
    .version = 1,
    .title = "Bare switch between two stacks",
    .op = "one switch to the other stack",
    .flags = TL_NO_IMPL,
    .setup = setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
    .expect = loop_expect_user,
};
TL_BENCH(floor_switch);

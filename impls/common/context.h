/*
 * context.h - switching stacks by hand: x86-64 (System V ABI) and aarch64 (AAPCS64), Linux.
 *
 * A switch is inline assembly whose clobber list names every register that the ABI lets a function
 * use: the compiler then saves those that are live around it, and no other. What it cannot be told
 * to save (stack, frame pointer, floating-point control) goes to struct context, not to the stack,
 * so that a red zone is left alone and a debugger or a prefetch finds it without the stack. Each
 * switch ends in a jump, not a return: a return would be mispredicted, because its call was made on
 * the other stack.
 *
 * Pseudocode, of which the assembly below is a transcription:
 *
 *     switch(from, to):            save(from); load(to); jump to->pc
 *     switch_then(from, to, f, x): save(from); load(to); f(x) on to's stack; jump to->pc
 *     start(from, top, entry):     save(from); sp = top; frame = 0; push 0; jump entry
 *     leave_then(to, f, x):        load(to); f(x) on to's stack; jump to->pc
 *     save(c): c->pc = the end of this asm; c->sp, c->frame, c->fp_control = the registers
 *     load(c): the registers = c->sp, c->frame, c->fp_control
 *
 * The _shared forms are for contexts that any of several kernel threads may go on with: a context
 * whose pc is NULL runs, or is still being saved, and must not be switched to. So pc is taken (set
 * to NULL) when the context goes on, and stored last, from the next stack, when it is saved:
 *
 *     save(c) stores all but pc; load(c): target = c->pc; c->pc = NULL; the rest as below
 *     switch_shared(from, to):     save(from); load(to); from->pc = the end; jump to target
 *
 * Whoever waits for from->pc to be no longer NULL (acquire) pairs with that store (release).
 *
 * f runs when nothing of the old stack is in use any more: the place to let another kernel thread
 * have it, to release a lock, or to free it. It must not switch.
 *
 * The floating-point control words (MXCSR and the x87 control word; FPCR) are callee-saved by both
 * ABIs, so they belong to the context. A started context inherits them from its creator. The signal
 * mask, errno and the thread pointer are not switched here. Shadow stacks (CET, GCS) are not
 * supported: glibc 2.36 does not turn them on.
 *
 * Sources: System V ABI, AMD64 supplement, 3.2.1; Procedure Call Standard for the Arm 64-bit
 * Architecture, 6.1. The clobber list instead of pushes: "State Threads" and libdill do likewise by
 * __builtin_setjmp; the call on the next stack is "ontop_fcontext" of Boost.Context (O. Kowalke).
 */
#ifndef TL_CONTEXT_H
#define TL_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

/* A context that does not run. sp is 16-byte aligned or 8 above, as at a call. 32 bytes, so that it
 * shares a cache line with what the scheduler looks at. The offsets are used by the assembly. */
struct context {
    void *sp;
    void *pc;
    void *frame;
    uint32_t fp_control; /* MXCSR; FPCR */
    uint16_t x87_control;
    uint8_t state, flags; /* not touched here: room for the owner */
};
_Static_assert(offsetof(struct context, fp_control) == 24 && sizeof(struct context) == 32,
               "the assembly uses these offsets");

/* For who looks at the stack from within f, an unwinder or a debugger: the caller is the context
 * that goes on after it, not the code around, which is on another stack. */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define CONTEXT_CALLER_IS(rules) ".cfi_remember_state\n\t" rules
#define CONTEXT_CALLED ".cfi_restore_state\n\t"
#else
#define CONTEXT_CALLER_IS(rules)
#define CONTEXT_CALLED
#endif

#if defined(__x86_64__)

/* rbx is its address: the CFA is what it points to (DW_CFA_def_cfa_expression: breg3 0, deref), rip
 * lies 8 above (DW_CFA_expression: breg3 8). The shared one: rsp is in r13, rip in r12. */
#define CONTEXT_CALLER                                     \
    CONTEXT_CALLER_IS(".cfi_escape 15, 3, 0x73, 0, 6\n\t"  \
                      ".cfi_escape 16, 16, 2, 0x73, 8\n\t" \
                      ".cfi_same_value rbp\n\t")
#define CONTEXT_CALLER_SHARED                      \
    CONTEXT_CALLER_IS(".cfi_def_cfa r13, 0\n\t"    \
                      ".cfi_register rip, r12\n\t" \
                      ".cfi_same_value rbp\n\t")

#ifdef __AVX512F__
#define CONTEXT_CLOBBER_AVX512                                                                    \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
        "k7"
#else
#define CONTEXT_CLOBBER_AVX512
#endif

/* Everything but rsp, rbp (which -O0 keeps its frame in) and the operands rdi, rsi, rdx, rcx. */
#define CONTEXT_CLOBBER                                                                         \
    "rax", "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2", \
        "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",      \
        "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",  \
        "st(7)", "memory", "cc" CONTEXT_CLOBBER_AVX512

/* from in rdi */
#define CONTEXT_SAVE            \
    "leaq 1f(%%rip), %%rax\n\t" \
    "movq %%rsp, 0(%%rdi)\n\t"  \
    "movq %%rax, 8(%%rdi)\n\t"  \
    "movq %%rbp, 16(%%rdi)\n\t" \
    "stmxcsr 24(%%rdi)\n\t"     \
    "fnstcw 28(%%rdi)\n\t"
/* to in rsi */
#define CONTEXT_LOAD            \
    "movq 0(%%rsi), %%rsp\n\t"  \
    "movq 16(%%rsi), %%rbp\n\t" \
    "ldmxcsr 24(%%rsi)\n\t"     \
    "fldcw 28(%%rsi)\n\t"
/* f in rdx, its argument in rcx. Below the red zone of what waits on that stack. rbx survives f. */
#define CONTEXT_CALL                                                         \
    "movq %%rsi, %%rbx\n\t"                                                  \
    "leaq -128(%%rsp), %%rsp\n\t"                                            \
    "andq $-16, %%rsp\n\t"                                                   \
    "movq %%rcx, %%rdi\n\t" CONTEXT_CALLER "callq *%%rdx\n\t" CONTEXT_CALLED \
    "movq 0(%%rbx), %%rsp\n\t"                                               \
    "jmpq *8(%%rbx)\n"

static inline __attribute__((always_inline)) void context_switch(struct context *from,
                                                                 const struct context *to)
{
    void *rdx, *rcx;

    __asm__ volatile(CONTEXT_SAVE CONTEXT_LOAD "jmpq *8(%%rsi)\n"
                                               "1:"
                     : "+D"(from), "+S"(to), "=d"(rdx), "=c"(rcx)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline)) void
context_switch_then(struct context *from, const struct context *to, void (*then)(void *), void *arg)
{
    __asm__ volatile(CONTEXT_SAVE CONTEXT_LOAD CONTEXT_CALL "1:"
                     : "+D"(from), "+S"(to), "+d"(then), "+c"(arg)
                     :
                     : CONTEXT_CLOBBER);
}

/* Runs entry, which never returns, on the stack that ends at top (16-byte aligned). The zero above
 * it is where back-traces end. */
static inline __attribute__((always_inline)) void context_start(struct context *from, void *top,
                                                                void (*entry)(void))
{
    void *rcx;

    __asm__ volatile(CONTEXT_SAVE "movq %%rsi, %%rsp\n\t"
                                  "xorl %%ebp, %%ebp\n\t"
                                  "pushq $0\n\t"
                                  "jmpq *%%rdx\n"
                                  "1:"
                     : "+D"(from), "+S"(top), "+d"(entry), "=c"(rcx)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline, noreturn)) void
context_leave_then(const struct context *to, void (*then)(void *), void *arg)
{
    __asm__ volatile(CONTEXT_LOAD CONTEXT_CALL : : "S"(to), "d"(then), "c"(arg) : "memory");
    __builtin_unreachable();
}

/* The shared_ forms, see above. to in rsi, from in rdi. */
#define CONTEXT_SAVE_SHARED     \
    "leaq 1f(%%rip), %%rax\n\t" \
    "movq %%rsp, 0(%%rdi)\n\t"  \
    "movq %%rbp, 16(%%rdi)\n\t" \
    "stmxcsr 24(%%rdi)\n\t"     \
    "fnstcw 28(%%rdi)\n\t"
/* Stores are seen in their order (TSO), so pc is seen after the rest. */
#define CONTEXT_PUBLISH "movq %%rax, 8(%%rdi)\n\t"
#define CONTEXT_TAKE            \
    "movq 8(%%rsi), %%r12\n\t"  \
    "movq $0, 8(%%rsi)\n\t"     \
    "movq 0(%%rsi), %%rsp\n\t"  \
    "movq 16(%%rsi), %%rbp\n\t" \
    "ldmxcsr 24(%%rsi)\n\t"     \
    "fldcw 28(%%rsi)\n\t"
/* r12 and r13 survive f. */
#define CONTEXT_CALL_SHARED                                                         \
    "movq %%rsp, %%r13\n\t"                                                         \
    "leaq -128(%%rsp), %%rsp\n\t"                                                   \
    "andq $-16, %%rsp\n\t"                                                          \
    "movq %%rcx, %%rdi\n\t" CONTEXT_CALLER_SHARED "callq *%%rdx\n\t" CONTEXT_CALLED \
    "movq %%r13, %%rsp\n\t"                                                         \
    "jmpq *%%r12\n"

static inline __attribute__((always_inline)) void context_switch_shared(struct context *from,
                                                                        struct context *to)
{
    void *rdx, *rcx;

    __asm__ volatile(CONTEXT_SAVE_SHARED CONTEXT_TAKE CONTEXT_PUBLISH "jmpq *%%r12\n"
                                                                      "1:"
                     : "+D"(from), "+S"(to), "=d"(rdx), "=c"(rcx)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline)) void context_switch_then_shared(struct context *from,
                                                                             struct context *to,
                                                                             void (*then)(void *),
                                                                             void *arg)
{
    __asm__ volatile(CONTEXT_SAVE_SHARED CONTEXT_TAKE CONTEXT_PUBLISH CONTEXT_CALL_SHARED "1:"
                     : "+D"(from), "+S"(to), "+d"(then), "+c"(arg)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline)) void
context_start_shared(struct context *from, void *top, void (*entry)(void))
{
    void *rcx;

    __asm__ volatile(CONTEXT_SAVE_SHARED "movq %%rsi, %%rsp\n\t"
                                         "xorl %%ebp, %%ebp\n\t"
                                         "pushq $0\n\t" CONTEXT_PUBLISH "jmpq *%%rdx\n"
                                         "1:"
                     : "+D"(from), "+S"(top), "+d"(entry), "=c"(rcx)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline, noreturn)) void
context_leave_then_shared(struct context *to, void (*then)(void *), void *arg)
{
    __asm__ volatile(CONTEXT_TAKE CONTEXT_CALL_SHARED : : "S"(to), "d"(then), "c"(arg) : "memory");
    __builtin_unreachable();
}

/* A context that starts with entry when it is first switched to. */
static inline void context_make(struct context *c, void *top, void (*entry)(void))
{
    void **sp = (void **)top - 1;

    *sp = NULL;
    c->sp = sp;
    __atomic_store_n(&c->pc, (void *)entry, __ATOMIC_RELAXED); /* others may look whether it runs */
    c->frame = NULL;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(c->fp_control), "=m"(c->x87_control));
}

#elif defined(__aarch64__)

/* x19 is its address, as above (breg19); the shared one: sp is in x19, pc in x20. */
#define CONTEXT_CALLER                                     \
    CONTEXT_CALLER_IS(".cfi_escape 15, 3, 0x83, 0, 6\n\t"  \
                      ".cfi_escape 16, 30, 2, 0x83, 8\n\t" \
                      ".cfi_same_value x29\n\t")
#define CONTEXT_CALLER_SHARED                      \
    CONTEXT_CALLER_IS(".cfi_def_cfa x19, 0\n\t"    \
                      ".cfi_register x30, x20\n\t" \
                      ".cfi_same_value x29\n\t")

/* Everything but sp, x29 (the frame pointer) and the operands x0 to x3. */
#define CONTEXT_CLOBBER                                                                            \
    "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",    \
        "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0",  \
        "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14",   \
        "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", \
        "v28", "v29", "v30", "v31", "memory", "cc"

/* from in x0 */
#define CONTEXT_SAVE         \
    "adr x4, 1f\n\t"         \
    "mov x5, sp\n\t"         \
    "mrs x6, fpcr\n\t"       \
    "stp x5, x4, [x0]\n\t"   \
    "str x29, [x0, #16]\n\t" \
    "str w6, [x0, #24]\n\t"
/* to in x1; leaves pc in x17, which a branch-target check allows to jump by */
#define CONTEXT_LOAD         \
    "ldp x5, x17, [x1]\n\t"  \
    "ldr x29, [x1, #16]\n\t" \
    "ldr w6, [x1, #24]\n\t"  \
    "mov sp, x5\n\t"         \
    "msr fpcr, x6\n\t"
/* f in x2, its argument in x3; there is no red zone. x19 survives f. */
#define CONTEXT_CALL                                                                     \
    "mov x19, x1\n\t"                                                                    \
    "mov x0, x3\n\t" CONTEXT_CALLER "blr x2\n\t" CONTEXT_CALLED "ldp x5, x17, [x19]\n\t" \
    "mov sp, x5\n\t"                                                                     \
    "br x17\n"

#define CONTEXT_REGISTER(name, n, value) register void *name __asm__("x" #n) = (void *)(value)

static inline __attribute__((always_inline)) void context_switch(struct context *from,
                                                                 const struct context *to)
{
    CONTEXT_REGISTER(x0, 0, from);
    CONTEXT_REGISTER(x1, 1, to);
    register void *x2 __asm__("x2");
    register void *x3 __asm__("x3");

    __asm__ volatile(CONTEXT_SAVE CONTEXT_LOAD "br x17\n"
                                               "1:"
                     : "+r"(x0), "+r"(x1), "=r"(x2), "=r"(x3)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline)) void
context_switch_then(struct context *from, const struct context *to, void (*then)(void *), void *arg)
{
    CONTEXT_REGISTER(x0, 0, from);
    CONTEXT_REGISTER(x1, 1, to);
    CONTEXT_REGISTER(x2, 2, then);
    CONTEXT_REGISTER(x3, 3, arg);

    __asm__ volatile(CONTEXT_SAVE CONTEXT_LOAD CONTEXT_CALL "1:"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                     :
                     : CONTEXT_CLOBBER);
}

/* Runs entry, which never returns, on the stack that ends at top (16-byte aligned). The zeros in
 * x29 and x30 are where back-traces end. */
static inline __attribute__((always_inline)) void context_start(struct context *from, void *top,
                                                                void (*entry)(void))
{
    CONTEXT_REGISTER(x0, 0, from);
    CONTEXT_REGISTER(x1, 1, top);
    CONTEXT_REGISTER(x2, 2, entry);
    register void *x3 __asm__("x3");

    __asm__ volatile(CONTEXT_SAVE "mov sp, x1\n\t"
                                  "mov x29, xzr\n\t"
                                  "mov x30, xzr\n\t"
                                  "br x2\n"
                                  "1:"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "=r"(x3)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline, noreturn)) void
context_leave_then(const struct context *to, void (*then)(void *), void *arg)
{
    CONTEXT_REGISTER(x1, 1, to);
    CONTEXT_REGISTER(x2, 2, then);
    CONTEXT_REGISTER(x3, 3, arg);

    __asm__ volatile(CONTEXT_LOAD CONTEXT_CALL : : "r"(x1), "r"(x2), "r"(x3) : "memory");
    __builtin_unreachable();
}

/* The shared_ forms, see above: pc is stored by a release, after the rest. x19 and x20 survive f.
 */
#define CONTEXT_SAVE_SHARED  \
    "adr x4, 1f\n\t"         \
    "mov x5, sp\n\t"         \
    "mrs x6, fpcr\n\t"       \
    "str x5, [x0]\n\t"       \
    "str x29, [x0, #16]\n\t" \
    "str w6, [x0, #24]\n\t"
#define CONTEXT_PUBLISH  \
    "add x0, x0, #8\n\t" \
    "stlr x4, [x0]\n\t"
#define CONTEXT_TAKE         \
    "ldp x5, x20, [x1]\n\t"  \
    "str xzr, [x1, #8]\n\t"  \
    "ldr x29, [x1, #16]\n\t" \
    "ldr w6, [x1, #24]\n\t"  \
    "mov sp, x5\n\t"         \
    "mov x19, x5\n\t"        \
    "msr fpcr, x6\n\t"
#define CONTEXT_GO     \
    "mov x17, x20\n\t" \
    "br x17\n"
#define CONTEXT_CALL_SHARED                                                       \
    "mov x0, x3\n\t" CONTEXT_CALLER_SHARED "blr x2\n\t" CONTEXT_CALLED "mov sp, " \
    "x19\n\t" CONTEXT_GO

static inline __attribute__((always_inline)) void context_switch_shared(struct context *from,
                                                                        struct context *to)
{
    CONTEXT_REGISTER(x0, 0, from);
    CONTEXT_REGISTER(x1, 1, to);
    register void *x2 __asm__("x2");
    register void *x3 __asm__("x3");

    __asm__ volatile(CONTEXT_SAVE_SHARED CONTEXT_TAKE CONTEXT_PUBLISH CONTEXT_GO "1:"
                     : "+r"(x0), "+r"(x1), "=r"(x2), "=r"(x3)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline)) void context_switch_then_shared(struct context *from,
                                                                             struct context *to,
                                                                             void (*then)(void *),
                                                                             void *arg)
{
    CONTEXT_REGISTER(x0, 0, from);
    CONTEXT_REGISTER(x1, 1, to);
    CONTEXT_REGISTER(x2, 2, then);
    CONTEXT_REGISTER(x3, 3, arg);

    __asm__ volatile(CONTEXT_SAVE_SHARED CONTEXT_TAKE CONTEXT_PUBLISH CONTEXT_CALL_SHARED "1:"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline)) void
context_start_shared(struct context *from, void *top, void (*entry)(void))
{
    CONTEXT_REGISTER(x0, 0, from);
    CONTEXT_REGISTER(x1, 1, top);
    CONTEXT_REGISTER(x2, 2, entry);
    register void *x3 __asm__("x3");

    __asm__ volatile(CONTEXT_SAVE_SHARED "mov sp, x1\n\t"
                                         "mov x29, xzr\n\t"
                                         "mov x30, xzr\n\t" CONTEXT_PUBLISH "br x2\n"
                                         "1:"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "=r"(x3)
                     :
                     : CONTEXT_CLOBBER);
}

static inline __attribute__((always_inline, noreturn)) void
context_leave_then_shared(struct context *to, void (*then)(void *), void *arg)
{
    CONTEXT_REGISTER(x1, 1, to);
    CONTEXT_REGISTER(x2, 2, then);
    CONTEXT_REGISTER(x3, 3, arg);

    __asm__ volatile(CONTEXT_TAKE CONTEXT_CALL_SHARED : : "r"(x1), "r"(x2), "r"(x3) : "memory");
    __builtin_unreachable();
}

/* A context that starts with entry when it is first switched to. */
static inline void context_make(struct context *c, void *top, void (*entry)(void))
{
    uint64_t fpcr;

    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    c->sp = top;
    __atomic_store_n(&c->pc, (void *)entry, __ATOMIC_RELAXED); /* others may look whether it runs */
    c->frame = NULL;
    c->fp_control = (uint32_t)fpcr;
}

#else
#error "no context switch for this architecture: add one above (see the pseudocode)"
#endif

#endif

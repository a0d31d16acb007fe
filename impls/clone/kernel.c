/*
 * kernel.c - see kernel.h, where the pseudocode is.
 */
#include "kernel.h"

#if defined(__x86_64__)
/* rdi flags, rsi stack, rdx parent_tid, rcx child_tid, r8 tp, r9 entry, 8(%rsp) arg */
__asm__(".pushsection .text\n"
        ".p2align 6\n"
        ".globl clone_raw\n"
        ".hidden clone_raw\n"
        ".type clone_raw, @function\n"
        "clone_raw:\n"
        "    .cfi_startproc\n"
        "    mov 8(%rsp), %rax\n"
        "    sub $16, %rsi\n"
        "    mov %r9, (%rsi)\n"
        "    mov %rax, 8(%rsi)\n"
        "    mov %rcx, %r10\n"
        "    mov $56, %eax\n"
        "    syscall\n"
        "    test %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  .cfi_undefined rip\n"
        "    xor %ebp, %ebp\n"
        "    pop %rax\n"
        "    pop %rdi\n"
        "    call *%rax\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size clone_raw, . - clone_raw\n"
        ".popsection\n");
#elif defined(__aarch64__)
/* x0 flags, x1 stack, x2 parent_tid, x3 child_tid, x4 tp, x5 entry, x6 arg */
__asm__(".pushsection .text\n"
        ".p2align 6\n"
        ".globl clone_raw\n"
        ".hidden clone_raw\n"
        ".type clone_raw, %function\n"
        "clone_raw:\n"
        "    .cfi_startproc\n"
        "    mov x9, x3\n"
        "    mov x3, x4\n"
        "    mov x4, x9\n"
        "    mov x8, #220\n"
        "    svc #0\n"
        "    cbz x0, 1f\n"
        "    ret\n"
        "1:  .cfi_undefined x30\n"
        "    mov x29, xzr\n"
        "    mov x30, xzr\n"
        "    mov x0, x6\n"
        "    blr x5\n"
        "    brk #1\n"
        "    .cfi_endproc\n"
        ".size clone_raw, . - clone_raw\n"
        ".popsection\n");
#else
#error "kernel.c: no clone stub for this architecture"
#endif

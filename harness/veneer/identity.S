/*
 * identity.S - the veneer of nptl: each wrapped name is a jump to the C library's function of that
 * name, with registers and stack as they were. So a program on nptl is the program as it is, and
 * what it does through the other veneers can be held against it.
 *
 * names.h is made by the Makefile: PASS name, for each name that the other veneers wrap and that
 * the C library has.
 */
#if defined(__x86_64__)
#define JUMP jmp
#elif defined(__aarch64__)
#define JUMP b
#else
#error "no jump is known for this architecture"
#endif

    .text
    .macro PASS name
    .globl __wrap_\name
    .type __wrap_\name, %function
    .balign 16
__wrap_\name:
    JUMP __real_\name
    .size __wrap_\name, . - __wrap_\name
    .endm

#include NAMES

    .section .note.GNU-stack, "", %progbits

/*
 * setjmp.h - the C library's <setjmp.h>, but that the veneer is told of each place to jump to: a
 * jump out of a handler is to bring back what it knows of the thread there, and the mask, which may
 * be the implementation's and not the kernel's. Found before it, as pthread.h is.
 */
#ifndef TL_VENEER_SETJMP_H
#define TL_VENEER_SETJMP_H

#include_next <setjmp.h>

#ifndef TL_VENEER_nptl

#ifdef __cplusplus
extern "C" {
#endif

extern struct __jmp_buf_tag *veneer_jump_here(struct __jmp_buf_tag *env, int mask);

#ifdef __cplusplus
}
#endif

#undef setjmp
#undef sigsetjmp
#define setjmp(env) _setjmp(veneer_jump_here((env), 0))
#define sigsetjmp(env, mask) __sigsetjmp(veneer_jump_here((env), (mask)), 0)

#endif

#endif

/*
 * sys.h - system calls without the C library's wrapper: they answer -errno and leave errno alone,
 * so they work on a thread whose TLS block is about to be freed.
 *
 * x86-64:  rax = syscall(rax: number; rdi, rsi, rdx, r10, r8, r9); rcx and r11 are lost
 * aarch64: x0 = svc 0(x8: number; x0..x5)
 */
#ifndef TL_SYS_H
#define TL_SYS_H

#include <sys/syscall.h>

static inline long sys_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#else
#error "sys.h: no system call stub for this architecture"
#endif
}

#define SYS_CALL(number, a, b, c, d, e, f) \
    sys_call((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif

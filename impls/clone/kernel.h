/*
 * kernel.h - starts a kernel thread: clone(2) without the C library.
 *
 *     clone_raw(flags, stack, parent_tid, child_tid, tp, entry, arg):
 *         r = syscall clone(flags, stack, parent_tid, child_tid, tp)
 *         if r != 0: return r                    the creator: TID, or -errno
 *         frame pointer = 0; on stack, aligned to 16, with return address "none":
 *         entry(arg)
 *         trap                                   entry never returns
 *
 * The order of the system call's arguments differs: x86-64 (flags, stack, parent_tid, child_tid,
 * tls), aarch64 (flags, stack, parent_tid, tls, child_tid). Not for user shadow stacks (CET): the
 * C library of today does not enable them.
 */
#ifndef TL_CLONE_KERNEL_H
#define TL_CLONE_KERNEL_H

#include <stdatomic.h>
#include <stdint.h>

/* The floating-point control words, which clone(2) copies and a recycled kernel thread has to take
 * over from its creator. */
struct fp_control {
    uint32_t control; /* MXCSR; FPCR */
    uint16_t x87;
};

static inline void fp_control_save(struct fp_control *fp)
{
#if defined(__x86_64__)
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(fp->control), "=m"(fp->x87));
#elif defined(__aarch64__)
    uint64_t fpcr;

    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    fp->control = (uint32_t)fpcr;
#endif
}

static inline void fp_control_load(const struct fp_control *fp)
{
#if defined(__x86_64__)
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(fp->control), "m"(fp->x87));
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)fp->control));
#endif
}

long clone_raw(unsigned long flags, void *stack, _Atomic uint32_t *parent_tid,
               _Atomic uint32_t *child_tid, void *tp, void (*entry)(void *), void *arg);

#endif

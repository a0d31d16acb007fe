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

long clone_raw(unsigned long flags, void *stack, _Atomic uint32_t *parent_tid,
               _Atomic uint32_t *child_tid, void *tp, void (*entry)(void *), void *arg);

#endif

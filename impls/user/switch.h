/*
 * switch.h - from one thread to the next. Included by user.h only.
 *
 * Every change of stack of the library is in this file: switch_to (both go on later), switch_start
 * (the next one is new) and switch_leave (the old one has ended). What belongs to a thread besides
 * its registers goes with it here: errno, the thread pointer (only where it differs), and what the
 * address and thread sanitizers must be told.
 *
 * What the next thread has to do before it goes on (deliver the signals that are pending for it,
 * say) is done by arrive() on its stack: its thread pointer is tagged (USER_TP_TAG), so that it
 * differs. A switch to a thread without any costs nothing for it.
 */
#ifndef TL_USER_SWITCH_H
#define TL_USER_SWITCH_H

#include "../common/tls.h"

#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
#include <asm/prctl.h>
#endif

#ifdef USER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef USER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* Runs on the next stack, before the sanitizers know of it. */
#define USER_ON_NEXT_STACK __attribute__((no_sanitize("address", "thread")))

/* Writes the thread pointer (TLS register). Nothing that uses it may run between this and the
 * switch to the thread that owns it. */
static inline void write_tp(void *tp)
{
#if defined(__x86_64__)
    long ret;

    if (USER_LIKELY(lib.fsgsbase))
        __asm__ volatile("wrfsbase %0" : : "r"(tp) : "memory");
    else
        /* Not by syscall(3): its errno would be the new thread's. Fails for bad addresses only. */
        __asm__ volatile("syscall"
                         : "=a"(ret)
                         : "0"((long)SYS_arch_prctl), "D"((long)ARCH_SET_FS), "S"(tp)
                         : "rcx", "r11", "memory");
#else
    __asm__ volatile("msr tpidr_el0, %0" : : "r"(tp) : "memory");
#endif
}

/* What the sanitizers hear before a switch; dying: `from` will not come back. */
static inline __attribute__((always_inline)) void switch_announce(struct uthread *from,
                                                                  struct uthread *to, bool dying)
{
    (void)from;
    (void)to;
    (void)dying;
#ifdef USER_ASAN
    __sanitizer_start_switch_fiber(
        dying ? NULL : &from->rest->fake_stack, stack_low_of(to->rest),
        (size_t)((char *)to->rest->high - (char *)stack_low_of(to->rest)));
#endif
#ifdef USER_TSAN
    __tsan_switch_to_fiber(to->rest->fiber, 0);
#endif
}

/* ... and on arrival. The first thread's stack is told by the first switch away from it. */
static inline __attribute__((always_inline)) void switch_arrived(struct uthread *self)
{
    (void)self;
#ifdef USER_ASAN
    const void *low;
    size_t size;

    __sanitizer_finish_switch_fiber(self->rest->fake_stack, &low, &size);
    if (lib.first && lib.first->rest && !lib.first->rest->high) {
        lib.first->rest->alone.low = (void *)(uintptr_t)low;
        lib.first->rest->high = (char *)(uintptr_t)low + size;
    }
#endif
}

static void arrive(void *self); /* signals.h */

/* The thread pointers differ. True: `to` was tagged. */
static inline __attribute__((always_inline)) bool switch_tp(struct uthread *to)
{
    bool was_tagged = (uintptr_t)to->tp & USER_TP_TAG;

    to->tp = (void *)((uintptr_t)to->tp & ~(uintptr_t)USER_TP_TAG);
    if (lib.full_tls)
        write_tp(to->tp);
    return was_tagged;
}

/* errno and the thread pointer. True: as switch_tp. */
static inline __attribute__((always_inline)) bool
switch_private(struct lwp *lwp, struct uthread *from, struct uthread *to)
{
    from->err = *lwp->err;
    *lwp->err = to->err;
    lwp->current = to;
    return USER_UNLIKELY(to->tp != from->tp) && switch_tp(to);
}

static inline __attribute__((always_inline)) void switch_to(struct lwp *lwp, struct uthread *from,
                                                            struct uthread *to)
{
    switch_announce(from, to, false);
    if (USER_UNLIKELY(switch_private(lwp, from, to)))
        context_switch_then(&from->context, &to->context, arrive, to);
    else
        context_switch(&from->context, &to->context);
    switch_arrived(from);
}

/* Runs entry as thread `to` right below its rest. It is new: it has no tag. */
static inline __attribute__((always_inline)) void
switch_start(struct lwp *lwp, struct uthread *from, struct uthread *to, void (*entry)(void))
{
    switch_announce(from, to, false);
    switch_private(lwp, from, to);
#if USER_UCONTEXT
    context_start_uc(&from->context, &to->rest->uc, stack_low_of(to->rest), to->rest, entry);
#else
    context_start(&from->context, to->rest, entry);
#endif
    switch_arrived(from);
}

/* Ends `from`: its stack is in use no more when then(from) runs; then_arrive(from) does the same
 * and arrive() for the thread that runs now. */
static inline __attribute__((always_inline, noreturn)) void
switch_leave(struct lwp *lwp, struct uthread *from, struct uthread *to, void (*then)(void *),
             void (*then_arrive)(void *))
{
    switch_announce(from, to, true);
    if (USER_UNLIKELY(switch_private(lwp, from, to)))
        then = then_arrive;
    context_leave_then(&to->context, then, from);
}

#endif

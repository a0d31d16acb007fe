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
 *
 * With several LWPs a thread may be made ready before it has left its stack. Nobody goes on with it
 * before its context says that it is complete (switch_await; "_shared" in common/context.h): so no
 * lock is held across a switch.
 *
 * That would be a deadlock if who waits were itself waited for: two LWPs whose threads have pushed
 * themselves and then taken each other. So a thread waits for a moment only, and then leaves its
 * LWP to the idle context, which waits for the next one when the thread is complete. The idle
 * context is in no queue, nor is a thread that ends: nobody waits for those.
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
    if (!USER_MN && lib.first && lib.first->rest && !lib.first->rest->high) {
        lib.first->rest->alone.low = (void *)(uintptr_t)low;
        lib.first->rest->high = (char *)(uintptr_t)low + size;
    }
#endif
}

static void arrive(void *self); /* signals.h */

/* Sets the tag, from any LWP; pairs with the exchange in switch_tp. */
static inline void tp_tag(struct uthread *t)
{
    __atomic_fetch_or((uintptr_t *)&t->tp, USER_TP_TAG, __ATOMIC_SEQ_CST);
}

/* Takes it away. True: it was there. */
static inline bool tp_untag(struct uthread *t)
{
    return __atomic_fetch_and((uintptr_t *)&t->tp, ~(uintptr_t)USER_TP_TAG, __ATOMIC_SEQ_CST) &
           USER_TP_TAG;
}

static inline void *tp_of(const struct uthread *t)
{
    return (void *)((uintptr_t)USER_LOAD(((struct uthread *)t)->tp) & ~(uintptr_t)USER_TP_TAG);
}

/* The thread pointers differ. True: `to` was tagged. */
static inline __attribute__((always_inline)) bool switch_tp(struct lwp *lwp, struct uthread *to)
{
    bool was_tagged = (uintptr_t)USER_LOAD(to->tp) & USER_TP_TAG && tp_untag(to);

    (void)lwp;
    if (lib.full_tls) {
#if USER_MN
        lwp_tell(tp_of(to), lwp);
#endif
        write_tp(tp_of(to));
    }
    return was_tagged;
}

#if USER_MN

#define USER_AWAIT_SPINS 256 /* some microseconds; saving a context takes some nanoseconds */

/* Until all of its context is saved by the LWP that it ran on last: pairs with the store of pc in
 * the switch away from it. That LWP is between two instructions, or displaced by the kernel. */
static inline void switch_await(const struct uthread *to)
{
    unsigned spins = 0;

    while (USER_UNLIKELY(!USER_LOAD_ACQUIRE(to->context.pc))) {
        cpu_relax();
        if (++spins % USER_AWAIT_SPINS == 0)
            SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
#ifdef USER_TSAN
    __tsan_acquire((void *)(uintptr_t)&to->context);
#endif
}

/* Likewise, for a thread that can be waited for: whom to switch to. */
static __attribute__((noinline)) struct uthread *
switch_detour(struct lwp *lwp, struct uthread *from, struct uthread *to)
{
    for (unsigned spins = 0; spins < USER_AWAIT_SPINS; spins++) {
        if (USER_LOAD_ACQUIRE(to->context.pc))
            return to;
        cpu_relax();
    }
    if (from == lwp->idle || USER_MUTANT("user-switch-waits"))
        return to;
    lwp->next_up = to; /* see idle_loop */
    return lwp->idle;
}

static inline struct uthread *switch_next(struct lwp *lwp, struct uthread *from, struct uthread *to)
{
    return USER_LIKELY(USER_LOAD(to->context.pc) != NULL) ? to : switch_detour(lwp, from, to);
}

#define SWITCH_START context_start_shared
#define SWITCH_THEN context_switch_then_shared /* keeps a copy of `to`: see arrive_body */
#define SWITCH_LEAVE context_leave_then_shared
#else
#define switch_await(to) ((void)0)
#define switch_next(lwp, from, to) (to)
#define SWITCH_START context_start
#define SWITCH_THEN context_switch_then
#define SWITCH_LEAVE context_leave_then
#endif

/* errno and the thread pointer. True: as switch_tp. */
static inline __attribute__((always_inline)) bool
switch_private(struct lwp *lwp, struct uthread *from, struct uthread *to)
{
    void *tp = USER_LOAD(to->tp);
    bool other_tp;

    from->err = *lwp->err;
    *lwp->err = to->err;
    USER_STORE(lwp->current, to);
#if USER_MN
    /* Both may be tagged: others do that to a thread that runs, too. */
    other_tp = ((uintptr_t)tp ^ (uintptr_t)USER_LOAD(from->tp)) | ((uintptr_t)tp & USER_TP_TAG);
#else
    other_tp = tp != USER_LOAD(from->tp);
#endif
#if USER_MN && defined(USER_TSAN)
    /* What the store of pc does, which it does not see. The last access to *from is above. */
    __tsan_release(&from->context);
#endif
    return USER_UNLIKELY(other_tp) && switch_tp(lwp, to);
}

/* While there is one LWP: every context but that of the caller is complete, and nobody asks whether
 * it is. So pc is not taken from the one that runs, which become_multi makes up for. */
static inline __attribute__((always_inline)) void
switch_at_once(struct lwp *lwp, struct uthread *from, struct uthread *to)
{
    bool bare = USER_MUTANT("user-arrives-without-copy");

    switch_announce(from, to, false);
    if (USER_UNLIKELY(switch_private(lwp, from, to))) {
        if (bare)
            context_switch_then(&from->context, &to->context, arrive, to);
        else
            SWITCH_THEN(&from->context, &to->context, arrive, to);
    } else {
        context_switch(&from->context, &to->context);
    }
    switch_arrived(from);
}

static inline __attribute__((always_inline)) void switch_to(struct lwp *lwp, struct uthread *from,
                                                            struct uthread *to)
{
#if USER_MN
    to = switch_next(lwp, from, to);
    switch_await(to);
    switch_announce(from, to, false);
    if (USER_UNLIKELY(switch_private(lwp, from, to)))
        SWITCH_THEN(&from->context, &to->context, arrive, to);
    else
        context_switch_shared(&from->context, &to->context);
    switch_arrived(from);
#else
    switch_at_once(lwp, from, to);
#endif
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
    SWITCH_START(&from->context, to->rest, entry);
#endif
    switch_arrived(from);
}

/* Ends `from`: its stack is in use no more when then(from) runs; then_arrive(from) does the same
 * and arrive() for the thread that runs now. */
static inline __attribute__((always_inline, noreturn)) void
switch_leave(struct lwp *lwp, struct uthread *from, struct uthread *to, void (*then)(void *),
             void (*then_arrive)(void *))
{
    switch_await(to);
    switch_announce(from, to, true);
    if (USER_UNLIKELY(switch_private(lwp, from, to)))
        then = then_arrive;
    SWITCH_LEAVE(&to->context, then, from);
}

#endif

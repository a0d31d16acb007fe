/*
 * cancel_sys.h - system calls in which a kernel thread of ours can be cancelled, without a race:
 * a request that comes before the call, during it, or between the look at the request and the call
 * ends it; one that comes when the call has had its effect does not.
 *
 * The call is made by a stub that looks at the request and then enters the kernel. A request sends
 * a signal; its handler asks where the thread was interrupted. Within the stub (a call that sleeps
 * is restarted there) it goes on where the stub answers CANCEL_SYS_CANCELED; after it, the call has
 * its result. In a handler of the user's that interrupted the stub, the signal is blocked there and
 * sent again: it comes back when that handler has returned. The idea of looking at the program
 * counter is R. Felker's, of musl (src/thread/pthread_cancel.c), 2005-2012.
 *
 *     creator: cancel_sys_start     the thread itself: cancel_sys_adopt
 *     cancel:  personal_request, and where cancel_sys_wants_signal: cancel_sys_send
 *
 * SIGSTKFLT is the signal: glibc and the kernel do not use it, and as it is no real-time signal it
 * never fails for want of room in the queue (RLIMIT_SIGPENDING). Its handler is installed by the
 * first request. It has to be kept out of every mask: cancel_sys_without.
 */
#ifndef TL_CANCEL_SYS_H
#define TL_CANCEL_SYS_H

#include "personal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CANCEL_SYS_SIGNAL SIGSTKFLT
#define CANCEL_SYS_CANCELED (-4096L) /* no error of the kernel's: those are -4095..-1 */

/* Invariants: waiting is set by the thread itself around a call, and pairs with the REQUESTED bit
 * as personal.h says; requeued is touched by the thread and its own signal handler only. */
struct cancel_sys {
    struct personal *personal;
    _Atomic uint32_t waiting;
    _Atomic bool requeued; /* the handler has blocked the signal and sent it again */
};

/* The calling thread's; NULL before cancel_sys_adopt. */
extern _Thread_local struct cancel_sys *cancel_sys_own;

void cancel_sys_start(struct cancel_sys *c, struct personal *personal);
void cancel_sys_adopt(struct cancel_sys *c);

/* The system call: its answer, or CANCEL_SYS_CANCELED: the caller tidies up and calls
 * personal_test, which does not return. */
long cancel_sys_call(long number, long a, long b, long c, long d, long e, long f);
#define CANCEL_SYS_CALL(number, a, b, c, d, e, f) \
    cancel_sys_call((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Acts on a request that is due. At the start of each cancellation point, which has to act even if
 * it does not sleep. */
static inline void cancel_sys_test(void)
{
    if (personal_due(cancel_sys_own->personal))
        personal_test();
}

/* After personal_request, by any thread: it sleeps in a call, or can be cancelled anywhere. */
bool cancel_sys_wants_signal(const struct cancel_sys *c);
int cancel_sys_send(int tid); /* 0 or an error number */

/* The set as the kernel has it (64 bits), less the signal. */
uint64_t cancel_sys_without(const void *set);

#endif

/*
 * user.h - the user-level thread library: threads that the kernel does not know.
 *
 * One code base, several implementations: a thin file impls/NAME/NAME.c defines the configuration
 * below, includes this header once, and registers the table that it makes. Everything is static, so
 * that each configuration is compiled for itself and the program may hold several of them.
 *
 *     #define USER_NAME "green"         its name
 *     #define USER_MODEL "M:1"
 *     #define USER_SUMMARY "..."        one line
 *     #define USER_UCONTEXT 0           1: switch by swapcontext(3), 0: by common/context.h
 *     #define USER_MN 0                 1: several kernel threads run it (not with USER_UCONTEXT)
 *     #include "../user/user.h"
 *     USER_IMPL(green);
 *
 * The parts, bottom up (each includes nothing of the later ones):
 *     types.h    kernel thread (LWP), library: the data and its invariants; with thread.h, thread
 *     lock.h     the library's own locks
 *     text.h     whose code is at an address
 *     table.h    IDs to threads
 *     pool.h     stacks
 *     switch.h   from one thread to the next: the one place that switches, and what goes with it
 *     sigkernel.h  signals: the kernel's mask, what it has delivered, what was interrupted
 *     timer.h    who waits for a time
 *     sched.h    run queue, wait lists, parking; with interrupt.h, taking off a wait list, and
 *                alone.h, the only LWP of M:1
 *     poller.h   who waits for a descriptor
 *     preempt.h  a thread that does not give up the PU loses it
 *     mutex.h    mutexes of all kinds
 *     life.h     create, exit, join, detach, cancel; with end.h, what an ended one leaves
 *     sync.h     condition variable, semaphore
 *     io.h       jackets: calls that would block the kernel thread block the caller
 *     signals.h  signals: pending sets, who gets which
 *     sigrun.h   ... how a handler is run
 *     sigmask.h  ... masks, kill, pending
 *     sigwait.h  ... waiting for them
 *     sigaction.h  ... actions, and the handler that the kernel calls
 *     fork.h     fork, of the caller or of all threads
 *     info.h     names, stacks, priorities
 *     count.h, inspect.h   what it counts; the thread table, for who looks from outside
 *     redzone.h  who overflows a stack is named
 *     boot.h     parameters, run, the table of operations
 * and of several LWPs only:
 *     deque.h    threads that others may steal
 *     steal.h    the ready threads of all LWPs; with push.h, how they become that, yield.h, and
 *                fair.h, who waits for longest
 *     lwp.h      starting and retiring LWPs; with doze.h, sleeping and waking, and idle.h, looking
 *                for work
 *     place.h    that threads with a place find an LWP
 *     watch.h    LWPs that block unseen: the detectors
 *     barge.h    mutexes for which threads compete that run at once
 *     turn.h     conditions on the only LWP
 *
 * What one LWP needs no lock for is written once for both: list_lock() and its like are nothing in
 * M:1, and nothing in M:N before there is a second LWP.
 *
 * The ideas: Powell et al. 1991, "SunOS Multi-thread Architecture" (threads over LWPs); Engelschall
 * 2000, "Portable Multithreading" (the start of a stack); Anderson et al. 1989, "The Performance
 * Implications of Thread Management Alternatives" (free lists).
 */
#ifndef TL_USER_H
#define TL_USER_H

#include "impl.h"

#define USER_LIKELY(x) __builtin_expect(!!(x), 1)
#define USER_UNLIKELY(x) __builtin_expect(!!(x), 0)

#ifndef USER_MN
#define USER_MN 0
#endif

#include "inject.h"

#include "../common/futex.h"

#include "types.h"

#include "lock.h"

#include "text.h"

#include "table.h"

#include "pool.h"

#include "redzone.h"

#include "switch.h"

#include "sigkernel.h"

#include "timer.h"

#include "sched.h"

#include "poller.h"

#include "preempt.h"

#include "mutex.h"

#include "life.h"

#include "sync.h"

#include "io.h"

#include "signals.h"

#include "sigrun.h"

#include "sigmask.h"

#include "sigwait.h"

#include "sigaction.h"

#include "fork.h"

#include "info.h"

#include "inspect.h"

#include "boot.h"

#endif

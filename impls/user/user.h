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
 *     #include "../user/user.h"
 *     USER_IMPL(green);
 *
 * The parts, bottom up (each includes nothing of the later ones):
 *     types.h    thread, kernel thread (LWP), library: the data and its invariants
 *     table.h    IDs to threads
 *     pool.h     stacks
 *     switch.h   from one thread to the next: the one place that switches, and what goes with it
 *     timer.h    who waits for a time
 *     sched.h    run queue, parking, interrupting, idling
 *     mutex.h    mutexes of all kinds
 *     life.h     create, exit, join, detach, cancel
 *     sync.h     condition variable, semaphore
 *     signals.h  signals
 *     fork.h     fork, of the caller or of all threads
 *     info.h     names, stacks, priorities
 *     boot.h     parameters, run, the table of operations
 *
 * One kernel thread (LWP) runs it so far. What changes with several of them is in one place each:
 * lwp_self() finds the LWP instead of naming the only one; park() and exit hand their last step
 * (release the lock of the wait list, give back the stack) to the callback on the next stack, which
 * context_switch_then provides and exit uses already; the run queue and the timers are in struct
 * lwp; the table and the pools, in struct library, get a lock.
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

#include "types.h"

#include "table.h"

#include "pool.h"

#include "switch.h"

#include "timer.h"

#include "sched.h"

#include "mutex.h"

#include "life.h"

#include "sync.h"

#include "signals.h"

#include "fork.h"

#include "info.h"

#include "boot.h"

#endif

/*
 * detect.h - tells a user-level thread library that one of its kernel threads (LWPs) has blocked in
 * the kernel while it ran user code, and that it runs again.
 *
 * The kernel of SunOS told by SIGWAITING, when all LWPs of a process waited (Stein & Shah 1992,
 * "Implementing Lightweight Threads"); scheduler activations tell of each one (Anderson et al.
 * 1991, section 3.1). Linux tells nothing by itself. Three ways to ask it:
 *
 * proc: samples /proc/self/task/TID/stat: S or D is blocked, R is not, even while it waits for a
 * CPU. Sees whatever lasts longer than the period, page faults too. Costs about 2 us an LWP and
 * period; the period doubles while nothing changes (as that of sysmon in the runtime of Go), and
 * nothing is sampled while all LWPs are hidden.
 *
 * perf: a software event per LWP with context-switch records, which tell that it left its CPU and
 * whether it was preempted. Needs no PMU. Sees everything, at once; each switch of an LWP, hidden
 * or not, writes two records and wakes the monitor.
 *
 * seccomp: a filter sends the calls that may block to the monitor first, which lets them go on and
 * then samples as proc does, at first every 10 us, until the LWP has used 10 to 20 ms of CPU time
 * without blocking. Otherwise nothing is sampled. Does not see page faults and futexes that come
 * later; each listed call makes a round trip through the monitor, each other one runs the filter.
 * The filter cannot be taken off, and children have it too: fork is refused (detect_may_fork), and
 * a program that an LWP executes must end before this process does.
 * Who stops all threads but an LWP or its child (LeakSanitizer at the end of a process) hangs.
 *
 * What a kind may not do here detect_open says; there is no falling back to another one.
 *
 * Order: detect_open, detect_run, then detect_adopt in each LWP as it starts, detect_leave in it
 * before it ends, detect_stop, detect_close. Answers are 0 or a positive error number.
 *
 *     monitor thread                        LWP
 *                                           detect_adopt(d, lwp, &flag)
 *                                           detect_hide(&flag)  parks, or makes a jacketed call
 *                                           detect_show(&flag)  back in user code
 *     calls.blocked(arg, lwp)               read(), a page fault ...
 *     calls.unblocked(arg, lwp)             back from it, or hidden
 *
 * For one LWP the two calls alternate, beginning with blocked. What ends before the monitor has
 * looked is not reported. A call may come late: the LWP may be running again, hidden or gone.
 */
#ifndef TL_DETECT_H
#define TL_DETECT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define DETECT_LWPS 256 /* numbers of LWPs: 0 .. DETECT_LWPS - 1 */

enum detect_kind { DETECT_PROC, DETECT_PERF, DETECT_SECCOMP, DETECT_KINDS };

struct detect; /* made by detect_open, freed by detect_close */

/* What an LWP shows of itself. Lies in the LWP, outlives detect_leave and detect_stop; starts as
 * zero. Only the LWP writes seq: odd while it is hidden. That it counts lets the monitor tell that
 * two looks at it belong to the same stay in user code. */
struct detect_flag {
    _Atomic uint32_t seq;
    struct detect *detect;        /* that has to be told of detect_show; NULL: none */
    const _Atomic uint32_t *idle; /* in *detect: not 0 while the monitor samples nothing */
};

/* Called by the monitor thread, without a lock of the detector. */
struct detect_calls {
    void (*begin)(void *arg); /* NULL, or: first of all in the monitor, to pin it or name it */
    void (*blocked)(void *arg, unsigned lwp);
    void (*unblocked)(void *arg, unsigned lwp);
    void *arg;
};

/* "proc", "perf", "seccomp"; DETECT_KINDS: none of them. */
enum detect_kind detect_kind_of(const char *name);

const char *detect_name(enum detect_kind kind);

/* ENOTSUP, EACCES, EPERM, ... with one line in reason: the kernel does not offer it, or not to us.
 * ENOMEM, EMFILE likewise. Tries the mechanism, in a thread of its own where it leaves traces. */
int detect_open(enum detect_kind kind, struct detect **d, char *reason, size_t size);

/* Starts the monitor: a kernel thread with all signals blocked, and the affinity of the caller.
 * Before the first detect_adopt: the monitor must not inherit the filter of an LWP, it would wait
 * for itself (EBUSY). EAGAIN. */
int detect_run(struct detect *d, const struct detect_calls *calls);

/* The calling kernel thread is LWP `lwp` from now on. EINVAL: number out of range, or in use. Not
 * from within a call of detect_calls. */
int detect_adopt(struct detect *d, unsigned lwp, struct detect_flag *flag);

/* In the LWP itself. Calls about it may still come for a moment. */
void detect_leave(struct detect *d, unsigned lwp, struct detect_flag *flag);

/* No call of detect_calls is under way or will begin once it has returned. Not from within one. */
void detect_stop(struct detect *d);

/* After detect_stop, and when no LWP enters the detector any more. seccomp: while a thread with the
 * filter lives the monitor lives on and lets its calls through, else they would fail (ENOSYS). */
void detect_close(struct detect *d);

/* ENOTSUP: a child would inherit what it cannot get rid of (seccomp). */
int detect_may_fork(const struct detect *d);

/* In the child of a fork, by its only thread: frees what the child has of it, without touching the
 * parent's. It may open another one. */
void detect_forget(struct detect *d);

/* Wakes a monitor that samples nothing. */
void detect_kick(struct detect *d);

/* The LWP is about to wait on behalf of the library, which knows. */
static inline void detect_hide(struct detect_flag *flag)
{
    uint32_t seq = atomic_load_explicit(&flag->seq, memory_order_relaxed);

    /* Release: partner of the acquire load in detect_seq. */
    atomic_store_explicit(&flag->seq, seq + 1, memory_order_release);
}

/* The LWP is back in user code. */
static inline void detect_show(struct detect_flag *flag)
{
    uint32_t seq = atomic_load_explicit(&flag->seq, memory_order_relaxed);

    /* seq then idle here, idle then seq in the monitor, all sequentially consistent: one of the two
     * sees the other. */
    atomic_store(&flag->seq, seq + 1);
    if (flag->detect && atomic_load(flag->idle))
        detect_kick(flag->detect);
}

#endif

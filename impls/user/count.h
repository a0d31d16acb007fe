/*
 * count.h - where the scheduler was entered, and why: one set of counts per LWP. Included by
 * thread.h, behind enum user_state.
 *
 * An increment of a line that only this LWP writes, where it costs nothing: `threadlab compare`
 * finds no difference in a semaphore's hand-over. In a yield it does (0.1 ns, 2 to 3%), so yields
 * are counted from the first time on that somebody asks for the counters, by way of the branch to
 * the slow path that is there anyway. What follows from these and from the thread table is not
 * counted: threads created, and wakes (inspect.h). Not counted at all: lock, post and the like that
 * neither wait nor wake; switches, which are the sum of yields, waits and ends but for those that
 * found nobody else.
 */
#ifndef TL_USER_COUNT_H
#define TL_USER_COUNT_H

#include <stdint.h>

/* Invariants: written by code that runs on the LWP only, read by any thread, so both relaxed; waits
 * [state]: how often a thread began to wait in that state. */
struct user_counts {
    uint64_t yields; /* since somebody first asked */
    uint64_t waits[USER_STATES];
    uint64_t timers;     /* times that came, of sleepers and of timed waits */
    uint64_t interrupts; /* waits that a time, a signal or a cancellation has broken off */
    uint64_t idles;      /* nobody was ready: the LWP slept */
    uint64_t steals;     /* threads taken from other LWPs */
};

static inline void count(uint64_t *counter)
{
#if USER_MN
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
#else
    ++*counter; /* one instruction */
#endif
}

#endif

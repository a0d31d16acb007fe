/*
 * futex.h - futex(2) wait and wake on a 32-bit word of this process. Nothing here sets errno.
 *
 * A wait compares and sleeps in one step: the word is looked at under the lock that a wake takes,
 * so a change followed by a wake is never missed. Waits return for no reason too (a signal): the
 * caller looks at the word again.
 */
#ifndef TL_FUTEX_H
#define TL_FUTEX_H

#include "sys.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/* Absolute; clock is CLOCK_REALTIME or CLOCK_MONOTONIC. */
struct futex_deadline {
    clockid_t clock;
    uint64_t ns;
};

/* 0: woken. EAGAIN: the word is not `expected`. EINTR. */
static inline int futex_wait(const _Atomic uint32_t *word, uint32_t expected)
{
    return (int)-SYS_CALL(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, 0, 0, 0);
}

/* Wakes up to n waiters; answers how many. The word need not exist any more (EFAULT is ignored). */
static inline long futex_wake(const _Atomic uint32_t *word, int n)
{
    return SYS_CALL(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, 0, 0, 0);
}

/* The same for a word that is shared with other processes or with the kernel. */
static inline long futex_wake_shared(const _Atomic uint32_t *word, int n)
{
    return SYS_CALL(SYS_futex, word, FUTEX_WAKE, n, 0, 0, 0);
}

/* Wakes `wake` waiters of word and moves the others to `to`. */
static inline long futex_requeue(const _Atomic uint32_t *word, int wake, int move,
                                 const _Atomic uint32_t *to)
{
    return SYS_CALL(SYS_futex, word, FUTEX_REQUEUE_PRIVATE, wake, move, to, 0);
}

/* For a word that the kernel clears when a thread ends (CLONE_CHILD_CLEARTID): that wake is a
 * shared one, and a private waiter would miss it. */
static inline int futex_wait_cleartid(const _Atomic uint32_t *word, uint32_t expected)
{
    return (int)-SYS_CALL(SYS_futex, word, FUTEX_WAIT, expected, 0, 0, 0);
}

#endif

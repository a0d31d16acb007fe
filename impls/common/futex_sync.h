/*
 * futex_sync.h - the contract's mutex, condition variable and semaphore over futexes, for
 * one-to-one implementations whose threads run with blocks of tls.h and cancel by cancel_sys.h.
 * Waits for a condition variable or a semaphore are cancellation points.
 *
 * Waits that pay off are spun, and only where the other side can answer meanwhile: when it was last
 * seen on another CPU. On one CPU nothing ever spins but TL_MUTEX_SPIN, which has to.
 */
#ifndef TL_FUTEX_SYNC_H
#define TL_FUTEX_SYNC_H

#include "impl.h"

#include <stdatomic.h>
#include <stdint.h>

/* Before the first use: measures how many rounds of spinning a futex wait is worth. */
void futex_sync_init(void);

extern const struct tl_mutex_ops futex_mutex;
extern const struct tl_cond_ops futex_cond;
extern const struct tl_sem_ops futex_sem;

/* A thread ends while its kernel thread lives on: robust mutexes that it holds have lost their
 * owner. In the child of a fork: it holds none, and the kernel has forgotten its list. */
void futex_owned_thread_end(void);
void futex_owned_forked(void);

/* How long the waiters of one object spin before they sleep, learnt from how it went. Invariants:
 * all zero is a valid start; relaxed everywhere, since a wrong value costs time only. */
struct futex_hint {
    _Atomic uint32_t cpu;    /* 1 + the CPU from which it was last signalled; 0: not yet */
    _Atomic uint32_t budget; /* in 1/256 of the longest spin; 0: not yet */
};

/* The caller is about to signal. */
void futex_hint_signal(struct futex_hint *hint);
/* Rounds that the caller should spin now: 0 where the signaller shares its CPU. */
unsigned futex_hint_rounds(const struct futex_hint *hint);
/* Afterwards, if rounds was not 0. */
void futex_hint_learn(struct futex_hint *hint, bool won);

/* Around every sleep in the kernel: those that wait for a mutex of the caller need not spin. */
void futex_sleeps(bool now);

static inline void futex_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

#endif

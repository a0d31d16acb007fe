/*
 * futex_mutex.h - what the parts of futex_sync.h know of each other: futex_mutex.c has the mutex
 * and its kinds that know no owner, futex_owned.c those that do, futex_sync.c the condition
 * variable (which moves sleepers to a mutex) and the semaphore, futex_spin.c how all of them wait.
 */
#ifndef TL_FUTEX_MUTEX_H
#define TL_FUTEX_MUTEX_H

#include "futex.h"
#include "futex_sync.h"
#include "tls.h"

enum futex_scope {
    FUTEX_PRIVATE,     /* the word is of this process */
    FUTEX_CANCELLABLE, /* likewise, and the sleep is a cancellation point */
    FUTEX_SHARED,      /* other processes or the kernel wake as well */
};

/* Sleeps while word is `expected`. 0: woken. EAGAIN: it was not. EINTR. ETIMEDOUT.
 * -CANCEL_SYS_CANCELED: to be cancelled, and not woken. deadline NULL: none. */
int futex_sleep(const _Atomic uint32_t *word, uint32_t expected, enum futex_scope scope,
                const struct futex_deadline *deadline);

static inline bool futex_clock_is_known(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

extern unsigned futex_spin_rounds; /* FUTEX_SPIN_NS in calls of futex_pause; set before use */

/* One byte for all threads whose TIDs agree in the low bits: set while one sleeps in the kernel.
 * Relaxed: it decides between spinning and sleeping, never about correctness. */
#define FUTEX_SLEEPERS 4096
extern _Atomic uint8_t futex_sleeping[FUTEX_SLEEPERS];

static inline uint32_t futex_own_tid(void)
{
    return atomic_load_explicit(tls_tid_word(tls_current()), memory_order_relaxed);
}

static inline uint32_t futex_own_slot(void)
{
    return futex_own_tid() % FUTEX_SLEEPERS;
}

/* Of struct mutex.word in a mutex that knows its owner: never 0, so that the path of an uncontended
 * lock need not ask for the kind. */
#define FUTEX_MUTEX_OWNED 3

/* Invariants of BLOCK, SPIN and ADAPTIVE: word is 0 (free), 1 (held) or 2 (held, somebody may sleep
 * on word). Whoever sleeps on word has seen it 2 or was moved there by a broadcast; then somebody
 * who will set it to 2 and wake the next is awake. Acquire when taking it from 0 pairs with release
 * when setting it to 0.
 * Of the others: word is FUTEX_MUTEX_OWNED; held is the owner's TID, or 0, with the bits of the
 * kernel's protocol for robust and PI futexes; count and state belong to the owner. */
struct mutex {
    _Atomic uint32_t word;
    uint32_t kind;
    _Atomic uint32_t owner; /* ADAPTIVE: CPU + 1 and slot of the last to take it; relaxed */
    _Atomic uint32_t held;
    uint32_t count;            /* RECURSIVE: locks but the first */
    uint32_t state;            /* ROBUST: enum of futex_owned.c */
    struct robust_list robust; /* ROBUST, while held: in the owner's list */
};

_Static_assert(sizeof(struct mutex) <= TL_MUTEX_SIZE, "struct tl_mutex is too small");

static inline bool futex_mutex_blocks(const struct mutex *m)
{
    return m->kind == TL_MUTEX_BLOCK || m->kind == TL_MUTEX_ADAPTIVE;
}

/* Takes it as one for whom others may sleep behind: a waiter of a condition variable that was
 * moved to it. */
void futex_mutex_relock(struct mutex *m);

/* In a mutex that knows its owner. deadline NULL: none. */
int futex_owned_init(struct mutex *m);
int futex_owned_lock(struct mutex *m, const struct futex_deadline *deadline);
int futex_owned_trylock(struct mutex *m);
int futex_owned_unlock(struct mutex *m);
int futex_owned_consistent(struct mutex *m);

#endif

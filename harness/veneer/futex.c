/*
 * futex.c - syscall(SYS_futex, ...) of the program, and waits for a word of this process, where
 * several threads run on one kernel thread: what waits in the kernel there stops its siblings, and
 * among them who would wake it. The waits of C++20 (std::atomic::wait, latch, barrier,
 * counting_semaphore, stop_token) are inline functions that end in this call.
 *
 * FUTEX_WAIT, FUTEX_WAKE and their bitset forms, after futex(2): who waits is in a queue of the
 * word's address, and asleep on a semaphore of the implementation. A word that processes may share
 * (without FUTEX_PRIVATE_FLAG) is looked at in between as well, and who wakes it wakes in the
 * kernel, too. The other operations are the kernel's. The locks are not async-signal-safe.
 */
#include "veneer.h"

#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 64
#define ALL FUTEX_BITSET_MATCH_ANY

/* On the stack of who waits. Invariant: in the queue until somebody has taken it out, under the
 * bucket's lock; who wakes posts before it lets go of the lock. */
struct waiter {
    const _Atomic uint32_t *word;
    uint32_t bits;
    bool queued;
    struct tl_sem sem;
    struct waiter *next;
};

static struct bucket {
    _Alignas(64) _Atomic int lock;
    struct waiter *first;
} buckets[BUCKETS];

static struct bucket *bucket_of(const void *word)
{
    return &buckets[((uintptr_t)word >> 2) * 0x9e3779b97f4a7c15u >> 58];
}
_Static_assert(BUCKETS == 1u << (64 - 58), "the upper bits of the product name one");

void veneer_futex_forget(void)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        buckets[i].first = NULL;
        atomic_store(&buckets[i].lock, 0);
    }
}

static bool by_kernel(void)
{
    return !veneer.running || veneer.blocks_alone;
}

static void unqueue(struct bucket *b, struct waiter *w)
{
    struct waiter **at = &b->first;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->queued = false;
}

/* Asleep until woken, or the clock is at `end`: 0, ETIMEDOUT. A process may change the word from
 * outside, which nobody is told here: a wake-up then, as futex(2) allows one without a cause. */
static int sleep_in(struct waiter *w, uint32_t value, bool shared, clockid_t clock, uint64_t end)
{
    const struct tl_sem_ops *ops = veneer.impl->sem;
    uint64_t next;
    int err;

    if (!shared)
        return end == UINT64_MAX ? ops->wait(&w->sem) : ops->timedwait(&w->sem, clock, end);
    do {
        next = veneer_now(clock) + VENEER_POLL_NS;
        err = ops->timedwait(&w->sem, clock, next < end ? next : end);
    } while (err == ETIMEDOUT && next < end && atomic_load(w->word) == value);
    return err == ETIMEDOUT && next < end ? 0 : err;
}

static int wait_on(const _Atomic uint32_t *word, uint32_t value, uint32_t bits, bool shared,
                   clockid_t clock, uint64_t end)
{
    struct bucket *b = bucket_of(word);
    struct waiter w = {.word = word, .bits = bits};
    int err = bits ? veneer.impl->sem->init(&w.sem, 0) : EINVAL, old;

    if (err)
        return err;
    veneer_lock(&b->lock);
    if (atomic_load(word) == value) {
        w.queued = true;
        w.next = b->first;
        b->first = &w;
    } else {
        err = EAGAIN;
    }
    veneer_unlock(&b->lock);
    if (!err) {
        old = veneer_cancel_off(); /* futex(2) is no cancellation point */
        err = sleep_in(&w, value, shared, clock, end);
        veneer_cancel_back(old);
        veneer_lock(&b->lock); /* who wakes is done with w once it has let go */
        if (w.queued)
            unqueue(b, &w);
        else
            err = 0;
        veneer_unlock(&b->lock);
    }
    veneer.impl->sem->destroy(&w.sem);
    return err;
}

/* How many it has woken: those that have waited longest, of whom one bit is in `bits`. */
static int wake(const void *word, int n, uint32_t bits)
{
    struct bucket *b = bucket_of(word);
    int woken = 0;

    veneer_lock(&b->lock);
    while (woken < n) {
        struct waiter *last = NULL;

        for (struct waiter *w = b->first; w; w = w->next)
            if (w->word == word && w->bits & bits)
                last = w;
        if (!last)
            break;
        unqueue(b, last);
        veneer.impl->sem->post(&last->sem);
        woken++;
    }
    veneer_unlock(&b->lock);
    return woken;
}

void veneer_word_wait(_Atomic uint32_t *word, uint32_t value, clockid_t clock, uint64_t end)
{
    uint64_t now = end == UINT64_MAX ? 0 : veneer_now(clock), left = end > now ? end - now : 0;
    struct timespec time = veneer_timespec(left);

    if (by_kernel())
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, end == UINT64_MAX ? NULL : &time, NULL,
                0);
    else
        wait_on(word, value, ALL, false, clock, end);
}

void veneer_word_wake(_Atomic uint32_t *word)
{
    int saved = errno;

    if (by_kernel())
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    else
        wake(word, INT_MAX, ALL);
    errno = saved;
}

/* Its arguments come as a function of a variable number of them gets them: fewer than these are
 * passed, and the kernel is given what else is in the registers. */
long WRAP(syscall)(long number, long a, long b, long c, long d, long e, long f);
long WRAP(syscall)(long number, long a, long b, long c, long d, long e, long f)
{
    const struct timespec *time = (const struct timespec *)d;
    bool shared = !(b & FUTEX_PRIVATE_FLAG), absolute;
    clockid_t clock = b & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    long operation = b & FUTEX_CMD_MASK;
    uint64_t end = UINT64_MAX;
    int woken;

    if (number != SYS_futex || by_kernel())
        return syscall(number, a, b, c, d, e, f);
    switch (operation) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        absolute = operation == FUTEX_WAIT_BITSET;
        if (time && (!veneer_time_ok(time) || time->tv_sec < 0))
            return veneer_answer(EINVAL);
        if (time)
            end = veneer_ns(time) + (absolute ? 0 : veneer_now(clock));
        return veneer_answer(wait_on((const _Atomic uint32_t *)a, (uint32_t)c,
                                     absolute ? (uint32_t)f : ALL, shared, clock, end));
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
        woken = wake((const void *)a, (int)c, operation == FUTEX_WAKE ? ALL : (uint32_t)f);
        if (!shared || woken >= (int)c)
            return woken;
        return woken + syscall(number, a, b, (long)((int)c - woken), d, e, f);
    default:
        return syscall(number, a, b, c, d, e, f);
    }
}

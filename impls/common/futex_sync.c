/*
 * futex_sync.c - see futex_sync.h.
 *
 * Mutex: U. Drepper, "Futexes Are Tricky" (2011), section 6, "mutex, take 3"; spin only while the
 * owner runs: J. Eykholt et al., "Beyond Multiprocessing: Multithreading the SunOS Kernel" (1992),
 * section on adaptive mutexes. Semaphore: count and waiters in one 64-bit word after T. Riegel's
 * for glibc 2.21 (bug 12674: a post must not touch the semaphore after it let a waiter through,
 * which may destroy it). Condition variable: a sequence number that waiters sleep on; broadcast
 * moves the sleepers to the mutex.
 */
#include "futex_sync.h"

#include "futex.h"
#include "tls.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <time.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of a word comes first");

/* The longest spin. A futex wake of another CPU takes 12 to 25 us on the machine where this was
 * found (2 vCPUs, Zen 4): spinning longer than a sleep costs never pays (Karlin et al. 1991). */
#ifndef FUTEX_SPIN_NS
#define FUTEX_SPIN_NS 20000
#endif

static unsigned spin_rounds = 1; /* FUTEX_SPIN_NS in calls of futex_pause; set before use */

void futex_sync_init(void)
{
    struct timespec from, to;
    long ns, best = LONG_MAX;

    for (int i = 0; i < 5; i++) {
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int j = 0; j < 64; j++)
            futex_pause();
        clock_gettime(CLOCK_MONOTONIC, &to);
        ns = (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
        if (ns < best)
            best = ns;
    }
    spin_rounds = (unsigned)(64L * FUTEX_SPIN_NS / (best > 64 ? best : 64)) + 1;
}

/* ---- whether to spin ------------------------------------------------------------------------- */

/* One byte for all threads whose TIDs agree in the low bits: set while one sleeps in the kernel.
 * Relaxed: it decides between spinning and sleeping, never about correctness. */
#define SLEEPERS 4096
static _Atomic uint8_t sleeping[SLEEPERS];

static uint32_t own_slot(void)
{
    return atomic_load_explicit(tls_tid_word(tls_current()), memory_order_relaxed) % SLEEPERS;
}

void futex_sleeps(bool now)
{
    atomic_store_explicit(&sleeping[own_slot()], now, memory_order_relaxed);
}

static int sleep_on(const _Atomic uint32_t *word, uint32_t expected)
{
    int err;

    futex_sleeps(true);
    err = futex_wait(word, expected);
    futex_sleeps(false);
    return err;
}

void futex_hint_signal(struct futex_hint *hint)
{
    uint32_t cpu = (uint32_t)(tls_cpu() + 1);

    if (atomic_load_explicit(&hint->cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit(&hint->cpu, cpu, memory_order_relaxed);
}

unsigned futex_hint_rounds(const struct futex_hint *hint)
{
    uint32_t cpu = atomic_load_explicit(&hint->cpu, memory_order_relaxed);
    uint32_t budget = atomic_load_explicit(&hint->budget, memory_order_relaxed);

    if (!cpu || (int)cpu == tls_cpu() + 1)
        return 0;
    return (unsigned)((uint64_t)spin_rounds * (budget ? budget : 256) / 256);
}

/* A spin that did not pay halves the next one, down to 1/16, which still finds out when that
 * changes; one that paid doubles it. */
void futex_hint_learn(struct futex_hint *hint, bool won)
{
    uint32_t budget = atomic_load_explicit(&hint->budget, memory_order_relaxed);

    if (!budget)
        budget = 256;
    if (won ? budget == 256 : budget == 16)
        return;
    atomic_store_explicit(&hint->budget, won ? budget * 2 : budget / 2, memory_order_relaxed);
}

/* ---- mutex ----------------------------------------------------------------------------------- */

/* Invariants: word is 0 (free), 1 (held) or 2 (held, somebody may sleep on word). Whoever sleeps on
 * word has seen it 2 or was moved there by a broadcast; then somebody who will set it to 2 and
 * wake the next is awake. Acquire when taking it from 0 pairs with release when setting it to 0. */
struct mutex {
    _Atomic uint32_t word;
    uint32_t kind;
    _Atomic uint32_t owner; /* ADAPTIVE: CPU + 1 and slot of the last to take it; relaxed */
};

_Static_assert(sizeof(struct mutex) <= TL_MUTEX_SIZE, "struct tl_mutex is too small");

static bool take(struct mutex *m)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(&m->word, &free, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void note_owner(struct mutex *m)
{
    atomic_store_explicit(&m->owner, (uint32_t)(tls_cpu() + 1) * SLEEPERS + own_slot(),
                          memory_order_relaxed);
}

static void block(struct mutex *m)
{
    while (atomic_exchange_explicit(&m->word, 2, memory_order_acquire))
        sleep_on(&m->word, 2);
}

/* While the owner is on another CPU and not asleep; bounded, since it may have been preempted. */
static bool spin_for_owner(struct mutex *m)
{
    uint32_t cpu = (uint32_t)(tls_cpu() + 1);

    for (unsigned i = 0; i < spin_rounds; i++) {
        uint32_t owner = atomic_load_explicit(&m->owner, memory_order_relaxed);

        if (!atomic_load_explicit(&m->word, memory_order_relaxed) && take(m))
            return true;
        if (owner / SLEEPERS == cpu || !cpu ||
            atomic_load_explicit(&sleeping[owner % SLEEPERS], memory_order_relaxed))
            return false;
        futex_pause();
    }
    return false;
}

static void spin(struct mutex *m)
{
    do {
        while (atomic_load_explicit(&m->word, memory_order_relaxed))
            futex_pause();
    } while (!take(m));
}

static __attribute__((noinline)) int lock_slow(struct mutex *m)
{
    if (m->kind == TL_MUTEX_SPIN)
        spin(m);
    else if (m->kind == TL_MUTEX_BLOCK || !spin_for_owner(m))
        block(m);
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return 0;
}

static int mutex_init(struct tl_mutex *mutex, enum tl_mutex_kind kind)
{
    if (kind > TL_MUTEX_ADAPTIVE)
        return EINVAL;
    memset(mutex, 0, sizeof(*mutex));
    ((struct mutex *)mutex)->kind = kind;
    return 0;
}

static int mutex_lock(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (!take(m))
        return lock_slow(m);
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return 0;
}

static int mutex_trylock(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (atomic_load_explicit(&m->word, memory_order_relaxed) || !take(m))
        return EBUSY;
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return 0;
}

/* After the exchange m may be gone; a wake of an address where nobody sleeps does nothing, and one
 * of another object's waiter is a spurious one. */
static int mutex_unlock(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (m->kind == TL_MUTEX_SPIN)
        atomic_store_explicit(&m->word, 0, memory_order_release);
    else if (atomic_exchange_explicit(&m->word, 0, memory_order_release) == 2)
        futex_wake(&m->word, 1);
    return 0;
}

static int mutex_destroy(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    return atomic_load_explicit(&m->word, memory_order_relaxed) ? EBUSY : 0;
}

/* ---- condition variable ---------------------------------------------------------------------- */

/* Invariants: every signal and broadcast changes sequence; a waiter that still reads the value it
 * read with the mutex held was not signalled (but for a wrap after 2^32 signals during one wait).
 * sleepers counts who sleeps or is about to; inside counts who may still touch this object. The
 * pair sequence, sleepers is a Dekker one, both sides seq_cst: a signaller changes sequence and
 * reads sleepers, a waiter raises sleepers and (the kernel) reads sequence. */
struct cond {
    _Atomic uint32_t sequence, sleepers, inside;
    struct futex_hint hint;
    _Atomic uint32_t moved;      /* a broadcast once moved sleepers to the mutex; never reset */
    struct mutex *_Atomic mutex; /* of the last waiter; may be gone: used as an address only */
};

_Static_assert(sizeof(struct cond) <= TL_COND_SIZE, "struct tl_cond is too small");

static int cond_init(struct tl_cond *cond)
{
    memset(cond, 0, sizeof(*cond));
    return 0;
}

/* True: the sequence changed while spinning. */
static bool cond_spin(struct cond *c, uint32_t sequence)
{
    unsigned rounds = futex_hint_rounds(&c->hint);
    bool won = false;

    if (!rounds)
        return false;
    for (unsigned i = 0; i < rounds && !won; i++) {
        futex_pause();
        won = atomic_load_explicit(&c->sequence, memory_order_relaxed) != sequence;
    }
    futex_hint_learn(&c->hint, won);
    return won;
}

static int cond_wait(struct tl_cond *cond, struct tl_mutex *mutex)
{
    struct cond *c = (struct cond *)cond;
    struct mutex *m = (struct mutex *)mutex;
    uint32_t sequence, moved;

    if (m->kind == TL_MUTEX_SPIN)
        return EINVAL;
    atomic_fetch_add_explicit(&c->inside, 1, memory_order_relaxed);
    atomic_store_explicit(&c->mutex, m, memory_order_relaxed);
    sequence = atomic_load_explicit(&c->sequence, memory_order_relaxed);
    mutex_unlock(mutex);
    if (!cond_spin(c, sequence)) {
        atomic_fetch_add_explicit(&c->sleepers, 1, memory_order_seq_cst);
        sleep_on(&c->sequence, sequence);
        atomic_fetch_sub_explicit(&c->sleepers, 1, memory_order_relaxed);
    }
    moved = atomic_load_explicit(&c->moved, memory_order_relaxed);
    /* Release: the last touch, before cond_destroy's acquire. */
    atomic_fetch_sub_explicit(&c->inside, 1, memory_order_release);
    if (!moved)
        return mutex_lock(mutex);
    block(m); /* others that were moved may sleep on m: the unlock has to wake the next */
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return 0;
}

static int cond_signal(struct tl_cond *cond)
{
    struct cond *c = (struct cond *)cond;

    futex_hint_signal(&c->hint);
    atomic_fetch_add_explicit(&c->sequence, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&c->sleepers, memory_order_seq_cst))
        futex_wake(&c->sequence, 1);
    return 0;
}

/* A mutex that is gone meanwhile, because another signal has let all waiters go, has no sleepers
 * left here to be moved to it. */
static int cond_broadcast(struct tl_cond *cond)
{
    struct cond *c = (struct cond *)cond;

    futex_hint_signal(&c->hint);
    atomic_fetch_add_explicit(&c->sequence, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&c->sleepers, memory_order_seq_cst) > 1) {
        /* Seen by whoever the requeue wakes or moves: the kernel's lock of the queue orders it. */
        atomic_store_explicit(&c->moved, 1, memory_order_relaxed);
        futex_requeue(&c->sequence, 1, INT_MAX,
                      &atomic_load_explicit(&c->mutex, memory_order_relaxed)->word);
    } else {
        futex_wake(&c->sequence, INT_MAX);
    }
    return 0;
}

/* Allowed as soon as all waiters have been woken (POSIX): waits for those that have yet to leave.
 */
static int cond_destroy(struct tl_cond *cond)
{
    struct cond *c = (struct cond *)cond;

    while (atomic_load_explicit(&c->inside, memory_order_acquire))
        sched_yield();
    return 0;
}

/* ---- semaphore ------------------------------------------------------------------------------- */

/* Invariants: state is waiters << 32 | count; both change together, so that a post knows without
 * another look whether somebody sleeps. Acquire when taking pairs with release when posting. */
struct sem {
    _Atomic uint64_t state;
    struct futex_hint hint;
};

#define SEM_WAITER ((uint64_t)1 << 32)

_Static_assert(sizeof(struct sem) <= TL_SEM_SIZE, "struct tl_sem is too small");

static int sem_init(struct tl_sem *sem, unsigned count)
{
    if (count > INT_MAX)
        return EINVAL;
    memset(sem, 0, sizeof(*sem));
    atomic_init(&((struct sem *)sem)->state, count);
    return 0;
}

/* Takes one, and `waiter` (0 or SEM_WAITER) off as well. */
static bool sem_take(struct sem *s, uint64_t waiter)
{
    uint64_t state = atomic_load_explicit(&s->state, memory_order_relaxed);

    while ((uint32_t)state)
        if (atomic_compare_exchange_weak_explicit(&s->state, &state, state - 1 - waiter,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static bool sem_spin(struct sem *s)
{
    unsigned rounds = futex_hint_rounds(&s->hint);
    bool won = false;

    if (!rounds)
        return false;
    for (unsigned i = 0; i < rounds && !won; i++) {
        futex_pause();
        won = sem_take(s, 0);
    }
    futex_hint_learn(&s->hint, won);
    return won;
}

static int sem_wait(struct tl_sem *sem)
{
    struct sem *s = (struct sem *)sem;

    if (sem_take(s, 0) || sem_spin(s))
        return 0;
    atomic_fetch_add_explicit(&s->state, SEM_WAITER, memory_order_relaxed);
    while (!sem_take(s, SEM_WAITER))
        sleep_on((_Atomic uint32_t *)&s->state, 0); /* the low half: the count */
    return 0;
}

static int sem_trywait(struct tl_sem *sem)
{
    return sem_take((struct sem *)sem, 0) ? 0 : EAGAIN;
}

static int sem_post(struct tl_sem *sem)
{
    struct sem *s = (struct sem *)sem;
    uint64_t state = atomic_load_explicit(&s->state, memory_order_relaxed);

    futex_hint_signal(&s->hint);
    do {
        if ((uint32_t)state == INT_MAX)
            return EOVERFLOW;
    } while (!atomic_compare_exchange_weak_explicit(&s->state, &state, state + 1,
                                                    memory_order_release, memory_order_relaxed));
    if (state >= SEM_WAITER)
        futex_wake((_Atomic uint32_t *)&s->state, 1);
    return 0;
}

static int sem_destroy(struct tl_sem *sem)
{
    (void)sem;
    return 0;
}

const struct tl_mutex_ops futex_mutex = {
    .init = mutex_init,
    .lock = mutex_lock,
    .trylock = mutex_trylock,
    .unlock = mutex_unlock,
    .destroy = mutex_destroy,
};

const struct tl_cond_ops futex_cond = {
    .init = cond_init,
    .wait = cond_wait,
    .signal = cond_signal,
    .broadcast = cond_broadcast,
    .destroy = cond_destroy,
};

const struct tl_sem_ops futex_sem = {
    .init = sem_init,
    .wait = sem_wait,
    .trywait = sem_trywait,
    .post = sem_post,
    .destroy = sem_destroy,
};

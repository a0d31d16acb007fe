/*
 * futex_sync.c - condition variable and semaphore: see futex_sync.h.
 *
 * Semaphore: count and waiters in one 64-bit word after T. Riegel's for glibc 2.21 (bug 12674: a
 * post must not touch the semaphore after it let a waiter through, which may destroy it). Condition
 * variable: a sequence number that waiters sleep on; broadcast moves the sleepers to the mutex.
 */
#include "cancel_sys.h"
#include "futex_mutex.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of a word comes first");

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
    _Atomic uint32_t moves;      /* how many of them did */
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

/* 0, ETIMEDOUT, or -CANCEL_SYS_CANCELED: then nobody has woken it, so that no signal is lost: the
 * kernel takes a sleeper off its queue either for a wake or for the deadline, and a signal that
 * found none there came after the deadline or was seen by another as a change of sequence. Only who
 * has been moved to the mutex by a broadcast may still reach its deadline, on that queue. */
static int cond_sleep(struct cond *c, uint32_t sequence, const struct futex_deadline *deadline)
{
    /* Acquire, with the release in broadcast: who has seen it finds the sequence changed, too. */
    uint32_t moves = atomic_load_explicit(&c->moves, memory_order_acquire);
    int err;

    if (cond_spin(c, sequence))
        return 0;
    atomic_fetch_add_explicit(&c->sleepers, 1, memory_order_seq_cst);
    err = futex_sleep(&c->sequence, sequence, FUTEX_CANCELLABLE, deadline);
    atomic_fetch_sub_explicit(&c->sleepers, 1, memory_order_relaxed);
    if (err == ETIMEDOUT)
        return atomic_load_explicit(&c->moves, memory_order_relaxed) == moves ? err : 0;
    return err == -CANCEL_SYS_CANCELED ? err : 0;
}

static int cond_wait_until(struct tl_cond *cond, struct tl_mutex *mutex,
                           const struct futex_deadline *deadline)
{
    struct cond *c = (struct cond *)cond;
    struct mutex *m = (struct mutex *)mutex;
    uint32_t sequence, moved;
    int err;

    if (!futex_mutex_blocks(m))
        return EINVAL;
    cancel_sys_test();
    atomic_fetch_add_explicit(&c->inside, 1, memory_order_relaxed);
    atomic_store_explicit(&c->mutex, m, memory_order_relaxed);
    sequence = atomic_load_explicit(&c->sequence, memory_order_relaxed);
    futex_mutex.unlock(mutex);
    err = cond_sleep(c, sequence, deadline);
    moved = atomic_load_explicit(&c->moved, memory_order_relaxed);
    /* Release: the last touch, before cond_destroy's acquire. */
    atomic_fetch_sub_explicit(&c->inside, 1, memory_order_release);
    if (moved) /* others that were moved may sleep on m: the unlock has to wake the next */
        futex_mutex_relock(m);
    else
        futex_mutex.lock(mutex);
    if (err == -CANCEL_SYS_CANCELED) {
        personal_test();
        err = 0; /* only where a handler has disabled cancellation meanwhile */
    }
    return err;
}

static int cond_wait(struct tl_cond *cond, struct tl_mutex *mutex)
{
    return cond_wait_until(cond, mutex, NULL);
}

static int cond_timedwait(struct tl_cond *cond, struct tl_mutex *mutex, clockid_t clock,
                          uint64_t deadline_ns)
{
    if (!futex_clock_is_known(clock))
        return EINVAL;
    return cond_wait_until(cond, mutex, &(struct futex_deadline){clock, deadline_ns});
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
        atomic_fetch_add_explicit(&c->moves, 1, memory_order_release);
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

    while (atomic_load_explicit(&c->inside, memory_order_acquire)) {
        /* Those that a broadcast moved sleep on the mutex, which the caller may hold: they have to
         * leave this object before that is free. */
        if (atomic_load_explicit(&c->moved, memory_order_relaxed))
            futex_wake(&atomic_load_explicit(&c->mutex, memory_order_relaxed)->word, INT_MAX);
        sched_yield();
    }
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

/* Who gives up takes its waiter off; a post that counted on it left its one in the count, and wakes
 * whoever else sleeps. */
static int sem_wait_until(struct sem *s, const struct futex_deadline *deadline)
{
    int err;

    cancel_sys_test();
    if (sem_take(s, 0) || sem_spin(s))
        return 0;
    atomic_fetch_add_explicit(&s->state, SEM_WAITER, memory_order_relaxed);
    while (!sem_take(s, SEM_WAITER)) {
        /* the low half: the count */
        err = futex_sleep((_Atomic uint32_t *)&s->state, 0, FUTEX_CANCELLABLE, deadline);
        if (err != ETIMEDOUT && err != -CANCEL_SYS_CANCELED)
            continue;
        if (err == ETIMEDOUT && sem_take(s, SEM_WAITER))
            return 0;
        atomic_fetch_sub_explicit(&s->state, SEM_WAITER, memory_order_relaxed);
        if (err == ETIMEDOUT)
            return err;
        personal_test();
        atomic_fetch_add_explicit(&s->state, SEM_WAITER, memory_order_relaxed); /* as in cond */
    }
    return 0;
}

static int sem_wait(struct tl_sem *sem)
{
    return sem_wait_until((struct sem *)sem, NULL);
}

static int sem_timedwait(struct tl_sem *sem, clockid_t clock, uint64_t deadline_ns)
{
    if (!futex_clock_is_known(clock))
        return EINVAL;
    return sem_wait_until((struct sem *)sem, &(struct futex_deadline){clock, deadline_ns});
}

static int sem_getvalue(struct tl_sem *sem, int *value)
{
    *value = (int)(uint32_t)atomic_load_explicit(&((struct sem *)sem)->state, memory_order_relaxed);
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

const struct tl_cond_ops futex_cond = {
    .init = cond_init,
    .wait = cond_wait,
    .signal = cond_signal,
    .broadcast = cond_broadcast,
    .destroy = cond_destroy,
    .timedwait = cond_timedwait,
};

const struct tl_sem_ops futex_sem = {
    .init = sem_init,
    .wait = sem_wait,
    .trywait = sem_trywait,
    .post = sem_post,
    .destroy = sem_destroy,
    .timedwait = sem_timedwait,
    .getvalue = sem_getvalue,
    .post_in_handler = true,
};

/*
 * futex_owned.c - mutexes that know their owner, by its TID: ERRORCHECK, RECURSIVE,
 * SHARED_RECURSIVE, ROBUST and PI.
 *
 * held follows the kernel's protocol for the word of a robust or PI futex: the owner's TID,
 * FUTEX_WAITERS (somebody sleeps: wake one), FUTEX_OWNER_DIED. Robust: I. Molnar and T. Gleixner,
 * Documentation/locking/robust-futexes.rst (Linux, 2006): each thread has a list of those it holds,
 * and the kernel walks it when the thread ends. PI: the same, pi-futex.rst; the kernel hands over.
 */
#include "futex_mutex.h"

#include <errno.h>
#include <stddef.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13 /* Linux 5.14 */
#endif

/* Of struct mutex.state. */
enum {
    CONSISTENT,
    INCONSISTENT, /* held by one that got EOWNERDEAD */
    LOST,         /* and was unlocked so: ENOTRECOVERABLE for ever */
};

/* What the thread holds, for the kernel; list.next NULL: not told yet. Most threads never do. */
static _Thread_local struct robust_list_head robust;

static enum futex_scope scope_of(const struct mutex *m)
{
    /* The wake of a robust futex by the kernel is a shared one. */
    return m->kind == TL_MUTEX_ROBUST || m->kind == TL_MUTEX_SHARED_RECURSIVE ? FUTEX_SHARED
                                                                              : FUTEX_PRIVATE;
}

static void wake(const _Atomic uint32_t *held, enum futex_scope scope)
{
    if (scope == FUTEX_SHARED)
        futex_wake_shared(held, 1);
    else
        futex_wake(held, 1);
}

/* ---- the list of a thread -------------------------------------------------------------------- */

static void order(void)
{
    atomic_signal_fence(memory_order_seq_cst); /* for the kernel, which looks when we are dead */
}

static int announce(struct mutex *m)
{
    if (!robust.list.next) {
        robust.list.next = &robust.list;
        robust.futex_offset =
            (long)offsetof(struct mutex, held) - (long)offsetof(struct mutex, robust);
        if (SYS_CALL(SYS_set_robust_list, &robust, sizeof(robust), 0, 0, 0, 0)) {
            robust.list.next = NULL;
            return ENOTSUP;
        }
    }
    robust.list_op_pending = &m->robust;
    order();
    return 0;
}

static void settle(void)
{
    order();
    robust.list_op_pending = NULL;
}

static void enlist(struct mutex *m)
{
    m->robust.next = robust.list.next;
    order();
    robust.list.next = &m->robust;
}

static void delist(struct mutex *m)
{
    for (struct robust_list *r = &robust.list; r->next != &robust.list; r = r->next)
        if (r->next == &m->robust) {
            r->next = m->robust.next;
            return;
        }
}

/* As the kernel does it. */
void futex_owned_thread_end(void)
{
    struct robust_list *r, *next;

    if (!robust.list.next)
        return;
    for (r = robust.list.next; r != &robust.list; r = next) {
        struct mutex *m = (struct mutex *)((char *)r - offsetof(struct mutex, robust));
        uint32_t held = atomic_load_explicit(&m->held, memory_order_relaxed);

        next = r->next; /* before somebody else takes it */
        while (!atomic_compare_exchange_weak_explicit(&m->held, &held,
                                                      (held & FUTEX_WAITERS) | FUTEX_OWNER_DIED,
                                                      memory_order_release, memory_order_relaxed))
            ;
        if (held & FUTEX_WAITERS)
            wake(&m->held, FUTEX_SHARED);
    }
    robust.list.next = &robust.list;
}

void futex_owned_forked(void)
{
    robust.list.next = NULL;
}

/* ---- lock ------------------------------------------------------------------------------------ */

int futex_owned_init(struct mutex *m)
{
    atomic_init(&m->word, FUTEX_MUTEX_OWNED);
    /* EPERM where the kernel knows it: not the owner. */
    if (m->kind == TL_MUTEX_PI &&
        SYS_CALL(SYS_futex, &m->held, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0) == -ENOSYS)
        return ENOTSUP;
    return 0;
}

static int pi_lock(struct mutex *m, const struct futex_deadline *deadline)
{
    struct timespec at, *until = NULL;
    uint32_t none = 0;
    int op = FUTEX_LOCK_PI_PRIVATE; /* its clock is CLOCK_REALTIME */
    long answer;

    if (atomic_compare_exchange_strong_explicit(&m->held, &none, futex_own_tid(),
                                                memory_order_acquire, memory_order_relaxed))
        return 0;
    if (deadline) {
        at = (struct timespec){(time_t)(deadline->ns / 1000000000u),
                               (long)(deadline->ns % 1000000000u)};
        until = &at;
        if (deadline->clock == CLOCK_MONOTONIC)
            op = FUTEX_LOCK_PI2 | FUTEX_PRIVATE_FLAG;
    }
    futex_sleeps(true);
    do {
        answer = SYS_CALL(SYS_futex, &m->held, op, 0, until, 0, 0);
    } while (answer == -EINTR || answer == -EAGAIN);
    futex_sleeps(false);
    return answer == -ENOSYS ? ENOTSUP : (int)-answer;
}

/* Held by the caller: what a lock or trylock of it answers. */
static int again(struct mutex *m, int otherwise)
{
    if (m->kind != TL_MUTEX_RECURSIVE && m->kind != TL_MUTEX_SHARED_RECURSIVE)
        return otherwise;
    if (m->count == UINT32_MAX)
        return EAGAIN;
    m->count++;
    return 0;
}

/* 0: taken; *died: its owner had ended. */
static int take(struct mutex *m, bool try, const struct futex_deadline *deadline, bool *died)
{
    uint32_t tid = futex_own_tid(), waiters = 0;
    uint32_t held = atomic_load_explicit(&m->held, memory_order_relaxed);

    for (;;) {
        if (!(held & FUTEX_TID_MASK)) {
            /* One that slept was woken alone: others may still sleep. */
            if (atomic_compare_exchange_weak_explicit(&m->held, &held,
                                                      tid | (held & FUTEX_WAITERS) | waiters,
                                                      memory_order_acquire, memory_order_relaxed))
                break;
            continue;
        }
        if (try)
            return EBUSY;
        if (!(held & FUTEX_WAITERS) &&
            !atomic_compare_exchange_weak_explicit(&m->held, &held, held | FUTEX_WAITERS,
                                                   memory_order_relaxed, memory_order_relaxed))
            continue;
        if (futex_sleep(&m->held, held | FUTEX_WAITERS, scope_of(m), deadline) == ETIMEDOUT)
            return ETIMEDOUT;
        waiters = FUTEX_WAITERS;
        held = atomic_load_explicit(&m->held, memory_order_relaxed);
    }
    *died = held & FUTEX_OWNER_DIED;
    return 0;
}

static int robust_take(struct mutex *m, bool try, const struct futex_deadline *deadline)
{
    bool died = false;
    int err = announce(m);

    if (err)
        return err;
    err = take(m, try, deadline, &died);
    if (!err)
        enlist(m);
    settle();
    if (err)
        return err;
    if (m->state == LOST) {
        futex_owned_unlock(m);
        return ENOTRECOVERABLE;
    }
    if (!died)
        return 0;
    m->state = INCONSISTENT;
    return EOWNERDEAD;
}

static int lock(struct mutex *m, bool try, const struct futex_deadline *deadline)
{
    uint32_t held = atomic_load_explicit(&m->held, memory_order_relaxed);
    bool died;

    if ((held & FUTEX_TID_MASK) == futex_own_tid())
        return again(m, try ? EBUSY : EDEADLK);
    return m->kind == TL_MUTEX_ROBUST ? robust_take(m, try, deadline)
                                      : take(m, try, deadline, &died);
}

int futex_owned_lock(struct mutex *m, const struct futex_deadline *deadline)
{
    return m->kind == TL_MUTEX_PI ? pi_lock(m, deadline) : lock(m, false, deadline);
}

int futex_owned_trylock(struct mutex *m)
{
    uint32_t none = 0;

    if (m->kind != TL_MUTEX_PI)
        return lock(m, true, NULL);
    return atomic_compare_exchange_strong_explicit(&m->held, &none, futex_own_tid(),
                                                   memory_order_acquire, memory_order_relaxed)
               ? 0
               : EBUSY;
}

/* ---- unlock ---------------------------------------------------------------------------------- */

static int pi_unlock(struct mutex *m)
{
    uint32_t held = futex_own_tid();

    if (atomic_compare_exchange_strong_explicit(&m->held, &held, 0, memory_order_release,
                                                memory_order_relaxed))
        return 0;
    return (int)-SYS_CALL(SYS_futex, &m->held, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0); /* EPERM */
}

/* After the exchange m may be gone, as in mutex_unlock. */
int futex_owned_unlock(struct mutex *m)
{
    enum futex_scope scope = scope_of(m);
    bool is_robust = m->kind == TL_MUTEX_ROBUST;
    uint32_t held = atomic_load_explicit(&m->held, memory_order_relaxed);

    if (m->kind == TL_MUTEX_PI)
        return pi_unlock(m);
    if ((held & FUTEX_TID_MASK) != futex_own_tid())
        return EPERM;
    if (m->count) {
        m->count--;
        return 0;
    }
    if (is_robust) {
        if (m->state == INCONSISTENT)
            m->state = LOST;
        announce(m);
        delist(m);
    }
    if (atomic_exchange_explicit(&m->held, 0, memory_order_release) & FUTEX_WAITERS)
        wake(&m->held, scope);
    if (is_robust)
        settle();
    return 0;
}

int futex_owned_consistent(struct mutex *m)
{
    if (m->kind != TL_MUTEX_ROBUST || m->state != INCONSISTENT ||
        (atomic_load_explicit(&m->held, memory_order_relaxed) & FUTEX_TID_MASK) != futex_own_tid())
        return EINVAL;
    m->state = CONSISTENT;
    return 0;
}

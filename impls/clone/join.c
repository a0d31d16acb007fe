/*
 * join.c - waiting for the end of a thread, and other uses of an id by other threads.
 */
#include "thread.h"

#include "../common/futex.h"

#include <errno.h>
#include <stddef.h>

void thread_wait_gone(struct thread *t)
{
    uint32_t tid;

    futex_sleeps(true);
    while ((tid = atomic_load_explicit(t->tid, memory_order_acquire)))
        futex_wait_cleartid(t->tid, tid);
    futex_sleeps(false);
}

/* Once round a loop that looks at the word. True: the caller is to be cancelled. */
static bool sleep_on(const _Atomic uint32_t *word, int op, uint32_t expected)
{
    long answer;

    futex_sleeps(true);
    answer = CANCEL_SYS_CALL(SYS_futex, word, op, expected, NULL, 0, 0);
    futex_sleeps(false);
    return answer == CANCEL_SYS_CANCELED;
}

/* False: the caller is to be cancelled. */
static bool wait_gone(struct thread *t)
{
    uint32_t tid;

    while ((tid = atomic_load_explicit(t->tid, memory_order_acquire)))
        if (sleep_on(t->tid, FUTEX_WAIT, tid)) /* shared: see futex_wait_cleartid */
            return false;
    return true;
}

static bool wait_done(struct thread *t)
{
    unsigned rounds;
    uint32_t done = atomic_load_explicit(&t->done, memory_order_acquire);

    if (done == CLONE_DONE)
        return true;
    rounds = futex_hint_rounds(&t->done_hint);
    if (rounds) {
        for (unsigned i = 0; i < rounds && done != CLONE_DONE; i++) {
            futex_pause();
            done = atomic_load_explicit(&t->done, memory_order_acquire);
        }
        futex_hint_learn(&t->done_hint, done == CLONE_DONE);
    }
    done = CLONE_RUNS;
    if (!atomic_compare_exchange_strong_explicit(&t->done, &done, CLONE_AWAITED,
                                                 memory_order_acq_rel, memory_order_acquire) &&
        done == CLONE_DONE)
        return true;
    while (atomic_load_explicit(&t->done, memory_order_acquire) != CLONE_DONE)
        if (sleep_on(&t->done, FUTEX_WAIT_PRIVATE, CLONE_AWAITED))
            return false;
    return true;
}

/* LIVE or ENDED becomes `next`; *ended: which of the two it was. */
static int claim(struct tl_thread id, enum clone_life next, struct thread **found, bool *ended)
{
    struct thread *t = pool_find(id), *self = thread_self();
    uint64_t life;

    if (!t)
        return ESRCH;
    life = atomic_load_explicit(&t->life, memory_order_acquire);
    do {
        if (life >> 32 != id.id >> 32)
            return ESRCH;
        if ((uint32_t)life != CLONE_LIFE_LIVE && (uint32_t)life != CLONE_LIFE_ENDED)
            return (uint32_t)life == CLONE_LIFE_FREE ? ESRCH : t == self ? EDEADLK : EINVAL;
        if (t == self && next == CLONE_LIFE_JOINED)
            return EDEADLK;
    } while (!atomic_compare_exchange_weak_explicit(&t->life, &life, (life >> 32 << 32) | next,
                                                    memory_order_acq_rel, memory_order_acquire));
    *found = t;
    *ended = (uint32_t)life == CLONE_LIFE_ENDED;
    return 0;
}

static void give_back(struct thread *t)
{
    if (t->parking && t->parks)
        pool_give_parked(t);
    else
        pool_give(t);
}

/* A joiner that is cancelled leaves the thread as it was: to be joined or detached. */
static void unclaim(struct thread *t)
{
    uint64_t life = atomic_load_explicit(&t->life, memory_order_relaxed);
    uint64_t before;

    do {
        before = (uint32_t)life == CLONE_LIFE_JOINED ? CLONE_LIFE_LIVE : CLONE_LIFE_ENDED;
    } while (!atomic_compare_exchange_weak_explicit(&t->life, &life, (life >> 32 << 32) | before,
                                                    memory_order_acq_rel, memory_order_relaxed));
}

int thread_join(struct tl_thread id, void **value)
{
    struct thread *t;
    bool ended;
    int err;

    cancel_sys_test();
    err = claim(id, CLONE_LIFE_JOINED, &t, &ended);
    if (err)
        return err;
    while (!(t->parking ? wait_done(t) : wait_gone(t))) {
        unclaim(t);
        personal_test();
        /* Only where a handler has disabled cancellation meanwhile. */
        err = claim(id, CLONE_LIFE_JOINED, &t, &ended);
        if (err)
            return err;
    }
    if (value)
        *value = t->value;
    give_back(t);
    return 0;
}

int thread_detach(struct tl_thread id)
{
    struct thread *t;
    bool ended;
    int err = claim(id, CLONE_LIFE_DETACHED, &t, &ended);

    if (err)
        return err == EDEADLK ? EINVAL : err;
    if (ended)
        give_back(t);
    return 0;
}

/* The pair senders, ending is explained in thread.h. ending is read before the id: a thread that
 * was created since then has cleared ending after it changed the id. */
int thread_hold(struct tl_thread id, struct thread **held, int *tid)
{
    struct thread *t = pool_find(id);
    uint32_t now;

    if (!t)
        return ESRCH;
    if (t != thread_self()) { /* whose handlers may do anything */
        atomic_fetch_add_explicit(&t->senders, 1, memory_order_seq_cst);
        if (atomic_load_explicit(&t->ending, memory_order_seq_cst) || pool_find(id) != t) {
            thread_release(t);
            return ESRCH;
        }
    }
    /* The creator is within clone(2) still. */
    while ((now = atomic_load_explicit(t->tid, memory_order_relaxed)) == CLONE_UNBORN)
        SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    *held = t;
    *tid = (int)now;
    return 0;
}

void thread_release(struct thread *t)
{
    if (t != thread_self())
        atomic_fetch_sub_explicit(&t->senders, 1, memory_order_seq_cst);
}

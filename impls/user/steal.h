/*
 * steal.h - ready threads of several LWPs: where they are, picking and stealing; with push.h, how
 * they come there. Included by sched.h, of M:N only.
 *
 * Policy STEAL. Each LWP has
 *
 *     slot    the thread that was made ready last: it shares what is in the cache with the one
 *             that runs, and goes next (as in Go and Tokio). Who is displaced from it goes to fifo
 *     deque   threads that lent their turn to one that they created: youngest first here, oldest
 *             first for a thief, so that a tree of threads is walked depth first by its owner, and
 *             its largest parts are stolen (Mohr, Kranz, Halstead 1990, "Lazy Task Creation")
 *     fifo    those that yielded
 *     pinned  those whose home it is
 *
 * They are looked at in this order, the last two in turn. One pick in USER_FAIR_EVERY is for who
 * waits for longest: there `inbox`, the three lists, and what other LWPs do not get to are the
 * first in turn, so that none starves; a deque, and other LWPs, no more often than once in
 * USER_FAIR_NS. `inbox` is for who is made ready by a kernel thread that runs no unbound threads.
 *
 * A thread with a place has for its home the LWP whose number is that place, and waits in the
 * queue `pinned` of that one. It is the queue of the place, rather: each LWP serves one home (its
 * own, at first), is pinned where that is, and takes its threads, in turn with those of its fifo.
 * The home's kernel thread may have ended, or serve another one. place.h sees to it that somebody
 * serves a home that has ready threads.
 *
 * The other policies have one queue for all LWPs, but for threads with a home: a yield takes from
 * both in turn.
 *
 * A thread is pushed before it has left its stack; see switch_await.
 */
#ifndef TL_USER_STEAL_H
#define TL_USER_STEAL_H

#include "deque.h"

#define USER_FAIR_EVERY 64 /* a power of two; Go: 61. One ordered pick costs about a cache miss */
#define USER_FAIR_NS UINT64_C(1000000) /* between two of them from a deque, or from another LWP */

static inline void light(void);        /* lwp.h: the waker's fence */
static void notify(void);              /* lwp.h: there is work for a sleeping LWP */
static void notify_slot(void);         /* likewise, if nobody looks after slots */
static void notify_own(void);          /* likewise, in a queue of the caller's LWP */
static void lwp_wake(struct lwp *lwp); /* lwp.h: this one, if it sleeps */
static struct uthread *steal(struct lwp *thief, bool look);
static bool lwp_runs(const struct lwp *lwp);            /* lwp.h: threads, and is not outside */
static bool lwp_sleeps(const struct lwp *lwp);          /* lwp.h: may be claimed for work */
static bool lwp_claim_sleeper(struct lwp *lwp);         /* lwp.h */
static void place_attend(struct lwp *home, bool force); /* place.h: somebody is to serve it */
static inline void look_around(struct lwp *lwp);        /* sched.h */
static void world_yield(struct lwp *lwp, struct uthread *self, bool interrupted); /* world.h */

static inline bool steals(void)
{
    return USER_LIKELY(lib.policy == USER_STEAL);
}

#include "push.h"

/* ---- picking --------------------------------------------------------------------------------- */

static inline struct uthread *slot_take(struct lwp *lwp)
{
    struct uthread *t = USER_LOAD(lwp->slot);

    if (!t)
        return NULL;
    if (USER_LIKELY(!lib.multi)) {
        lwp->slot = NULL;
        return t;
    }
    return __atomic_exchange_n(&lwp->slot, NULL, __ATOMIC_ACQ_REL);
}

/* The head of fifo or pinned, of this LWP or another. */
static inline struct uthread *list_take(struct lwp *lwp, struct queue *list)
{
    struct uthread *t;

    if (!USER_LOAD(list->head))
        return NULL;
    lock_take(&lwp->lock);
    t = queue_pop(list);
    lock_release(&lwp->lock);
    return t;
}

/* The first that `home` has for lwp, which serves it. */
static __attribute__((noinline)) struct uthread *pinned_take_here(struct lwp *lwp, struct lwp *home)
{
    struct uthread *t;

    lock_take(&home->lock);
    t = home->pinned.head;
    while (t && home != lwp && USER_LOAD(t->context.flags) & USER_STRICT)
        t = t->next;
    if (t)
        queue_remove(&home->pinned, t);
    lock_release(&home->lock);
    return t;
}

/* What lwp serves. */
static inline struct lwp *served_by(const struct lwp *lwp)
{
    return USER_LOAD(((struct lwp *)lwp)->serves);
}

static inline bool pinned_any(const struct lwp *lwp)
{
    return USER_LOAD(served_by(lwp)->pinned.head) != NULL;
}

static inline struct uthread *pinned_take(struct lwp *lwp)
{
    return pinned_any(lwp) ? pinned_take_here(lwp, served_by(lwp)) : NULL;
}

/* Of the queue that all LWPs have, which is not empty. queue_lock is held, here and below. */
static struct uthread *shared_pop(void)
{
    return lib.policy == USER_PRIORITY ? level_pop(&lib.queue) : queue_pop(&lib.queue.ready);
}

/* To its end: who yields, by every policy. */
static void shared_behind(struct uthread *t)
{
    if (lib.policy == USER_PRIORITY)
        level_push(&lib.queue, t, false);
    else
        queue_push(&lib.queue.ready, t);
}

static struct uthread *shared_take(void)
{
    struct uthread *t = NULL;

    if (USER_LIKELY(!USER_LOAD(lib.inbox.head) && !queue_any(&lib.queue)))
        return NULL;
    lock_take(&lib.queue_lock);
    t = queue_pop(&lib.inbox);
    if (!t && queue_any(&lib.queue))
        t = shared_pop();
    lock_release(&lib.queue_lock);
    return t;
}

#include "fair.h"

/* NULL: this LWP has no ready thread. */
static inline struct uthread *pick_own(struct lwp *lwp)
{
    struct uthread *t;

    USER_STORE(lwp->picks, lwp->picks + 1);
    /* In turn with all others, so that neither starves. */
    if (USER_UNLIKELY(lwp->preempt.here.head != NULL) && lwp->picks & 1)
        return queue_pop(&lwp->preempt.here);
    if (USER_UNLIKELY(lwp->picks % USER_FAIR_EVERY == 0)) {
        t = pick_fairly(lwp);
        if (t)
            return t;
    }
    t = slot_take(lwp);
    if (t)
        return t;
    t = deque_take(&lwp->deque, !lib.multi);
    if (t)
        return t;
    /* In turn: whoever yields and yields comes back to the head of its own list. */
    t = lwp->picks & 1 ? pinned_take(lwp) : list_take(lwp, &lwp->fifo);
    if (t)
        return t;
    t = lwp->picks & 1 ? list_take(lwp, &lwp->fifo) : pinned_take(lwp);
    if (t)
        return t;
    t = shared_take();
    return t ? t : queue_pop(&lwp->preempt.here);
}

/* On the only LWP: whether it would take the thread in its slot. */
static inline bool is_next(const struct lwp *lwp)
{
    return !(USER_LOAD(lib.slow.any) | (uintptr_t)lib.multi | (uintptr_t)lwp->preempt.here.head) &&
           (lwp->picks + 1) % USER_FAIR_EVERY;
}

/* ---- stealing -------------------------------------------------------------------------------- */

/* A slot is left to its LWP as long as that one gets to it: it is taken if it held the same thread
 * when somebody last looked, and nothing was picked there since, or if that LWP is outside. */
static struct uthread *slot_steal(struct lwp *victim, bool look)
{
    struct uthread *t = USER_LOAD(victim->slot);

    if (!t)
        return NULL;
    if (!USER_LOAD(victim->outside)) {
        unsigned picks = USER_LOAD(victim->picks);

        if (!look)
            return NULL;
        if (t != USER_LOAD(victim->seen) || picks != USER_LOAD(victim->seen_picks)) {
            USER_STORE(victim->seen, t);
            USER_STORE(victim->seen_picks, picks);
            return NULL;
        }
    }
    return __atomic_compare_exchange_n(&victim->slot, &t, NULL, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED)
               ? t
               : NULL;
}

/* From one victim. The deque's oldest has most work below it. */
static struct uthread *steal_from(struct lwp *victim, bool look)
{
    struct uthread *t = NULL;

    if (deque_any(&victim->deque))
        t = deque_steal(&victim->deque);
    if (!t)
        t = list_take(victim, &victim->fifo);
    if (!t)
        t = slot_steal(victim, look);
    return t;
}

/* From all others, beginning with any. look: at their slots, too. */
static __attribute__((noinline)) struct uthread *steal(struct lwp *thief, bool look)
{
    unsigned n = USER_LOAD(lib.lwps_used), at;
    struct uthread *t = NULL;

    thief->seed = thief->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    at = n ? (unsigned)(thief->seed >> 33) % n : 0;
    for (unsigned i = 0; i < n && !t; i++) {
        struct lwp *victim = USER_LOAD_ACQUIRE(lib.lwp[(at + i) % n]);

        if (victim && victim != thief)
            t = steal_from(victim, look);
    }
    if (t)
        count(&thief->counts.steals);
    return t;
}

/* Of all LWPs: what any of them could run. Slots, and threads with a place, are left to those who
 * run and serve them; all: they are not. */
static bool work_for_any(bool all)
{
    unsigned n = USER_LOAD(lib.lwps_used);

    if (USER_LOAD(lib.inbox.head) || queue_any(&lib.queue))
        return true;
    for (unsigned i = 0; i < n; i++) {
        struct lwp *other = USER_LOAD_ACQUIRE(lib.lwp[i]);

        if (other && (deque_any(&other->deque) || USER_LOAD(other->fifo.head) ||
                      ((all || USER_LOAD(other->outside)) && USER_LOAD(other->slot)) ||
                      (all && USER_LOAD(other->pinned.head))))
            return true;
    }
    return false;
}

/* What lwp, which is about to sleep, could run. */
static bool any_work(struct lwp *lwp)
{
    struct uthread *t;

    if (lwp->preempt.here.head || USER_LOAD(lwp->slot))
        return true;
    t = USER_LOAD(served_by(lwp)->pinned.head);
    if (t && (served_by(lwp) == lwp || !(USER_LOAD(t->context.flags) & USER_STRICT) ||
              USER_LOAD(t->next)))
        return true;
    return !lwp->bound && work_for_any(false);
}

#endif

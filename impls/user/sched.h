/*
 * sched.h - run queue, wait lists, parking. Included by user.h only. What is of M:N alone is in
 * steal.h and lwp.h, of M:1 in alone.h; who is taken off what it waits for in interrupt.h.
 *
 * There is no scheduler context: who gives up the PU picks the next thread and switches to it. The
 * run queue is first in, first out, with one exception: a thread that creates another lends it its
 * turn, and is first when the new one gives up the PU (life.h).
 *
 * The other policies leave the fast path by the one branch that looks for timers, too. LIFO: who
 * became ready last is first; who yields goes behind all. PRIORITY: 32 queues and a bitmap of those
 * that are not empty, first in first out in each. The running thread is never displaced: a higher
 * priority counts when it gives up the PU.
 *
 * With several LWPs (M:N) the common policy is STEAL: see steal.h. The others have one queue for
 * all LWPs, so that their order holds among all of them; a thread with a home is in a queue of its
 * own LWP's, before that.
 *
 * A thread that waits may be interrupted: it is taken off what it waits for and made ready, in
 * state USER_EARLY. park() tells it so, and it sees for itself whether its time has come, whether
 * it was cancelled, or (after a signal handler has run in it) waits again, behind the others. The
 * common wait for a semaphore is spared even that question: arrive() waits again in its place.
 */
#ifndef TL_USER_SCHED_H
#define TL_USER_SCHED_H

#include "../common/futex.h"

#include <sched.h>
#include <stdio.h>

/* While somebody waits for a time the clock is read once in so many switches: a read is 25-60 ns, a
 * switch 3 to 5. A sleeper is late by up to so many turns of other threads. */
#define USER_CLOCK_EVERY 8

/* While somebody waits for a descriptor the poller is asked once in so many: 200 to 400 ns. */
#define USER_POLL_EVERY 64

static inline void preempt_idle(struct lwp *lwp); /* preempt.h */
static inline void preempt_busy(struct lwp *lwp);
static inline void preempt_urgent(struct lwp *lwp);
#if USER_MN
static int preempt_start(struct lwp *lwp, unsigned number);
static void preempt_stop(struct lwp *lwp);
#endif

/* ---- run queue ------------------------------------------------------------------------------- */

static inline bool queue_any(const struct run_queue *q)
{
    return USER_LOAD(((struct run_queue *)q)->ready.head) ||
           USER_LOAD(((struct run_queue *)q)->occupied);
}

static void level_push(struct run_queue *q, struct uthread *t, bool front)
{
    unsigned level = t->rest->priority;

    if (front)
        queue_push_front(&q->levels[level], t);
    else
        queue_push(&q->levels[level], t);
    USER_STORE(q->occupied, q->occupied | UINT32_C(1) << level);
}

/* Of the highest level that is not empty. */
static struct uthread *level_pop(struct run_queue *q)
{
    unsigned level = 31 - (unsigned)__builtin_clz(q->occupied);
    struct uthread *t = queue_pop(&q->levels[level]);

    if (!q->levels[level].head)
        USER_STORE(q->occupied, q->occupied & ~(UINT32_C(1) << level));
    return t;
}

/* What the thread after the next needs first: the line it waits on, and its successor. */
static inline void prefetch_ahead(const struct uthread *t)
{
#if !USER_UCONTEXT
    __builtin_prefetch(t->context.sp);
#endif
    __builtin_prefetch(t->next);
}

#if USER_MN
#include "steal.h"

#include "yield.h"
#else

/* Who became ready, by a policy that is not FIFO. */
static __attribute__((noinline)) void push_by_policy(struct run_queue *q, struct uthread *t)
{
    if (lib.policy == USER_PRIORITY)
        level_push(q, t, false);
    else
        queue_push_front(&q->ready, t);
    preempt_urgent(lwp_self());
}

static inline void make_ready_as(struct lwp *lwp, struct uthread *t, enum user_state state)
{
    state_set(t, state);
    if (USER_UNLIKELY(lib.slow.policy))
        push_by_policy(&lwp->queue, t);
    else
        queue_push(&lwp->queue.ready, t);
}

/* The caller lends its turn to another one that it switches to: it is the next. */
static inline void push_next(struct lwp *lwp, struct uthread *self)
{
    if (USER_UNLIKELY(lib.policy == USER_PRIORITY))
        level_push(&lwp->queue, self, true);
    else
        queue_push_front(&lwp->queue.ready, self);
}
#endif

/* t is on no list any more, and no list lock is held. */
static inline void make_ready(struct lwp *lwp, struct uthread *t)
{
    make_ready_as(lwp, t, USER_ACTIVE);
}

/* Priority 0 is that of SCHED_OTHER, SCHED_FIFO has all of them. */
static int priority_of(const struct tl_sched *sched, unsigned *priority)
{
    int most = sched->policy == SCHED_FIFO ? USER_PRIORITIES - 1 : 0;

    if (sched->policy != SCHED_FIFO && sched->policy != SCHED_OTHER)
        return EINVAL;
    if (sched->priority < 0 || sched->priority > most)
        return EINVAL;
    if (lib.policy != USER_PRIORITY)
        return ENOTSUP;
    *priority = (unsigned)sched->priority;
    return 0;
}

/* Where t is in the run queue follows from it. */
static void set_priority(struct lwp *lwp, struct uthread *t, unsigned priority)
{
    struct run_queue *q = queue_of(lwp);
    unsigned old = t->rest->priority;

    if (old == priority)
        return;
    lock_take(&lib.queue_lock);
    if (queue_remove(&q->levels[old], t)) {
        if (!q->levels[old].head)
            USER_STORE(q->occupied, q->occupied & ~(UINT32_C(1) << old));
        t->rest->priority = (uint8_t)priority;
        level_push(q, t, false);
    } else {
        t->rest->priority = (uint8_t)priority;
    }
#if USER_MN
    USER_STORE(t->level, (uint8_t)priority);
#endif
    lock_release(&lib.queue_lock);
    preempt_urgent(lwp);
}

/* ---- wait lists ------------------------------------------------------------------------------ */

/* The caller goes on a list, whose lock it holds; then it lets go of the lock and parks. */
static inline void wait_on(struct lwp *lwp, struct uthread *self, struct queue *list,
                           enum user_state state)
{
    self->rest->waits.list = list;
    count(&lwp->counts.waits[state]);
    state_set(self, state);
    queue_push(list, self);
#if USER_MN
    USER_STORE(self->waits_at, (void *)list);
#endif
}

/* t was taken off its list, whose lock is held. */
static inline void waits_no_more(struct uthread *t)
{
#if USER_MN
    USER_STORE(t->waits_at, NULL);
#else
    (void)t;
#endif
}

/* The one who has waited longest; the caller has the list's lock, and makes it ready when it has
 * let go of that. NULL: nobody. */
static inline struct uthread *wait_pop(struct queue *list)
{
    struct uthread *t = queue_pop(list);

    if (t)
        waits_no_more(t);
    return t;
}

#include "interrupt.h"

#include "trim.h"

#if USER_MN
#include "lwp.h"
#else
#include "alone.h"
#endif

static void arrive_here(struct uthread *self); /* sigrun.h */

#if USER_MN
#define PARK_INLINE static __attribute__((noinline))
#else
#define PARK_INLINE static inline
#endif
PARK_INLINE void park_among_all(struct lwp *lwp, struct uthread *self)
{
    struct uthread *next = pick_next(lwp);

    if (USER_LIKELY(next != self)) { /* itself: it was made ready in the meantime */
        switch_to(lwp, self, next);
        return;
    }
    if (USER_UNLIKELY((uintptr_t)USER_LOAD(self->tp) & USER_TP_TAG) && tp_untag(self))
        arrive_here(self);
}
#undef PARK_INLINE

/* The caller has put itself on a list; returns when somebody has made it ready. */
static inline __attribute__((always_inline)) void park_here(struct lwp *lwp, struct uthread *self)
{
#if USER_MN
    struct uthread *next = USER_LOAD(lwp->slot);

    /* The only LWP, and somebody has just been made ready: it is the next. */
    if (USER_LIKELY(next && next != self && is_next(lwp))) {
        lwp->picks++;
        lwp->slot = NULL;
        switch_at_once(lwp, self, next);
        return;
    }
#endif
    park_among_all(lwp, self);
}

static inline void park_trusting(struct uthread *self)
{
    park_here(lwp_self(), self);
}

/* True: it was interrupted, and is on that list no more. */
static inline bool park(struct uthread *self)
{
#if USER_MN
    /* A request or a signal that came after the caller had looked for one, and did not find it on
     * the list yet: see user_cancel. Who waits for a mutex does not act on a request. */
    if (USER_UNLIKELY((uintptr_t)USER_LOAD(self->tp) & USER_TP_TAG) ||
        (USER_UNLIKELY(USER_LOAD(self->context.flags) & USER_CANCELLED) &&
         state_of(self) != USER_WAITS_MUTEX && personal_due(&self->rest->personal)))
        interrupt(lwp_self(), self);
#endif
    park_trusting(self);
    if (USER_LIKELY(state_of(self) == USER_ACTIVE))
        return false;
    state_set(self, USER_ACTIVE);
    return true;
}

/* At a cancellation point: acts on a request. Does not return then. */
static inline void cancellation_point(struct uthread *self)
{
    if (USER_UNLIKELY(USER_LOAD(self->context.flags) & USER_CANCELLED))
        personal_test();
}

static int user_sleep(uint64_t ns)
{
    struct uthread *self = lwp_self()->current;
    struct user_deadline until = {CLOCK_MONOTONIC, 0};
    uint64_t now;

    cancellation_point(self);
    if (!ns) {
        user_yield();
        return 0;
    }
    now = clock_now_ns(CLOCK_MONOTONIC);
    until.ns = ns > USER_NS_NEVER - now ? USER_NS_NEVER : now + ns;
    do {
        bool early;

        list_lock(self->rest);
        count(&lwp_self()->counts.waits[USER_SLEEPS]);
        state_set(self, USER_SLEEPS);
#if USER_MN
        USER_STORE(self->waits_at, (void *)self->rest);
#endif
        list_unlock(self->rest);
        deadline_arm(self, &until);
        early = park(self);
        deadline_disarm(self, &until);
        if (!early)
            return 0;
        cancellation_point(self);
    } while (!deadline_due(&until));
    return 0;
}

#endif

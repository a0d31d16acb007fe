/*
 * sched.h - run queue, parking, interrupting, idling. Included by user.h only.
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
 * A thread that waits may be interrupted: it is taken off what it waits for and made ready, in
 * state USER_EARLY. park() tells it so, and it sees for itself whether its time has come, whether
 * it was cancelled, or (after a signal handler has run in it) waits again, behind the others. The
 * common wait for a semaphore is spared even that question: arrive() waits again in its place.
 *
 * Who finds nobody ready idles on its own stack: the kernel thread sleeps until the earliest
 * deadline. If nobody waits for a time either, no thread can ever run again (nothing outside this
 * kernel thread makes one ready: post is not for signal handlers): that is said, and aborts.
 */
#ifndef TL_USER_SCHED_H
#define TL_USER_SCHED_H

#include <sched.h>
#include <stdio.h>

/* While somebody waits for a time the clock is read once in so many switches: a read is 25-60 ns, a
 * switch 3 to 5. A sleeper is late by up to so many turns of other threads. */
#define USER_CLOCK_EVERY 8

/* ---- run queue ------------------------------------------------------------------------------- */

static inline bool any_ready(const struct lwp *lwp)
{
    return lwp->ready.head || lwp->occupied;
}

static void level_push(struct lwp *lwp, struct uthread *t, bool front)
{
    unsigned level = t->rest->priority;

    if (front)
        queue_push_front(&lwp->levels[level], t);
    else
        queue_push(&lwp->levels[level], t);
    lwp->occupied |= UINT32_C(1) << level;
}

/* Of the highest level that is not empty. */
static struct uthread *level_pop(struct lwp *lwp)
{
    unsigned level = 31 - (unsigned)__builtin_clz(lwp->occupied);
    struct uthread *t = queue_pop(&lwp->levels[level]);

    if (!lwp->levels[level].head)
        lwp->occupied &= ~(UINT32_C(1) << level);
    return t;
}

static __attribute__((noinline)) void push_by_policy(struct lwp *lwp, struct uthread *t)
{
    if (lwp->policy == USER_PRIORITY)
        level_push(lwp, t, false);
    else
        queue_push_front(&lwp->ready, t);
}

static inline void make_ready(struct lwp *lwp, struct uthread *t)
{
    t->context.state = USER_ACTIVE;
    if (USER_UNLIKELY(lwp->slow.policy))
        push_by_policy(lwp, t);
    else
        queue_push(&lwp->ready, t);
}

/* Priority 0 is that of SCHED_OTHER, SCHED_FIFO has all of them. */
static int priority_of(const struct lwp *lwp, const struct tl_sched *sched, unsigned *priority)
{
    int most = sched->policy == SCHED_FIFO ? USER_PRIORITIES - 1 : 0;

    if (sched->policy != SCHED_FIFO && sched->policy != SCHED_OTHER)
        return EINVAL;
    if (sched->priority < 0 || sched->priority > most)
        return EINVAL;
    if (lwp->policy != USER_PRIORITY)
        return ENOTSUP;
    *priority = (unsigned)sched->priority;
    return 0;
}

/* Where t is in the run queue follows from it. */
static void set_priority(struct lwp *lwp, struct uthread *t, unsigned priority)
{
    enum user_state state = state_of(t);
    unsigned old = t->rest->priority;

    if (old == priority)
        return;
    if (t != lwp->current && state >= USER_ACTIVE && state <= USER_EARLY_SEM) {
        queue_remove(&lwp->levels[old], t);
        if (!lwp->levels[old].head)
            lwp->occupied &= ~(UINT32_C(1) << old);
        t->rest->priority = (uint8_t)priority;
        level_push(lwp, t, false);
    } else {
        t->rest->priority = (uint8_t)priority;
    }
}

/* ---- interrupting ---------------------------------------------------------------------------- */

/* False: it does not wait, or not for something that it can be taken off. Its timer, if any, is its
 * own to stop. */
static bool interrupt(struct lwp *lwp, struct uthread *t)
{
    enum user_state early = USER_EARLY;

    switch (state_of(t)) {
    case USER_WAITS_SEM:
        early = USER_EARLY_SEM;
        t->tp = (void *)((uintptr_t)t->tp | USER_TP_TAG);
        queue_remove(t->rest->waits.list, t);
        break;
    case USER_WAITS_MUTEX:
    case USER_WAITS_COND:
    case USER_WAITS_SEM_TIMED:
        queue_remove(t->rest->waits.list, t);
        break;
    case USER_WAITS_JOIN:
        t->rest->waits.target->rest->joiner = NULL;
        break;
    case USER_SLEEPS:
        break;
    default:
        return false;
    }
    make_ready(lwp, t);
    t->context.state = (uint8_t)early;
    return true;
}

static __attribute__((noinline)) void wake_due(struct lwp *lwp)
{
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);

    lwp->tick = 0;
    while (lwp->timers && lwp->timers->rest->deadline_ns <= now) {
        struct uthread *t = lwp->timers;

        heap_remove(lwp, t);
        if (state_of(t) == USER_SLEEPS)
            make_ready(lwp, t);
        else
            interrupt(lwp, t);
    }
}

/* Whatever keeps giving up the PU from its fast path. */
static inline void look_around(struct lwp *lwp)
{
    if (lwp->timers && ++lwp->tick >= USER_CLOCK_EVERY)
        wake_due(lwp);
}

/* ---- idling ---------------------------------------------------------------------------------- */

static __attribute__((noinline, noreturn, cold)) void deadlock(const struct lwp *lwp)
{
    size_t in[USER_STATES] = {0};
    char line[320];
    int len;

    for (size_t i = 0; i < lib.table_used; i++)
        in[state_of(&lib.table[i])]++;
    len = snprintf(line, sizeof(line),
                   "threadlab: " USER_NAME ": deadlock: all %zu threads wait for one another (%zu "
                   "for a mutex, %zu a condition, %zu a semaphore, %zu a join, %zu for all to end; "
                   "%zu spin); last to run: thread %zu\n",
                   lib.live, in[USER_WAITS_MUTEX] + in[USER_WAITS_AGAIN], in[USER_WAITS_COND],
                   in[USER_WAITS_SEM] + in[USER_WAITS_SEM_TIMED], in[USER_WAITS_JOIN],
                   in[USER_WAITS_ALL], in[USER_ACTIVE], (size_t)(lwp->current - lib.table));
    if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
        abort();
    abort();
}

/* The run queue is empty: sleeps until it no longer is. errno is the caller's to keep. */
static __attribute__((noinline)) void idle(struct lwp *lwp)
{
    int saved = errno;

    while (!any_ready(lwp)) {
        struct timespec until;
        uint64_t ns;

        if (!lwp->timers)
            deadlock(lwp);
        ns = lwp->timers->rest->deadline_ns;
        until.tv_sec = (time_t)(ns / USER_NS_PER_S);
        until.tv_nsec = (long)(ns % USER_NS_PER_S);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); /* EINTR: looks again */
        wake_due(lwp);
    }
    errno = saved;
}

/* ---- giving up the PU ------------------------------------------------------------------------ */

static __attribute__((noinline)) struct uthread *pick_slowly(struct lwp *lwp)
{
    look_around(lwp);
    if (!any_ready(lwp))
        idle(lwp);
    return lwp->policy == USER_PRIORITY ? level_pop(lwp) : queue_pop(&lwp->ready);
}

static inline struct uthread *pick_next(struct lwp *lwp)
{
    if (USER_UNLIKELY(lwp->slow.any))
        return pick_slowly(lwp);
    if (USER_UNLIKELY(!lwp->ready.head))
        idle(lwp);
    return queue_pop(&lwp->ready);
}

/* The caller has put itself on a list; returns when somebody has made it ready. */
static inline void park_trusting(struct lwp *lwp, struct uthread *self, enum user_state state)
{
    struct uthread *next;

    self->context.state = (uint8_t)state;
    next = pick_next(lwp);
    if (USER_LIKELY(next != self)) /* itself: its time came while it idled */
        switch_to(lwp, self, next);
}

/* True: it was interrupted, and is on that list no more. */
static inline bool park(struct lwp *lwp, struct uthread *self, enum user_state state)
{
    park_trusting(lwp, self, state);
    if (USER_LIKELY(self->context.state == USER_ACTIVE))
        return false;
    self->context.state = USER_ACTIVE;
    return true;
}

/* The same, on a wait list. */
static inline bool park_on(struct lwp *lwp, struct uthread *self, struct queue *list,
                           enum user_state state)
{
    self->rest->waits.list = list;
    queue_push(list, self);
    return park(lwp, self, state);
}

/* What the thread after the next needs first: the line it waits on, and its successor. */
static inline void prefetch_ahead(const struct uthread *t)
{
#if !USER_UCONTEXT
    __builtin_prefetch(t->context.sp);
#endif
    __builtin_prefetch(t->next);
}

static __attribute__((noinline)) void yield_by_policy(struct lwp *lwp, struct uthread *self)
{
    struct uthread *next;

    if (!any_ready(lwp))
        return;
    if (lwp->policy == USER_PRIORITY) {
        level_push(lwp, self, false);
        next = level_pop(lwp);
    } else {
        queue_push(&lwp->ready, self);
        next = queue_pop(&lwp->ready);
    }
    if (next != self)
        switch_to(lwp, self, next);
}

/* A thread that has just started, by its creator's turn, lets the more urgent ones go first. */
static __attribute__((noinline)) void yield_to_higher(struct lwp *lwp, struct uthread *self)
{
    struct uthread *next;

    if (!(lwp->occupied >> self->rest->priority >> 1))
        return;
    level_push(lwp, self, false);
    next = level_pop(lwp);
    switch_to(lwp, self, next);
}

static void user_yield(void)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current, *next;

    if (USER_UNLIKELY(lwp->slow.any)) {
        look_around(lwp);
        if (lwp->slow.policy) {
            yield_by_policy(lwp, self);
            return;
        }
    }
    next = lwp->ready.head;
    if (!next)
        return;
    /* Pushed before the other is popped, the queue is never empty: no branch for that. */
    self->next = NULL;
    lwp->ready.tail->next = self;
    lwp->ready.tail = self;
    lwp->ready.head = next->next;
    prefetch_ahead(lwp->ready.head);
    switch_to(lwp, self, next);
}

/* At a cancellation point: acts on a request. Does not return then. */
static inline void cancellation_point(struct uthread *self)
{
    if (USER_UNLIKELY(self->context.flags & USER_CANCELLED))
        personal_test();
}

static int user_sleep(uint64_t ns)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;
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

        deadline_arm(lwp, self, &until);
        early = park(lwp, self, USER_SLEEPS);
        deadline_disarm(lwp, self, &until);
        if (!early)
            return 0;
        cancellation_point(self);
    } while (!deadline_due(&until));
    return 0;
}

#endif

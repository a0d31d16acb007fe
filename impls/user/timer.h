/*
 * timer.h - the threads that wait for a time. Included by user.h only.
 *
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986, "The pairing heap: a new form of
 * self-adjusting heap") by CLOCK_MONOTONIC, through the waiters' rest: no allocation, so a wait
 * cannot fail. Any node can be taken out, because whoever waits for something else as well mostly
 * gets that first.
 *
 * A deadline of CLOCK_REALTIME is converted when the wait begins, and looked at again when it ends:
 * that clock set back makes the wait longer, as it should; set forward, it is noticed at the
 * converted time only.
 *
 * Guarded by timer_lock. One heap for all LWPs: they look at its earliest deadline as they switch,
 * and one that sleeps does it for those that do not (lwp.h).
 */
#ifndef TL_USER_TIMER_H
#define TL_USER_TIMER_H

#include <time.h>

#define USER_NS_PER_S UINT64_C(1000000000)
#define USER_NS_NEVER ((uint64_t)INT64_MAX)

/* An absolute time of a timed wait. */
struct user_deadline {
    clockid_t clock;
    uint64_t ns;
};

static uint64_t clock_now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * USER_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static inline bool deadline_valid(const struct user_deadline *d)
{
    return d->clock == CLOCK_REALTIME || d->clock == CLOCK_MONOTONIC;
}

static bool deadline_due(const struct user_deadline *d)
{
    return clock_now_ns(d->clock) >= d->ns;
}

static struct uthread *heap_meld(struct uthread *a, struct uthread *b)
{
    struct uthread *t;

    if (!a || !b)
        return a ? a : b;
    if (b->rest->deadline_ns < a->rest->deadline_ns) {
        t = a;
        a = b;
        b = t;
    }
    b->rest->sibling = a->rest->child;
    b->rest->previous = a;
    if (a->rest->child)
        a->rest->child->rest->previous = b;
    a->rest->child = b;
    return a;
}

/* Melds siblings pairwise from the left, then the pairs from the right. */
static struct uthread *heap_meld_all(struct uthread *first)
{
    struct uthread *pairs = NULL, *whole = NULL;

    while (first) {
        struct uthread *a = first, *b = a->rest->sibling, *pair;

        first = b ? b->rest->sibling : NULL;
        a->rest->sibling = NULL;
        if (b)
            b->rest->sibling = NULL;
        pair = heap_meld(a, b);
        pair->rest->sibling = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct uthread *pair = pairs;

        pairs = pair->rest->sibling;
        pair->rest->sibling = NULL;
        whole = heap_meld(whole, pair);
    }
    return whole;
}

/* The earliest deadline is another one. */
static inline void heap_changed(void)
{
    USER_STORE(lib.slow.timers, lib.timers != NULL);
#if USER_MN
    USER_STORE(lib.next_ns, lib.timers ? lib.timers->rest->deadline_ns : USER_NS_NEVER);
#endif
}

/* deadline_ns is set. */
static void heap_add(struct uthread *t)
{
    t->rest->child = t->rest->sibling = t->rest->previous = NULL;
    t->rest->timed = true;
    lib.timers = heap_meld(t, lib.timers);
    heap_changed();
}

static void heap_remove(struct uthread *t)
{
    struct uthread_rest *rest = t->rest;
    struct uthread *children = heap_meld_all(rest->child);

    rest->timed = false;
    if (lib.timers == t) {
        lib.timers = children;
        if (children)
            children->rest->previous = NULL;
        heap_changed();
        return;
    }
    if (rest->previous->rest->child == t)
        rest->previous->rest->child = rest->sibling;
    else
        rest->previous->rest->sibling = rest->sibling;
    if (rest->sibling)
        rest->sibling->rest->previous = rest->previous;
    lib.timers = heap_meld(lib.timers, children);
    heap_changed();
}

#if USER_MN
static void lookout_hurry(uint64_t ns); /* lwp.h */
#endif

/* The caller is to be interrupted when the time comes; it is on its list already, so that this is
 * not missed. NULL: never. */
static void deadline_arm(struct uthread *self, const struct user_deadline *d)
{
    uint64_t ns;

    if (!d)
        return;
    ns = d->ns;
    if (d->clock != CLOCK_MONOTONIC) {
        uint64_t now = clock_now_ns(d->clock), mono = clock_now_ns(CLOCK_MONOTONIC);

        ns = ns <= now ? mono : ns - now > USER_NS_NEVER - mono ? USER_NS_NEVER : mono + (ns - now);
    }
    if (ns > USER_NS_NEVER)
        ns = USER_NS_NEVER;
    lock_take(&lib.timer_lock);
    self->rest->deadline_ns = ns;
    heap_add(self);
    lock_release(&lib.timer_lock);
#if USER_MN
    lookout_hurry(ns);
#endif
}

static void timer_stop(struct uthread *self)
{
    lock_take(&lib.timer_lock);
    if (self->rest->timed)
        heap_remove(self);
    lock_release(&lib.timer_lock);
}

static void deadline_disarm(struct uthread *self, const struct user_deadline *d)
{
    if (d)
        timer_stop(self);
}

#endif

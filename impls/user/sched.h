/*
 * sched.h - run queue, parking, timers, idling. Included by user.h only.
 *
 * There is no scheduler context: who gives up the PU picks the next thread and switches to it. The
 * run queue is first in, first out, with one exception: a thread that creates another lends it its
 * turn, and is first when the new one gives up the PU (life.h).
 *
 * Who finds nobody ready idles on its own stack: the kernel thread sleeps until the earliest
 * deadline. If nobody sleeps either, no thread can ever run again (nothing outside this kernel
 * thread makes one ready: synchronisation objects are not async-signal-safe): that is said, and
 * aborts.
 *
 * Timers are a pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986, "The pairing heap: a new
 * form of self-adjusting heap") through the sleepers' rest: no allocation, so a sleep cannot fail.
 */
#ifndef TL_USER_SCHED_H
#define TL_USER_SCHED_H

#include <stdio.h>
#include <time.h>

/* While somebody sleeps the clock is read once in so many switches: a read is 25-60 ns, a switch 3
 * to 5. A sleeper is late by up to so many turns of other threads. */
#define USER_CLOCK_EVERY 8

#define USER_NS_PER_S UINT64_C(1000000000)

static uint64_t clock_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * USER_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static inline void make_ready(struct lwp *lwp, struct uthread *t)
{
    t->context.state = USER_ACTIVE;
    queue_push(&lwp->ready, t);
}

/* ---- timers ---------------------------------------------------------------------------------- */

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
    a->rest->child = b;
    return a;
}

static void heap_add(struct lwp *lwp, struct uthread *t)
{
    t->rest->child = t->rest->sibling = NULL;
    lwp->timers = heap_meld(t, lwp->timers);
}

/* Removes the root: melds its children pairwise from the left, then the pairs from the right. */
static struct uthread *heap_take(struct lwp *lwp)
{
    struct uthread *root = lwp->timers, *rest = root->rest->child, *pairs = NULL, *whole = NULL;

    while (rest) {
        struct uthread *a = rest, *b = a->rest->sibling, *pair;

        rest = b ? b->rest->sibling : NULL;
        pair = heap_meld(a, b);
        pair->rest->sibling = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct uthread *pair = pairs;

        pairs = pair->rest->sibling;
        whole = heap_meld(whole, pair);
    }
    lwp->timers = whole;
    return root;
}

static __attribute__((noinline)) void wake_due(struct lwp *lwp)
{
    uint64_t now = clock_now_ns();

    lwp->tick = 0;
    while (lwp->timers && lwp->timers->rest->deadline_ns <= now)
        make_ready(lwp, heap_take(lwp));
}

static inline void timers_look(struct lwp *lwp)
{
    if (USER_UNLIKELY(lwp->timers != NULL) && ++lwp->tick >= USER_CLOCK_EVERY)
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
                   lib.live, in[USER_WAITS_MUTEX], in[USER_WAITS_COND], in[USER_WAITS_SEM],
                   in[USER_WAITS_JOIN], in[USER_WAITS_ALL], in[USER_ACTIVE],
                   (size_t)(lwp->current - lib.table));
    if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
        abort();
    abort();
}

/* The run queue is empty: sleeps until it no longer is. errno is the caller's to keep. */
static __attribute__((noinline)) void idle(struct lwp *lwp)
{
    int saved = errno;

    while (!lwp->ready.head) {
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

static inline struct uthread *pick_next(struct lwp *lwp)
{
    timers_look(lwp);
    if (USER_UNLIKELY(!lwp->ready.head))
        idle(lwp);
    return queue_pop(&lwp->ready);
}

/* The caller has put itself on a list; returns when somebody has made it ready. */
static inline void park(struct lwp *lwp, struct uthread *self, enum user_state state)
{
    struct uthread *next;

    self->context.state = (uint8_t)state;
    next = pick_next(lwp);
    if (USER_LIKELY(next != self)) /* itself: it slept, and its time came while it idled */
        switch_to(lwp, self, next);
}

/* What the thread after the next needs first: the line it waits on, and its successor. */
static inline void prefetch_ahead(const struct uthread *t)
{
#if !USER_UCONTEXT
    __builtin_prefetch(t->context.sp);
#endif
    __builtin_prefetch(t->next);
}

static void user_yield(void)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current, *next;

    timers_look(lwp);
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

static int user_sleep(uint64_t ns)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;
    uint64_t now;

    if (!ns) {
        user_yield();
        return 0;
    }
    now = clock_now_ns();
    self->rest->deadline_ns = ns > (uint64_t)INT64_MAX - now ? (uint64_t)INT64_MAX : now + ns;
    heap_add(lwp, self);
    park(lwp, self, USER_SLEEPS);
    return 0;
}

#endif

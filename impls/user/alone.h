/*
 * alone.h - M:1: the only LWP idles, picks the next thread, yields. Included by sched.h, whose run
 * queue it relies on, of M:1 only.
 *
 * Who finds nobody ready idles on its own stack: the kernel thread sleeps until the earliest
 * deadline or a signal, in the poller where somebody waits for a descriptor. If nobody waits for
 * any of these, nor has a signal open whose handler might post, no thread can ever run again: that
 * is said, and aborts.
 */
#ifndef TL_USER_ALONE_H
#define TL_USER_ALONE_H

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

/* Sleeps until the earliest deadline or a signal. A signal that comes before the kernel is asked
 * has changed the word that it compares. */
static void idle_sleep(uint64_t ns)
{
    union user_slow quiet = lib.slow;
    struct timespec until = {(time_t)(ns / USER_NS_PER_S), (long)(ns % USER_NS_PER_S)};

    quiet.signals = 0;
    SYS_CALL(SYS_futex, &lib.slow.any, FUTEX_WAIT_BITSET_PRIVATE, (uint32_t)quiet.any,
             ns < USER_NS_NEVER ? &until : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* The run queue is empty: sleeps until it no longer is. */
static __attribute__((noinline)) void idle(struct lwp *lwp)
{
    hold(lwp);
    preempt_idle(lwp);
    while (!queue_any(&lwp->queue)) {
        uint64_t ns;

        if (lib.slow.signals) {
            signals_look(lwp);
            if (state_of(lwp->current) == USER_ACTIVE) { /* it spins for a mutex */
                release(lwp);
                signals_deliver(lwp->current, NULL);
                hold(lwp);
            }
            continue;
        }
        if (!lib.timers && !lib.slow.io && !signals_may_come())
            deadlock(lwp);
        count(&lwp->counts.idles);
        ns = trim_or_sleep(lib.timers ? lib.timers->rest->deadline_ns : USER_NS_NEVER);
        if (lib.slow.io)
            poller_doze(lwp, ns);
        else
            idle_sleep(ns);
        if (lib.timers)
            wake_due(lwp);
    }
    preempt_busy(lwp);
    release(lwp);
}

/* ---- giving up the PU ------------------------------------------------------------------------ */

static __attribute__((noinline)) struct uthread *pick_slowly(struct lwp *lwp)
{
    hold(lwp);
    look_around(lwp);
    if (lib.slow.signals)
        signals_look(lwp);
    release(lwp);
    if (!queue_any(&lwp->queue))
        idle(lwp);
    return lib.policy == USER_PRIORITY ? level_pop(&lwp->queue) : queue_pop(&lwp->queue.ready);
}

static inline struct uthread *pick_next(struct lwp *lwp)
{
    if (USER_UNLIKELY(USER_LOAD(lib.slow.any)))
        return pick_slowly(lwp);
    if (USER_UNLIKELY(!lwp->queue.ready.head))
        idle(lwp);
    return queue_pop(&lwp->queue.ready);
}

/* ---- yielding -------------------------------------------------------------------------------- */

static __attribute__((noinline)) void yield_by_policy(struct lwp *lwp, struct uthread *self)
{
    struct uthread *next;

    if (!queue_any(&lwp->queue))
        return;
    if (lib.policy == USER_PRIORITY) {
        level_push(&lwp->queue, self, false);
        next = level_pop(&lwp->queue);
    } else {
        queue_push(&lwp->queue.ready, self);
        next = queue_pop(&lwp->queue.ready);
    }
    if (next && next != self) /* never NULL: the caller is in there */
        switch_to(lwp, self, next);
}

/* Threads that are more urgent than the caller go first; it is the first among its equals, or the
 * last. */
static __attribute__((noinline)) void yield_to_higher(struct lwp *lwp, struct uthread *self,
                                                      bool first)
{
    struct uthread *next;

    if (!(lwp->queue.occupied >> self->rest->priority >> 1))
        return;
    next = level_pop(&lwp->queue);
    level_push(&lwp->queue, self, first);
    switch_to(lwp, self, next);
}

static void user_yield(void)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current, *next, *head;

    if (USER_UNLIKELY(USER_LOAD(lib.slow.any))) {
        if (USER_LOAD(lib.slow.signals))
            signals_deliver(self, NULL);
        look_around(lwp);
        if (lib.slow.yields)
            count(&lwp->counts.yields);
        if (lib.slow.policy) {
            yield_by_policy(lwp, self);
            return;
        }
    }
    next = lwp->queue.ready.head;
    if (!next)
        return;
    /* Pushed before the other is popped, the queue is never empty: no branch for that. */
    self->next = NULL;
    lwp->queue.ready.tail->next = self;
    lwp->queue.ready.tail = self;
    head = next->next;
    USER_STORE(lwp->queue.ready.head, head); /* atomic: not in one vector with tail */
    prefetch_ahead(head);
    switch_to(lwp, self, next);
}

#endif

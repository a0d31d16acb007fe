/*
 * idle.h - LWPs: looking for work, and retiring where there are more than wanted. Included by
 * lwp.h.
 */
#ifndef TL_USER_IDLE_H
#define TL_USER_IDLE_H

/* ---- looking for work ------------------------------------------------------------------------ */

static struct uthread *find_work(struct lwp *lwp, bool look)
{
    struct uthread *t;

    if (USER_UNLIKELY(lwp->bound != NULL))
        return list_take(lwp, &lwp->pinned);
    if (USER_LOAD(lib.slow.timers) && clock_now_ns(CLOCK_MONOTONIC) >= USER_LOAD(lib.next_ns))
        wake_due(lwp);
    t = pick_own(lwp);
    return t ? t : steal(lwp, look);
}

/* For a while, if somebody runs who could make some. */
static struct uthread *search(struct lwp *lwp)
{
    struct uthread *t = NULL;
    uint64_t begin, now, looked;

    if (!USER_LOAD(lib.spin) || !lib.multi || (!lwp->bound && !others_run()))
        return NULL;
    if (!lwp->bound)
        atomic_fetch_add(&lib.searching, 1);
    begin = now = looked = clock_now_ns(CLOCK_MONOTONIC);
    while (!t && now - begin < USER_SPIN_NS && !USER_LOAD(lib.stopping)) {
        bool look;

        for (int i = 0; i < 16; i++)
            cpu_relax();
        now = clock_now_ns(CLOCK_MONOTONIC);
        look = now - looked >= USER_SLOT_STALE_NS;
        if (look)
            looked = now;
        t = find_work(lwp, look);
    }
    if (!lwp->bound && atomic_fetch_sub(&lib.searching, 1) == 1 && t && any_work(lwp))
        notify();
    return t;
}

/* Its threads are for anybody, but for those that have a place: it goes. */
static void hand_over_all(struct lwp *lwp)
{
    struct uthread *t;

    while ((t = slot_take(lwp)) || (t = deque_take(&lwp->deque, false)) ||
           (t = list_take(lwp, &lwp->fifo)))
        shared_push(t, false);
}

/* Whether it may be taken from the active ones, which it is then. lwp_lock is held; others go
 * outside and come back meanwhile. */
static bool active_leave_surplus(const struct lwp *lwp)
{
    int active = atomic_load(&lib.active);

    while (lwp->number && active > (int)lib.wanted)
        if (atomic_compare_exchange_weak(&lib.active, &active, active - 1)) {
            USER_STORE(lib.slow.surplus, active - 1 > (int)lib.wanted);
            return true;
        }
    if (active <= (int)lib.wanted)
        USER_STORE(lib.slow.surplus, 0);
    return false;
}

/* One too many. True: its kernel thread is to end. */
static bool lwp_retire(struct lwp *lwp)
{
    struct lwp *home;
    bool claimed;

    if (lwp->preempt.here.head) /* nobody else takes them */
        return false;
    lock_take(&lib.lwp_lock);
    if (!active_leave_surplus(lwp)) {
        lock_release(&lib.lwp_lock);
        return false;
    }
    atomic_store(&lwp->token, 0);
    atomic_store(&lwp->leaving, 1);
    atomic_store(&lwp->phase, LWP_SPARE);
    lock_release(&lib.lwp_lock);
    if (lwp->was_lookout) { /* another one is to be it; see idle_loop */
        lwp->was_lookout = false;
        wake_one();
    }
    hand_over_all(lwp);
    place_look(served_by(lwp));
    atomic_store(&lwp->leaving, 0);
    claimed = USER_LOAD(lib.stopping) ||
              lwp_doze(lwp, LWP_SPARE, clock_now_ns(CLOCK_MONOTONIC) + USER_SPARE_NS, false);
    if (USER_LOAD(lib.stopping))
        return false;
    if (claimed)
        return false; /* who claimed it has counted it */
    lock_take(&lib.lwp_lock);
    home = served_by(lwp);
    lock_take(&home->lock); /* who pushes there believes since the time has come that it runs */
    if (home->pinned.head) {
        atomic_fetch_add(&lib.active, 1);
    } else {
        atomic_store(&lwp->phase, LWP_GONE);
        atomic_fetch_sub(&lib.existing, 1);
    }
    lock_release(&home->lock);
    lock_release(&lib.lwp_lock);
    return atomic_load(&lwp->phase) == LWP_GONE;
}

/* Its bound thread has ended, and so does its kernel thread. Once the library stops, lwps_end walks
 * the lists: it finds this LWP where it is. */
static void lwp_unbind(struct lwp *lwp)
{
    struct lwp **at;

    lock_take(&lib.lwp_lock);
    if (!USER_LOAD(lib.stopping)) {
        for (at = &lib.bound; *at != lwp; at = &(*at)->next_bound)
            ;
        *at = lwp->next_bound;
        lwp->next_bound = lib.bound_free;
        lib.bound_free = lwp;
        lwp->ended = false;
    }
    lock_release(&lib.lwp_lock);
}

/* The context that runs when no thread does. Returns when the kernel thread is to end. */
static void idle_loop(struct lwp *lwp)
{
    bool look = true;

    for (;;) {
        struct uthread *t = lwp->next_up;

        if (USER_UNLIKELY(t != NULL)) {
            lwp->next_up = NULL;
            switch_to(lwp, lwp->idle, t);
            continue;
        }
        if (USER_UNLIKELY(USER_LOAD(lib.slow.surplus)) && !lwp->bound) {
            watch_hide(lwp);
            bool gone = lwp_retire(lwp);
            if (!gone)
                place_settle(lwp);
            watch_show(lwp);
            if (gone)
                return;
        }
        if (USER_UNLIKELY(lwp->ended)) {
            lwp_unbind(lwp);
            return;
        }
        if (USER_UNLIKELY(USER_LOAD(lib.slow.stop))) {
            watch_hide(lwp);
            world_wait(lwp);
            watch_show(lwp);
        }
        if (USER_UNLIKELY(USER_LOAD(lib.slow.signals) || !ring_empty(lwp)))
            signals_look(lwp);
        kernel_sync(lwp);
        t = find_work(lwp, look);
        if (!t)
            t = search(lwp);
        if (t) {
            if (lwp->was_lookout) { /* another one is to be it, while this one runs */
                lwp->was_lookout = false;
                wake_one();
            }
            preempt_busy(lwp);
            switch_to(lwp, lwp->idle, t);
            look = false;
            continue;
        }
        if (USER_LOAD(lib.stopping))
            return;
        watch_hide(lwp);
        lwp_sleep(lwp);
        watch_show(lwp);
        look = true;
    }
}

/* Of LWP 0, whose kernel thread's stack is the first thread's. */
static void idle_main(void)
{
    struct lwp *lwp = lwp_self();

    switch_arrived(lwp->idle);
    for (;;)
        idle_loop(lwp); /* nobody comes back to it once the first thread has returned */
}

#endif

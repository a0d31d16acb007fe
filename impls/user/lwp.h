/*
 * lwp.h - kernel threads that run the threads: looking for work, sleeping, starting, retiring.
 * Included by sched.h, of M:N only.
 *
 * An LWP whose queues are empty switches to a context of its own (idle), which searches: its own
 * queues, those of the others, for USER_SPIN_NS (a wake-up costs as much), then sleeps on a futex.
 *
 * Why no wake-up is lost. Who makes a thread ready does P, who goes to sleep does S:
 *
 *     P1 push it on a queue               S1 token = 0; phase = SLEEPS; sleepers |= its bit
 *     P2 light()                          S2 heavy()
 *     P3 look at sleepers, searching      S3 look at all queues: work? then wake oneself
 *     P4 claim one (phase: SLEEPS to      S4 sleep while token is 0
 *        RUNS), token = 1, wake it
 *
 * heavy() is membarrier(2): when it returns every kernel thread of the process has passed a full
 * fence. If P3 of some P came before that fence, P1 did, too, so S3 sees the thread; if it came
 * after, P3 sees the bit. (Without membarrier both are full fences, and the same holds.) The claim
 * makes exactly one waker responsible for a sleeper; a token that is set before S4 makes S4 return
 * at once; one that comes late is a wake-up for nothing.
 * P3 leaves the wake-up to a searching LWP, if there is one. That one, when it gives up, decrements
 * `searching` before S1, so that its S3 sees what was left to it; when it finds something, it wakes
 * another if there is more. What P pushed is in the queue of an LWP that runs, at the least: it is
 * late in this last case at worst, not lost.
 *
 * One sleeping LWP is the lookout: it sleeps until the earliest deadline, in the poller where a
 * thread waits for a descriptor, and while others run it looks now and then whether a thread is
 * stuck in the slot of one of them, less and less often.
 *
 * An LWP whose thread makes a call that may block says so (outside_begin). If there is work, or it
 * was the last active one, another is made active: a spare one, or a new one. When it is back there
 * may be more of them than wanted: the next that switches becomes spare, hands its threads to the
 * inbox, and ends when nobody has needed it for USER_SPARE_NS (Stein and Shah 1992, "Implementing
 * Lightweight Threads": idle LWPs age).
 *
 * A bound thread has an LWP that runs nothing else; it is kept for the next one.
 */
#ifndef TL_USER_LWP_H
#define TL_USER_LWP_H

#include <limits.h>
#include <linux/membarrier.h>
#include <string.h>

/* About what waking a sleeping kernel thread of another PU costs (12-25 us on small VMs), so that
 * spinning at most doubles the price (Karlin et al. 1991, "Empirical Studies of Competitive
 * Spinning"). */
#define USER_SPIN_NS 20000u
#define USER_SLOT_STALE_NS 5000u           /* a thread that long in a slot may be taken */
#define USER_WATCH_NS UINT64_C(1000000)    /* first look of the lookout; doubles ... */
#define USER_WATCH_DOUBLES 6               /* ... so often */
#define USER_SPARE_NS UINT64_C(1000000000) /* after which a spare LWP ends */
#define USER_IDLE_STACK (64u * 1024)
#define USER_LWP_STACK (256u * 1024)

enum lwp_phase {
    LWP_RUNS,   /* threads, or looks for some */
    LWP_SLEEPS, /* may be claimed for work */
    LWP_SPARE,  /* sleeps; it is one too many */
    LWP_GONE,   /* its kernel thread has ended */
};

_Thread_local struct lwp *user_lwp __attribute__((visibility("hidden")));

#include "watch.h"

/* ---- fences ---------------------------------------------------------------------------------- */

static inline void full_fence(void)
{
#ifdef USER_TSAN
    static uint32_t any; /* it knows no fences */

    __atomic_fetch_add(&any, 1, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Pairs with heavy(). */
static inline void light(void)
{
    if (USER_LIKELY(lib.heavy))
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    else
        full_fence();
}

static void heavy(void)
{
    full_fence();
    if (lib.heavy)
        SYS_CALL(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
}

static void fences_boot(void)
{
    lib.heavy =
        SYS_CALL(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0) == 0;
}

static bool lwp_is_gone(const struct lwp *lwp)
{
    return atomic_load(&((struct lwp *)lwp)->phase) == LWP_GONE;
}

static void poller_kick(void); /* poller.h */
static void poller_doze(struct lwp *lwp, uint64_t until_ns);

/* ---- waking ---------------------------------------------------------------------------------- */

static inline uint64_t lwp_bit(const struct lwp *lwp)
{
    return lwp->bound ? 0 : UINT64_C(1) << lwp->number;
}

/* P4. False: it was not in that phase any more. */
static bool lwp_claim(struct lwp *lwp, uint32_t phase)
{
    if (!atomic_compare_exchange_strong(&lwp->phase, &phase, LWP_RUNS))
        return false;
    atomic_fetch_and(&lib.sleepers, ~lwp_bit(lwp));
    TL_POINT("user.wake.before-token");
    atomic_store(&lwp->token, 1);
    if (USER_UNLIKELY(atomic_load(&lwp->polls))) /* pairs with poller_doze */
        poller_kick();
    else
        futex_wake(&lwp->token, 1);
    return true;
}

/* This one, if it sleeps; what it is woken for was pushed before. */
static void lwp_wake(struct lwp *lwp)
{
    uint32_t phase;

    light();
    phase = atomic_load_explicit(&lwp->phase, memory_order_relaxed);
    if ((phase == LWP_SLEEPS || phase == LWP_SPARE) && lwp_claim(lwp, phase) && phase == LWP_SPARE)
        atomic_fetch_add(&lib.active, 1);
}

static void lwps_wake_at(int slot_of_place)
{
    light();
    for (unsigned i = 0; i < USER_LOAD(lib.lwps_used); i++)
        if (lib.lwp[i] && USER_LOAD(lib.lwp[i]->slot_of_place) == slot_of_place)
            lwp_claim(lib.lwp[i], LWP_SLEEPS);
}

/* Some sleeping one; not the lookout, if there is another. */
static __attribute__((noinline)) void wake_one(void)
{
    uint64_t sleepers = atomic_load(&lib.sleepers);
    uint32_t lookout = atomic_load(&lib.lookout);

    if (lookout && sleepers & ~(UINT64_C(1) << (lookout - 1)))
        sleepers &= ~(UINT64_C(1) << (lookout - 1));
    while (sleepers) {
        struct lwp *lwp = lib.lwp[__builtin_ctzll(sleepers)];

        if (lwp_claim(lwp, LWP_SLEEPS))
            return;
        sleepers &= sleepers - 1;
    }
}

/* P2, P3, P4. */
static inline void notify(void)
{
    if (USER_LIKELY(!lib.multi))
        return;
    light();
    if (USER_UNLIKELY(atomic_load_explicit(&lib.sleepers, memory_order_relaxed)) &&
        !atomic_load_explicit(&lib.searching, memory_order_relaxed))
        wake_one();
}

/* For a slot, which its own LWP gets to soon: the lookout will see if it does not. */
static inline void notify_slot(void)
{
    light();
    if (USER_UNLIKELY(atomic_load_explicit(&lib.sleepers, memory_order_relaxed)) &&
        !atomic_load_explicit(&lib.searching, memory_order_relaxed) &&
        !atomic_load_explicit(&lib.lookout, memory_order_relaxed))
        wake_one();
}

/* A deadline was armed, and published in next_ns. */
static void lookout_hurry(uint64_t ns)
{
    uint32_t lookout;

    if (!lib.multi)
        return;
    light();
    lookout = atomic_load(&lib.lookout);
    if (!lookout)
        wake_one();
    else if (ns < USER_LOAD(lib.lookout_ns))
        lwp_claim(lib.lwp[lookout - 1], LWP_SLEEPS);
}

/* Somebody waits for a descriptor, and has said so in slow.io: the lookout is to sleep in the
 * poller. */
static void lookout_poll(void)
{
    uint32_t lookout;

    if (!lib.multi)
        return;
    light();
    lookout = atomic_load(&lib.lookout);
    if (!lookout)
        wake_one();
    else if (!atomic_load(&lib.lwp[lookout - 1]->polls))
        lwp_claim(lib.lwp[lookout - 1], LWP_SLEEPS);
}

/* ---- sleeping -------------------------------------------------------------------------------- */

static bool others_run(void)
{
    return atomic_load(&lib.active) > __builtin_popcountll(atomic_load(&lib.sleepers));
}

/* S4. until: CLOCK_MONOTONIC. */
static void token_wait(struct lwp *lwp, uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / USER_NS_PER_S), (long)(until_ns % USER_NS_PER_S)};

    while (until_ns && !atomic_load(&lwp->token)) {
        long err = SYS_CALL(SYS_futex, &lwp->token, FUTEX_WAIT_BITSET_PRIVATE, 0,
                            until_ns == USER_NS_NEVER ? NULL : &until, 0, FUTEX_BITSET_MATCH_ANY);

        if (err == -ETIMEDOUT || err == -EINTR)
            break;
    }
}

/* Until it is claimed, or the time has come; poll: or something happens that a thread waits for.
 * True: it was claimed. */
static bool lwp_doze(struct lwp *lwp, uint32_t phase, uint64_t until_ns, bool poll)
{
    preempt_idle(lwp);
    if (poll)
        poller_doze(lwp, until_ns);
    else
        token_wait(lwp, until_ns);
    if (atomic_compare_exchange_strong(&lwp->phase, &phase, LWP_RUNS)) {
        atomic_fetch_and(&lib.sleepers, ~lwp_bit(lwp));
        return false;
    }
    return true;
}

/* A thread with a place may wait for LWPs of that PU which are all blocked in the kernel: one that
 * got to nothing since the lookout's last look has its PU visited by this LWP. */
static void rescue(struct lwp *lwp)
{
    for (unsigned i = 0; i < USER_LOAD(lib.lwps_used); i++) {
        struct lwp *stuck = USER_LOAD_ACQUIRE(lib.lwp[i]); /* as in steal() */
        unsigned picks;

        if (!stuck || stuck == lwp || !USER_LOAD(stuck->pinned.head))
            continue;
        picks = USER_LOAD(stuck->picks);
        if (USER_LOAD(stuck->seen_pinned) == picks + 1 && lwp->number &&
            stuck->slot_of_place != lwp->slot_of_place) {
            USER_STORE(lwp->slot_of_place, stuck->slot_of_place);
            lib.boot->pin(lib.boot, lwp->slot_of_place);
            return;
        }
        USER_STORE(stuck->seen_pinned, picks + 1);
    }
}

/* As long as there is nothing to do. */
static void lwp_sleep(struct lwp *lwp)
{
    uint64_t until = USER_NS_NEVER;
    uint32_t nobody = 0;
    bool lookout = false;

    atomic_store(&lwp->token, 0);
    atomic_store(&lwp->phase, LWP_SLEEPS);
    atomic_fetch_or(&lib.sleepers, lwp_bit(lwp));
    if (!lwp->bound) {
        /* Who arms a deadline from here on hurries it in any case. */
        lookout = atomic_compare_exchange_strong(&lib.lookout, &nobody, lwp->number + 1);
        if (lookout)
            USER_STORE(lib.lookout_ns, USER_NS_NEVER);
    }
    if (USER_LOAD(lib.signals_used) && others_run())
        signals_asleep(lwp);
    TL_POINT("user.sleep.before-look");
    heavy();
    if (any_work(lwp) || USER_LOAD(lib.slow.signals) || !ring_empty(lwp) ||
        USER_LOAD(lib.stopping) || (lwp->number && USER_LOAD(lib.slow.surplus))) {
        until = 0;
    } else if (lookout) {
        until = USER_LOAD(lib.next_ns);
        if (others_run()) {
            uint64_t watch = clock_now_ns(CLOCK_MONOTONIC) + (USER_WATCH_NS << lwp->watch);

            until = watch < until ? watch : until;
        }
        until = trim_or_sleep(until);
        USER_STORE(lib.lookout_ns, until);
    }
    TL_POINT("user.sleep.before-futex");
    count(&lwp->counts.idles);
    if (lwp_doze(lwp, LWP_SLEEPS, until, lookout && USER_LOAD_ACQUIRE(lib.slow.io)) || !lookout)
        lwp->watch = 0;
    else {
        lwp->watch += lwp->watch < USER_WATCH_DOUBLES;
        rescue(lwp);
    }
    if (lookout)
        atomic_store(&lib.lookout, 0);
    lwp->was_lookout = lookout;
}

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

/* Its threads are for anybody: it goes. */
static void hand_over_all(struct lwp *lwp)
{
    struct uthread *t;

    lock_take(&lwp->lock);
    for (t = lwp->pinned.head; t; t = t->next)
        USER_STORE(t->home, NULL);
    queue_append(&lwp->fifo, &lwp->pinned);
    lock_release(&lwp->lock);
    while ((t = slot_take(lwp)) || (t = deque_take(&lwp->deque, false)) ||
           (t = list_take(lwp, &lwp->fifo)))
        shared_push(t, false);
}

/* One too many. True: its kernel thread is to end. */
static bool lwp_retire(struct lwp *lwp)
{
    bool claimed;

    if (lwp->preempt.here.head) /* nobody else takes them */
        return false;
    lock_take(&lib.lwp_lock);
    if (!lwp->number || atomic_load(&lib.active) <= (int)lib.wanted) {
        if (atomic_load(&lib.active) <= (int)lib.wanted)
            USER_STORE(lib.slow.surplus, 0);
        lock_release(&lib.lwp_lock);
        return false;
    }
    if (atomic_fetch_sub(&lib.active, 1) - 1 <= (int)lib.wanted)
        USER_STORE(lib.slow.surplus, 0);
    atomic_store(&lwp->token, 0);
    atomic_store(&lwp->phase, LWP_SPARE);
    lock_release(&lib.lwp_lock);
    if (lwp->was_lookout) { /* another one is to be it; see idle_loop */
        lwp->was_lookout = false;
        wake_one();
    }
    hand_over_all(lwp);
    claimed = USER_LOAD(lib.stopping) ||
              lwp_doze(lwp, LWP_SPARE, clock_now_ns(CLOCK_MONOTONIC) + USER_SPARE_NS, false);
    if (USER_LOAD(lib.stopping))
        return false;
    if (claimed)
        return false; /* who claimed it has counted it */
    lock_take(&lib.lwp_lock);
    lock_take(&lwp->lock); /* the only pair of these two; see pinned_push */
    if (lwp->pinned.head) {
        atomic_fetch_add(&lib.active, 1);
    } else {
        atomic_store(&lwp->phase, LWP_GONE);
        atomic_fetch_sub(&lib.existing, 1);
    }
    lock_release(&lwp->lock);
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
        struct uthread *t;

        if (USER_UNLIKELY(USER_LOAD(lib.slow.surplus)) && !lwp->bound) {
            watch_hide(lwp);
            bool gone = lwp_retire(lwp);
            watch_show(lwp);
            if (gone)
                return;
        }
        if (USER_UNLIKELY(lwp->ended)) {
            lwp_unbind(lwp);
            return;
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

/* ---- starting -------------------------------------------------------------------------------- */

static struct lwp *lwp_new(unsigned number)
{
    struct lwp *lwp = aligned_alloc(128, (sizeof(*lwp) + 127) / 128 * 128);

    if (!lwp)
        return NULL;
    memset(lwp, 0, sizeof(*lwp));
    if (!deque_init(&lwp->deque)) {
        free(lwp);
        return NULL;
    }
    lwp->number = number;
    lwp->seed = number + 1;
    lwp->idle = &lwp->idle_thread;
    lwp->idle->rest = &lwp->idle_rest;
    lwp->idle_rest.mask = ~UINT64_C(0); /* no signal is for it */
    lwp->slot_of_place = (int)(number % lib.boot->nslots);
    return lwp;
}

/* In the kernel thread itself. */
static void lwp_adopt(struct lwp *lwp)
{
    user_lwp = lwp;
    lwp->err = lib.full_tls ? &lwp->no_err : &errno;
    lwp->tid = (int)SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0);
    if (lib.full_tls)
        lwp->tp = tls_current();
}

/* Where the sanitizers may look for frames. */
static void idle_stack_here(struct lwp *lwp)
{
    pthread_attr_t attr;
    size_t size;

    if (pthread_getattr_np(pthread_self(), &attr))
        return;
    if (!pthread_attr_getstack(&attr, &lwp->idle_rest.alone.low, &size))
        lwp->idle_rest.high = (char *)lwp->idle_rest.alone.low + size;
    pthread_attr_destroy(&attr);
}

static void *lwp_main(void *arg)
{
    struct lwp *lwp = arg;

    lwp_adopt(lwp);
    redzone_lwp_begin(lwp);
    lib.boot->pin(lib.boot, lwp->slot_of_place); /* a failure is seen where it is asked for */
    idle_stack_here(lwp);
#ifdef USER_TSAN
    lwp->idle_rest.fiber = __tsan_get_current_fiber();
#endif
    lwp->idle->tp = lwp->tp;
    state_set(lwp->idle, USER_ACTIVE);
    lwp->current = lwp->idle;
    free(malloc(1)); /* for which the C library maps memory now, and not in a user's call */
    watch_adopt(lwp);
    atomic_store(&lwp->started, 1);
    futex_wake(&lwp->started, INT_MAX);
    signals_begin_lwp(lwp);
    if (!lwp->bound)
        preempt_start(lwp, lwp->number); /* EAGAIN: nobody is preempted on it */
    idle_loop(lwp);
    preempt_stop(lwp);
    watch_leave(lwp);
    signals_end_lwp(lwp);
    redzone_lwp_end(lwp);
    return NULL;
}

/* Its kernel thread; lwp_lock is held. 0, EAGAIN. */
static int lwp_start(struct lwp *lwp)
{
    pthread_attr_t attr;
    int err;

    if (lwp->joinable)
        pthread_join(lwp->thread, NULL);
    lwp->joinable = 0;
    atomic_store(&lwp->started, 0);
    atomic_store(&lwp->phase, LWP_RUNS);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, USER_LWP_STACK);
    err = pthread_create(&lwp->thread, &attr, lwp_main, lwp);
    pthread_attr_destroy(&attr);
    if (err)
        atomic_store(&lwp->phase, LWP_GONE);
    else
        lwp->joinable = 1;
    return err;
}

/* From now on there may be two LWPs. No lock of the library is held: there is one LWP, and it is
 * here. */
static void become_multi(void)
{
    if (lib.multi)
        return;
    if (lib.full_tls)
        tls_multi_threaded();
    lib.multi = true;
}

/* One more LWP is to be active: a spare one, one that is gone, or a new one. lwp_lock is held. 0,
 * EAGAIN. */
static int lwp_add_locked(void)
{
    struct lwp *gone = NULL;
    int err;

    for (unsigned i = 1; i < lib.lwps_used; i++) {
        struct lwp *lwp = lib.lwp[i];

        if (atomic_load(&lwp->phase) == LWP_GONE) {
            gone = gone ? gone : lwp;
        } else if (atomic_load(&lwp->phase) == LWP_SPARE) {
            atomic_fetch_add(&lib.active, 1);
            if (lwp_claim(lwp, LWP_SPARE))
                return 0;
            atomic_fetch_sub(&lib.active, 1);
        }
    }
    if (!gone) {
        if (lib.lwps_used == USER_LWPS_MAX)
            return EAGAIN;
        gone = lwp_new(lib.lwps_used);
        if (!gone)
            return EAGAIN;
        atomic_store(&gone->phase, LWP_GONE);
        USER_STORE_RELEASE(lib.lwp[lib.lwps_used], gone);
        USER_STORE_RELEASE(lib.lwps_used, lib.lwps_used + 1);
    }
    atomic_fetch_add(&lib.active, 1);
    atomic_fetch_add(&lib.existing, 1);
    err = lwp_start(gone);
    if (err) {
        atomic_fetch_sub(&lib.active, 1);
        atomic_fetch_sub(&lib.existing, 1);
    }
    return err;
}

static int lwp_add(void)
{
    int err;

    become_multi();
    hold(lwp_self());
    lock_take(&lib.lwp_lock);
    err = lwp_add_locked();
    lock_release(&lib.lwp_lock);
    release(lwp_self());
    return err;
}

static int concurrency_apply(unsigned n)
{
    int err = 0;

    if (n > USER_LWPS_MAX)
        return EAGAIN;
    if (n > 1)
        become_multi();
    hold(lwp_self());
    lock_take(&lib.lwp_lock);
    USER_STORE(lib.wanted, n);
    USER_STORE(lib.spin, lib.boot->nslots > 1 && lib.boot->nslots >= n);
    while (!err && atomic_load(&lib.active) < (int)n)
        err = lwp_add_locked();
    USER_STORE(lib.slow.surplus, atomic_load(&lib.active) > (int)n);
    lock_release(&lib.lwp_lock);
    for (unsigned i = 1; i < lib.lwps_used; i++) /* what they map at their start is there by then */
        while (!atomic_load(&lib.lwp[i]->started) && !lwp_is_gone(lib.lwp[i]))
            futex_wait(&lib.lwp[i]->started, 0);
    release(lwp_self());
    if (USER_LOAD(lib.slow.surplus))
        for (unsigned i = 1; i < lib.lwps_used; i++)
            lwp_claim(lib.lwp[i], LWP_SLEEPS);
    return err;
}

/* ---- calls that may block -------------------------------------------------------------------- */

/* The LWP's thread is about to make one, or was seen in one; its queues are for the others until it
 * is back. */
static void outside_begin(struct lwp *lwp, uint8_t why)
{
    if (lwp->bound)
        return;
    __atomic_fetch_or(&lwp->outside, why, __ATOMIC_RELAXED);
    if (atomic_fetch_sub(&lib.active, 1) - 1 >= (int)USER_LOAD(lib.wanted))
        return;
    light();
    if (atomic_load(&lib.sleepers))
        notify();
    else if (any_work(lwp) || !atomic_load(&lib.active))
        lwp_add(); /* EAGAIN: the others wait until this one is back */
}

/* True: now there may be more of them than wanted. */
static bool outside_end(struct lwp *lwp, uint8_t why)
{
    if (lwp->bound)
        return false;
    __atomic_fetch_and(&lwp->outside, (uint8_t)~why, __ATOMIC_RELAXED);
    if (atomic_fetch_add(&lib.active, 1) + 1 <= (int)USER_LOAD(lib.wanted))
        return false;
    lock_take(&lib.lwp_lock);
    USER_STORE(lib.slow.surplus, atomic_load(&lib.active) > (int)lib.wanted);
    lock_release(&lib.lwp_lock);
    return true;
}

/* The caller's thread is about to make one. */
static void jacket_begin(struct lwp *lwp)
{
    lwp->hold++; /* the call may be a function of the user's */
    if (!lib.jackets)
        return;
    watch_hide(lwp);
    outside_begin(lwp, OUTSIDE_SAID);
}

static void jacket_end(struct lwp *lwp)
{
    lwp->hold--;
    if (!lib.jackets)
        return;
    outside_end(lwp, OUTSIDE_SAID);
    watch_show(lwp);
}

/* ---- picking --------------------------------------------------------------------------------- */

static __attribute__((noinline)) struct uthread *pick_slowly(struct lwp *lwp)
{
    struct uthread *t;

    look_around(lwp);
    if (USER_UNLIKELY(USER_LOAD(lib.slow.signals)))
        signals_look(lwp);
    if (USER_LOAD(lib.slow.surplus) && lwp->number)
        return lwp->idle;
    t = pick_own(lwp);
    return t ? t : lwp->idle;
}

static inline struct uthread *pick_next(struct lwp *lwp)
{
    struct uthread *t;

    if (USER_UNLIKELY(lwp->bound != NULL)) {
        t = list_take(lwp, &lwp->pinned);
        return t ? t : lwp->idle;
    }
    if (USER_UNLIKELY(USER_LOAD(lib.slow.any)))
        return pick_slowly(lwp);
    t = pick_own(lwp);
    return USER_LIKELY(t != NULL) ? t : lwp->idle;
}

/* ---- bound threads --------------------------------------------------------------------------- */

/* An LWP for t alone, which is its home then. NULL: EAGAIN. */
static struct lwp *lwp_bind(struct uthread *t, int slot)
{
    struct lwp *lwp;

    become_multi();
    hold(lwp_self());
    lock_take(&lib.lwp_lock);
    lwp = lib.bound_free;
    if (lwp) {
        lib.bound_free = lwp->next_bound;
    } else {
        lwp = lwp_new(0);
    }
    if (lwp) {
        if (slot >= 0)
            lwp->slot_of_place = slot;
        lwp->bound = t;
        t->home = lwp;
        if (lwp_start(lwp)) {
            lwp->next_bound = lib.bound_free;
            lib.bound_free = lwp;
            lwp = NULL;
        } else {
            lwp->next_bound = lib.bound;
            lib.bound = lwp;
        }
    }
    lock_release(&lib.lwp_lock);
    release(lwp_self());
    return lwp;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void lwps_boot_first(struct lwp *lwp)
{
    lib.lwp[0] = lwp;
    lib.lwps_used = 1;
    lib.wanted = 1;
    atomic_store(&lib.active, 1);
    atomic_store(&lib.existing, 1);
    lib.next_ns = USER_NS_NEVER;
}

/* Its kernel thread has ended, or is the caller. */
static void lwp_free(struct lwp *lwp)
{
    deque_end(&lwp->deque);
    free(lwp);
}

static void lwp_join(struct lwp *lwp)
{
    if (lwp->joinable)
        pthread_join(lwp->thread, NULL);
}

/* No thread is left but the caller, on LWP 0. */
static void lwps_end(void)
{
    struct lwp *lwp;

    lock_take(&lib.lwp_lock); /* from here on lwp_unbind leaves the lists alone */
    USER_STORE(lib.stopping, true);
    lock_release(&lib.lwp_lock);
    for (unsigned i = 1; i < lib.lwps_used; i++)
        lwp_wake(lib.lwp[i]);
    for (lwp = lib.bound; lwp; lwp = lwp->next_bound)
        lwp_wake(lwp);
    for (unsigned i = 1; i < lib.lwps_used; i++)
        lwp_join(lib.lwp[i]);
    for (lwp = lib.bound; lwp; lwp = lwp->next_bound)
        lwp_join(lwp);
    for (lwp = lib.bound_free; lwp; lwp = lwp->next_bound)
        lwp_join(lwp);
    for (unsigned i = 1; i < lib.lwps_used; i++)
        lwp_free(lib.lwp[i]);
    while ((lwp = lib.bound)) {
        lib.bound = lwp->next_bound;
        lwp_free(lwp);
    }
    while ((lwp = lib.bound_free)) {
        lib.bound_free = lwp->next_bound;
        lwp_free(lwp);
    }
}

#endif

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
 * What ends a sleep, what S3 looks at for it, and who is P:
 *
 *     a ready thread       any_work        make_ready, shared_push, push_next: by notify()
 *     with a place         the same        pinned_push: P3 is place_served()
 *     bound or strict      the same        pinned_push: lwp_wake(), whose P3 is the phase
 *     a deadline           next_ns         deadline_arm: lookout_hurry()
 *     a descriptor         slow.io         poller_enter: lookout_poll()
 *     fewer LWPs wanted    slow.surplus    concurrency_apply, which tries to claim all
 *     the end              stopping        lwps_end: likewise
 *     a world stop         slow.stop       world_stop: likewise, after a heavy() of its own
 *     a signal             the ring        signal_later, on this kernel thread: sets the token
 *
 * Who yields wakes nobody: that was done when it was made ready. outside_begin, of an LWP or of the
 * detector's monitor, does both: P for its slot, and S with `lacking` for `sleepers`. LWPs that
 * concurrency_apply adds begin with a look. The child of a fork has one LWP, which runs.
 *
 * Mutants: the order of S1 and S3 (user-sleep-looks-first: what a processor would make of it
 * without the fences), token = 0 after S1 (user-token-reset-late), the futex for the poller
 * (user-wake-no-kick), a blind lookout (user-lookout-stays-blind): suites/sched/last-wake.c; a
 * missing S3 in outside_begin (user-outside-no-look): suites/sched/replaced.c. With CONFIG=inject
 * there is a delay, sometimes, between P1 and P3, S1 and S2, S3 and S4, and within P4.
 *
 * One sleeping LWP is the lookout: it sleeps until the earliest deadline, in the poller where a
 * thread waits for a descriptor, and while others run it looks now and then whether a thread is
 * stuck in the slot of one of them, less and less often.
 *
 * A slot is left to its LWP, and P does not wake anybody for it if there is a lookout that looks
 * after slots. A lookout that saw nobody run does not (lookout_blind, written between S1 and S2):
 * who fills a slot then wakes it, or S3 sees the slot, by the same argument. Where all LWPs have
 * one PU this holds for the deque and the FIFO of the LWP, too (notify_own).
 *
 * An LWP whose thread makes a call that may block says so (outside_begin). If there is work, or it
 * was the last active one, another is made active: a spare one, or a new one. When it is back there
 * may be more of them than wanted: the next that switches, or one that has slept for USER_SPARE_NS,
 * becomes spare, hands its threads to the inbox, and ends when nobody has needed it for as long
 * again (Stein and Shah 1992, "Implementing Lightweight Threads": idle LWPs age).
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
#define USER_WATCH_DOUBLES_ONE_PU 2        /* likewise: about the kernel's own time slice */
#define USER_SPARE_NS UINT64_C(1000000000) /* after which a spare LWP ends */
#define USER_IDLE_STACK (64u * 1024)
#define USER_LWP_STACK (256u * 1024)

enum lwp_phase {
    LWP_RUNS,   /* threads, or looks for some */
    LWP_SLEEPS, /* may be claimed for work */
    LWP_MOVES,  /* was claimed, and is being told whom it serves */
    LWP_SPARE,  /* sleeps; it is one too many */
    LWP_GONE,   /* its kernel thread has ended */
};

_Thread_local struct lwp *user_lwp __attribute__((visibility("hidden")));

#include "watch.h"

static void place_look(struct lwp *home); /* place.h */

#include "doze.h"

#include "world.h"

#include "idle.h"

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
    lwp->serves = number < lib.boot->nslots ? lwp : lib.lwp[lwp->slot_of_place];
    return lwp;
}

/* In the kernel thread itself. */
static void lwp_adopt(struct lwp *lwp)
{
    user_lwp = lwp;
    lwp->err = lib.full_tls ? &lwp->no_err : &errno;
    USER_STORE(lwp->tid, (int)SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0));
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
    if (!lwp->bound)
        lwp->slot_of_place = (int)served_by(lwp)->number;
    lib.boot->pin(lib.boot, lwp->slot_of_place); /* a failure is seen where it is asked for */
    idle_stack_here(lwp);
#ifdef USER_TSAN
    lwp->idle_rest.fiber = __tsan_get_current_fiber();
#endif
    lwp->idle->tp = lwp->tp;
    state_set(lwp->idle, USER_ACTIVE);
    USER_STORE(lwp->current, lwp->idle); /* others look at it, see signal_poke */
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
    if (lwp_self()->current)
        lwp_self()->current->context.pc = NULL; /* it runs: see switch_at_once */
    lib.one_pu = lib.boot->nslots == 1;
    lib.multi = true;
}

/* One that has never run, or NULL. lwp_lock is held. */
static struct lwp *lwp_create(void)
{
    struct lwp *lwp = lib.lwps_used < USER_LWPS_MAX ? lwp_new(lib.lwps_used) : NULL;

    if (lwp) {
        atomic_store(&lwp->phase, LWP_GONE);
        USER_STORE_RELEASE(lib.lwp[lib.lwps_used], lwp);
        USER_STORE_RELEASE(lib.lwps_used, lib.lwps_used + 1);
    }
    return lwp;
}

/* One more LWP is to be active: a spare one, one that is gone, or a new one, in this order, and
 * rather one that serves `home` already. NULL: each is to serve what its number says. lwp_lock is
 * held. 0, EAGAIN. */
static int lwp_add_locked(struct lwp *home)
{
    struct lwp *gone = NULL;
    int err;

    for (unsigned i = 0; i < 2 * lib.lwps_used; i++) {
        struct lwp *lwp = lib.lwp[i % lib.lwps_used];
        uint32_t phase = phase_of(lwp);
        struct lwp *serve = home ? home : lib.lwp[lwp->number % lib.boot->nslots];

        if (served_by(lwp) != serve && i < lib.lwps_used)
            continue;
        if (phase == LWP_GONE) {
            gone = gone ? gone : lwp;
        } else if (phase == LWP_SPARE) {
            atomic_fetch_add(&lib.active, 1);
            if (lwp_claim_for(lwp, LWP_SPARE, serve))
                return 0;
            atomic_fetch_sub(&lib.active, 1);
        }
    }
    if (!gone)
        gone = lwp_create();
    if (!gone)
        return EAGAIN;
    USER_STORE(gone->serves, home ? home : lib.lwp[gone->number % lib.boot->nslots]);
    atomic_fetch_add(&lib.active, 1);
    atomic_fetch_add(&lib.existing, 1);
    err = lwp_start(gone);
    if (err) {
        atomic_fetch_sub(&lib.active, 1);
        atomic_fetch_sub(&lib.existing, 1);
    }
    return err;
}

/* If fewer are active than wanted, or none is. EAGAIN: the others wait until one is back. */
static void lwp_add(struct lwp *home)
{
    become_multi();
    hold(lwp_self());
    lock_take(&lib.lwp_lock);
    if (atomic_load(&lib.active) < (int)lib.wanted || !atomic_load(&lib.active))
        lwp_add_locked(home);
    lock_release(&lib.lwp_lock);
    release(lwp_self());
}

/* Who has made work found nobody asleep, and fewer active than wanted (see outside_begin). */
static __attribute__((noinline)) void lwp_lacks(void)
{
    if (__atomic_exchange_n(&lib.lacking, 0, __ATOMIC_SEQ_CST))
        lwp_add(NULL);
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
        err = lwp_add_locked(NULL);
    USER_STORE(lib.slow.surplus, atomic_load(&lib.active) > (int)n);
    lock_release(&lib.lwp_lock);
    /* What they map at their start is there by then. */
    for (unsigned i = 1; i < USER_LOAD_ACQUIRE(lib.lwps_used); i++)
        while (!atomic_load(&lib.lwp[i]->started) && phase_of(lib.lwp[i]) != LWP_GONE)
            futex_wait(&lib.lwp[i]->started, 0);
    release(lwp_self());
    light(); /* P2; a claim is P3 */
    if (USER_LOAD(lib.slow.surplus))
        for (unsigned i = 1; i < USER_LOAD_ACQUIRE(lib.lwps_used); i++)
            lwp_claim(lib.lwp[i], LWP_SLEEPS);
    return err;
}

#include "place.h"

/* ---- calls that may block -------------------------------------------------------------------- */

/* The LWP's thread is about to make one, or was seen in one; its queues are for the others until it
 * is back. An LWP that sleeps takes its place, else another one is made active: at once if there is
 * work or none is active; if not, when somebody makes some. That is the protocol above with
 * `lacking` for `sleepers`: P pushes, and looks at it after light(); here it is set, and the queues
 * are looked at after heavy(). */
static void outside_begin(struct lwp *lwp, uint8_t why)
{
    int active;

    if (lwp->bound || __atomic_fetch_or(&lwp->outside, why, __ATOMIC_SEQ_CST))
        return;
    active = atomic_fetch_sub(&lib.active, 1) - 1;
    place_look(served_by(lwp));
    light(); /* its slot is for anybody now: P1 of the protocol */
    if (atomic_load(&lib.sleepers)) {
        if (work_for_any(false))
            notify();
        return;
    }
    if (active >= (int)USER_LOAD(lib.wanted))
        return;
    __atomic_store_n(&lib.lacking, 1, __ATOMIC_SEQ_CST);
    USER_POINT("user.outside.before-look");
    heavy();
    if ((work_for_any(true) && !USER_MUTANT("user-outside-no-look")) || !atomic_load(&lib.active))
        lwp_lacks();
}

/* It is back. If more of them run now than wanted, the next one that switches retires. One that
 * sleeps is no burden, and may be wanted soon: it does so when it has slept for USER_SPARE_NS, or
 * when it is woken while the others are enough. */
static void outside_end(struct lwp *lwp, uint8_t why)
{
    uint8_t was;

    if (lwp->bound)
        return;
    was = __atomic_fetch_and(&lwp->outside, (uint8_t)~why, __ATOMIC_SEQ_CST);
    if (!was || was & ~why)
        return;
    atomic_fetch_add(&lib.active, 1);
    surplus_look(false);
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
    if (USER_UNLIKELY(USER_LOAD(lib.slow.signals))) {
        lwp->signals.leaves = true;
        signals_look(lwp);
        lwp->signals.leaves = false;
    }
    if ((USER_LOAD(lib.slow.surplus) && lwp->number) || USER_LOAD(lib.slow.stop))
        return lwp->idle;
    t = pick_own(lwp);
    return t ? t : lwp->idle;
}

static inline struct uthread *pick_next(struct lwp *lwp)
{
    struct uthread *t;

    if (USER_UNLIKELY(lwp->bound != NULL)) {
        t = USER_LOAD(lib.slow.stop) ? NULL : list_take(lwp, &lwp->pinned);
        return t ? t : lwp->idle;
    }
    if (USER_UNLIKELY(USER_LOAD(lib.slow.any)))
        return pick_slowly(lwp);
    t = pick_own(lwp);
    return USER_LIKELY(t != NULL) ? t : lwp->idle;
}

/* ---- bound threads --------------------------------------------------------------------------- */

/* An LWP for t alone, which is its home then. t is new, or the caller. NULL: EAGAIN. */
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
        if (lwp) {
            lwp->next_ever = lib.bound_ever;
            USER_STORE_RELEASE(lib.bound_ever, lwp);
        }
    }
    if (lwp) {
        lwp->slot_of_place = slot >= 0 ? slot : lwp_self()->slot_of_place;
        USER_STORE(lwp->bound, t);
        lwp->serves = lwp;
        lwp->before = USER_LOAD(t->home);
        USER_STORE(t->home, lwp);
        if (lwp_start(lwp)) {
            USER_STORE(t->home, lwp->before);
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
    lib.lwp[0] = lwp->serves = lwp;
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

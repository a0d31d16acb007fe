/*
 * doze.h - LWPs: fences, waking and sleeping. Included by lwp.h, whose first comment proves that no
 * wake-up is lost.
 */
#ifndef TL_USER_DOZE_H
#define TL_USER_DOZE_H

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

static uint32_t phase_of(const struct lwp *lwp)
{
    return atomic_load(&((struct lwp *)lwp)->phase);
}

static bool lwp_runs(const struct lwp *lwp)
{
    return phase_of(lwp) == LWP_RUNS && !USER_LOAD(((struct lwp *)lwp)->outside);
}

static bool lwp_sleeps(const struct lwp *lwp)
{
    return phase_of(lwp) == LWP_SLEEPS;
}

static void lwp_lacks(void); /* lwp.h: one is to be added */

static void place_settle(struct lwp *lwp); /* place.h */
static void places_rescue(struct lwp *lwp);
static void poller_kick(void); /* poller.h */
static void poller_doze(struct lwp *lwp, uint64_t until_ns);

/* ---- waking ---------------------------------------------------------------------------------- */

static inline uint64_t lwp_bit(const struct lwp *lwp)
{
    return lwp->bound ? 0 : UINT64_C(1) << lwp->number;
}

/* P4. False: it was not in that phase any more. home: that it is to serve from now on; NULL: as
 * before. With a home lwp_lock is held. */
static bool lwp_claim_for(struct lwp *lwp, uint32_t phase, struct lwp *home)
{
    if (!atomic_compare_exchange_strong(&lwp->phase, &phase, home ? LWP_MOVES : LWP_RUNS))
        return false;
    if (home) {
        USER_STORE(lwp->serves, home);
        atomic_store(&lwp->phase, LWP_RUNS); /* pairs with lwp_doze */
    }
    atomic_fetch_and(&lib.sleepers, ~lwp_bit(lwp));
    USER_POINT("user.wake.before-token");
    atomic_store(&lwp->token, 1);
    if (USER_UNLIKELY(atomic_load(&lwp->polls)) && /* pairs with poller_doze */
        !USER_MUTANT("user-wake-no-kick"))
        poller_kick();
    else
        futex_wake(&lwp->token, 1);
    return true;
}

static bool lwp_claim(struct lwp *lwp, uint32_t phase)
{
    return lwp_claim_for(lwp, phase, NULL);
}

static bool lwp_claim_sleeper(struct lwp *lwp)
{
    return lwp_claim(lwp, LWP_SLEEPS);
}

/* This one, if it sleeps; what it is woken for was pushed before. */
static void lwp_wake(struct lwp *lwp)
{
    uint32_t phase;

    USER_POINT("user.wake.before-look");
    light();
    phase = atomic_load_explicit(&lwp->phase, memory_order_relaxed);
    if ((phase == LWP_SLEEPS || phase == LWP_SPARE) && lwp_claim(lwp, phase) && phase == LWP_SPARE)
        atomic_fetch_add(&lib.active, 1);
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
    USER_POINT("user.wake.before-look");
    light();
    if (USER_UNLIKELY(atomic_load_explicit(&lib.sleepers, memory_order_relaxed))) {
        if (!atomic_load_explicit(&lib.searching, memory_order_relaxed))
            wake_one();
    } else if (USER_UNLIKELY(USER_LOAD(lib.lacking))) {
        lwp_lacks();
    }
}

/* Nobody looks after the slots: somebody is to. */
static __attribute__((noinline)) void watch_slots(void)
{
    uint32_t lookout = atomic_load(&lib.lookout);

    if (!lookout)
        wake_one();
    else
        lwp_claim(lib.lwp[lookout - 1], LWP_SLEEPS);
}

/* For a slot, which its own LWP gets to soon: the lookout will see if it does not. */
static inline void notify_slot(void)
{
    USER_POINT("user.wake.before-look");
    light();
    if (USER_UNLIKELY(atomic_load_explicit(&lib.sleepers, memory_order_relaxed))) {
        if (!atomic_load_explicit(&lib.searching, memory_order_relaxed) &&
            (!atomic_load_explicit(&lib.lookout, memory_order_relaxed) ||
             (USER_LOAD(lib.lookout_blind) && !USER_MUTANT("user-lookout-stays-blind"))))
            watch_slots();
    } else if (USER_UNLIKELY(USER_LOAD(lib.lacking))) {
        lwp_lacks();
    }
}

/* For a queue of the caller's LWP. Where all have one PU, who is woken runs at the caller's
 * expense, and a switch of kernel threads is dear: it is left to the lookout, as a slot is. */
static inline void notify_own(void)
{
    if (USER_LIKELY(!lib.multi))
        return;
    if (USER_UNLIKELY(lib.one_pu))
        notify_slot();
    else
        notify();
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

/* How many sleep. Counted here: where the processor has no instruction for it the compiler calls a
 * function of its own library, whose text counts as the user's (text.h). */
static int sleepers_now(void)
{
    uint64_t set = atomic_load(&lib.sleepers);
    int n = 0;

    for (; set; set &= set - 1)
        n++;
    return n;
}

static bool others_run(void)
{
    return atomic_load(&lib.active) > sleepers_now();
}

/* After one has become active, or has woken up: whether more run than wanted. Sequentially
 * consistent on both sides: the later one of two that do it sees both. asleep: count those, too. */
static void surplus_look(bool asleep)
{
    int sleep = asleep ? 0 : sleepers_now();

    if (atomic_load(&lib.active) - sleep <= (int)USER_LOAD(lib.wanted))
        return;
    lock_take(&lib.lwp_lock);
    USER_STORE(lib.slow.surplus, atomic_load(&lib.active) > (int)lib.wanted);
    lock_release(&lib.lwp_lock);
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
    while (atomic_load(&lwp->phase) == LWP_MOVES)
        SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    return true;
}

static unsigned watch_doubles(void)
{
    return lib.one_pu ? USER_WATCH_DOUBLES_ONE_PU : USER_WATCH_DOUBLES;
}

/* As long as there is nothing to do. */
static void lwp_sleep(struct lwp *lwp)
{
    uint64_t until = USER_NS_NEVER, age = USER_NS_NEVER;
    uint32_t nobody = 0;
    bool lookout = false, claimed, first = USER_MUTANT("user-sleep-looks-first"), work;

    work = first && any_work(lwp);
    if (first)
        USER_POINT("user.sleep.before-announce");
    atomic_store(&lwp->token, 0);
    atomic_store(&lwp->phase, LWP_SLEEPS);
    atomic_fetch_or(&lib.sleepers, lwp_bit(lwp));
    if (!lwp->bound) {
        /* Who arms a deadline from here on hurries it in any case. */
        lookout = atomic_compare_exchange_strong(&lib.lookout, &nobody, lwp->number + 1);
        if (lookout) {
            USER_STORE(lib.lookout_ns, USER_NS_NEVER);
            USER_STORE(lib.lookout_blind, !others_run());
        }
    }
    if (USER_LOAD(lib.signals_used) && others_run())
        signals_asleep(lwp);
    USER_POINT("user.sleep.before-look");
    heavy();
    if (!first)
        work = any_work(lwp);
    if (work || USER_LOAD(lib.slow.signals) || !ring_empty(lwp) || USER_LOAD(lib.slow.stop) ||
        USER_LOAD(lib.stopping) || (lwp->number && USER_LOAD(lib.slow.surplus))) {
        until = 0;
    } else if (lookout) {
        until = USER_LOAD(lib.next_ns);
        /* Who fills a slot from here on sees whether somebody looks after it. */
        if (!lib.lookout_blind || others_run() || work_for_any(true)) {
            uint64_t watch = clock_now_ns(CLOCK_MONOTONIC) + (USER_WATCH_NS << lwp->watch);

            USER_STORE(lib.lookout_blind, 0);
            until = watch < until ? watch : until;
        }
        until = trim_or_sleep(until);
    }
    if (until && lwp->number && !lwp->bound &&
        atomic_load(&lib.existing) > (int)USER_LOAD(lib.wanted)) {
        age = clock_now_ns(CLOCK_MONOTONIC) + USER_SPARE_NS;
        until = age < until ? age : until;
    }
    if (lookout)
        USER_STORE(lib.lookout_ns, until);
    USER_POINT("user.sleep.before-futex");
    if (USER_MUTANT("user-token-reset-late"))
        atomic_store(&lwp->token, 0);
    count(&lwp->counts.idles);
    claimed = lwp_doze(lwp, LWP_SLEEPS, until, lookout && USER_LOAD_ACQUIRE(lib.slow.io));
    lwp->watch = claimed || !lookout ? 0 : lwp->watch + (lwp->watch < watch_doubles());
    if (lookout)
        atomic_store(&lib.lookout, 0);
    lwp->was_lookout = lookout;
    if (lookout && !claimed)
        places_rescue(lwp);
    place_settle(lwp);
    if (lwp->number && !lwp->bound)
        surplus_look(!claimed && age != USER_NS_NEVER && clock_now_ns(CLOCK_MONOTONIC) >= age);
}

#endif

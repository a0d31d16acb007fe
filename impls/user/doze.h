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
    USER_POINT("user.wake.before-token");
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
    USER_POINT("user.sleep.before-look");
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
    USER_POINT("user.sleep.before-futex");
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

#endif

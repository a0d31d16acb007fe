/*
 * signals.h - signals: pending sets, and who gets which. Included by user.h only.
 *
 * Each thread has its mask and its pending set in its control block, so that a change of the mask
 * is a store: the kernel is asked only when something waits that the change lets in. After Powell
 * et al. 1991, "SunOS Multi-thread Architecture" (signals), and D. Stein, D. Shah 1992,
 * "Implementing Lightweight Threads" (USENIX Summer), whose four cases of a signal to the process
 * are in signals_route():
 *   1. the thread that runs has it open: its handler is run there, at once;
 *   2. another thread has it open: that one is told, and runs the handler when the library switches
 *      to it. If it waits for something it is interrupted for that, and waits again; but not one
 *      that a condition has let go to its mutex: it has its turn first;
 *   3. (several LWPs) that thread runs on another one, which is told by a directed signal;
 *   4. nobody has it open: the kernel's mask is lowered, and raised again by whoever opens it.
 * Who waits for a signal in sigwait goes before all of these.
 *
 * In all four it is pending for the process until somebody takes it, whoever was told: everybody
 * sees it, and may take it, until then. Who was told and then does not take it (blocks it, ends,
 * returns from sigwait with another one) tells another: signals_left.
 *
 * Signals of one thread, and of the process, are kept by number and then by age, as the kernel
 * would: a standard one once, a real-time one as often as it was sent. However many they are, to
 * find a place costs no more than there are numbers.
 */
#ifndef TL_USER_SIGNALS_H
#define TL_USER_SIGNALS_H

struct user_signal {
    struct user_signal *next; /* the oldest of the next number; of the oldest of a number only */
    struct user_signal *same; /* the next younger one of its number */
    struct user_signal *last; /* the youngest of its number; of the oldest only */
    siginfo_t info;
};

/* Kept in stock for the handler that the kernel calls, which cannot allocate. */
#define USER_SIGNALS_STOCK 64

/* Invariants: known: the library has taken over what the kernel does with them (sigaction.h), so
 * that action is true; FAULTS and NEVER count as known from the start. handlers: those of them with
 * a function. Changed in the library's own code only, or by the handler
 * while that is not interrupted. */
static struct {
    uint64_t known, handlers;
    uint64_t searched;        /* see signals_left */
    struct user_signal *kept; /* for the process: those of lib.pending */
    struct user_signal *free;
    size_t queued, stocked; /* kept for anybody; in the free list */
    struct queue waiters;   /* threads in sigwait */
    struct uthread *last;   /* who got the last one: tried first; may have ended */
    struct sigaction action[65];
} signals;

/* ---- keeping --------------------------------------------------------------------------------- */

static struct user_signal **signal_place(struct user_signal **at, int sig)
{
    while (*at && (*at)->info.si_signo < sig)
        at = &(*at)->next;
    return at;
}

/* The oldest of the number that stands at `at`. signal_lock is held. */
static struct user_signal *signal_unlink(struct user_signal **at)
{
    struct user_signal *s = *at, *heir = s->same;

    if (heir) {
        heir->next = s->next;
        heir->last = s->last;
    }
    USER_STORE(*at, heir ? heir : s->next);
    return s;
}

/* signal_lock is held, here and in signal_add, signal_take. What is stored atomically there (the
 * sets, stocked) others look at without it. */
static void signal_free(struct user_signal *s)
{
    s->next = signals.free;
    signals.free = s;
    USER_STORE(signals.stocked, signals.stocked + 1);
}

/* Not in the handler. */
static void signals_stock(void)
{
    struct lwp *lwp = lwp_self();

    while (USER_LOAD(signals.stocked) < USER_SIGNALS_STOCK) {
        struct user_signal *s;

        hold(lwp);
        s = malloc(sizeof(*s));
        release(lwp);
        if (!s)
            return;
        lock_take(&lib.signal_lock);
        signal_free(s);
        lock_release(&lib.signal_lock);
    }
}

/* Adds it to a list and its set. EAGAIN: there is no memory at hand. */
static int signal_add(struct user_signal **list, uint64_t *set, const siginfo_t *info)
{
    struct user_signal **place = signal_place(list, info->si_signo), *s = signals.free;
    uint64_t bit = signal_bit(info->si_signo);

    if ((*set & bit) && (bit & SIGNALS_STANDARD))
        return 0; /* pending already: once is enough */
    if (!s)
        return EAGAIN;
    signals.free = s->next;
    USER_STORE(signals.stocked, signals.stocked - 1);
    signals.queued++;
    s->info = *info;
    s->same = NULL;
    if (*place && (*place)->info.si_signo == info->si_signo) {
        (*place)->last->same = s;
        (*place)->last = s;
    } else {
        s->next = *place;
        s->last = s;
        USER_STORE(*place, s);
    }
    USER_STORE(*set, *set | bit);
    return 0;
}

/* Takes the oldest of sig. info: NULL, it is dropped. False: none. */
static bool signal_take(struct user_signal **list, uint64_t *set, int sig, siginfo_t *info)
{
    struct user_signal *s;

    list = signal_place(list, sig);
    if (!*list || (*list)->info.si_signo != sig)
        return false;
    s = signal_unlink(list);
    if (!s->same) {
        USER_STORE(*set, *set & ~signal_bit(sig));
        if (set == &lib.pending)
            USER_STORE(signals.searched, signals.searched & ~signal_bit(sig));
    }
    if (info)
        *info = s->info;
    signal_free(s);
    signals.queued--;
    return true;
}

/* The lowest of the set that is pending for t or the process; 0: none. */
static int signal_next(struct uthread *t, uint64_t set, siginfo_t *info)
{
    uint64_t any = (USER_LOAD(t->rest->pending) | USER_LOAD(lib.pending)) & set;
    int sig;

    if (!any)
        return 0;
    lock_take(&lib.signal_lock);
    any = (t->rest->pending | lib.pending) & set;
    sig = any ? __builtin_ctzll(any) + 1 : 0;
    if (sig && !signal_take(&t->rest->signals, &t->rest->pending, sig, info))
        signal_take(&signals.kept, &lib.pending, sig, info);
    lock_release(&lib.signal_lock);
    return sig;
}

/* ---- who gets it ----------------------------------------------------------------------------- */

/* t is locked. */
static inline bool can_handle(const struct uthread *t)
{
    enum user_state state = state_of(t);

    return t->rest && state != USER_FREE && state != USER_ENDED && state != USER_WAITS_ALL;
}

/* Something is pending for t that it has open: t is to do something about it soon. If it runs, on
 * another LWP, that is interrupted (case 3); it looks for the tag in every case when it is switched
 * to. heavy(): whoever switches to it now either sees the tag or is seen here as its LWP. */
static void signal_poke(struct lwp *lwp, struct uthread *t)
{
#if USER_MN
    struct lwp *home = USER_LOAD(t->home);

    heavy();
    if (interrupt(lwp, t))
        return;
    if (home && home != lwp && USER_LOAD(home->current) == t)
        SYS_CALL(SYS_tgkill, lib.pid, USER_LOAD(home->tid), USER_RETRY_SIGNAL, 0, 0, 0);
    for (unsigned i = 0; i < USER_LOAD_ACQUIRE(lib.lwps_used); i++)
        if (lib.lwp[i] != lwp && lib.lwp[i] != home && USER_LOAD(lib.lwp[i]->current) == t)
            SYS_CALL(SYS_tgkill, lib.pid, USER_LOAD(lib.lwp[i]->tid), USER_RETRY_SIGNAL, 0, 0, 0);
#else
    interrupt(lwp, t);
#endif
}

/* set: of those that concern what is pending for the process. */
static void signals_note(uint64_t *set, uint64_t bit, bool in)
{
    lock_take(&lib.signal_lock);
    USER_STORE(*set, in ? *set | (lib.pending & bit) : *set & ~bit);
    lock_release(&lib.signal_lock);
}

/* Who waits for it in sigwait goes on, and takes it. False: nobody does. */
static bool waiter_tell(struct lwp *lwp, uint64_t bit)
{
    struct uthread *t;

    list_lock(&signals.waiters);
    for (t = signals.waiters.head; t && !(t->rest->sigwait & bit); t = t->next)
        ;
    if (t)
        take_off(t);
    list_unlock(&signals.waiters);
    if (t)
        make_ready_as(lwp, t, USER_EARLY);
    return t != NULL;
}

/* t is locked. */
static inline bool has_open(const struct uthread *t, uint64_t bit)
{
    return can_handle(t) && !(USER_LOAD(t->rest->mask) & bit);
}

/* t is to take it, if it has it open. False: it has not, or had not any more when it was told: see
 * signals_assign.
 *
 * A caller that runs delivers, and need not be told. One that looks on its way out does not, though
 * another LWP may have made it ready by now. */
static bool open_tell(struct lwp *lwp, struct uthread *t, uint64_t bit)
{
    bool delivers = (state_of(t) == USER_ACTIVE && !lwp->signals.leaves) ||
                    USER_MUTANT("user-signal-told-on-leaving");
    bool here = t == lwp->current && delivers;
    uint32_t generation;
    bool open;

    if (!USER_LOAD(t->rest))
        return false;
    thread_lock(t);
    generation = t->generation;
    open = has_open(t, bit);
    if (open && !here)
        tp_tag(t);
    thread_unlock(t);
    if (!open || here)
        return open;
    USER_POINT("user.signal.before-poke");
    signal_poke(lwp, t);
#if USER_MN
    thread_lock(t);
    open = t->generation == generation && has_open(t, bit);
    thread_unlock(t);
#else
    (void)generation;
#endif
    return open;
}

/* Somebody who may take it is told: who waits for it; else the one that runs, the one that was told
 * last, or anybody who has it open. False: there is nobody. */
static bool anybody_tell(struct lwp *lwp, uint64_t bit)
{
    struct uthread *last = USER_LOAD(signals.last);

    if (waiter_tell(lwp, bit) || open_tell(lwp, lwp->current, bit))
        return true;
    if (USER_MUTANT("user-signal-current-only"))
        return false;
    if (last && open_tell(lwp, last, bit))
        return true;
    for (size_t i = 0; i < USER_LOAD(lib.table_used); i++)
        if (open_tell(lwp, &lib.table[i], bit)) {
            USER_STORE(signals.last, &lib.table[i]);
            return true;
        }
    return false;
}

/* It is pending for the process.
 *
 * Who opens a signal stores its mask, light(), and looks at `pending`; who awaits one goes on the
 * list, light(), and looks. Here, after it became pending, heavy(), and everybody is asked once
 * more: one of both sees the other. Who blocks one stores its mask, light(), and tells another one
 * if it is pending; open_tell looks at the mask again after heavy() in signal_poke: likewise. */
static void signals_assign(struct lwp *lwp, uint64_t bit)
{
    if (!anybody_tell(lwp, bit)) {
        signals_note(&lib.lowered, bit, true);
#if USER_MN
        heavy();
#endif
        if (!anybody_tell(lwp, bit))
            return;
        signals_note(&lib.lowered, bit, false);
    }
    if (USER_UNLIKELY(USER_LOAD(signals.searched) & bit))
        signals_note(&signals.searched, bit, false);
}

/* The caller does not take those of them that are pending, although it may have been told to.
 *
 * searched: nobody else has it open, but who opened it since, when it was pending already, and
 * looks for himself. So there is one search in the time for which a number is pending, however many
 * of it there are. */
static __attribute__((noinline)) void signals_left(uint64_t bits)
{
    if (USER_MUTANT("user-signal-kept-for-one"))
        return;
    for (bits &= USER_LOAD(lib.pending) & ~USER_LOAD(signals.searched); bits; bits &= bits - 1) {
        uint64_t bit = bits & -bits;

        signals_note(&signals.searched, bit, true);
        if (anybody_tell(lwp_self(), bit))
            signals_note(&signals.searched, bit, false);
    }
}

/* For the process. EAGAIN: no memory at hand; the signal is where it was. */
static int signals_route(struct lwp *lwp, const siginfo_t *info)
{
    int err;

    lock_take(&lib.signal_lock);
    err = signal_add(&signals.kept, &lib.pending, info);
    lock_release(&lib.signal_lock);
    if (!err)
        signals_assign(lwp, signal_bit(info->si_signo));
    return err;
}

/* For t alone; it is locked, and lives; gives back the lock. */
static int signal_keep(struct lwp *lwp, struct uthread *t, const siginfo_t *info)
{
    uint64_t bit = signal_bit(info->si_signo);
    bool here = t == lwp->current && state_of(t) == USER_ACTIVE, wanted;
    int err;

    lock_take(&lib.signal_lock);
    err = signal_add(&t->rest->signals, &t->rest->pending, info);
    lock_release(&lib.signal_lock);
#if USER_MN
    if (!here)
        heavy(); /* as above */
#endif
    wanted = !here && (!(USER_LOAD(t->rest->mask) & bit) || USER_LOAD(t->rest->sigwait) & bit);
    if (!err && wanted)
        tp_tag(t);
    thread_unlock(t);
    if (!err && wanted)
        signal_poke(lwp, t);
    return err;
}

/* What the kernel has delivered on that LWP. EAGAIN: there is more. ring_lock is held. */
static int ring_look(struct lwp *lwp, struct lwp *from, bool *empty)
{
    const siginfo_t *info;

    while ((info = ring_first(from))) {
        *empty = false;
        if (!is_retry(info) && signals_route(lwp, info))
            return EAGAIN;
        ring_drop(from);
    }
    return 0;
}

/* All rings, its own first. *empty: set to false if one is not. ring_lock is held. */
static int rings_look(struct lwp *lwp, bool *empty)
{
    int err = ring_look(lwp, lwp, empty);

#if USER_MN
    for (unsigned i = 0; !err && i < USER_LOAD_ACQUIRE(lib.lwps_used); i++)
        err = ring_look(lwp, lib.lwp[i], empty);
    for (struct lwp *at = USER_LOAD_ACQUIRE(lib.bound_ever); !err && at; at = at->next_ever)
        err = ring_look(lwp, at, empty);
#endif
    return err;
}

/* What the kernel has delivered while the library was at work, on this LWP and others. In the
 * library's own code, or in the handler. Does not run handlers: see signals_deliver.
 *
 * slow.signals stays set until all of it is where it belongs, so that who does not find it set
 * misses nothing that came before. Who fills a ring sets it then: it is seen by the look after the
 * fence, or set behind that. */
static void signals_look(struct lwp *lwp)
{
    bool empty;
    int err;

    lock_take(&lib.ring_lock);
    do {
        empty = true;
        err = rings_look(lwp, &empty);
        USER_STORE(lib.slow.signals, err != 0); /* as soon as there is memory */
        atomic_thread_fence(memory_order_seq_cst);
    } while (!empty && !err);
    lock_release(&lib.ring_lock);
    if (!err)
        lwp->signals.full = false;
}

/* Signals that the kernel keeps are let in, as somebody has them open or waits for them now. What
 * is kept here of a standard one stands for all that came after it: one at most for the process and
 * one for the LWP, and timers, which may be faster than this (flood_count). */
static void signals_raise(uint64_t bits)
{
    uint64_t twice = bits & USER_LOAD(lib.pending) & SIGNALS_STANDARD;
    struct timespec now = {0, 0};

    for (; twice; twice &= twice - 1) {
        uint64_t bit = twice & -twice;

        for (int i = 0; i < 2; i++)
            SYS_CALL(SYS_rt_sigtimedwait, &bit, NULL, &now, sizeof(bit), 0, 0);
    }
    lock_take(&lib.signal_lock);
    if (!USER_MUTANT("user-signal-not-raised"))
        USER_STORE(lib.lowered, lib.lowered & ~bits);
    lock_release(&lib.signal_lock);
}

#endif

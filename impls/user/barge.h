/*
 * barge.h - BLOCK, ADAPTIVE and SPIN mutexes of several LWPs. Included by mutex.h, of M:N only.
 *
 * A mutex is free as soon as it is unlocked, and whoever comes first has it: a thread that runs
 * need not wait for one that has been woken to get a PU. Nobody starves: who was woken in vain
 * BARGE_TRIES times is given the mutex by the next unlock.
 *
 * ADAPTIVE (Eykholt et al. 1992, "Beyond Multiprocessing", section 4): a thread that finds it taken
 * spins as long as the owner runs on another PU, because it will be free sooner than two switches
 * take; it blocks when the owner does not run, or after BARGE_SPIN_NS: then the kernel may have
 * displaced the owner's LWP, which the library does not see. Where LWPs share PUs it has done so
 * more often than not, and BARGE_SHORT_NS are enough; on one PU nobody spins. SPIN spins, and
 * yields to other threads now and then.
 *
 * `owner`: NULL, free; a thread; either tagged: there are waiters, or were. It changes by compare
 * and exchange; the tag is set, and is taken away, under the lock of the wait list only. So a
 * waiter that has set it is on the list when an unlock, which must look there, has that lock.
 */
#ifndef TL_USER_BARGE_H
#define TL_USER_BARGE_H

#define BARGE_TRIES 4
#define BARGE_SPIN_NS 50000u /* two to four wake-ups of a sleeping LWP */
#define BARGE_SHORT_NS 5000u /* where LWPs share PUs: a fraction of a wake-up */
/* Between two looks of a spinning waiter. Each takes the owner's cache line away from it, which
 * costs it more than a short section: at 0 ns of work 46 ns an acquisition, against 125 where the
 * waiters look all the time. It is what a waiter is late by at most. */
#define BARGE_LOOK_NS 300u
#define BARGE_SPINS 64 /* of cpu_relax; SPIN: between two yields */

/* From *owner, which was read just now; false: to another one, that *owner is then. */
static inline bool owner_change(struct user_mutex *m, struct uthread **owner, struct uthread *next)
{
    if (USER_LIKELY(lib.multi))
        return __atomic_compare_exchange_n(&m->owner, owner, next, false, __ATOMIC_ACQUIRE,
                                           __ATOMIC_RELAXED);
    USER_STORE(m->owner, next);
    return true;
}

/* Free, tagged or not: takes it. */
static bool plain_try(struct user_mutex *m, struct uthread *self)
{
    struct uthread *owner = USER_LOAD(m->owner);

    while (!owner || owner == tagged(NULL))
        if (owner_change(m, &owner, owner ? tagged(self) : self))
            return true;
    return false;
}

/* True: it is the caller's. */
static bool adaptive_spin(struct user_mutex *m, struct uthread *self)
{
    uint64_t begin, now, look, most = USER_LOAD(lib.spin) ? BARGE_SPIN_NS : BARGE_SHORT_NS;

    if (lib.boot->nslots < 2 || !lib.multi)
        return false;
    begin = now = clock_now_ns(CLOCK_MONOTONIC);
    do {
        const struct uthread *owner = owner_of(m);

        if (!owner) {
            if (plain_try(m, self))
                return true;
        } else if (USER_MUTANT("user-adaptive-blind")) {
            most = UINT64_MAX; /* as long as it takes */
        } else if (USER_LOAD(((struct uthread *)(uintptr_t)owner)->context.pc) || owner == self) {
            return false; /* it does not run */
        }
        look = now + BARGE_LOOK_NS;
        do { /* by the clock: a pause takes from 5 to 60 ns, depending on the processor */
            cpu_relax();
            now = clock_now_ns(CLOCK_MONOTONIC);
        } while (now < look);
    } while (now - begin <= most);
    return false;
}

static int spin_for_ever(struct user_mutex *m)
{
    for (unsigned spins = 1;; spins++) {
        if (plain_try(m, lwp_self()->current))
            return 0;
        if (!USER_LOAD(lib.spin) || !lib.multi || spins % BARGE_SPINS == 0)
            user_yield();
        else
            cpu_relax();
    }
}

/* The lock of the wait list is held. True: it was free, and is the caller's; false: it is held and
 * tagged. */
static bool plain_claim(struct user_mutex *m, struct uthread *self)
{
    struct uthread *owner = USER_LOAD(m->owner);

    for (;;) {
        struct uthread *next = owner;

        if (!owner || owner == tagged(NULL))
            next = m->waiters.head ? tagged(self) : self;
        else if ((uintptr_t)owner & MUTEX_TAG)
            return false;
        else
            next = tagged(owner);
        if (owner_change(m, &owner, next))
            return !owner || owner == tagged(NULL);
    }
}

/* until: NULL, for ever. */
static int plain_wait(struct user_mutex *m, struct uthread *self, const struct user_deadline *until)
{
    bool relocks = owner_of(m) == self; /* nobody can give it: it waits for itself */

    if (m->kind == TL_MUTEX_SPIN && !until)
        return spin_for_ever(m);
    for (self->tries = 0;; self->tries++) {
        if (m->kind == TL_MUTEX_ADAPTIVE && adaptive_spin(m, self))
            return 0;
        list_lock(&m->waiters);
        if (plain_claim(m, self)) {
            list_unlock(&m->waiters);
            return 0;
        }
        if (until && deadline_due(until)) {
            list_unlock(&m->waiters);
            return ETIMEDOUT;
        }
        wait_on(lwp_self(), self, &m->waiters, USER_WAITS_MUTEX);
        list_unlock(&m->waiters);
        USER_POINT("user.mutex.before-park");
        deadline_arm(self, until);
        park(self);
        deadline_disarm(self, until);
        if (!relocks &&
            owner_of(m) == self) /* given: what came before is seen since it was made ready */
            return 0;
    }
}

/* The owner lets go of it; the lock of the wait list is held. Who is to be made ready; NULL: nobody
 * waits. On the only LWP who was signalled is given it: it will be the next to run, and nobody
 * comes before it. */
static inline struct uthread *pass_on(struct user_mutex *m)
{
    struct uthread *heir = wait_pop(&m->waiters), *owner = NULL;

    if (heir && ((!lib.multi && state_of(heir) == USER_WAITS_AGAIN) ||
                 (heir->tries >= BARGE_TRIES && !USER_MUTANT("user-barge-never-given"))))
        owner = heir;
    USER_STORE_RELEASE(m->owner, m->waiters.head ? tagged(owner) : owner);
    return heir;
}

/* The caller has it, tagged. EPERM: it has not. */
static int plain_release(struct user_mutex *m, struct uthread *self)
{
    struct uthread *heir;

    if (owner_of(m) != self)
        return EPERM;
    list_lock(&m->waiters);
    heir = pass_on(m);
    list_unlock(&m->waiters);
    if (heir)
        make_ready(lwp_self(), heir);
    return 0;
}

/* t waited for a condition that uses m, and goes on with it: behind the others, or, if it is free,
 * by itself. Nobody interrupts it. */
static void plain_requeue(struct user_mutex *m, struct uthread *t)
{
    bool held = false;
    struct uthread *owner;

    t->tries = 0;
    list_lock(&m->waiters);
    owner = USER_LOAD(m->owner);
    while (!held && owner && owner != tagged(NULL))
        held = (uintptr_t)owner & MUTEX_TAG || owner_change(m, &owner, tagged(owner));
    if (held) {
        t->rest->waits.list = &m->waiters;
        queue_push(&m->waiters, t);
    }
    list_unlock(&m->waiters);
    if (!held)
        make_ready(lwp_self(), t);
}

#endif

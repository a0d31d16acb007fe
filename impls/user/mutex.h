/*
 * mutex.h - mutexes of all kinds. Included by user.h only.
 *
 * First come, first served, by direct hand-over: unlock gives the mutex to the one who has waited
 * longest, who owns it before it runs. Nobody overtakes, nobody starves. The usual price of
 * hand-over, that a free mutex is held by a thread which does not run, is nil with one LWP: whoever
 * finds it taken would have found the holder not running anyway.
 *
 * BLOCK waits on the list. ADAPTIVE is BLOCK: with one LWP the owner never runs while somebody else
 * wants the mutex, so the spinning part is always empty. SPIN tries again after each yield; it
 * takes a free mutex in any order. (With a policy other than FIFO it waits on the list: a yield
 * might come back for ever.)
 *
 * The other kinds cost BLOCK nothing, because they leave the fast path by what it looks at anyway:
 * relocking finds an owner, and where unlocking or even locking must do more, `owner` is tagged.
 * ERRORCHECK is never tagged, RECURSIVE while it is held more than once, ROBUST and PI always.
 *
 * With several LWPs BLOCK, ADAPTIVE and SPIN are another algorithm: barge.h. The other kinds are as
 * here, under the lock of their wait list.
 *
 * PI (policy=priority only): Sha, Rajkumar, Lehoczky 1990, "Priority Inheritance Protocols",
 * section III: the owner runs at the highest priority of those who wait for a mutex of its own, and
 * what that owner waits for inherits in turn. The heir is the most urgent waiter.
 */
#ifndef TL_USER_MUTEX_H
#define TL_USER_MUTEX_H

enum mutex_fault {
    MUTEX_SOUND,
    MUTEX_INCONSISTENT, /* its owner ended with it; EOWNERDEAD was or will be said */
    MUTEX_LOST,         /* unlocked while inconsistent: ENOTRECOVERABLE for ever */
};

/* Invariants: waiters only while owned; owner is NULL or MUTEX_TAG alone while it is free; again is
 * 0 but in RECURSIVE, owner tagged while it is not; ROBUST and PI: in its owner's list `held`, by
 * next_held and the pointer at it. */
struct user_mutex {
    struct uthread *owner; /* with several LWPs: USER_LOAD, and changed by compare and exchange */
    struct queue waiters;
    uint8_t kind, fault;
    uint32_t again; /* locks beyond the first */
    struct user_mutex *next_held, **link;
};
_Static_assert(sizeof(struct user_mutex) <= TL_MUTEX_SIZE, "fits the caller's storage");
_Static_assert(TL_MUTEX_BLOCK == 0, "all bytes zero is one");

#define MUTEX_TAG 1u

static inline struct user_mutex *mutex_of(struct tl_mutex *m)
{
    return (struct user_mutex *)(void *)m->opaque;
}

static inline struct uthread *tagged(struct uthread *owner)
{
    return (struct uthread *)((uintptr_t)owner | MUTEX_TAG);
}

/* NULL: it is free. */
static inline struct uthread *owner_of(const struct user_mutex *m)
{
    return (struct uthread *)((uintptr_t)USER_LOAD(((struct user_mutex *)m)->owner) &
                              ~(uintptr_t)MUTEX_TAG);
}

/* It is known to its owner's `held`. */
static inline bool is_listed(const struct user_mutex *m)
{
    return m->kind == TL_MUTEX_ROBUST || m->kind == TL_MUTEX_PI;
}

/* With several LWPs: a word that changes by compare and exchange is enough; see barge.h. */
static inline bool is_plain(const struct user_mutex *m)
{
    return m->kind <= TL_MUTEX_ADAPTIVE;
}

/* With several LWPs: the lock of the wait list guards all of a mutex that is not plain; before it,
 * another guards all that are listed, because what PI lends runs along chains of them. */
static inline void mutex_guard(struct user_mutex *m)
{
    if (is_listed(m))
        lock_take(&lib.listed_lock);
    list_lock(&m->waiters);
}

static inline void mutex_unguard(struct user_mutex *m)
{
    list_unlock(&m->waiters);
    if (is_listed(m))
        lock_release(&lib.listed_lock);
}

static int user_mutex_init(struct tl_mutex *opaque, enum tl_mutex_kind kind)
{
    struct user_mutex *m = mutex_of(opaque);

    if ((unsigned)kind >= TL_MUTEX_KINDS)
        return EINVAL;
    if (kind == TL_MUTEX_SHARED_RECURSIVE)
        return ENOTSUP;
    if (kind == TL_MUTEX_PI && lib.policy != USER_PRIORITY)
        return ENOTSUP;
    *m = (struct user_mutex){.kind = (uint8_t)kind};
    if (is_listed(m) || (USER_MN && !is_plain(m)))
        m->owner = tagged(NULL);
    return 0;
}

/* ---- priority inheritance -------------------------------------------------------------------- */

/* The one whose priority is highest, and of those the one who has waited longest. NULL: nobody. */
static struct uthread *most_urgent(const struct user_mutex *m)
{
    struct uthread *best = m->waiters.head;

    for (struct uthread *t = best; t; t = t->next)
        if (t->rest->priority > best->rest->priority)
            best = t;
    return best;
}

/* A waiter of this priority has come: its owner inherits it, and the owner of what that one waits
 * for. Ends in a deadlock, too: a priority only rises on the way. */
static void pi_lend(struct lwp *lwp, const struct user_mutex *m, unsigned priority)
{
    for (;;) {
        struct uthread *owner = owner_of(m);

        if (m->kind != TL_MUTEX_PI || !owner || !owner->rest || owner->rest->priority >= priority)
            return;
        set_priority(lwp, owner, priority);
        if (state_of(owner) != USER_WAITS_MUTEX)
            return;
        m = (struct user_mutex *)(void *)((char *)owner->rest->waits.list -
                                          offsetof(struct user_mutex, waiters));
    }
}

/* The priority of t from its own and those who wait for it now. */
static void pi_settle(struct lwp *lwp, struct uthread *t)
{
    unsigned priority = t->rest->base_priority;

    for (const struct user_mutex *m = t->rest->held; m; m = m->next_held) {
        const struct uthread *waiter = m->kind == TL_MUTEX_PI ? most_urgent(m) : NULL;

        if (waiter && waiter->rest->priority > priority)
            priority = waiter->rest->priority;
    }
    set_priority(lwp, t, priority);
}

/* ---- ROBUST and PI: known to their owner ----------------------------------------------------- */

/* t: NULL, nobody. */
static void listed_give(struct lwp *lwp, struct user_mutex *m, struct uthread *t)
{
    USER_STORE(m->owner, tagged(t));
    if (!t)
        return;
    m->next_held = t->rest->held;
    m->link = &t->rest->held;
    if (m->next_held)
        m->next_held->link = &m->next_held;
    t->rest->held = m;
    if (m->kind == TL_MUTEX_PI)
        pi_settle(lwp, t);
}

static void listed_unlink(struct user_mutex *m)
{
    *m->link = m->next_held;
    if (m->next_held)
        m->next_held->link = m->link;
}

/* To the next waiter, or to nobody. */
static void listed_hand_over(struct lwp *lwp, struct user_mutex *m)
{
    struct uthread *heir = m->kind == TL_MUTEX_PI ? most_urgent(m) : m->waiters.head;

    if (heir) {
        queue_remove(&m->waiters, heir);
        waits_no_more(heir);
    }
    listed_give(lwp, m, heir);
    if (heir)
        make_ready(lwp, heir);
}

/* Everyone who waits will see that it is lost. */
static void robust_lose(struct lwp *lwp, struct user_mutex *m)
{
    struct uthread *t;

    m->fault = MUTEX_LOST;
    USER_STORE(m->owner, tagged(NULL));
    while ((t = wait_pop(&m->waiters)))
        make_ready(lwp, t);
}

/* The caller ends. What it holds of the other kinds stays locked. */
static void mutexes_abandon(struct lwp *lwp, struct uthread *self)
{
    struct user_mutex *m;

    while ((m = self->rest->held)) {
        mutex_guard(m);
        listed_unlink(m);
        if (m->kind == TL_MUTEX_ROBUST) {
            if (m->fault == MUTEX_SOUND)
                m->fault = MUTEX_INCONSISTENT;
            listed_hand_over(lwp, m);
        }
        mutex_unguard(m);
    }
}

/* ---- lock ------------------------------------------------------------------------------------ */

/* What its new owner hears. */
static int taken(const struct user_mutex *m)
{
    return m->fault == MUTEX_SOUND          ? 0
           : m->fault == MUTEX_INCONSISTENT ? EOWNERDEAD
                                            : ENOTRECOVERABLE;
}

/* How `owner` names a thread: with several LWPs the kinds that need more than compare and exchange
 * are always tagged. */
static inline struct uthread *owned_by(const struct user_mutex *m, struct uthread *t)
{
    return USER_MN && !is_plain(m) ? tagged(t) : t;
}

/* What can be said without waiting; EBUSY: it is held, and the caller may wait. */
static int mutex_try(struct lwp *lwp, struct user_mutex *m)
{
    struct uthread *self = lwp->current, *owner = owner_of(m);

    if (m->fault == MUTEX_LOST)
        return ENOTRECOVERABLE;
    if (!owner && is_listed(m)) {
        listed_give(lwp, m, self);
        return taken(m);
    }
    if (!owner) {
        USER_STORE(m->owner, owned_by(m, self));
        return 0;
    }
    if (owner == self && m->kind == TL_MUTEX_RECURSIVE) {
        if (m->again == UINT32_MAX)
            return EAGAIN;
        m->again++;
        USER_STORE(m->owner, tagged(self));
        return 0;
    }
    return EBUSY;
}

#if USER_MN
#include "barge.h"
#else

static int mutex_spin(struct lwp *lwp, struct user_mutex *m)
{
    do {
        if (!lwp->queue.ready.head) /* a yield would come straight back, for ever */
            idle(lwp);
        user_yield();
    } while (m->owner);
    m->owner = lwp->current;
    return 0;
}
#endif

/* until: NULL, for ever. Whoever is interrupted tries anew, behind the others. */
static __attribute__((noinline)) int mutex_wait(struct user_mutex *m,
                                                const struct user_deadline *until)
{
    struct uthread *self = lwp_self()->current;
    bool early;
    int err;

#if USER_MN
    if (USER_LIKELY(is_plain(m)))
        return plain_wait(m, self, until);
#else
    if (m->kind == TL_MUTEX_SPIN && !until && lib.policy == USER_FIFO)
        return mutex_spin(lwp_self(), m);
#endif
    for (;;) {
        mutex_guard(m);
        err = mutex_try(lwp_self(), m);
        if (err == EBUSY && m->kind == TL_MUTEX_ERRORCHECK && owner_of(m) == self)
            err = EDEADLK;
        else if (err == EBUSY && until && deadline_due(until))
            err = ETIMEDOUT;
        if (err != EBUSY) {
            mutex_unguard(m);
            return err;
        }
        pi_lend(lwp_self(), m, self->rest->priority);
        wait_on(lwp_self(), self, &m->waiters, USER_WAITS_MUTEX);
        mutex_unguard(m);
        deadline_arm(self, until);
        early = park(self);
        deadline_disarm(self, until);
        if (!early)
            return taken(m); /* whoever made it ready has given it the mutex */
        if (m->kind == TL_MUTEX_PI) {
            mutex_guard(m);
            if (owner_of(m) && owner_of(m)->rest)
                pi_settle(lwp_self(), owner_of(m));
            mutex_unguard(m);
        }
    }
}

/* The common case: nobody has it. */
static inline bool mutex_grab(struct user_mutex *m)
{
    struct uthread *self = lwp_self()->current;
#if USER_MN
    struct uthread *nobody = NULL;

    if (USER_LIKELY(lib.multi))
        return __atomic_compare_exchange_n(&m->owner, &nobody, self, false, __ATOMIC_ACQUIRE,
                                           __ATOMIC_RELAXED);
#endif
    if (USER_UNLIKELY(m->owner != NULL))
        return false;
    m->owner = self;
    return true;
}

static int user_mutex_lock(struct tl_mutex *opaque)
{
    struct user_mutex *m = mutex_of(opaque);

    return USER_LIKELY(mutex_grab(m)) ? 0 : mutex_wait(m, NULL);
}

static int user_mutex_timedlock(struct tl_mutex *opaque, clockid_t clock, uint64_t deadline_ns)
{
    struct user_mutex *m = mutex_of(opaque);
    struct user_deadline until = {clock, deadline_ns};

    if (!deadline_valid(&until))
        return EINVAL;
    return USER_LIKELY(mutex_grab(m)) ? 0 : mutex_wait(m, &until);
}

static __attribute__((noinline)) int mutex_try_slowly(struct user_mutex *m)
{
    int err;

#if USER_MN
    if (is_plain(m))
        return plain_try(m, lwp_self()->current) ? 0 : EBUSY;
#endif
    mutex_guard(m);
    err = mutex_try(lwp_self(), m);
    mutex_unguard(m);
    return err;
}

static int user_mutex_trylock(struct tl_mutex *opaque)
{
    struct user_mutex *m = mutex_of(opaque);

    return USER_LIKELY(mutex_grab(m)) ? 0 : mutex_try_slowly(m);
}

/* ---- unlock ---------------------------------------------------------------------------------- */

#if !USER_MN
/* To the one who has waited longest; the caller is the owner, and it is not tagged. */
static inline void mutex_release(struct user_mutex *m)
{
    struct uthread *heir = wait_pop(&m->waiters);

    m->owner = heir;
    if (USER_UNLIKELY(heir != NULL))
        make_ready(lwp_self(), heir);
}
#endif

static int release_guarded(struct user_mutex *m)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current, *heir;

    if (owner_of(m) != self)
        return EPERM;
    if (m->kind == TL_MUTEX_RECURSIVE && m->again) {
        if (!--m->again)
            USER_STORE(m->owner, owned_by(m, self));
        return 0;
    }
    if (!is_listed(m)) {
        heir = wait_pop(&m->waiters);
        USER_STORE(m->owner, owned_by(m, heir));
        if (heir)
            make_ready(lwp, heir);
        return 0;
    }
    listed_unlink(m);
    if (m->fault == MUTEX_INCONSISTENT)
        robust_lose(lwp, m);
    else
        listed_hand_over(lwp, m);
    if (m->kind == TL_MUTEX_PI)
        pi_settle(lwp, self);
    return 0;
}

static __attribute__((noinline)) int mutex_release_tagged(struct user_mutex *m)
{
    int err;

#if USER_MN
    if (USER_LIKELY(is_plain(m)))
        return plain_release(m, lwp_self()->current);
#endif
    mutex_guard(m);
    err = release_guarded(m);
    mutex_unguard(m);
    return err;
}

static inline int mutex_unlock(struct user_mutex *m)
{
    struct uthread *self = lwp_self()->current;
#if USER_MN
    struct uthread *owner = self;

    if (USER_LIKELY(lib.multi)) {
        if (USER_LIKELY(__atomic_compare_exchange_n(&m->owner, &owner, NULL, false,
                                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED)))
            return 0;
        return mutex_release_tagged(m);
    }
    if (USER_LIKELY(m->owner == self)) {
        m->owner = NULL; /* who waits would have tagged it */
        return 0;
    }
    return mutex_release_tagged(m);
#else
    if (USER_UNLIKELY(m->owner != self))
        return mutex_release_tagged(m);
    mutex_release(m);
    return 0;
#endif
}

/* EPERM: it is not the caller's. */
static int user_mutex_unlock(struct tl_mutex *opaque)
{
    return mutex_unlock(mutex_of(opaque));
}

static int user_mutex_consistent(struct tl_mutex *opaque)
{
    struct user_mutex *m = mutex_of(opaque);

    if (m->fault != MUTEX_INCONSISTENT || owner_of(m) != lwp_self()->current)
        return EINVAL;
    m->fault = MUTEX_SOUND;
    return 0;
}

static int user_mutex_destroy(struct tl_mutex *opaque)
{
    return owner_of(mutex_of(opaque)) ? EBUSY : 0;
}

static const struct tl_mutex_ops user_mutex_ops = {
    .init = user_mutex_init,
    .lock = user_mutex_lock,
    .trylock = user_mutex_trylock,
    .unlock = user_mutex_unlock,
    .destroy = user_mutex_destroy,
    .timedlock = user_mutex_timedlock,
    .consistent = user_mutex_consistent,
};

#endif

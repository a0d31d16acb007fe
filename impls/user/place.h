/*
 * place.h - LWPs: somebody serves each home that has ready threads (steal.h). Included by lwp.h.
 *
 * A thread with a place runs on the LWPs that serve its home. When it is pushed, or when one of
 * them goes outside, retires or moves, and no other one of them runs, another LWP is got there: one
 * of them that sleeps or is spare; one that sleeps or is spare elsewhere, and moves; or a new one.
 * Nobody is missed: pinned_push looks at the LWPs, and place_look at the queue, under the lock of
 * the home, so that the later one of the two sees what the other has done.
 *
 * What blocks unseen (detector=none, or a plain call with detector=jacket) is rescued by the
 * lookout: a home whose LWPs got to nothing between two of its looks is visited by another one.
 */
#ifndef TL_USER_PLACE_H
#define TL_USER_PLACE_H

/* Better than nothing, rising: what an LWP in `phase` is worth for home. 0: it cannot come. */
static unsigned place_rank(const struct lwp *lwp, const struct lwp *home)
{
    bool there = served_by(lwp) == home;

    switch (phase_of(lwp)) {
    case LWP_SLEEPS:
        return there ? 5 : lwp->number ? 3 : 0;
    case LWP_SPARE:
        return there ? 4 : 2;
    default:
        return 0;
    }
}

/* The best one for it is claimed. EAGAIN: there is none; EINTR: it was claimed by another just now;
 * look again. lwp_lock is held. */
static int place_claim(struct lwp *home)
{
    struct lwp *best = NULL;
    unsigned rank = 0;
    bool spare;

    for (unsigned i = 0; i < lib.lwps_used; i++)
        if (place_rank(lib.lwp[i], home) > rank) {
            best = lib.lwp[i];
            rank = place_rank(best, home);
        }
    if (!best)
        return EAGAIN;
    spare = rank == 4 || rank == 2;
    if (spare)
        atomic_fetch_add(&lib.active, 1);
    if (lwp_claim_for(best, spare ? LWP_SPARE : LWP_SLEEPS, home))
        return 0;
    if (spare)
        atomic_fetch_sub(&lib.active, 1);
    return EINTR;
}

/* Nobody served it a moment ago; force: somebody does, but gets to nothing. Then no LWP is added
 * beyond what is wanted. */
static void place_attend(struct lwp *home, bool force)
{
    struct lwp *sleeper;
    int err = EINTR;

    hold(lwp_self());
    lock_take(&lib.lwp_lock);
    while (err == EINTR && (force || !place_served(home, &sleeper)))
        err = place_claim(home);
    if (err == EAGAIN && (!force || atomic_load(&lib.active) < (int)lib.wanted))
        lwp_add_locked(home); /* EAGAIN: they wait until one is back */
    lock_release(&lib.lwp_lock);
    release(lwp_self());
}

/* An LWP that served it has just said that it does so no more. */
static void place_look(struct lwp *home)
{
    struct lwp *sleeper;
    bool attend;

    lock_take(&home->lock);
    attend = home->pinned.head && !place_served(home, &sleeper);
    lock_release(&home->lock);
    if (attend)
        place_attend(home, false);
}

/* In the LWP, after somebody may have moved it. */
static void place_settle(struct lwp *lwp)
{
    if (USER_LIKELY(lwp->bound || lwp->slot_of_place == (int)served_by(lwp)->number))
        return;
    lwp->slot_of_place = (int)served_by(lwp)->number;
    lib.boot->pin(lib.boot, lwp->slot_of_place);
}

/* How often those who serve it have picked a thread. */
static unsigned place_picks(const struct lwp *home)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < USER_LOAD(lib.lwps_used); i++) {
        struct lwp *lwp = USER_LOAD_ACQUIRE(lib.lwp[i]);

        if (lwp && served_by(lwp) == home)
            sum += USER_LOAD(lwp->picks);
    }
    return sum;
}

/* True: its first thread waits since the last look, and nobody there got to anything. */
static bool place_is_stuck(struct lwp *home)
{
    struct uthread *first = USER_LOAD(home->pinned.head);
    unsigned picks = place_picks(home);
    bool stuck =
        first && first == USER_LOAD(home->seen_first) && picks == USER_LOAD(home->seen_served);

    USER_STORE(home->seen_first, first);
    USER_STORE(home->seen_served, picks);
    return stuck;
}

/* The lookout has looked. It goes itself, but for LWP 0, which sends another one. */
static void places_rescue(struct lwp *lwp)
{
    for (unsigned i = 0; i < lib.boot->nslots && i < USER_LOAD(lib.lwps_used); i++) {
        struct lwp *home = USER_LOAD_ACQUIRE(lib.lwp[i]), *left = served_by(lwp);

        if (!home || home == left || !place_is_stuck(home))
            continue;
        if (!lwp->number) {
            place_attend(home, true);
            return;
        }
        lock_take(&lib.lwp_lock);
        USER_STORE(lwp->serves, home);
        lock_release(&lib.lwp_lock);
        place_look(left);
        return;
    }
}

#endif

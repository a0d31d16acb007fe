/*
 * fair.h - the pick that is for who waits for longest. Included by steal.h.
 */
#ifndef TL_USER_FAIR_H
#define TL_USER_FAIR_H

/* Where pick_fairly looks. */
enum fair_place { FAIR_SHARED, FAIR_PINNED, FAIR_FIFO, FAIR_DEQUE, FAIR_OTHERS, FAIR_PLACES };

/* What is in a deque is only taken the other way round now and then: it costs cache misses, and a
 * tree of threads is not walked depth first any more, so that what it has alive grows. */
static bool fair_due(uint64_t *last_ns)
{
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);

    if (now - *last_ns < USER_FAIR_NS)
        return false;
    *last_ns = now;
    return true;
}

static struct uthread *fair_take(struct lwp *lwp, unsigned place)
{
    switch (place) {
    case FAIR_SHARED:
        return shared_take();
    case FAIR_PINNED:
        return pinned_take(lwp);
    case FAIR_FIFO:
        return list_take(lwp, &lwp->fifo);
    case FAIR_DEQUE:
        return deque_any(&lwp->deque) && fair_due(&lwp->fair_own_ns) ? deque_steal(&lwp->deque)
                                                                     : NULL;
    default:
        return lib.multi && fair_due(&lwp->fair_others_ns) ? steal(lwp, true) : NULL;
    }
}

/* The other way round: who waits for longest. Each place is the first in its turn, the queues of
 * other LWPs, too: threads that come back to one place for ever keep nobody in another waiting. */
static __attribute__((noinline)) struct uthread *pick_fairly(struct lwp *lwp)
{
    unsigned turn = USER_MUTANT("user-fair-to-own-only") ? 0 : lwp->picks / USER_FAIR_EVERY;
    struct uthread *t = NULL;

    for (unsigned i = 0; i < FAIR_PLACES && !t; i++)
        t = fair_take(lwp, (turn + i) % FAIR_PLACES);
    return t;
}

#endif

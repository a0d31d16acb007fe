/*
 * deque.h - a work-stealing deque of threads. Included by steal.h only.
 *
 * Chase and Lev 2005, "Dynamic Circular Work-Stealing Deque", with the memory orders that Le, Pop,
 * Cohen, Zappa Nardelli 2013, "Correct and Efficient Work-Stealing for Weak Memory Models", figure
 * 1, proves sufficient. The owner pushes and takes at the bottom, last in first out; anyone steals
 * the oldest at the top.
 *
 * What is ordered with what, and the mutant that shows what comes of it otherwise (each of them
 * does in program order what a processor might make of the program without it):
 *
 *   push   the item, then bottom (release)    with steal's acquire of bottom: who sees that there
 *                                             is an item sees it (user-deque-item-late)
 *   grow   the items, then ring (release)     with steal's acquire of ring: likewise for a longer
 *                                             one (user-deque-ring-early)
 *   take   bottom, full fence, then top       \ one of the two sees what the other did before its
 *   steal  top, full fence, then bottom       / fence: the owner that its thread is being stolen,
 *                                             or the thief that it has been taken, so that it is
 *                                             not had by both (user-deque-take-looks-first,
 *                                             user-deque-steal-looks-late)
 *   steal  the item, then top (the exchange)  with push's acquire of top: the owner writes over an
 *                                             item only after the thief has read it
 *
 * The last one has no mutant: the exchange that succeeds is what proves that the item was still
 * there, and a push that writes over it comes a whole ring later.
 *
 * ThreadSanitizer knows no fences: there the accesses around them are sequentially consistent,
 * which is stronger.
 */
#ifndef TL_USER_DEQUE_H
#define TL_USER_DEQUE_H

#include <stdbool.h>
#include <stdlib.h>

/* Threads; a power of two. It doubles when it is full. */
#ifdef TL_INJECT
#define DEQUE_FIRST 2 /* so that it does while others steal */
#else
#define DEQUE_FIRST 256
#endif

/* Invariant: item i (counted from the first push on) is at items[i & mask]. */
struct deque_ring {
    struct deque_ring *smaller; /* the one before: a thief may still read it */
    int64_t mask;
    _Atomic(struct uthread *) items[];
};

#ifdef USER_TSAN
#define DEQUE_FENCE() ((void)0)
#define DEQUE_RELAXED memory_order_seq_cst
#else
#define DEQUE_FENCE() atomic_thread_fence(memory_order_seq_cst)
#define DEQUE_RELAXED memory_order_relaxed
#endif

static struct deque_ring *deque_ring_new(int64_t size, struct deque_ring *smaller)
{
    struct deque_ring *ring =
        malloc(sizeof(*ring) + (size_t)size * sizeof(_Atomic(struct uthread *)));

    if (ring) {
        ring->smaller = smaller;
        ring->mask = size - 1;
    }
    return ring;
}

/* False: no memory. */
static bool deque_init(struct deque *d)
{
    struct deque_ring *ring = deque_ring_new(DEQUE_FIRST, NULL);

    atomic_init(&d->top, 0);
    atomic_init(&d->bottom, 0);
    atomic_init(&d->ring, ring);
    return ring != NULL;
}

/* Nobody uses it any more. */
static void deque_end(struct deque *d)
{
    struct deque_ring *ring = atomic_load_explicit(&d->ring, memory_order_relaxed), *smaller;

    for (; ring; ring = smaller) {
        smaller = ring->smaller;
        free(ring);
    }
}

static __attribute__((noinline)) struct deque_ring *
deque_grow(struct deque *d, struct deque_ring *old, int64_t top, int64_t bottom)
{
    struct deque_ring *ring = deque_ring_new((old->mask + 1) * 2, old);

    if (!ring)
        return NULL;
    if (USER_MUTANT("user-deque-ring-early")) {
        atomic_store_explicit(&d->ring, ring, memory_order_release);
        for (int i = 0; i < 64; i++) /* it grows only some times in a process */
            USER_POINT("user.deque.grow");
    }
    for (int64_t i = top; i < bottom; i++)
        atomic_store_explicit(
            &ring->items[i & ring->mask],
            atomic_load_explicit(&old->items[i & old->mask], memory_order_relaxed),
            memory_order_relaxed);
    atomic_store_explicit(&d->ring, ring, memory_order_release);
    return ring;
}

/* By the owner. False: it is full, and there is no memory. */
static inline bool deque_push(struct deque *d, struct uthread *t)
{
    int64_t bottom = atomic_load_explicit(&d->bottom, memory_order_relaxed);
    int64_t top = atomic_load_explicit(&d->top, memory_order_acquire);
    struct deque_ring *ring = atomic_load_explicit(&d->ring, memory_order_relaxed);

    if (__builtin_expect(bottom - top > ring->mask, 0)) {
        ring = deque_grow(d, ring, top, bottom);
        if (!ring)
            return false;
    }
    if (USER_MUTANT("user-deque-item-late")) {
        atomic_store_explicit(&d->bottom, bottom + 1, memory_order_release);
        USER_POINT("user.deque.push");
    }
    atomic_store_explicit(&ring->items[bottom & ring->mask], t, memory_order_relaxed);
    /* Publishes the item: pairs with the acquire of bottom in steal. */
    atomic_store_explicit(&d->bottom, bottom + 1, memory_order_release);
    return true;
}

/* By the owner, who wants the youngest: false, there is none. A full fence follows, and take_end.
 */
static inline bool deque_take_begin(struct deque *d, int64_t *at)
{
    *at = atomic_load_explicit(&d->bottom, memory_order_relaxed) - 1;
    /* top only grows: empty now is empty for the owner. Spares the fence. */
    if (*at < atomic_load_explicit(&d->top, memory_order_relaxed))
        return false;
    atomic_store_explicit(&d->bottom, *at, DEQUE_RELAXED);
    return true;
}

/* NULL: a thief was faster. alone: there is none. */
static inline struct uthread *deque_take_end(struct deque *d, int64_t bottom, bool alone)
{
    struct deque_ring *ring = atomic_load_explicit(&d->ring, memory_order_relaxed);
    int64_t top = atomic_load_explicit(&d->top, DEQUE_RELAXED);
    struct uthread *t;

    if (__builtin_expect(top > bottom, 0)) {
        atomic_store_explicit(&d->bottom, bottom + 1, memory_order_relaxed);
        return NULL;
    }
    t = atomic_load_explicit(&ring->items[bottom & ring->mask], memory_order_relaxed);
    if (__builtin_expect(top == bottom, 0)) { /* the last one: a thief may want it, too */
        if (alone)
            atomic_store_explicit(&d->top, top + 1, memory_order_relaxed);
        else if (!atomic_compare_exchange_strong_explicit(
                     &d->top, &top, top + 1, memory_order_seq_cst, memory_order_relaxed))
            t = NULL;
        atomic_store_explicit(&d->bottom, bottom + 1, memory_order_relaxed);
    }
    return t;
}

#ifdef TL_INJECT
/* The mutant: looks at top before bottom has been written. */
static struct uthread *deque_take_unordered(struct deque *d)
{
    int64_t at = atomic_load(&d->bottom) - 1, top = atomic_load(&d->top);
    struct uthread *t;

    if (at < top)
        return NULL;
    USER_POINT("user.deque.take-unordered");
    t = atomic_load(&atomic_load(&d->ring)->items[at & atomic_load(&d->ring)->mask]);
    atomic_store(&d->bottom, at);
    if (top == at) {
        if (!atomic_compare_exchange_strong(&d->top, &top, top + 1))
            t = NULL;
        atomic_store(&d->bottom, at + 1);
    }
    return t;
}
#else
#define deque_take_unordered(d) NULL
#endif

/* By the owner: the youngest; NULL: none. alone: there is no thief. */
static inline struct uthread *deque_take(struct deque *d, bool alone)
{
    int64_t at;

    if (USER_MUTANT("user-deque-take-looks-first"))
        return deque_take_unordered(d);
    if (!deque_take_begin(d, &at))
        return NULL;
    if (!alone)
        DEQUE_FENCE(); /* pairs with that of steal */
    USER_POINT("user.deque.take");
    return deque_take_end(d, at, alone);
}

/* By anyone: the oldest; NULL: none, or another one was faster. */
static inline struct uthread *deque_steal(struct deque *d)
{
    int64_t top = atomic_load_explicit(&d->top, memory_order_acquire), bottom;
    struct deque_ring *ring;
    struct uthread *t;

    DEQUE_FENCE(); /* pairs with that of take */
    USER_POINT("user.deque.steal");
#ifdef USER_TSAN
    bottom = atomic_load_explicit(&d->bottom, memory_order_seq_cst);
#else
    bottom = atomic_load_explicit(&d->bottom, memory_order_acquire);
#endif
    if (USER_MUTANT("user-deque-steal-looks-late")) {
        for (int i = 0; i < 8; i++) /* in which the owner is to take two */
            USER_POINT("user.deque.steal-unordered");
        top = atomic_load(&d->top);
    }
    if (top >= bottom)
        return NULL;
    ring = atomic_load_explicit(&d->ring, memory_order_acquire);
    t = atomic_load_explicit(&ring->items[top & ring->mask], memory_order_relaxed);
    USER_POINT("user.deque.steal-item");
    if (!atomic_compare_exchange_strong_explicit(&d->top, &top, top + 1, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return NULL;
    return t;
}

/* Nobody steals: 0, it is empty. */
static inline uintptr_t deque_size(const struct deque *d)
{
    return (uintptr_t)(atomic_load_explicit(&((struct deque *)d)->bottom, memory_order_relaxed) ^
                       atomic_load_explicit(&((struct deque *)d)->top, memory_order_relaxed));
}

static inline bool deque_any(const struct deque *d)
{
    return atomic_load_explicit(&((struct deque *)d)->bottom, memory_order_relaxed) >
           atomic_load_explicit(&((struct deque *)d)->top, memory_order_relaxed);
}

#endif

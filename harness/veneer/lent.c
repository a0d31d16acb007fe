/*
 * lent.c - stacks of the program's own (pthread_attr_setstack) under detached threads.
 *
 * Nobody can join such a thread, yet programs use its stack again once the thread has said that it
 * is done, by a semaphore, say. With the C library's threads the rest of its life is short; a
 * user-level thread may not get the PU for as long as its stack's next one runs. So it is a
 * joinable thread to the implementation; when the next thread is to begin on memory that overlaps,
 * its creator waits until it has ended and joins it, after which it has left its stack.
 */
#include "veneer.h"

#include <stdlib.h>

/* At most that long: a thread which does not end has its stack still, and the next gets none. */
#define WAIT_NS UINT64_C(1000000000)
#define PAUSE_NS 100000
#define KEPT 64 /* that have ended */

struct veneer_lent {
    struct veneer_lent *next;
    char *low;
    size_t size;
    struct tl_thread impl;
    _Atomic bool ended; /* but for destructors of keys it runs nothing of the program's any more */
    bool joining;       /* somebody waits for it, and takes it off the list */
};

/* Invariant: each was detached, and not joined yet. Under the lock. */
static struct {
    struct veneer_lent *first;
    _Atomic int lock;
} list;

struct veneer_lent *veneer_lent_new(void *low, size_t size)
{
    struct veneer_lent *l = calloc(1, sizeof(*l));

    if (l) {
        l->low = low;
        l->size = size;
    }
    return l;
}

void veneer_lent_free(struct veneer_lent *l)
{
    free(l);
}

void veneer_lent_detached(struct veneer_lent *l, struct tl_thread impl)
{
    l->impl = impl;
    veneer_lock(&list.lock);
    l->next = list.first;
    list.first = l;
    veneer_unlock(&list.lock);
}

void veneer_lent_ended(struct veneer_lent *l)
{
    /* Release: pairs with the acquire in in_the_way(). Nothing of it is touched after. */
    atomic_store_explicit(&l->ended, true, memory_order_release);
}

/* One that lies in the way, the caller's own aside; NULL: none. Those that have ended elsewhere are
 * let go where there are many, so that a program with ever new stacks does not fill the table of
 * threads: their memory has been the program's for long. */
static struct veneer_lent *in_the_way(const char *low, size_t size, const struct veneer_lent *own)
{
    unsigned ended = 0;

    for (struct veneer_lent **at = &list.first, *l; (l = *at); at = &l->next) {
        if (l != own && l->low < low + size && low < l->low + l->size)
            return l;
        /* Acquire: pairs with the release in veneer_lent_ended(). */
        if (!l->joining && atomic_load_explicit(&l->ended, memory_order_acquire) &&
            ++ended > KEPT) {
            *at = l->next;
            veneer.impl->detach(l->impl);
            free(l);
            return in_the_way(low, size, own);
        }
    }
    return NULL;
}

static void join(struct veneer_lent *gone)
{
    struct veneer_lent **at = &list.first;

    gone->joining = true;
    veneer_unlock(&list.lock); /* destructors of its keys may want it */
    veneer.impl->join(gone->impl, NULL);
    veneer_lock(&list.lock);
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    free(gone);
}

int veneer_lent_back(void *low, size_t size)
{
    const struct veneer_lent *own = veneer_self()->lent;
    uint64_t until = veneer_now(CLOCK_MONOTONIC) + WAIT_NS;
    struct veneer_lent *l;
    int err = 0, old = veneer_cancel_off(); /* pthread_create is no cancellation point */

    veneer_lock(&list.lock);
    while (!err && (l = in_the_way(low, size, own))) {
        if (!l->joining && atomic_load_explicit(&l->ended, memory_order_acquire)) {
            join(l);
        } else {
            veneer_unlock(&list.lock);
            veneer_pause(PAUSE_NS);
            if (veneer_now(CLOCK_MONOTONIC) >= until)
                err = EAGAIN;
            veneer_lock(&list.lock);
        }
    }
    veneer_unlock(&list.lock);
    veneer_cancel_back(old);
    return err;
}

void veneer_lent_forget(void)
{
    list.first = NULL;
    atomic_store(&list.lock, 0);
}

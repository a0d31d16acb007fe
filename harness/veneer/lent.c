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

struct veneer_lent {
    struct veneer_lent *next;
    char *low;
    size_t size;
    struct tl_thread impl;
    _Atomic bool ended; /* it runs nothing of the program's any more */
};

/* Invariant: each was detached, and not joined yet. */
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
    /* Release: pairs with the acquire in collect(). Nothing of it is touched after. */
    atomic_store_explicit(&l->ended, true, memory_order_release);
}

/* Takes those that have ended off the list; whether one that has not lies in the way. */
static bool collect(const char *low, size_t size, struct veneer_lent **gone)
{
    bool in_the_way = false;

    for (struct veneer_lent **at = &list.first, *l; (l = *at);) {
        if (atomic_load_explicit(&l->ended, memory_order_acquire)) {
            *at = l->next;
            l->next = *gone;
            *gone = l;
            continue;
        }
        in_the_way = in_the_way || (l->low < low + size && low < l->low + l->size);
        at = &l->next;
    }
    return in_the_way;
}

int veneer_lent_back(void *low, size_t size)
{
    const struct tl_cancel_ops *cancel = veneer.impl->cancel;
    uint64_t until = veneer_now(CLOCK_MONOTONIC) + WAIT_NS;
    int err = EAGAIN, old = 0;

    if (cancel)
        cancel->set_state(TL_CANCEL_DISABLE, &old); /* pthread_create is no cancellation point */
    do {
        struct veneer_lent *gone = NULL;
        bool in_the_way;

        /* Joined under the lock, which waits for no more than the end of who has ended: another
         * creator must not take the stack of one that is off the list and not joined. */
        veneer_lock(&list.lock);
        in_the_way = collect(low, size, &gone);
        while (gone) {
            struct veneer_lent *l = gone;

            gone = l->next;
            veneer.impl->join(l->impl, NULL);
            free(l);
        }
        veneer_unlock(&list.lock);
        if (!in_the_way)
            err = 0;
        else
            veneer_pause(PAUSE_NS);
    } while (err && veneer_now(CLOCK_MONOTONIC) < until);
    if (cancel)
        cancel->set_state(old, NULL);
    return err;
}

void veneer_lent_forget(void)
{
    list.first = NULL;
    atomic_store(&list.lock, 0);
}

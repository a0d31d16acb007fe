/*
 * atfork.c - see atfork.h. An append-only list: lock-free, so that fork never has to take a lock
 * that another thread, which does not exist in the child, could hold.
 */
#include "atfork.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Invariants: older never changes once the node is in the list; newer is NULL or the one node whose
 * older is this one (written any number of times, always the same). */
struct handlers {
    void (*prepare)(void), (*parent)(void), (*child)(void);
    struct handlers *older;
    struct handlers *_Atomic newer;
};

static struct handlers *_Atomic newest;

/* The fork in progress: what prepare saw. */
static _Thread_local struct handlers *first_seen, *last_seen;

int atfork_add(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int saved = errno;
    struct handlers *h = malloc(sizeof(*h));

    errno = saved;
    if (!h)
        return ENOMEM;
    h->prepare = prepare;
    h->parent = parent;
    h->child = child;
    atomic_init(&h->newer, NULL);
    h->older = atomic_load_explicit(&newest, memory_order_relaxed);
    /* Release: whoever sees the node sees its content; acquire in atfork_prepare. */
    while (!atomic_compare_exchange_weak_explicit(&newest, &h->older, h, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return 0;
}

void atfork_prepare(void)
{
    struct handlers *h = atomic_load_explicit(&newest, memory_order_acquire);

    last_seen = h;
    first_seen = NULL;
    for (; h; h = h->older) {
        first_seen = h;
        if (h->older)
            atomic_store_explicit(&h->older->newer, h, memory_order_relaxed);
        if (h->prepare)
            h->prepare();
    }
}

void atfork_parent(void)
{
    struct handlers *last = last_seen;

    for (struct handlers *h = first_seen; h; h = h == last ? NULL : h->newer)
        if (h->parent)
            h->parent();
}

void atfork_child(void)
{
    struct handlers *last = last_seen;

    for (struct handlers *h = first_seen; h; h = h == last ? NULL : h->newer)
        if (h->child)
            h->child();
}

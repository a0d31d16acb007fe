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
struct atfork_handlers {
    void (*prepare)(void), (*parent)(void), (*child)(void);
    struct atfork_handlers *older;
    struct atfork_handlers *_Atomic newer;
};

static struct atfork_handlers *_Atomic newest;

int atfork_add(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int saved = errno;
    struct atfork_handlers *h = malloc(sizeof(*h));

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

void atfork_prepare(struct atfork_run *run)
{
    struct atfork_handlers *h = atomic_load_explicit(&newest, memory_order_acquire);

    run->last = h;
    run->first = NULL;
    for (; h; h = h->older) {
        run->first = h;
        if (h->older)
            atomic_store_explicit(&h->older->newer, h, memory_order_relaxed);
        if (h->prepare)
            h->prepare();
    }
}

void atfork_parent(const struct atfork_run *run)
{
    for (struct atfork_handlers *h = run->first; h; h = h == run->last ? NULL : h->newer)
        if (h->parent)
            h->parent();
}

void atfork_child(const struct atfork_run *run)
{
    for (struct atfork_handlers *h = run->first; h; h = h == run->last ? NULL : h->newer)
        if (h->child)
            h->child();
}

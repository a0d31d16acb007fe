/*
 * redzone.h - an overflow of a thread's stack is reported by its name: see common/redzone.h.
 * Included by user.h only.
 */
#ifndef TL_USER_REDZONE_H
#define TL_USER_REDZONE_H

#include "../common/redzone.h"

#include <string.h>

/* Of the thread that runs here. The first thread's stack is the kernel's to guard. */
static bool redzone_owner(const void *address, struct redzone_owner *o)
{
    const struct uthread *t = lwp_self()->current;

    if (!t || t == lib.first || !stack_guards(t, address))
        return false;
    o->id = id_of(t).id;
    memcpy(o->name, t->rest->personal.name, sizeof(o->name));
    o->low = stack_low_of(t->rest);
    o->size = (size_t)((const char *)t->rest->high - (const char *)o->low);
    o->guard = t->rest->pool ? t->rest->pool->guard : t->rest->alone.guard;
    return true;
}

/* The alternate stack of a kernel thread, which calls these itself: once when it begins, once when
 * it ends. Without memory for it overflows end the process as they would anyway, without a word. */
static void redzone_lwp_begin(struct lwp *lwp)
{
    size_t size = redzone_stack_size();
    void *p;

    lwp->altstack = NULL;
    if (redzone_used())
        return;
    p = mmap(NULL, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return;
    lwp->altstack = p;
    redzone_use(p, size);
}

static void redzone_lwp_end(struct lwp *lwp)
{
    if (!lwp->altstack)
        return;
    redzone_use(NULL, 0);
    munmap(lwp->altstack, redzone_stack_size());
    lwp->altstack = NULL;
}

#endif

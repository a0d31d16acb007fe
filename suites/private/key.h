/*
 * key.h - for the checks of thread-specific values: one thread, run and joined.
 */
#ifndef SUITES_PRIVATE_KEY_H
#define SUITES_PRIVATE_KEY_H

#include "check.h"

#include <limits.h>
#include <stdatomic.h>

/* Values of keys: anything but NULL. */
static inline void *key_value(uintptr_t n)
{
    return (void *)(n + 0x1000);
}

/* True if the thread ran and was joined. */
static inline bool key_thread(struct tl_ctx *ctx, void *(*entry)(void *), void *arg)
{
    struct tl_thread t;
    bool made = tl_start(ctx, 1, &t, entry, arg);

    if (made)
        tl_finish(ctx, t);
    return made;
}

#endif

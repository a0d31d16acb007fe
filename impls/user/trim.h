/*
 * trim.h - stacks that are kept for later threads give their memory back when nobody has used them
 * for a while. Included by sched.h only.
 *
 * A free stack is stamped with the period in which it was given back. Whoever finds nothing to do
 * looks, at most once in a period: what was given back before the last period has not been used for
 * one, and the kernel takes its pages, all but the topmost, which holds the link (Bonwick 1994,
 * "The Slab Allocator", 3.3: reclaims what has not been used for 15 s). A program that is never
 * idle keeps what it has: it pays no clock for this.
 */
#ifndef TL_USER_TRIM_H
#define TL_USER_TRIM_H

/* Longer than the pauses between the crowds of a program at work; a page that comes back costs
 * about a quarter of a microsecond. */
#define USER_TRIM_NS USER_NS_PER_S

/* M:N: a batch has one stamp, that of its first. */
static struct free_stack *trim_next(const struct free_stack *s)
{
    return USER_MN ? s->batch : s->next;
}

static void trim_stack(const struct stack_pool *pool, struct free_stack *s)
{
    char *low = (char *)(s + 1) - pool->usable;
    char *high = (char *)((uintptr_t)s & ~(lib.page - 1));

    if (USER_MUTANT("stacks-never-trimmed"))
        return;
    lib.trimmed++;
    if (high > low && !((uintptr_t)low & (lib.page - 1)))
        madvise(low, (size_t)(high - low), MADV_DONTNEED);
}

/* Returns how many of the list are to be looked at again. They lie by age, the youngest first, so
 * that behind one that is done there are no others to do. */
static size_t trim_list(const struct stack_pool *pool, struct free_stack *list, uint32_t before)
{
    size_t later = 0;

    for (; list && list->period; list = trim_next(list)) {
        if (list->period >= before) {
            later++;
            continue;
        }
        for (struct free_stack *s = list; s; s = USER_MN ? s->next : NULL)
            trim_stack(pool, s);
        list->period = 0;
    }
    return later;
}

/* The caller has nothing else to do. True: there is something to do in the next period. */
static __attribute__((noinline)) bool trim_all(uint64_t now)
{
    size_t later = 0;

    lock_take(&lib.pool_lock);
    USER_STORE(lib.trim_ns, now + USER_TRIM_NS); /* others ask for it without the lock */
    for (unsigned i = 0; i < 2 * USER_SIZES; i++) {
        struct stack_pool *pool = &lib.pools[0][0] + i;

        if (pool->usable > 2 * lib.page)
            later += trim_list(pool, pool->free, lib.period);
    }
    USER_STORE(lib.period, lib.period + 1);
    lock_release(&lib.pool_lock);
    return later;
}

/* Until when an idle LWP may sleep, who would sleep until then anyway. */
static uint64_t trim_or_sleep(uint64_t until)
{
    uint64_t now;

    if (until <= USER_TRIM_NS)
        return until;
    now = clock_now_ns(CLOCK_MONOTONIC);
    if (now >= USER_LOAD(lib.trim_ns))
        USER_STORE(lib.trims, trim_all(now));
    if (USER_LOAD(lib.trims) && USER_LOAD(lib.trim_ns) < until)
        return USER_LOAD(lib.trim_ns);
    return until;
}

#endif

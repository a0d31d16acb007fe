/*
 * pool.h - stacks by size class, last in first out. Included by user.h only.
 *
 * A stack that was just given back is the one whose lines are in the cache. New ones come from
 * slabs: one mapping and few system calls for many stacks and guards. The library maps a page more
 * than the class says, for struct uthread_rest and the colour: the attribute's size is usable.
 *
 * Colour: thread i starts i % 32 lines lower. Stacks are a whole number of pages apart, so without
 * it the live lines of all parked threads would compete for a few sets of the first-level cache. 32
 * lines are half a page: a parked thread with small frames still touches one page only. Stacks of
 * less than a page are coloured by their odd distance.
 *
 * With several LWPs each has some free stacks of its own, and batches of them are shared (Bonwick
 * and Adams 2001, "Magazines and Vmem", section 3): a thread mostly ends where it began, so that
 * the shared list is rarely wanted.
 */
#ifndef TL_USER_POOL_H
#define TL_USER_POOL_H

#include <stdlib.h>

#ifdef USER_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define USER_COLOURS 32

/* Slabs grow from 8 stacks (a program with few threads pays for few guards) to 512 (as many guards
 * as one system call makes), or to 64 MiB, so that limits of address space are met late. */
#define USER_SLAB_FIRST 8
#define USER_SLAB_LAST 512
#define USER_SLAB_BYTES (64ul << 20)

/* M:N: An LWP keeps twice a batch of stacks of one size to itself at most; they come and go by
 * batches, each a list through `next`, whose first is linked to the next batch. A batch is at most
 * so many, and, if there are several, so many bytes. */
#define USER_STACK_BATCH 16
#define USER_BATCH_BYTES (2ul << 20)

/* Right below the end of a free stack. batch: in the shared list of several LWPs, the next batch.
 */
struct free_stack {
    struct free_stack *next, *batch;
    uint32_t period; /* in which it was given back; 0: it was trimmed. M:N: of a batch's first */
};

struct slab_node {
    struct slab_node *next;
    struct stack_slab slab;
};

/* Room for the rest and its alignment on a stack of less than a page. */
#define USER_SMALL_ROOM ((sizeof(struct uthread_rest) + 63) / 64 * 64 + 64)

static void pools_boot(void)
{
    lib.period = 1;
    for (unsigned guarded = 0; guarded < 2; guarded++)
        for (unsigned i = 0; i < USER_SIZES; i++) {
            struct stack_pool *pool = &lib.pools[guarded][i];
            size_t size = ((size_t)1 << (USER_SIZE_MIN_LOG2 + i)) + lib.handler_room;

            pool->guard = guarded ? stack_guard_default(lib.page) : 0;
            pool->batch = USER_BATCH_BYTES / size < 1 ? 1
                          : USER_BATCH_BYTES / size < USER_STACK_BATCH
                              ? (unsigned)(USER_BATCH_BYTES / size)
                              : USER_STACK_BATCH;
            if (!guarded && size < lib.page) {
                /* an odd number of lines: the distance colours */
                pool->usable = size + (USER_SMALL_ROOM | 64);
                continue;
            }
            pool->usable = (size + 2 * lib.page - 1) / lib.page * lib.page;
            /* An odd number of pages: all sets of the second-level cache are used. */
            if ((pool->usable + pool->guard) / lib.page % 2 == 0)
                pool->usable += lib.page;
        }
}

/* ENOMEM with the pool unchanged. */
static int pool_grow(struct stack_pool *pool)
{
    size_t stride = pool->usable + pool->guard, n = USER_SLAB_FIRST, most;
    struct slab_node *node = malloc(sizeof(*node));

    if (!node)
        return ENOMEM;
    if (pool->fresh.n)
        n = pool->fresh.n * 2;
    most = USER_SLAB_BYTES / stride;
    if (n > USER_SLAB_LAST)
        n = USER_SLAB_LAST;
    if (n > most)
        n = most ? most : 1;
    while (stack_slab_map(&node->slab, n, pool->usable, pool->guard)) {
        if (n == 1) {
            free(node);
            return ENOMEM;
        }
        n /= 2;
    }
    node->next = lib.slabs;
    lib.slabs = node;
    pool->fresh = node->slab;
    pool->fresh_used = 0;
    return 0;
}

/* Picks the pool for an attribute; *pool NULL: must be mapped alone. EINVAL: no such size. */
static int pool_for(const struct tl_attr *attr, struct stack_pool **pool, size_t *usable,
                    size_t *guard)
{
    size_t size = attr->stack_size ? attr->stack_size : USER_STACK_DEFAULT;
    unsigned log2;

    if (USER_UNLIKELY(attr->stack != NULL)) {
        *pool = NULL;
        *guard = 0;
        *usable = attr->stack_size;
        return attr->stack_size < USER_SMALL_ROOM + (1 << USER_SIZE_MIN_LOG2) + lib.handler_room
                   ? EINVAL
                   : 0;
    }
    if (size < (size_t)1 << USER_SIZE_MIN_LOG2)
        return EINVAL;
    if (size > (size_t)1 << USER_SIZE_MAX_LOG2)
        return ENOMEM;
    log2 = 64 - (unsigned)__builtin_clzl(size - 1);
    *guard = attr->no_guard     ? 0
             : attr->guard_size ? attr->guard_size
                                : stack_guard_default(lib.page);
    if (*guard > (size_t)1 << USER_SIZE_MAX_LOG2)
        return ENOMEM;
    *pool = &lib.pools[*guard != 0][log2 - USER_SIZE_MIN_LOG2];
    *usable = (*pool)->usable;
    if (!lib.recycle || *guard > (*pool)->guard)
        *pool = NULL;
    return 0;
}

/* A stack that was never used. */
static int pool_take_fresh(struct stack_pool *pool, void **high)
{
    struct stack s;
    int err;

    if (pool->fresh_used == pool->fresh.n) {
        lwp_self()->hold++; /* see lock.h */
        err = pool_grow(pool);
        lwp_self()->hold--;
        if (err)
            return err;
    }
    stack_slab_get(&pool->fresh, pool->fresh_used++, &s);
    __atomic_fetch_add(&lib.stacks_new, 1, __ATOMIC_RELAXED);
    *high = s.high;
    return 0;
}

#if USER_MN

static inline struct stack_cache *stacks_of(struct lwp *lwp, const struct stack_pool *pool)
{
    return &lwp->stacks[0][0] + (pool - &lib.pools[0][0]);
}

static __attribute__((noinline)) int stacks_fetch(struct stack_cache *cache,
                                                  struct stack_pool *pool)
{
    void *high;
    int err = 0;

    lock_take(&lib.pool_lock);
    if (pool->free) {
        cache->free = pool->free;
        pool->free = cache->free->batch;
        cache->n = pool->batch;
    } else {
        err = pool_take_fresh(pool, &high);
        if (!err) {
            cache->free = (struct free_stack *)high - 1;
            cache->free->next = NULL;
            cache->n = 1;
        }
    }
    lock_release(&lib.pool_lock);
    return err;
}

/* The first of them. */
static __attribute__((noinline)) void stacks_return(struct stack_cache *cache,
                                                    struct stack_pool *pool)
{
    struct free_stack *first = cache->free, *last = first;

    for (unsigned i = 1; i < pool->batch; i++)
        last = last->next;
    cache->free = last->next;
    cache->n -= pool->batch;
    last->next = NULL;
    lock_take(&lib.pool_lock);
    first->period = lib.period;
    first->batch = pool->free;
    pool->free = first;
    lock_release(&lib.pool_lock);
}

/* Gives the end of a stack of the pool. */
static inline int pool_take(struct lwp *lwp, struct stack_pool *pool, void **high)
{
    struct stack_cache *cache = stacks_of(lwp, pool);
    struct free_stack *top;

    if (USER_UNLIKELY(!cache->n)) {
        int err = stacks_fetch(cache, pool);

        if (err)
            return err;
    }
    top = cache->free;
    cache->free = top->next;
    cache->n--;
    *high = top + 1;
    return 0;
}

static inline void pool_give(struct lwp *lwp, struct stack_pool *pool, void *high)
{
    struct stack_cache *cache = stacks_of(lwp, pool);
    struct free_stack *top = (struct free_stack *)high - 1;

    top->next = cache->free;
    cache->free = top;
    if (USER_UNLIKELY(++cache->n == 2 * pool->batch))
        stacks_return(cache, pool);
}

static bool pool_has(struct lwp *lwp, const struct stack_pool *pool)
{
    return stacks_of(lwp, pool)->n || USER_LOAD(((struct stack_pool *)pool)->free);
}

#else

/* Gives the end of a stack of the pool. */
static inline int pool_take(struct lwp *lwp, struct stack_pool *pool, void **high)
{
    struct free_stack *top = pool->free;

    (void)lwp;
    if (USER_LIKELY(top != NULL)) {
        pool->free = top->next;
        *high = top + 1;
        return 0;
    }
    return pool_take_fresh(pool, high);
}

static inline void pool_give(struct lwp *lwp, struct stack_pool *pool, void *high)
{
    struct free_stack *top = (struct free_stack *)high - 1;

    (void)lwp;
    top->period = lib.period;
    top->next = pool->free;
    pool->free = top;
}

static bool pool_has(struct lwp *lwp, const struct stack_pool *pool)
{
    (void)lwp;
    return pool->free || pool->fresh_used < pool->fresh.n;
}

#endif

/* When no memory is left for stacks of this size: a larger one that nobody uses. *pool: whose it
 * is. ENOMEM: none. */
static __attribute__((noinline, cold)) int pool_borrow(struct lwp *lwp, struct stack_pool **pool,
                                                       void **high)
{
    struct stack_pool *row = (*pool)->guard ? lib.pools[1] : lib.pools[0];

    for (struct stack_pool *p = *pool + 1; p < row + USER_SIZES; p++)
        if (pool_has(lwp, p)) {
            *pool = p;
            return pool_take(lwp, p, high);
        }
    return ENOMEM;
}

/* Where the rest of thread t goes on a new stack; the thread starts right below. */
static inline struct uthread_rest *pool_rest(const struct uthread *t, void *high, bool coloured)
{
    char *top = high;

    if (USER_LIKELY(coloured))
        top -= (size_t)(t - lib.table) % USER_COLOURS * 64;
    top -= sizeof(struct uthread_rest);
    return (struct uthread_rest *)((uintptr_t)top & ~(uintptr_t)63);
}

/* The first usable byte of a stack; NULL: the first thread's, which is not the library's. */
static inline void *stack_low_of(const struct uthread_rest *rest)
{
    return rest->pool ? (char *)rest->high - rest->pool->usable : rest->alone.low;
}

/* Whether t has faulted at `address` because it ran into its guard: for whoever reports a SIGSEGV
 * by the name of the thread (from a handler on an alternate stack). */
static inline bool stack_guards(const struct uthread *t, const void *address)
{
    const char *low = t->rest ? stack_low_of(t->rest) : NULL;
    size_t guard = !low ? 0 : t->rest->pool ? t->rest->pool->guard : t->rest->alone.guard;

    return (const char *)address < low && (const char *)address >= low - guard;
}

/* Nobody may be on any of these stacks. */
static void pools_end(void)
{
    struct slab_node *node;

    while ((node = lib.slabs)) {
        lib.slabs = node->next;
#ifdef USER_ASAN
        ASAN_UNPOISON_MEMORY_REGION(node->slab.base, node->slab.map_size);
#endif
        stack_slab_unmap(&node->slab);
        free(node);
    }
}

#endif

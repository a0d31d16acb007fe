/*
 * table.h - thread IDs: index in the low 24 bits, generation above. Included by user.h only.
 *
 * A stale, garbage or never-created ID finds no thread: the generation of a slot grows each time
 * that its thread is gone for good (joined, or ended while detached). A slot whose 32-bit
 * generation is used up is retired, so an ID never comes back: 2^56 threads in the life of a
 * process, at the price of 64 bytes for each 2^32 of them.
 */
#ifndef TL_USER_TABLE_H
#define TL_USER_TABLE_H

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#define USER_INDEX_BITS 24
#define USER_INDEX_MAX ((UINT64_C(1) << USER_INDEX_BITS) - 1)

/* Reserves address space for all the slots that an index can name (1 GiB), or, under a limit of
 * address space, as many as it lets us. */
static int table_boot(void)
{
    size_t slots = (size_t)USER_INDEX_MAX + 1;

    for (; slots >= 64; slots /= 2) {
        void *p = mmap(NULL, slots * sizeof(struct uthread), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (p != MAP_FAILED) {
            /* Few threads should not cost a huge page of table each time. */
            madvise(p, slots * sizeof(struct uthread), MADV_NOHUGEPAGE);
            lib.table = p;
            lib.table_size = slots;
            return 0;
        }
    }
    return ENOMEM;
}

static inline struct tl_thread id_of(const struct uthread *t)
{
    uint64_t index = (uint64_t)(t - lib.table);

    return (struct tl_thread){(uint64_t)t->generation << USER_INDEX_BITS | index};
}

/* The slot of this ID is that of this thread still. With several LWPs this holds as long as the
 * thread's lock is held. */
static inline bool id_holds(const struct uthread *t, struct tl_thread id)
{
    return USER_LOAD(t->generation) == id.id >> USER_INDEX_BITS && state_of(t) != USER_FREE;
}

/* NULL: no such thread (any more). */
static inline struct uthread *table_find(struct tl_thread id)
{
    uint64_t index = id.id & USER_INDEX_MAX;
    struct uthread *t;

    if (USER_UNLIKELY(index >= USER_LOAD(lib.table_used)))
        return NULL;
    t = &lib.table[index];
    return USER_LIKELY(id_holds(t, id)) ? t : NULL;
}

/* The same with its lock taken. */
static inline struct uthread *table_find_locked(struct tl_thread id)
{
    struct uthread *t = table_find(id);

    if (USER_UNLIKELY(!t))
        return NULL;
    thread_lock(t);
#if USER_MN
    if (USER_UNLIKELY(!id_holds(t, id))) {
        thread_unlock(t);
        return NULL;
    }
#endif
    return t;
}

#if USER_MN

/* An LWP has so many free slots of its own at most, and takes and gives half of them at once. */
#define USER_SLOTS_KEPT 64

/* False: the table is full. */
static __attribute__((noinline)) bool slots_fetch(struct slot_cache *cache)
{
    lock_take(&lib.table_lock);
    while (cache->n < USER_SLOTS_KEPT / 2) {
        struct uthread *t = lib.table_free;

        if (t) {
            lib.table_free = t->next;
        } else if (lib.table_used < lib.table_size) {
            t = &lib.table[lib.table_used];
            t->generation = 1;
            /* Who sees the new bound sees the slot: FREE, with a generation. */
            USER_STORE_RELEASE(lib.table_used, lib.table_used + 1);
        } else {
            break;
        }
        t->next = cache->free;
        cache->free = t;
        cache->n++;
    }
    lock_release(&lib.table_lock);
    return cache->n;
}

static __attribute__((noinline)) void slots_return(struct slot_cache *cache, unsigned keep)
{
    lock_take(&lib.table_lock);
    while (cache->n > keep) {
        struct uthread *t = cache->free;

        cache->free = t->next;
        cache->n--;
        t->next = lib.table_free;
        lib.table_free = t;
    }
    lock_release(&lib.table_lock);
}

/* NULL: the table is full. Generations start at 1, so that the ID 0 never names a thread. */
static inline struct uthread *table_take(struct lwp *lwp)
{
    struct slot_cache *cache = &lwp->slots;
    struct uthread *t;

    if (USER_UNLIKELY(!cache->n) && !slots_fetch(cache))
        return NULL;
    t = cache->free;
    cache->free = t->next;
    cache->n--;
    return t;
}

/* Nobody has seen its ID, or it has a new generation. */
static inline void table_untake(struct lwp *lwp, struct uthread *t)
{
    struct slot_cache *cache = &lwp->slots;

    t->next = cache->free;
    cache->free = t;
    if (USER_UNLIKELY(++cache->n > USER_SLOTS_KEPT))
        slots_return(cache, USER_SLOTS_KEPT / 2);
}

#else

static inline struct uthread *table_take(struct lwp *lwp)
{
    struct uthread *t = lib.table_free;

    (void)lwp;
    if (USER_LIKELY(t != NULL)) {
        lib.table_free = t->next;
        return t;
    }
    if (lib.table_used == lib.table_size)
        return NULL;
    t = &lib.table[lib.table_used++];
    t->generation = 1;
    return t;
}

static inline void table_untake(struct lwp *lwp, struct uthread *t)
{
    (void)lwp;
    t->next = lib.table_free;
    lib.table_free = t;
}

#endif

/* From now on its ID names nobody; the caller has its lock. True: the slot may be used again, which
 * table_untake does, without the lock. */
static inline bool table_retire(struct uthread *t)
{
    state_set(t, USER_FREE);
    USER_STORE(t->generation, t->generation + 1);
    return USER_LIKELY(t->generation != 0); /* 0 is never looked for with state FREE */
}

#endif

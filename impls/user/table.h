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

/* NULL: no such thread (any more). */
static inline struct uthread *table_find(struct tl_thread id)
{
    uint64_t index = id.id & USER_INDEX_MAX;
    struct uthread *t;

    if (USER_UNLIKELY(index >= lib.table_used))
        return NULL;
    t = &lib.table[index];
    if (USER_UNLIKELY(t->generation != id.id >> USER_INDEX_BITS || state_of(t) == USER_FREE))
        return NULL;
    return t;
}

/* NULL: the table is full. Generations start at 1, so that the ID 0 never names a thread. */
static inline struct uthread *table_take(void)
{
    struct uthread *t = lib.table_free;

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

static inline void table_give(struct uthread *t)
{
    t->context.state = USER_FREE;
    if (USER_UNLIKELY(++t->generation == 0))
        return; /* retired: generation 0 is never looked for with state FREE */
    t->next = lib.table_free;
    lib.table_free = t;
}

#endif

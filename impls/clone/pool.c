/*
 * pool.c - control blocks, and the stacks and TLS blocks that they keep between two threads.
 *
 * Lists, under one lock:
 *     bare        blocks without stack and TLS block
 *     warm        blocks with both, which nobody uses
 *     death row   given back by their owner while the kernel may still be at their stack (detached
 *                 threads): oldest first, moved on once *tid is 0
 *     parked      one per slot: with a kernel thread that waits for work
 */
#include "thread.h"

#include "../common/futex.h"
#include "../common/futex_sync.h"
#include "../common/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK 256 /* blocks that are allocated together */
#define CHUNKS_MAX 16384
#define LOOK 16 /* entries of a list that are searched for a form */

static struct {
    struct tl_mutex lock;
    struct thread *bare, *warm, **parked;
    struct thread *row_first, **row_last;
    uint32_t used; /* blocks ever given; < CHUNK * CHUNKS_MAX */
    /* Release when a chunk is added pairs with acquire in pool_find. */
    struct thread *_Atomic chunks[CHUNKS_MAX];
    size_t page, altstack; /* bytes */
} pool;

void pool_lock(void)
{
    futex_mutex.lock(&pool.lock);
}

void pool_unlock(void)
{
    futex_mutex.unlock(&pool.lock);
}

static void push(struct thread **list, struct thread *t)
{
    t->next = *list;
    *list = t;
}

static struct thread *pop(struct thread **list)
{
    struct thread *t = *list;

    if (t)
        *list = t->next;
    return t;
}

static struct clone_form form_of(const struct tl_attr *attr)
{
    size_t guard = attr->guard_size ? attr->guard_size : stack_guard_default(pool.page);

    return (struct clone_form){attr->stack_size ? attr->stack_size : CLONE_STACK_SIZE,
                               attr->no_guard ? 0 : guard};
}

/* The first of the list that has a stack of this form. Looks at a few only: programs use one or two
 * forms, and with all of one form it is the first. */
static struct thread *pop_form(struct thread **list, struct clone_form form)
{
    for (int i = 0; *list && i < LOOK; i++, list = &(*list)->next)
        if ((*list)->form.size == form.size && (*list)->form.guard == form.guard)
            return pop(list);
    return NULL;
}

static struct thread *block_at(uint32_t index)
{
    struct thread *chunk;

    if (index / CHUNK >= CHUNKS_MAX)
        return NULL;
    chunk = atomic_load_explicit(&pool.chunks[index / CHUNK], memory_order_acquire);
    return chunk ? &chunk[index % CHUNK] : NULL;
}

uint64_t pool_id(const struct thread *t)
{
    return (atomic_load_explicit(&t->life, memory_order_relaxed) >> 32 << 32) | t->index;
}

struct thread *pool_find(struct tl_thread id)
{
    struct thread *t = block_at((uint32_t)id.id);
    uint64_t life;

    if (!t)
        return NULL;
    life = atomic_load_explicit(&t->life, memory_order_acquire);
    return life >> 32 == id.id >> 32 && (uint32_t)life != CLONE_LIFE_FREE ? t : NULL;
}

void pool_each(void (*f)(struct thread *t, void *arg), void *arg)
{
    uint32_t used = __atomic_load_n(&pool.used, __ATOMIC_ACQUIRE); /* with its chunk */

    for (uint32_t i = 0; i < used; i++)
        f(block_at(i), arg);
}

/* A block that was never used. Under the lock. */
static struct thread *fresh(void)
{
    struct thread *chunk, *t;

    if (pool.used == CHUNK * CHUNKS_MAX)
        return NULL;
    if (pool.used % CHUNK == 0) {
        int saved = errno;

        chunk = mmap(NULL, CHUNK * sizeof(*chunk), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        errno = saved;
        if (chunk == MAP_FAILED)
            return NULL;
        atomic_store_explicit(&pool.chunks[pool.used / CHUNK], chunk, memory_order_release);
    }
    t = block_at(pool.used);
    t->index = pool.used;
    __atomic_store_n(&pool.used, pool.used + 1, __ATOMIC_RELEASE);
    return t;
}

/* ---- stacks and TLS blocks ------------------------------------------------------------------- */

/* Where the stack of the user's memory begins, aligned as the ABIs want it. */
static void *stack_end(const struct tl_attr *attr)
{
    return (void *)(((uintptr_t)attr->stack + attr->stack_size) & ~(uintptr_t)15);
}

static void drop_stack(struct thread *t)
{
    if (t->stack.base)
        stack_unmap(&t->stack);
}

static int furnish(struct thread *t, const struct tl_attr *attr)
{
    int err = 0;

    if (attr->stack)
        t->stack = (struct stack){.low = attr->stack, .high = stack_end(attr)};
    else if (form_of(attr).size > SIZE_MAX - pool.altstack)
        err = EINVAL;
    else
        err = stack_map(&t->stack, form_of(attr).size + pool.altstack, form_of(attr).guard);
    t->form = form_of(attr);
    if (err)
        return err == ENOMEM ? EAGAIN : err;
    if (!attr->stack)
        t->stack.high = (char *)t->stack.high - pool.altstack;
    t->tp = tls_new();
    if (!t->tp) {
        drop_stack(t);
        return EAGAIN;
    }
    t->tid = tls_tid_word(t->tp);
    atomic_store_explicit(t->tid, 0, memory_order_relaxed);
    return 0;
}

static void strip(struct thread *t)
{
    if (!t->tp)
        return;
    tls_delete(t->tp);
    drop_stack(t);
    t->tp = NULL;
    t->tid = NULL;
}

/* The kernel has let go of t: keeps or frees what it owns. Under the lock. */
static void settle(struct thread *t)
{
    if (clone_state.recycle == CLONE_RECYCLE_NONE || !t->stack.base)
        strip(t);
    push(t->tp ? &pool.warm : &pool.bare, t);
}

/* Acquire: pairs with the kernel's clearing after the thread's last access. */
static bool is_gone(const struct thread *t)
{
    return !t->tid || !atomic_load_explicit(t->tid, memory_order_acquire);
}

static void reap(void)
{
    struct thread *t;

    while ((t = pool.row_first) && is_gone(t)) {
        pool.row_first = t->next;
        if (!pool.row_first)
            pool.row_last = &pool.row_first;
        settle(t);
    }
}

int pool_take(struct thread **taken, const struct tl_attr *attr)
{
    struct thread *t;
    int err;

    pool_lock();
    reap();
    t = attr->stack ? NULL : pop_form(&pool.warm, form_of(attr));
    if (!t)
        t = pop(&pool.bare);
    if (!t && (t = pop(&pool.warm))) /* of another form: rather than hold more and more */
        strip(t);
    if (!t)
        t = fresh();
    pool_unlock();
    if (!t)
        return EAGAIN;
    if (t->tp) {
        tls_reset(t->tp);
    } else {
        err = furnish(t, attr);
        if (err) {
            pool_lock();
            push(&pool.bare, t);
            pool_unlock();
            return err;
        }
    }
    *taken = t;
    return 0;
}

int pool_adopt_first(void)
{
    struct thread *t = fresh();

    if (!t)
        return ENOMEM;
    t->tid = tls_tid_word(tls_current());
    t->stack.high = __builtin_frame_address(0);
    personal_start(&t->personal, NULL);
    cancel_sys_start(&t->cancel, &t->personal);
    atomic_store_explicit(&t->life, CLONE_LIFE_FIRST, memory_order_release);
    thread_adopt(t);
    return 0;
}

struct thread *pool_take_parked(int slot, const struct tl_attr *attr)
{
    struct clone_form form = form_of(attr);
    struct thread *t = NULL;

    pool_lock();
    if (slot >= 0)
        t = pop_form(&pool.parked[slot], form);
    else
        for (unsigned i = 0; i < clone_state.boot->nslots && !t; i++)
            t = pop_form(&pool.parked[i], form);
    pool_unlock();
    return t;
}

void pool_use_altstack(const struct thread *t)
{
    if (t->stack.base)
        redzone_use(t->stack.high, pool.altstack);
}

/* Ids of t are stale from here on. */
static void retire(struct thread *t)
{
    uint64_t life = atomic_load_explicit(&t->life, memory_order_relaxed);

    atomic_store_explicit(&t->life, ((life >> 32) + 1) << 32 | CLONE_LIFE_FREE,
                          memory_order_release);
}

void pool_give(struct thread *t)
{
    pool_lock();
    retire(t);
    if (is_gone(t)) {
        settle(t);
    } else {
        t->next = NULL;
        *pool.row_last = t;
        pool.row_last = &t->next;
    }
    pool_unlock();
}

void pool_give_parked(struct thread *t)
{
    pool_lock();
    retire(t);
    push(&pool.parked[t->slot], t);
    pool_unlock();
}

/* Makes a parked kernel thread, or one that is about to park, exit. */
static void quit(struct thread *t)
{
    if (atomic_exchange_explicit(&t->work, CLONE_QUIT, memory_order_acq_rel) == CLONE_ASLEEP)
        futex_wake(&t->work, 1);
}

bool pool_shrink(void)
{
    struct thread *t, *kept, *parked = NULL, *bare = NULL, **last = &bare;
    bool any;

    pool_lock();
    reap();
    kept = pool.warm;
    pool.warm = NULL;
    for (unsigned i = 0; i < clone_state.boot->nslots; i++)
        while ((t = pop(&pool.parked[i])))
            push(&parked, t);
    pool_unlock();
    any = kept || parked;
    for (t = parked; t; t = t->next)
        quit(t);
    while ((t = pop(&parked))) {
        thread_wait_gone(t);
        t->parking = false;
        push(&kept, t);
    }
    while ((t = pop(&kept))) {
        strip(t);
        if (!bare)
            last = &t->next;
        push(&bare, t);
    }
    if (bare) {
        pool_lock();
        *last = pool.bare;
        pool.bare = bare;
        pool_unlock();
    }
    return any;
}

/* ---- begin and end --------------------------------------------------------------------------- */

int pool_init(void)
{
    memset(&pool, 0, sizeof(pool));
    pool.page = (size_t)sysconf(_SC_PAGESIZE);
    pool.altstack = redzone_stack_size();
    pool.row_last = &pool.row_first;
    futex_mutex.init(&pool.lock, TL_MUTEX_BLOCK);
    pool.parked = calloc(clone_state.boot->nslots, sizeof(*pool.parked));
    return pool.parked ? 0 : ENOMEM;
}

void pool_fini(void)
{
    struct thread *t;

    for (uint32_t i = 0; i < pool.used; i++) {
        t = block_at(i);
        if (t->parking)
            quit(t);
    }
    for (uint32_t i = 0; i < pool.used; i++) {
        t = block_at(i);
        if (t != thread_self() && t->tp) {
            thread_wait_gone(t);
            strip(t);
        }
    }
    __atomic_store_n(&pool.used, 0, __ATOMIC_RELEASE); /* for a handler that looks at them */
    for (size_t i = 0; i < CHUNKS_MAX && pool.chunks[i]; i++)
        munmap(pool.chunks[i], CHUNK * sizeof(struct thread));
    free(pool.parked);
}

void pool_forget_others(struct thread *self)
{
    memset(pool.parked, 0, clone_state.boot->nslots * sizeof(*pool.parked));
    pool.bare = pool.warm = pool.row_first = NULL;
    pool.row_last = &pool.row_first;
    for (uint32_t i = 0; i < pool.used; i++) {
        struct thread *t = block_at(i);
        bool first = (uint32_t)atomic_load(&t->life) == CLONE_LIFE_FIRST;

        if (t == self)
            continue;
        retire(t);
        if (first) { /* its stack and TLS block are not ours */
            t->tp = NULL;
            t->tid = NULL;
        }
        if (t->tid)
            atomic_store_explicit(t->tid, 0, memory_order_relaxed);
        /* A thread that was about to send it a signal is not here to finish that. */
        atomic_store_explicit(&t->senders, 0, memory_order_relaxed);
        t->parking = false;
        settle(t);
    }
}

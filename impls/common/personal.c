/*
 * personal.c - see personal.h. Each place of a key has a sequence number: odd is alive, and a value
 * remembers the number that it was set under, so that a value with another number is as if it had
 * never been set. No lock anywhere: create and drop may run in any thread, and a fork in between
 * leaves nothing held.
 */
#include "personal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_VALUES 32 /* values of a thread are allocated by blocks of so many keys */
#define BLOCKS ((PTHREAD_KEYS_MAX + BLOCK_VALUES - 1) / BLOCK_VALUES)

/* Invariants: sequence only rises; odd: the key exists. destructor is written by who made it odd,
 * before create returns, so that nobody who knows the key sees an older one. */
static struct {
    _Atomic uint64_t sequence;
    void (*_Atomic destructor)(void *);
} keys[PTHREAD_KEYS_MAX];

/* Invariant: sequence is that of the key when value was set; another one: no value. */
struct value {
    const void *value;
    uint64_t sequence;
};

/* Owned by its thread. A block is allocated by the first value in it. */
struct personal_values {
    struct value *block[BLOCKS];
};

struct personal_cleanup {
    struct personal_cleanup *outer;
    void (*routine)(void *);
    void *arg;
};

static struct {
    struct personal *(*self)(void);
    void (*end)(void *value);
    bool async;
} personal;

void personal_init(struct personal *(*self)(void), void (*end)(void *value), bool async)
{
    personal.self = self;
    personal.end = end;
    personal.async = async;
}

void personal_start(struct personal *p, const struct personal *creator)
{
    p->cleanup = NULL;
    p->values = NULL;
    atomic_store_explicit(&p->cancel, 0, memory_order_relaxed); /* published with the thread */
    if (creator)
        memcpy(p->name, creator->name, sizeof(p->name));
    else
        memset(p->name, 0, sizeof(p->name));
}

int personal_set_name(struct personal *p, const char *name)
{
    size_t length = strlen(name);

    if (length >= sizeof(p->name))
        return ERANGE;
    memcpy(p->name, name, length + 1);
    return 0;
}

int personal_get_name(const struct personal *p, char *name, size_t size)
{
    if (size < sizeof(p->name))
        return ERANGE;
    strcpy(name, p->name);
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* tl_key.id = sequence * PTHREAD_KEYS_MAX + index; 54 bits of sequence are never used up. Its
 * sequence number is odd, so an id of zero is no key. */
static unsigned index_of(struct tl_key key)
{
    return (unsigned)(key.id % PTHREAD_KEYS_MAX);
}

static uint64_t sequence_of(struct tl_key key)
{
    return key.id / PTHREAD_KEYS_MAX;
}

static bool alive(struct tl_key key)
{
    return sequence_of(key) % 2 && atomic_load_explicit(&keys[index_of(key)].sequence,
                                                        memory_order_acquire) == sequence_of(key);
}

static int key_create(struct tl_key *key, void (*destructor)(void *))
{
    for (unsigned i = 0; i < PTHREAD_KEYS_MAX; i++) {
        uint64_t old = atomic_load_explicit(&keys[i].sequence, memory_order_relaxed);

        if (old % 2 ||
            !atomic_compare_exchange_strong_explicit(&keys[i].sequence, &old, old + 1,
                                                     memory_order_acq_rel, memory_order_relaxed))
            continue;
        atomic_store_explicit(&keys[i].destructor, destructor, memory_order_release);
        key->id = (old + 1) * PTHREAD_KEYS_MAX + i;
        return 0;
    }
    return EAGAIN;
}

static int key_drop(struct tl_key key)
{
    uint64_t sequence = sequence_of(key);

    if (sequence % 2 && atomic_compare_exchange_strong_explicit(
                            &keys[index_of(key)].sequence, &sequence, sequence + 1,
                            memory_order_acq_rel, memory_order_relaxed))
        return 0;
    return EINVAL;
}

/* The place of a value in this thread. NULL: none yet, and `make` is false or there is no memory.
 */
static struct value *place_of(struct personal *p, unsigned index, bool make)
{
    struct value **block;
    int saved = errno;

    if (!p->values && make)
        p->values = calloc(1, sizeof(*p->values));
    if (!p->values) {
        errno = saved;
        return NULL;
    }
    block = &p->values->block[index / BLOCK_VALUES];
    if (!*block && make)
        *block = calloc(BLOCK_VALUES, sizeof(**block));
    errno = saved;
    return *block ? *block + index % BLOCK_VALUES : NULL;
}

static int key_set(struct tl_key key, const void *value)
{
    struct value *place;

    if (!alive(key))
        return EINVAL;
    place = place_of(personal.self(), index_of(key), value != NULL);
    if (!place)
        return value ? ENOMEM : 0;
    *place = (struct value){value, sequence_of(key)};
    return 0;
}

static void *key_get(struct tl_key key)
{
    const struct value *place;

    if (!alive(key))
        return NULL;
    place = place_of(personal.self(), index_of(key), false);
    return place && place->sequence == sequence_of(key) ? (void *)place->value : NULL;
}

/* Runs the destructor of what stands in *place, which is empty before. True: it ran. */
static bool destroy(unsigned index, struct value *place)
{
    struct value was = *place;
    void (*destructor)(void *);

    *place = (struct value){NULL, 0};
    if (!was.value)
        return false;
    if (atomic_load_explicit(&keys[index].sequence, memory_order_acquire) != was.sequence)
        return false;
    /* Acquire twice: between two equal numbers it is this key's destructor, not that of a key which
     * another thread has just made in the same place. */
    destructor = atomic_load_explicit(&keys[index].destructor, memory_order_acquire);
    if (atomic_load_explicit(&keys[index].sequence, memory_order_relaxed) != was.sequence)
        return false;
    if (!destructor)
        return false;
    destructor((void *)was.value);
    return true;
}

static void destroy_values(struct personal *p)
{
    bool again = p->values != NULL;

    for (int round = 0; again && round < PTHREAD_DESTRUCTOR_ITERATIONS; round++) {
        again = false;
        for (unsigned i = 0; i < PTHREAD_KEYS_MAX; i++) {
            struct value *place = place_of(p, i, false);

            if (place)
                again |= destroy(i, place);
            else
                i |= BLOCK_VALUES - 1; /* the rest of a block that is not there */
        }
    }
    for (unsigned i = 0; p->values && i < BLOCKS; i++)
        free(p->values->block[i]);
    free(p->values);
    p->values = NULL;
}

const struct tl_key_ops personal_key = {
    .create = key_create,
    .drop = key_drop,
    .set = key_set,
    .get = key_get,
};

/* ---- the end of a thread, cancellation ------------------------------------------------------- */

void personal_protect(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                      bool execute)
{
    struct personal *p = personal.self();
    struct personal_cleanup cleanup = {p->cleanup, routine, arg};

    /* The thread may be ended by a signal handler of its own (TL_CANCEL_ASYNC): whatever is
     * innermost is complete. */
    atomic_signal_fence(memory_order_seq_cst);
    p->cleanup = &cleanup;
    body(body_arg);
    p->cleanup = cleanup.outer;
    atomic_signal_fence(memory_order_seq_cst);
    if (execute)
        routine(arg);
}

void personal_finish(struct personal *p)
{
    int saved = errno;

    atomic_fetch_or_explicit(&p->cancel, PERSONAL_ENDING, memory_order_seq_cst);
    while (p->cleanup) {
        struct personal_cleanup cleanup = *p->cleanup;

        p->cleanup = cleanup.outer; /* before it runs: it may end the thread again */
        cleanup.routine(cleanup.arg);
    }
    destroy_values(p);
    errno = saved;
}

bool personal_request(struct personal *p)
{
    return !(atomic_fetch_or_explicit(&p->cancel, PERSONAL_REQUESTED, memory_order_seq_cst) &
             PERSONAL_REQUESTED);
}

void personal_test(void)
{
    struct personal *p = personal.self();

    if (!personal_due(p))
        return;
    atomic_fetch_or_explicit(&p->cancel, PERSONAL_ENDING, memory_order_seq_cst);
    personal.end(TL_CANCELED);
}

/* Sets or clears a bit of the caller's; *was: whether it was set. A request that waited for that
 * is acted on at once where the type is asynchronous. */
static void change(uint32_t bit, bool set, bool *was)
{
    struct personal *p = personal.self();
    uint32_t old = set ? atomic_fetch_or_explicit(&p->cancel, bit, memory_order_seq_cst)
                       : atomic_fetch_and_explicit(&p->cancel, ~bit, memory_order_seq_cst);

    *was = old & bit;
    if (atomic_load_explicit(&p->cancel, memory_order_relaxed) & PERSONAL_ASYNC)
        personal_test();
}

int personal_set_state(int state, int *old)
{
    bool disabled;

    if (state != TL_CANCEL_ENABLE && state != TL_CANCEL_DISABLE)
        return EINVAL;
    change(PERSONAL_DISABLED, state == TL_CANCEL_DISABLE, &disabled);
    if (old)
        *old = disabled ? TL_CANCEL_DISABLE : TL_CANCEL_ENABLE;
    return 0;
}

int personal_set_type(int type, int *old)
{
    bool async;

    if (type != TL_CANCEL_DEFERRED && type != TL_CANCEL_ASYNC)
        return EINVAL;
    if (type == TL_CANCEL_ASYNC && !personal.async)
        return ENOTSUP;
    change(PERSONAL_ASYNC, type == TL_CANCEL_ASYNC, &async);
    if (old)
        *old = async ? TL_CANCEL_ASYNC : TL_CANCEL_DEFERRED;
    return 0;
}

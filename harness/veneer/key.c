/*
 * key.c - thread-specific values, and once: the implementation's own, under numbers of 4 bytes.
 */
#include "veneer.h"

#include <limits.h>
#include <string.h>

/* Invariant: alive is set when key and destructor are written, and cleared by who deletes it. */
static struct {
    struct tl_key key;
    void (*destructor)(void *);
    _Atomic int alive; /* 0 free, 1 being made or deleted, 2 alive */
} keys[PTHREAD_KEYS_MAX];

static bool is_alive(pthread_key_t key)
{
    return key < PTHREAD_KEYS_MAX &&
           atomic_load_explicit(&keys[key].alive, memory_order_acquire) == 2;
}

int WRAP(pthread_key_create)(pthread_key_t *key, void (*destructor)(void *));
int WRAP(pthread_key_create)(pthread_key_t *key, void (*destructor)(void *))
{
    for (unsigned i = 0; i < PTHREAD_KEYS_MAX; i++) {
        int expected = 0, err;

        if (!atomic_compare_exchange_strong(&keys[i].alive, &expected, 1))
            continue;
        err = veneer.impl->key->create(&keys[i].key, destructor);
        keys[i].destructor = destructor;
        atomic_store_explicit(&keys[i].alive, err ? 0 : 2, memory_order_release);
        if (!err)
            *key = i;
        return err;
    }
    return EAGAIN;
}

int WRAP(pthread_key_delete)(pthread_key_t key);
int WRAP(pthread_key_delete)(pthread_key_t key)
{
    int expected = 2, err;

    if (key >= PTHREAD_KEYS_MAX || !atomic_compare_exchange_strong(&keys[key].alive, &expected, 1))
        return EINVAL;
    err = veneer.impl->key->drop(keys[key].key);
    atomic_store_explicit(&keys[key].alive, 0, memory_order_release);
    return err;
}

int WRAP(pthread_setspecific)(pthread_key_t key, const void *value);
int WRAP(pthread_setspecific)(pthread_key_t key, const void *value)
{
    return is_alive(key) ? veneer.impl->key->set(keys[key].key, value) : EINVAL;
}

void *WRAP(pthread_getspecific)(pthread_key_t key);
void *WRAP(pthread_getspecific)(pthread_key_t key)
{
    return is_alive(key) ? veneer.impl->key->get(keys[key].key) : NULL;
}

void veneer_key_destroy_all(void)
{
    bool again = true;

    for (int round = 0; again && round < PTHREAD_DESTRUCTOR_ITERATIONS; round++) {
        again = false;
        for (pthread_key_t i = 0; i < PTHREAD_KEYS_MAX; i++) {
            void *value = __wrap_pthread_getspecific(i);

            if (!value || !keys[i].destructor)
                continue;
            __wrap_pthread_setspecific(i, NULL);
            keys[i].destructor(value);
            again = true;
        }
    }
}

/* ---- once ------------------------------------------------------------------------------------ */

/* A pthread_once_t is 0, then the number of its object, shifted, then ONCE_DONE. */
#define ONCE_DONE 1
#define ONCE_CHUNK 64
#define ONCE_CHUNKS 4096

/* Invariant: users counts the threads between once_of and once_leave; whoever is the last of one
 * that is done gives it back. Guarded by the lock. */
struct once {
    struct tl_once object;
    unsigned users, index;
    struct once *next;
};

static struct {
    struct once *chunk[ONCE_CHUNKS], *free;
    unsigned used;
    _Atomic int lock;
} onces;

static struct once *once_new(void)
{
    struct once **chunk = &onces.chunk[onces.used / ONCE_CHUNK], *o = onces.free;

    if (o) {
        onces.free = o->next;
    } else if (onces.used < ONCE_CHUNK * ONCE_CHUNKS) {
        if (!*chunk)
            *chunk = aligned_alloc(64, ONCE_CHUNK * sizeof(**chunk));
        if (!*chunk)
            return NULL;
        o = &(*chunk)[onces.used % ONCE_CHUNK];
        o->index = onces.used++;
    }
    if (o) {
        memset(&o->object, 0, sizeof(o->object));
        o->users = 0;
    }
    return o;
}

/* Its object, made at the first use; NULL: it is done, or there is no memory. */
static struct once *once_of(_Atomic int *once)
{
    struct once *o = NULL;
    int value;

    veneer_lock(&onces.lock);
    value = atomic_load(once);
    if (value && value != ONCE_DONE) {
        unsigned index = (unsigned)value / 2 - 1;

        o = &onces.chunk[index / ONCE_CHUNK][index % ONCE_CHUNK];
    } else if (!value && (o = once_new())) {
        atomic_store(once, (int)((o->index + 1) * 2));
    }
    if (o)
        o->users++;
    veneer_unlock(&onces.lock);
    return o;
}

static void once_leave(struct once *o, _Atomic int *once, bool done)
{
    veneer_lock(&onces.lock);
    if (done)
        atomic_store_explicit(once, ONCE_DONE, memory_order_release);
    if (!--o->users && done) {
        o->next = onces.free;
        onces.free = o;
    }
    veneer_unlock(&onces.lock);
}

int WRAP(pthread_once)(pthread_once_t *once, void (*routine)(void));
int WRAP(pthread_once)(pthread_once_t *once, void (*routine)(void))
{
    _Atomic int *value = (_Atomic int *)once;
    struct once *o;
    int err;

    if (atomic_load_explicit(value, memory_order_acquire) == ONCE_DONE)
        return 0;
    if (!veneer.running) { /* before main there is one thread */
        routine();
        atomic_store(value, ONCE_DONE);
        return 0;
    }
    o = once_of(value);
    if (!o)
        return atomic_load(value) == ONCE_DONE ? 0 : ENOMEM;
    /* A thread that ends in the routine stays counted: the object is not given back. */
    err = veneer.impl->once(&o->object, routine);
    once_leave(o, value, !err);
    return err;
}

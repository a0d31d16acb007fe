/*
 * key.c - thread-specific values: the implementation's own, under numbers of 4 bytes.
 */
#include "veneer.h"

#include <limits.h>

/* Invariant: alive is set when key and destructor are written, and cleared by who deletes it. */
static struct {
    struct tl_key key;
    void (*destructor)(void *);
    _Atomic int alive; /* 0 free, 1 being made or deleted, 2 alive */
} keys[PTHREAD_KEYS_MAX];

/* Before main, of the thread that runs its constructors. */
static const void *early[PTHREAD_KEYS_MAX];

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
    if (!is_alive(key))
        return EINVAL;
    if (veneer.running)
        return veneer.impl->key->set(keys[key].key, value);
    early[key] = value;
    return 0;
}

void *WRAP(pthread_getspecific)(pthread_key_t key);
void *WRAP(pthread_getspecific)(pthread_key_t key)
{
    if (!is_alive(key))
        return NULL;
    return veneer.running ? veneer.impl->key->get(keys[key].key) : (void *)early[key];
}

void veneer_key_begin(void)
{
    for (pthread_key_t i = 0; i < PTHREAD_KEYS_MAX; i++)
        if (is_alive(i) && early[i])
            veneer.impl->key->set(keys[i].key, early[i]);
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

/*
 * key-private.c - key.private: a key has a value of its own in each thread, at first NULL.
 */
#include "../common/crowd.h"

#include "key.h"

#define THREADS 5
#define KEYS 40 /* more than an implementation keeps in the control block (the C library: 32) */
#define TURNS 40

static struct tl_ctx *ctx;
static struct tl_key keys[KEYS];

static void *value_of(unsigned i, unsigned k, int turn)
{
    return key_value(((uintptr_t)turn * THREADS + i) * KEYS + k);
}

static void body(unsigned i)
{
    const struct tl_key_ops *ops = ctx->impl->key;

    for (unsigned k = 0; k < KEYS; k++)
        TL_EXPECT(ctx, !ops->get(keys[k]), "thread %u: a key that was never set there is %p", i,
                  ops->get(keys[k]));
    for (int turn = 0; turn < TURNS && tl_verdict(ctx) == TL_OK; turn++) {
        for (unsigned k = 0; k < KEYS; k++)
            TL_CALL(ctx, ops->set(keys[k], value_of(i, k, turn)));
        tl_delay(ctx, "with values of keys");
        crowd_step();
        for (unsigned k = 0; k < KEYS; k++)
            TL_EXPECT(ctx, ops->get(keys[k]) == value_of(i, k, turn),
                      "thread %u, key %u: %p after a yield, it set %p", i, k, ops->get(keys[k]),
                      value_of(i, k, turn));
    }
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    for (unsigned k = 0; k < KEYS; k++)
        TL_CALL(ctx, ctx->impl->key->create(&keys[k], NULL));
    for (unsigned k = 0; k < KEYS; k++)
        TL_CALL(ctx, ctx->impl->key->set(keys[k], value_of(THREADS, k, 0)));
    for (int round = 0; round < 3 && tl_verdict(ctx) == TL_OK; round++)
        crowd_run(ctx, THREADS, body);
    for (unsigned k = 0; k < KEYS; k++)
        TL_EXPECT(ctx, ctx->impl->key->get(keys[k]) == value_of(THREADS, k, 0),
                  "the first thread's value of key %u is %p", k, ctx->impl->key->get(keys[k]));
    return tl_verdict(ctx);
}

static const struct tl_check key_private = {
    .abi = TL_ABI,
    .name = "key.private",
    .group = "TLS and errno",
    .promise = "a key has a value of its own in each thread, which is NULL in a new one",
    .source = "POSIX.1-2017 XSH pthread_key_create, pthread_getspecific",
    .method = "five threads at a time, three generations, find 40 keys at NULL, then set and read "
              "them 40 times with yields between",
    .meaning = "values that are kept per kernel thread, or that a recycled thread inherits, are "
               "seen; 40 keys reach beyond the array that an implementation may keep inline",
    .needs = "key",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(key_private);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_key_ops *sound;
static _Atomic uintptr_t last;

static int set(struct tl_key key, const void *value)
{
    if (key.id == keys[KEYS - 1].id)
        atomic_store(&last, (uintptr_t)value);
    return sound->set(key, value);
}

static void *get(struct tl_key key)
{
    void *value = sound->get(key);
    return value && key.id == keys[KEYS - 1].id ? (void *)atomic_load(&last) : value;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->key;
    struct tl_key_ops *broken = TL_MUTATE(impl, key);
    broken->set = set;
    broken->get = get;
}

static const struct tl_mutant key_shared = {
    .abi = TL_ABI,
    .name = "key-shared",
    .fault = "keys beyond those in the control block have one value for all threads",
    .kills = "key.private",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(key_shared);

/*
 * key-delete.c - key.delete, key.reuse, key.limit: keys come and go.
 */
#include "../common/crowd.h"

#include "key.h"

#include <errno.h>

#define THREADS 3
#define ROUNDS 50

static struct tl_ctx *ctx;
static struct tl_key key;
static _Atomic int destroyed;

static void destroy(void *value)
{
    (void)value;
    atomic_fetch_add(&destroyed, 1);
}

/* ---- key.delete ------------------------------------------------------------------------------ */

static void *drops(void *arg)
{
    TL_CALL(ctx, ctx->impl->key->set(key, key_value(1)));
    TL_CALL(ctx, ctx->impl->key->drop(key));
    return arg;
}

static enum tl_status run_delete(struct tl_ctx *c)
{
    struct tl_key never = {UINT64_C(0xfffffff7)};

    ctx = c;
    for (int round = 0; round < ROUNDS && tl_verdict(ctx) == TL_OK; round++) {
        TL_CALL(ctx, ctx->impl->key->create(&key, destroy));
        key_thread(ctx, drops, NULL);
        TL_EXPECT(ctx, !atomic_load(&destroyed), "the destructor of a deleted key ran");
        TL_ANSWERS(ctx, ctx->impl->key->drop(key), EINVAL);
        TL_ANSWERS(ctx, ctx->impl->key->set(key, key_value(2)), EINVAL);
    }
    TL_ANSWERS(ctx, ctx->impl->key->drop(never), EINVAL);
    return tl_verdict(ctx);
}

static const struct tl_check key_delete = {
    .abi = TL_ABI,
    .name = "key.delete",
    .group = "TLS and errno",
    .promise = "a deleted key runs no destructor, and answers EINVAL from then on",
    .source = "POSIX.1-2017 XSH pthread_key_delete (no destructor; EINVAL as a recommendation); "
              "harness/impl.h for EINVAL",
    .method = "a thread deletes a key that it has a value of, and ends; then the key is deleted "
              "and set once more; 50 times, and once with a key that never was",
    .meaning = "a destructor that is called all the same would be counted by the time that join "
               "returns",
    .needs = "key",
    .run = run_delete,
};
TL_CHECK(key_delete);

/* ---- key.reuse ------------------------------------------------------------------------------- */

static void reuse(unsigned i)
{
    for (int round = 0; round < ROUNDS && crowd_meet(); round++) {
        void *stale = ctx->impl->key->get(key);
        TL_EXPECT(ctx, !stale, "thread %u, round %d: a new key is %p", i, round, stale);
        TL_CALL(ctx, ctx->impl->key->set(key, key_value(i)));
        if (!crowd_meet())
            break;
        if (i == 0) {
            TL_CALL(ctx, ctx->impl->key->drop(key));
            TL_CALL(ctx, ctx->impl->key->create(&key, NULL));
        }
    }
}

static enum tl_status run_reuse(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->key->create(&key, NULL));
    crowd_run(ctx, THREADS, reuse);
    return tl_verdict(ctx);
}

static const struct tl_check key_reuse = {
    .abi = TL_ABI,
    .name = "key.reuse",
    .group = "TLS and errno",
    .promise = "a new key is NULL in all threads, also where a deleted one had a value",
    .source = "POSIX.1-2017 XSH pthread_key_create (NULL in all active threads)",
    .method = "three threads give a key a value; one of them deletes it and creates another; all "
              "look; 50 times",
    .meaning = "an index that is used again while threads keep what they had under it is seen",
    .needs = "key",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_reuse,
};
TL_CHECK(key_reuse);

/* ---- key.limit ------------------------------------------------------------------------------- */

static enum tl_status run_limit(struct tl_ctx *c)
{
    static struct tl_key keys[PTHREAD_KEYS_MAX + 1];
    const struct tl_key_ops *ops = c->impl->key;
    size_t n = 0;
    int err = 0;

    ctx = c;
    while (n <= PTHREAD_KEYS_MAX && !(err = ops->create(&keys[n], destroy)))
        n++;
    TL_EXPECT(ctx, err == EAGAIN, "create of key %zu answered %d, right is EAGAIN", n + 1, err);
    TL_EXPECT(ctx, n >= _POSIX_THREAD_KEYS_MAX, "only %zu keys could be created, of %d", n,
              _POSIX_THREAD_KEYS_MAX);
    for (size_t k = 0; k < n && tl_verdict(ctx) == TL_OK; k++)
        TL_CALL(ctx, ops->set(keys[k], key_value(k)));
    for (size_t k = 0; k < n; k++)
        TL_EXPECT(ctx, ops->get(keys[k]) == key_value(k), "key %zu of %zu is %p", k, n,
                  ops->get(keys[k]));
    if (tl_verdict(ctx) != TL_OK)
        return tl_verdict(ctx);
    TL_CALL(ctx, ops->drop(keys[n / 2]));
    TL_CALL(ctx, ops->create(&keys[n / 2], NULL)); /* there is room again */
    TL_ANSWERS(ctx, ops->create(&keys[n], NULL), EAGAIN);
    for (size_t k = 0; k < n; k++)
        TL_CALL(ctx, ops->drop(keys[k]));
    return tl_verdict(ctx);
}

static const struct tl_check key_limit = {
    .abi = TL_ABI,
    .name = "key.limit",
    .group = "TLS and errno",
    .promise = "beyond PTHREAD_KEYS_MAX keys create answers EAGAIN; a deleted one makes room",
    .source = "POSIX.1-2017 XSH pthread_key_create (EAGAIN); XBD limits.h "
              "(_POSIX_THREAD_KEYS_MAX: at least 128)",
    .method = "keys are created until it is refused, at most one more than PTHREAD_KEYS_MAX; each "
              "gets a value, which is read back; one is deleted and created again",
    .meaning = "an array without a bound, and a limit that is never given back, are seen; some "
               "keys may be in use by libraries, so the number that is reached is not compared",
    .needs = "key",
    .run = run_limit,
};
TL_CHECK(key_limit);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_key_ops *sound;

/* Deleted keys are kept, and answered as if they were not. */
static int drop_nothing(struct tl_key k)
{
    (void)k;
    return 0;
}

static void apply_nothing(struct tl_impl *impl)
{
    sound = impl->key;
    TL_MUTATE(impl, key)->drop = drop_nothing;
}

static const struct tl_mutant key_not_deleted = {
    .abi = TL_ABI,
    .name = "key-not-deleted",
    .fault = "delete forgets to free the key: destructors run, and the limit is never given back",
    .kills = "key.delete key.limit",
    .of = "nptl clone green hybrid",
    .apply = apply_nothing,
};
TL_MUTANT_OF(key_not_deleted);

/* The next create gets the key that was deleted, with the values that it had. */
static struct tl_key kept;
static bool keeps;

static int drop_keeps(struct tl_key k)
{
    if (keeps)
        return sound->drop(k);
    kept = k;
    keeps = true;
    return 0;
}

static int create_kept(struct tl_key *k, void (*destructor)(void *))
{
    if (!keeps)
        return sound->create(k, destructor);
    *k = kept;
    keeps = false;
    return 0;
}

static void apply_keeps(struct tl_impl *impl)
{
    sound = impl->key;
    struct tl_key_ops *broken = TL_MUTATE(impl, key);
    broken->drop = drop_keeps;
    broken->create = create_kept;
}

static const struct tl_mutant key_reused_dirty = {
    .abi = TL_ABI,
    .name = "key-reused-dirty",
    .fault = "a new key gets the index of a deleted one, and the values that threads had there",
    .kills = "key.reuse key.delete",
    .of = "nptl clone green hybrid",
    .apply = apply_keeps,
};
TL_MUTANT_OF(key_reused_dirty);

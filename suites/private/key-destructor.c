/*
 * key-destructor.c - key.destructor-order, key.destructor-rounds: what happens to the values of a
 * thread that ends.
 */
#include "key.h"

#define KEYS 3

static struct tl_ctx *ctx;
static struct tl_key keys[KEYS], unset;
static _Atomic int cleaned, destroyed[KEYS], wrong_thread, stray;
static struct tl_thread who;

/* ---- key.destructor-order -------------------------------------------------------------------- */

static void destroy(void *value)
{
    uintptr_t k = (uintptr_t)value - (uintptr_t)key_value(0);

    if (k >= KEYS) {
        atomic_fetch_add(&stray, 1);
        return;
    }
    TL_EXPECT(ctx, atomic_load(&cleaned), "a destructor ran before the cleanup handler");
    TL_EXPECT(ctx, !ctx->impl->key->get(keys[k]), "key %ju is %p within its destructor",
              (uintmax_t)k, ctx->impl->key->get(keys[k]));
    if (ctx->impl->self().id != who.id)
        atomic_fetch_add(&wrong_thread, 1);
    atomic_fetch_add(&destroyed[k], 1);
    ctx->impl->yield(); /* a destructor is ordinary code of the thread */
}

static void clean(void *arg)
{
    (void)arg;
    for (int k = 0; k < KEYS; k++) {
        TL_EXPECT(ctx, !atomic_load(&destroyed[k]), "key %d was destroyed before the cleanup", k);
        TL_EXPECT(ctx, ctx->impl->key->get(keys[k]) == key_value((uintptr_t)k),
                  "key %d is %p in the cleanup handler", k, ctx->impl->key->get(keys[k]));
    }
    atomic_store(&cleaned, 1);
}

static void set_all(void)
{
    who = ctx->impl->self();
    for (int k = 0; k < KEYS; k++)
        TL_CALL(ctx, ctx->impl->key->set(keys[k], key_value((uintptr_t)k)));
    TL_CALL(ctx, ctx->impl->key->set(unset, key_value(0)));
    TL_CALL(ctx, ctx->impl->key->set(unset, NULL));
}

static void leave(void *arg)
{
    set_all();
    ctx->impl->exit(arg);
}

static void *exits(void *arg)
{
    ctx->impl->protect(leave, arg, clean, NULL, false);
    return arg;
}

static void *returns(void *arg)
{
    set_all();
    atomic_store(&cleaned, 1); /* there is none */
    return arg;
}

static void ask(void *(*entry)(void *), const char *how)
{
    atomic_store(&cleaned, 0);
    for (int k = 0; k < KEYS; k++)
        atomic_store(&destroyed[k], 0);
    key_thread(ctx, entry, NULL);
    for (int k = 0; k < KEYS; k++)
        TL_EXPECT(ctx, atomic_load(&destroyed[k]) == 1,
                  "the destructor of key %d had run %d times when join returned; the thread %s", k,
                  atomic_load(&destroyed[k]), how);
}

static enum tl_status run_order(struct tl_ctx *c)
{
    ctx = c;
    for (int k = 0; k < KEYS; k++)
        TL_CALL(ctx, ctx->impl->key->create(&keys[k], destroy));
    TL_CALL(ctx, ctx->impl->key->create(&unset, destroy));
    for (int round = 0; round < 20 && tl_verdict(ctx) == TL_OK; round++) {
        ask(returns, "returned");
        ask(exits, "called exit");
    }
    TL_EXPECT(ctx, !atomic_load(&wrong_thread), "%d destructors ran in another thread",
              atomic_load(&wrong_thread));
    TL_EXPECT(ctx, !atomic_load(&stray), "%d destructors were given what was not set",
              atomic_load(&stray));
    return tl_verdict(ctx);
}

static const struct tl_check key_destructor_order = {
    .abi = TL_ABI,
    .name = "key.destructor-order",
    .group = "TLS and errno",
    .promise = "the destructor of each value that is not NULL runs once, in the thread that ends, "
               "after its cleanup handlers and before join returns; the key is NULL by then",
    .source = "POSIX.1-2017 XSH pthread_key_create, pthread_exit",
    .method = "threads with three values end by return and by exit within a cleanup handler, 20 "
              "times each; destructors note the thread, the value and the order",
    .meaning = "a destructor that is left out, runs twice, early, elsewhere or for NULL is seen; "
               "the order among keys is not specified, so it is not asked",
    .needs = "key exit protect",
    .run = run_order,
};
TL_CHECK(key_destructor_order);

/* ---- key.destructor-rounds ------------------------------------------------------------------- */

static struct tl_key stubborn, chained;
static _Atomic int stubborn_calls, chained_calls;
static int stop_after;

static void insist(void *value)
{
    int calls = atomic_fetch_add(&stubborn_calls, 1) + 1;

    if (calls < stop_after)
        TL_CALL(ctx, ctx->impl->key->set(stubborn, value));
    if (calls == 1)
        TL_CALL(ctx, ctx->impl->key->set(chained, value));
}

static void count(void *value)
{
    (void)value;
    atomic_fetch_add(&chained_calls, 1);
}

static void *stubborn_thread(void *arg)
{
    TL_CALL(ctx, ctx->impl->key->set(stubborn, key_value(1)));
    return arg;
}

static void rounds(int stop, int wanted)
{
    atomic_store(&stubborn_calls, 0);
    atomic_store(&chained_calls, 0);
    stop_after = stop;
    key_thread(ctx, stubborn_thread, NULL);
    TL_EXPECT(ctx, atomic_load(&stubborn_calls) == wanted,
              "a destructor that sets its key again %d times ran %d times, right is %d", stop - 1,
              atomic_load(&stubborn_calls), wanted);
    TL_EXPECT(ctx, atomic_load(&chained_calls) == 1,
              "a key that another's destructor had set was destroyed %d times",
              atomic_load(&chained_calls));
}

static enum tl_status run_rounds(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->key->create(&chained, count)); /* before and after the one that sets */
    TL_CALL(ctx, ctx->impl->key->create(&stubborn, insist));
    for (int n = 1; n <= PTHREAD_DESTRUCTOR_ITERATIONS && tl_verdict(ctx) == TL_OK; n++)
        rounds(n, n);
    rounds(1000, PTHREAD_DESTRUCTOR_ITERATIONS);
    return tl_verdict(ctx);
}

static const struct tl_check key_destructor_rounds = {
    .abi = TL_ABI,
    .name = "key.destructor-rounds",
    .group = "TLS and errno",
    .promise = "values that destructors set are destroyed in turn, in at most "
               "PTHREAD_DESTRUCTOR_ITERATIONS rounds",
    .source = "POSIX.1-2017 XSH pthread_key_create; XBD limits.h; harness/impl.h for the maximum",
    .method = "a destructor sets its key again 0 to 3 times and then for ever, and another key "
              "once; the calls are counted when join has returned",
    .meaning = "one round only, or a thread that never ends, is seen. POSIX allows an "
               "implementation to go on beyond the least number; contract 1 does not",
    .needs = "key",
    .run = run_rounds,
};
TL_CHECK(key_destructor_rounds);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_key_ops *sound;
static void (*sound_destructor)(void *);

static void sometimes(void *value)
{
    static _Atomic unsigned calls;

    if (atomic_fetch_add(&calls, 1) % 7 != 6)
        sound_destructor(value);
}

static int create_forgetful(struct tl_key *key, void (*destructor)(void *))
{
    sound_destructor = destructor;
    return sound->create(key, destructor ? sometimes : NULL);
}

static void apply_forgetful(struct tl_impl *impl)
{
    sound = impl->key;
    TL_MUTATE(impl, key)->create = create_forgetful;
}

static const struct tl_mutant key_not_destroyed = {
    .abi = TL_ABI,
    .name = "key-not-destroyed",
    .fault = "one value in seven is not given to its destructor",
    .kills = "key.destructor-order",
    .of = "nptl clone green hybrid",
    .apply = apply_forgetful,
};
TL_MUTANT_OF(key_not_destroyed);

static _Atomic int destroying;
static void (*first_destructor)(void *);

static void once_only(void *value)
{
    atomic_store(&destroying, 1);
    first_destructor(value);
    atomic_store(&destroying, 0);
}

static int create_once_only(struct tl_key *key, void (*destructor)(void *))
{
    if (destructor != count) {
        first_destructor = destructor;
        destructor = destructor ? once_only : NULL;
    }
    return sound->create(key, destructor);
}

static int set_once_only(struct tl_key key, const void *value)
{
    return atomic_load(&destroying) ? 0 : sound->set(key, value);
}

static void apply_once_only(struct tl_impl *impl)
{
    sound = impl->key;
    struct tl_key_ops *broken = TL_MUTATE(impl, key);
    broken->create = create_once_only;
    broken->set = set_once_only;
}

static const struct tl_mutant key_one_round = {
    .abi = TL_ABI,
    .name = "key-one-round",
    .fault = "what a destructor sets is dropped: there is one round only",
    .kills = "key.destructor-rounds",
    .of = "nptl clone green hybrid",
    .apply = apply_once_only,
};
TL_MUTANT_OF(key_one_round);

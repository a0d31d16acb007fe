/*
 * join-waits.c - join.waits: join returns when the thread has ended, not before.
 */
#include "check.h"

#include <stdatomic.h>

#define ROUNDS 200

static struct tl_ctx *ctx;
static _Atomic int go, ended;

static void *worker(void *arg)
{
    tl_await(ctx, &go, "create to return");
    for (int i = 0; i < 4; i++) {
        tl_delay(ctx, "worker before its end");
        ctx->impl->yield();
    }
    atomic_store(&ended, 1);
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&go, 0);
        atomic_store(&ended, 0);
        if (!tl_start(ctx, (unsigned)i, &t, worker, NULL))
            break;
        atomic_store(&go, 1);
        tl_delay(ctx, "before join");
        tl_finish(ctx, t);
        TL_EXPECT(ctx, atomic_load(&ended), "round %d: join returned while the thread ran", i);
    }
    return tl_verdict(ctx);
}

static const struct tl_check join_waits = {
    .abi = TL_ABI,
    .name = "join.waits",
    .group = "Lifecycle",
    .promise = "join returns only when the thread has ended",
    .source = "POSIX.1-2017 XSH pthread_join",
    .method = "a thread yields and idles at random before its last statement sets a flag; the flag "
              "has to be set when join returns, in 200 seeded rounds",
    .meaning =
        "a join that does not wait would see the flag unset in some round; a join that waits "
        "for something else than the end (a fixed time, the first yield) does as well",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(join_waits);

/* ---- mutant ---------------------------------------------------------------------------------- */

static int (*sound_join)(struct tl_thread t, void **value);
static int (*sound_detach)(struct tl_thread t);

static int join_early(struct tl_thread t, void **value)
{
    static unsigned calls;

    if (++calls % 4)
        return sound_join(t, value);
    if (value)
        *value = NULL;
    return sound_detach(t);
}

static void apply(struct tl_impl *impl)
{
    sound_join = impl->join;
    sound_detach = impl->detach;
    impl->join = join_early;
}

static const struct tl_mutant join_returns_early = {
    .abi = TL_ABI,
    .name = "join-returns-early",
    .fault = "one join in four returns at once, while the thread still runs",
    .kills = "join.waits",
    .of = "nptl clone green",
    .apply = apply,
};
TL_MUTANT_OF(join_returns_early);

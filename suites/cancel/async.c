/*
 * async.c - cancel.async: a thread that never calls anything can be cancelled.
 */
#include "victim.h"

#include "../common/mutant.h"

#define ROUNDS 20

static struct tl_ctx *ctx;
static _Atomic int looping, stop, refused;

/* Between the two calls of set_type nothing is called. */
static void loop(void)
{
    int old = -1, err = ctx->impl->cancel->set_type(TL_CANCEL_ASYNC, &old);

    if (err) {
        atomic_store(&refused, err);
        atomic_store(&looping, 1);
        return;
    }
    atomic_store(&looping, 1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        ;
    ctx->impl->cancel->set_type(TL_CANCEL_DEFERRED, NULL);
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&looping, 0);
        if (!victim_start(ctx, loop) || !tl_await(ctx, &looping, "the loop to begin"))
            break;
        if (atomic_load(&refused)) {
            tl_finish(ctx, victim.thread);
            if (atomic_load(&refused) == ENOTSUP)
                return tl_refused(ctx, "cancel.async");
            TL_CALL(ctx, atomic_load(&refused));
            break;
        }
        tl_delay(ctx, "before cancel");
        victim_cancel();
        victim_end(ctx, "a loop that calls nothing");
        atomic_store(&stop, tl_verdict(ctx) != TL_OK); /* so that the process can end */
    }
    return tl_verdict(ctx);
}

static const struct tl_check cancel_async = {
    .abi = TL_ABI,
    .name = "cancel.async",
    .group = "Cancellation",
    .promise = "a thread of asynchronous type is cancelled wherever it is, and runs its cleanup "
               "handlers",
    .source = "POSIX.1-2017 XSH 2.9.5.1 (acted upon at any time), pthread_setcanceltype",
    .method = "a thread sets the type and reads a variable in a loop that calls nothing; another "
              "cancels it; 20 times",
    .meaning = "a request that is looked for only in calls never ends the loop. That it may hit "
               "any instruction is not tried: few things are safe there",
    .needs = "cancel protect",
    .traits = TL_PREEMPTIVE,
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(cancel_async);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_cancel_ops *sound;

static int set_type_says_yes(int type, int *old)
{
    return type == TL_CANCEL_ASYNC ? 0 : sound->set_type(type, old);
}

static void apply(struct tl_impl *impl)
{
    sound = impl->cancel;
    TL_MUTATE(impl, cancel)->set_type = set_type_says_yes;
}

MUTANT(async_is_deferred, "async-is-deferred", "the asynchronous type is accepted and ignored",
       "cancel.async", "nptl clone", apply);

/*
 * ended.c - cancel.value, cancel.after-end: what the joiner of a thread gets that was cancelled, or
 * that had ended before it could be.
 */
#include "victim.h"

#include "../common/mutant.h"
#include "../common/wrap.h"

#define ROUNDS 40

static struct tl_ctx *ctx;
static struct tl_sem never;
static _Atomic int asked;

/* ---- value ----------------------------------------------------------------------------------- */

static void wait_for_ever(void)
{
    ctx->impl->sem->wait(&never);
}

static void miss_all_points(void)
{
    tl_await(ctx, &asked, "the request");
}

static enum tl_status run_value(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->sem->init(&never, 0));
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&asked, 0);
        if (!victim_start(ctx, i % 2 ? wait_for_ever : miss_all_points))
            break;
        tl_delay(ctx, "before cancel");
        victim_cancel();
        atomic_store(&asked, 1);
        if (i % 2) {
            victim_end(ctx, "sem.wait");
            continue;
        }
        void *value = tl_finish(ctx, victim.thread);
        TL_EXPECT(ctx, value == &victim,
                  "a thread that came to no cancellation point returned %p, its value is %p",
                  (void *)&victim, value);
    }
    return tl_verdict(ctx);
}

static const struct tl_check cancel_value = {
    .abi = TL_ABI,
    .name = "cancel.value",
    .group = "Cancellation",
    .promise = "the value of a cancelled thread is TL_CANCELED; one that returns without having "
               "come to a cancellation point has its own, whatever was asked of it",
    .source = "POSIX.1-2017 XSH pthread_join (PTHREAD_CANCELED), 2.9.5.2",
    .method = "40 threads in turn are cancelled; every other one waits, the rest compute until "
              "they have been asked, and return",
    .meaning = "a value that is lost, or a thread that counts as cancelled because it was asked, "
               "is seen",
    .needs = "cancel protect sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_value,
};
TL_CHECK(cancel_value);

/* ---- after the end --------------------------------------------------------------------------- */

static _Atomic int ending;

static void *end(void *arg)
{
    atomic_store(&ending, 1);
    return arg;
}

static enum tl_status run_after(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&ending, 0);
        if (!tl_start(ctx, (unsigned)i, &t, end, &ending) ||
            !tl_await(ctx, &ending, "a thread to end"))
            break;
        if (i % 2)
            settle(ctx);
        else
            tl_delay(ctx, "before cancel");
        int err = ctx->impl->cancel->cancel(t);
        TL_EXPECT(ctx, err == 0 || err == ESRCH,
                  "cancel of a thread that has ended answered %d, right is 0 or ESRCH", err);
        TL_EXPECT(ctx, tl_finish(ctx, t) == &ending, "a request after the end changed the value");
    }
    return tl_verdict(ctx);
}

static const struct tl_check after_end = {
    .abi = TL_ABI,
    .name = "cancel.after-end",
    .group = "Cancellation",
    .promise = "a request for a thread that has ended and was not joined changes nothing: it can "
               "be joined and has its value",
    .source =
        "POSIX.1-2017 XSH pthread_cancel, 2.9.2 (an ID is valid until the thread was joined); "
        "ESRCH is allowed where it can be told",
    .method = "a thread sets a flag and returns; then, or a millisecond later, it is cancelled and "
              "joined; 40 times",
    .meaning = "the thread comes to no cancellation point, so that its own value is the only right "
               "one however the race goes. Requests after join are id.stale's business",
    .needs = "cancel",
    .run = run_after,
};
TL_CHECK(after_end);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int join_null(struct tl_thread t, void **value)
{
    int err = sound.join(t, value);

    if (!err && value && *value == TL_CANCELED)
        *value = NULL;
    return err;
}

static void apply_join(struct tl_impl *impl)
{
    sound = *impl;
    impl->join = join_null;
}

static _Atomic uint64_t last_cancelled;

static int cancel_noting(struct tl_thread t)
{
    atomic_store(&last_cancelled, wrap_once_in(4) ? t.id : 0);
    return sound.cancel->cancel(t);
}

static int join_by_request(struct tl_thread t, void **value)
{
    int err = sound.join(t, value);

    if (!err && value && t.id == atomic_load(&last_cancelled))
        *value = TL_CANCELED;
    return err;
}

static void apply_request(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cancel)->cancel = cancel_noting;
    impl->join = join_by_request;
}

#define ALL "nptl clone green"
MUTANT(cancelled_null, "cancelled-value-is-null", "the value of a cancelled thread is NULL",
       "cancel.value", ALL, apply_join);
MUTANT(value_by_request, "asked-counts-as-cancelled",
       "one thread in four that was asked to end counts as cancelled although it returned",
       "cancel.value cancel.after-end", ALL, apply_request);

/*
 * disabled.c - cancel.disabled-holds, cancel.self: a request that is held, and one of a thread to
 * itself.
 */
#include "victim.h"

#include "../common/mutant.h"
#include "../common/wrap.h"

#define ROUNDS 30

static struct tl_ctx *ctx;
static _Atomic int asked, held, enabled;
static struct tl_sem sem;

/* ---- disabled -------------------------------------------------------------------------------- */

static void *end(void *arg)
{
    return arg;
}

static void disable_and_wait(void)
{
    const struct tl_impl *impl = ctx->impl;
    struct tl_thread t;
    int old = -1;

    TL_CALL(ctx, impl->cancel->set_state(TL_CANCEL_DISABLE, &old));
    TL_EXPECT(ctx, old == TL_CANCEL_ENABLE, "the state of a new thread is %d", old);
    atomic_store(&held, 1);
    if (!tl_await(ctx, &asked, "the request"))
        return;
    impl->cancel->test();
    TL_CALL(ctx, impl->sleep(1000));
    TL_CALL(ctx, impl->sem->wait(&sem)); /* which comes late */
    if (tl_start(ctx, 0, &t, end, &t))
        tl_finish(ctx, t);
    atomic_store(&held, 2);
    TL_CALL(ctx, impl->cancel->set_state(TL_CANCEL_ENABLE, &old));
    TL_EXPECT(ctx, old == TL_CANCEL_DISABLE, "disabled, the state is %d", old);
    impl->yield();
    atomic_store(&enabled, 1);
    impl->cancel->test();
}

static enum tl_status run_disabled(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&asked, 0);
        atomic_store(&held, 0);
        atomic_store(&enabled, 0);
        if (!victim_start(ctx, disable_and_wait) || !tl_await(ctx, &held, "a thread to disable it"))
            break;
        if (i % 2) { /* asleep, or at one of the points */
            atomic_store(&asked, 1);
            if (i % 8 == 1)
                settle(ctx);
        }
        tl_delay(ctx, "before cancel");
        victim_cancel();
        atomic_store(&asked, 1);
        tl_delay(ctx, "before the post");
        TL_CALL(ctx, ctx->impl->sem->post(&sem));
        victim_end(ctx, "test, after it was enabled again");
        TL_EXPECT(ctx, atomic_load(&held) == 2, "a thread was cancelled that had disabled it");
        TL_EXPECT(ctx, atomic_load(&enabled), "enabling it was taken for a cancellation point");
    }
    return tl_verdict(ctx);
}

static const struct tl_check disabled_holds = {
    .abi = TL_ABI,
    .name = "cancel.disabled-holds",
    .group = "Cancellation",
    .promise =
        "a request for a thread that has disabled cancellation is held, its waits go on, and "
        "it is acted on at the first point after it was enabled again",
    .source = "POSIX.1-2017 XSH 2.9.5.1 (requests are held pending), pthread_setcancelstate",
    .method = "30 seeded rounds: a disabled thread is cancelled before or while it passes test, "
              "sleep, a semaphore that is posted later, and a join; then it enables it and calls "
              "test",
    .meaning = "a wait that a held request ends, a request that is lost while disabled, and one "
               "that is acted on too early are all seen; the moments are met by chance",
    .needs = "cancel protect sleep sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_disabled,
};
TL_CHECK(disabled_holds);

/* ---- itself ---------------------------------------------------------------------------------- */

static void *cancel_self(void *went_on)
{
    const struct tl_impl *impl = ctx->impl;

    TL_CALL(ctx, impl->cancel->cancel(impl->self()));
    impl->yield();
    *(int *)went_on = 1;
    impl->cancel->test();
    *(int *)went_on = 2;
    return NULL;
}

static enum tl_status run_self(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        int went_on = 0;

        if (!tl_start(ctx, (unsigned)i, &t, cancel_self, &went_on))
            break;
        TL_EXPECT(ctx, tl_finish(ctx, t) == TL_CANCELED, "it has not ended as cancelled");
        TL_EXPECT(ctx, went_on == 1, "it %s",
                  went_on ? "went on after test" : "ended before it came to a point");
    }
    return tl_verdict(ctx);
}

static const struct tl_check self = {
    .abi = TL_ABI,
    .name = "cancel.self",
    .group = "Cancellation",
    .promise = "a thread may cancel itself: it goes on to its next cancellation point",
    .source = "POSIX.1-2017 XSH pthread_cancel, 2.9.5.2 (deferred)",
    .method = "30 threads on alternating PUs cancel themselves, yield, and call test",
    .meaning = "no race: each one ends in test, with the value of a cancelled thread",
    .needs = "cancel",
    .run = run_self,
};
TL_CHECK(self);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int set_state_late(int state, int *old)
{
    int err = sound.cancel->set_state(state, old);

    if (wrap_once_in(8) && state == TL_CANCEL_DISABLE)
        sound.cancel->set_state(TL_CANCEL_ENABLE, NULL);
    return err;
}

static void apply_state(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cancel)->set_state = set_state_late;
}

static int set_state_tests(int state, int *old)
{
    int err = sound.cancel->set_state(state, old);

    if (state == TL_CANCEL_ENABLE)
        sound.cancel->test();
    return err;
}

static void apply_enable(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cancel)->set_state = set_state_tests;
}

static int cancel_other(struct tl_thread t)
{
    return t.id == sound.self().id ? 0 : sound.cancel->cancel(t);
}

static void apply_self(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cancel)->cancel = cancel_other;
}

#define ALL "nptl clone green"
MUTANT(disable_fails, "disable-is-forgotten", "one thread in eight stays enabled when it disables",
       "cancel.disabled-holds", ALL, apply_state);
MUTANT(enable_is_point, "enable-is-a-cancel-point", "enabling cancellation acts on a request",
       "cancel.disabled-holds", ALL, apply_enable);
MUTANT(ignores_self, "cancel-ignores-self", "a thread that cancels itself goes on", "cancel.self",
       ALL, apply_self);

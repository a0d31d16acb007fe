/*
 * points.c - cancel.deferred-at-points, cancel.pending-at-join: where a request is acted on that
 * came while the thread ran.
 */
#include "victim.h"

#include "../common/mutant.h"
#include "../common/wrap.h"

#define ROUNDS 12

static struct tl_ctx *ctx;
static _Atomic int asked, at_point;
static struct tl_mutex mutex;
static struct tl_cond cond;
static struct tl_sem tokens;

/* What POSIX does not let an implementation make a cancellation point. */
static void no_points(void)
{
    const struct tl_impl *impl = ctx->impl;

    impl->self();
    impl->yield();
    TL_CALL(ctx, impl->mutex->lock(&mutex));
    TL_CALL(ctx, impl->cond->signal(&cond));
    TL_CALL(ctx, impl->mutex->unlock(&mutex));
    TL_CALL(ctx, impl->sem->post(&tokens));
    TL_CALL(ctx, impl->sem->trywait(&tokens));
}

/* ---- points that need not wait --------------------------------------------------------------- */

static void point_test(void)
{
    ctx->impl->cancel->test();
}

static void point_sleep(void)
{
    ctx->impl->sleep(1000);
}

static void point_sem(void)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&tokens)); /* there is one */
}

static void (*const points[])(void) = {point_test, point_sleep, point_sem};
static const char *const names[] = {"test", "sleep", "sem.wait"};
static void (*point)(void);

/* The request has come when it begins. */
static void go_to_point(void)
{
    if (!tl_await(ctx, &asked, "the request"))
        return;
    for (int i = 0; i < 2; i++) {
        no_points();
        tl_delay(ctx, "with a request pending");
    }
    atomic_store(&at_point, 1);
    point();
}

static void one_round(void (*where)(void), const char *name)
{
    point = where;
    atomic_store(&asked, 0);
    atomic_store(&at_point, 0);
    if (!victim_start(ctx, go_to_point))
        return;
    victim_cancel();
    atomic_store(&asked, 1);
    victim_end(ctx, name);
    TL_EXPECT(ctx, atomic_load(&at_point), "the thread was cancelled before it came to %s", name);
}

static enum tl_status run_points(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(ctx, ctx->impl->cond->init(&cond));
    TL_CALL(ctx, ctx->impl->sem->init(&tokens, 1));
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        for (int n = 0; n < ROUNDS && tl_verdict(ctx) == TL_OK; n++)
            one_round(points[i], names[i]);
    return tl_verdict(ctx);
}

static const struct tl_check deferred_at_points = {
    .abi = TL_ABI,
    .name = "cancel.deferred-at-points",
    .group = "Cancellation",
    .promise = "a new thread acts on a request at its next cancellation point, whether that has to "
               "wait or not, and nowhere else",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (acted upon before the function returns; no cancellation "
              "points in other functions)",
    .method = "a thread that has been cancelled computes, yields, locks, signals and posts twice, "
              "then calls test, a short sleep, or a semaphore that has a token, 12 times each",
    .meaning = "a point that looks for requests only when it waits returns; a point in a call that "
               "is none ends the thread too early, and takes a locked mutex along. What else the "
               "C library has (open, printf) is not asked",
    .needs = "cancel protect sleep mutex cond sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_points,
};
TL_CHECK(deferred_at_points);

/* ---- join of a thread that has ended --------------------------------------------------------- */

static struct tl_thread ended;
static _Atomic int has_ended;

static void *end(void *arg)
{
    atomic_store(&has_ended, 1);
    return arg;
}

static void join_ended(void)
{
    atomic_store(&at_point, 1);
    if (tl_await(ctx, &asked, "the request"))
        ctx->impl->join(ended, NULL);
}

static enum tl_status run_join(struct tl_ctx *c)
{
    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&asked, 0);
        atomic_store(&has_ended, 0);
        if (!tl_start(ctx, 0, &ended, end, &ended) ||
            !tl_await(ctx, &has_ended, "a thread to end") || !victim_start(ctx, join_ended))
            break;
        settle(ctx); /* has it really ended? most likely */
        victim_cancel();
        atomic_store(&asked, 1);
        if (victim_end(ctx, "join of a thread that has ended"))
            TL_EXPECT(ctx, tl_finish(ctx, ended) == &ended, "the one it joined lost its value");
    }
    return tl_verdict(ctx);
}

static const struct tl_check pending_at_join = {
    .abi = TL_ABI,
    .name = "cancel.pending-at-join",
    .group = "Cancellation",
    .promise = "a thread with a request pending is cancelled in join, even if the thread that it "
               "joins has ended; that one stays joinable",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (the request shall be acted upon before the function "
              "returns; pthread_join is in the list of those where it shall)",
    .method = "a thread that has been cancelled joins one that has ended, 12 times",
    .meaning = "a join that looks for requests only while it sleeps returns here",
    .needs = "cancel protect",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_join,
};
TL_CHECK(pending_at_join);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int unlock_tests(struct tl_mutex *m)
{
    int err = sound.mutex->unlock(m);

    if (wrap_once_in(8))
        sound.cancel->test();
    return err;
}

static void apply_unlock(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, mutex)->unlock = unlock_tests;
}

static int wait_without_test(struct tl_sem *s)
{
    return sound.sem->trywait(s) ? sound.sem->wait(s) : 0;
}

static void apply_wait(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, sem)->wait = wait_without_test;
}

static int join_without_test(struct tl_thread t, void **value)
{
    int old, err;

    if (!atomic_load(&has_ended))
        return sound.join(t, value);
    sound.cancel->set_state(TL_CANCEL_DISABLE, &old);
    err = sound.join(t, value);
    sound.cancel->set_state(old, NULL);
    return err;
}

static void apply_join(struct tl_impl *impl)
{
    sound = *impl;
    impl->join = join_without_test;
}

#define ALL "nptl clone green"
MUTANT(unlock_is_point, "unlock-is-a-cancel-point", "one unlock in eight acts on a request",
       "cancel.deferred-at-points", ALL, apply_unlock);
MUTANT(wait_skips_test, "sem-wait-skips-cancel",
       "a wait for a semaphore that has a token does not look for requests",
       "cancel.deferred-at-points", ALL, apply_wait);
MUTANT(join_skips_test, "join-skips-cancel",
       "a join of a thread that has ended does not look for requests", "cancel.pending-at-join",
       "clone green", apply_join);

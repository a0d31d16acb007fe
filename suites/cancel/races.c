/*
 * races.c - cancel.races-completion: a request meets a thread that is just about to finish.
 */
#include "victim.h"

#include "../common/mutant.h"
#include "../common/proc.h"
#include "../common/wrap.h"

#include <stdlib.h>

#define ROUNDS 100
#define WARM 20          /* rounds after which nothing new is mapped any more */
#define LOST_MAPPINGS 25 /* of 80 threads */

static struct tl_ctx *ctx;
static struct tl_sem tokens;
static _Atomic int took;
static _Atomic int held; /* resources that the victim has and has not given back */

static void give_back(void *resource)
{
    free(resource);
    atomic_fetch_sub(&held, 1);
}

static void work(void *arg)
{
    (void)arg;
    if (TL_CALL(ctx, ctx->impl->sem->wait(&tokens)))
        atomic_store(&took, 1);
    tl_delay(ctx, "with the token");
    ctx->impl->cancel->test();
    tl_delay(ctx, "before the end");
}

static void hold_and_work(void)
{
    void *resource = malloc(100);

    atomic_fetch_add(&held, 1);
    ctx->impl->protect(work, NULL, give_back, resource, true);
}

static void request(void)
{
    TL_EXPECT(ctx, !ctx->impl->cancel->cancel(victim.thread) || atomic_load(&victim.left),
              "cancel of a thread that runs failed");
}

static void expect_consistent(void *value)
{
    bool finished = atomic_load(&victim.returned);
    int err = ctx->impl->sem->trywait(&tokens), right = atomic_load(&took) ? EAGAIN : 0;

    TL_EXPECT(ctx, value == (finished ? (void *)&victim : TL_CANCELED),
              "the thread %s, its value is %p", finished ? "finished" : "did not finish", value);
    TL_EXPECT(ctx, atomic_load(&held) == 0, "the thread ended and left %d resources behind",
              atomic_load(&held));
    TL_EXPECT(ctx, err == right, "the token is %s",
              err ? "lost with a thread that never had it" : "there although the thread had it");
}

static enum tl_status run(struct tl_ctx *c)
{
    long before = 0, after;
    int finished = 0;

    ctx = c;
    TL_CALL(ctx, ctx->impl->sem->init(&tokens, 0));
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        if (i == WARM)
            before = proc_lines("/proc/self/maps");
        atomic_store(&took, 0);
        if (!victim_start(ctx, hold_and_work))
            break;
        tl_delay(ctx, "before the first of the two");
        if (i % 4 == 0)
            request();
        if (i % 8 == 0 && !tl_await(ctx, &victim.left, "a thread to be cancelled while it waits"))
            break;
        TL_CALL(ctx, ctx->impl->sem->post(&tokens));
        for (int n = 0; n < i % 4; n++)
            tl_delay(ctx, "before cancel");
        if (i % 4)
            request();
        expect_consistent(tl_finish(ctx, victim.thread));
        finished += atomic_load(&victim.returned);
    }
    after = proc_lines("/proc/self/maps");
    TL_EXPECT(ctx, after < before + LOST_MAPPINGS, "%ld mappings became %ld in %d rounds", before,
              after, ROUNDS - WARM);
    tl_say(ctx, "of %d threads %d finished, the others were cancelled", ROUNDS, finished);
    return tl_verdict(ctx);
}

static const struct tl_check races_completion = {
    .abi = TL_ABI,
    .name = "cancel.races-completion",
    .group = "Cancellation",
    .promise = "a thread that is cancelled while it finishes either finishes or is cancelled, as a "
               "whole: value, cleanup and what it took agree, and nothing leaks",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (side effects as those of EINTR), pthread_cancel",
    .method =
        "100 seeded rounds: a thread holds memory under a cleanup handler and waits for a "
        "token; the token and the request come shortly after each other, the request first in a "
        "quarter of them, and the token only after the end in an eighth; then value, resources, "
        "the token and the number of mappings are compared with how far it came",
    .meaning = "a token that is consumed by a wait that is cancelled, a handler that is skipped, "
               "and a stack that is not given back are seen, where seed and chance meet the window",
    .needs = "cancel protect sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(races_completion);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int wait_late(struct tl_sem *s)
{
    int err = sound.sem->wait(s);

    sound.yield();
    sound.cancel->test();
    return err;
}

static void apply_late(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, sem)->wait = wait_late;
}

static void (*skipped)(void *);

static void skip_or_run(void *arg)
{
    if (atomic_load(&took) || !wrap_once_in(3))
        skipped(arg);
}

static void protect_skipping(void (*body)(void *), void *body_arg, void (*routine)(void *),
                             void *arg, bool execute)
{
    if (routine == give_back) {
        skipped = routine;
        routine = skip_or_run;
    }
    sound.protect(body, body_arg, routine, arg, execute);
}

static void apply_skipping(struct tl_impl *impl)
{
    sound = *impl;
    impl->protect = protect_skipping;
}

#define ALL "nptl clone green"
MUTANT(token_lost, "cancelled-wait-keeps-token",
       "a wait for a semaphore acts on a request when it has taken the token",
       "cancel.races-completion", ALL, apply_late);
MUTANT(handler_skipped, "cancel-skips-cleanup",
       "one thread in three that is cancelled while it waits does not run its handler",
       "cancel.races-completion", ALL, apply_skipping);

/*
 * wait.c - sem.wait-is-a-cancel-point, sem.wait-handler-returns: what may end a wait for a
 * semaphore, and what may not.
 */
#include "../cancel/victim.h"

#include "../common/action.h"
#include "../common/mutant.h"
#include "../common/rounds.h"
#include "../common/wrap.h"

#include <signal.h>

static struct tl_ctx *ctx;
static struct tl_sem sem;

/* ---- cancellation ---------------------------------------------------------------------------- */

#define ROUNDS 100
#define FEW 8

static _Atomic int requested;

static void take(void)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&sem));
}

static void take_when_requested(void)
{
    tl_await(ctx, &requested, "the request");
    TL_CALL(ctx, ctx->impl->sem->wait(&sem));
}

static void expect_token(bool there, const char *when)
{
    int err = ctx->impl->sem->trywait(&sem);

    TL_EXPECT(ctx, err == (there ? 0 : EAGAIN), "%s: trywait answers %d (%s)", when, err,
              there ? "the token is gone" : "it was taken and is there");
}

/* The request is there before the thread calls wait, which could take a token at once. */
static void pending(void)
{
    atomic_store(&requested, 0);
    TL_CALL(ctx, ctx->impl->sem->post(&sem));
    if (!victim_start(ctx, take_when_requested))
        return;
    victim_cancel();
    atomic_store(&requested, 1);
    if (victim_end(ctx, "sem.wait that has a token"))
        expect_token(true, "cancelled before it took the token");
}

/* Post and request meet: the thread has the token, or was cancelled and left it. */
static void racing(bool post_first)
{
    void *value;

    if (!victim_start(ctx, take))
        return;
    settle(ctx);
    if (post_first)
        TL_CALL(ctx, ctx->impl->sem->post(&sem));
    tl_delay(ctx, "between post and cancel");
    victim_cancel_late();
    tl_delay(ctx, "between cancel and post");
    if (!post_first)
        TL_CALL(ctx, ctx->impl->sem->post(&sem));
    if (!tl_await(ctx, &victim.left, "sem.wait to be cancelled, or to take its token"))
        return;
    value = tl_finish(ctx, victim.thread);
    TL_EXPECT(ctx, (value == TL_CANCELED) == !atomic_load(&victim.returned),
              "the cancelled thread has a wrong value");
    expect_token(value == TL_CANCELED, "after a request and a post at the same time");
}

static enum tl_status run_cancel(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
    for (unsigned i = 0; rounds_more(ctx, i, FEW, ROUNDS); i++)
        if (i % 4)
            racing(i % 2);
        else
            pending();
    TL_CALL(ctx, ctx->impl->sem->destroy(&sem));
    return tl_verdict(ctx);
}

static const struct tl_check cancel_point = {
    .abi = TL_ABI,
    .name = "sem.wait-is-a-cancel-point",
    .group = "Semaphore",
    .promise = "a wait acts on a request to cancel, and then takes no token",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (sem_wait is a cancellation point; side effects before a "
              "request is acted on are those of a call that answers EINTR)",
    .method =
        "up to 100 seeded rounds: a request that is there before a wait that has a token, and a "
        "request and a post at about the same time for one that sleeps; then the token is "
        "looked for",
    .meaning =
        "a request that is missed, a token that goes with the cancelled thread, and one that "
        "is taken and still there are seen; the exact moment of the race is met by chance",
    .needs = "cancel protect sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_cancel,
};
TL_CHECK(cancel_point);

/* ---- handlers -------------------------------------------------------------------------------- */

#define SIGNALS 8

static _Atomic int go, entering, returned, handled, posted;

static void on_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&handled, 1);
}

static void *wait_for_post(void *arg)
{
    if (!tl_await(ctx, &go, "create to return"))
        return arg;
    atomic_store(&entering, 1);
    TL_CALL(ctx, ctx->impl->sem->wait(&sem));
    TL_EXPECT(ctx, atomic_load(&posted), "the wait ended without a post");
    atomic_store(&returned, 1);
    return arg;
}

static enum tl_status run_handler(struct tl_ctx *c)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    struct tl_thread t;
    int err = 0;

    ctx = c;
    tl_sigaction(ctx->impl, SIGUSR1, &action, NULL);
    TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
    if (!tl_start(ctx, 1, &t, wait_for_post, NULL))
        return tl_verdict(ctx);
    atomic_store(&go, 1);
    tl_await(ctx, &entering, "the thread to run");
    for (int i = 0; i < SIGNALS && !err && tl_verdict(ctx) == TL_OK; i++) {
        settle(ctx);
        tl_delay(ctx, "before kill");
        err = ctx->impl->signal->kill(t, SIGUSR1, NULL);
    }
    settle(ctx);
    atomic_store(&posted, 1);
    TL_CALL(ctx, ctx->impl->sem->post(&sem));
    tl_await(ctx, &returned, "the post to end the wait");
    tl_finish(ctx, t);
    if (err == ENOTSUP)
        return tl_refused(ctx, "signal.kill");
    TL_EXPECT(ctx, !err, "kill answered %d", err);
    TL_EXPECT(ctx, atomic_load(&handled) > 0, "no handler ran");
    return tl_verdict(ctx);
}

static const struct tl_check handler_returns = {
    .abi = TL_ABI,
    .name = "sem.wait-handler-returns",
    .group = "Semaphore",
    .promise = "a handler that runs in a thread that waits for a semaphore does not end its wait",
    .source = "this benchmark's contract of sem.wait, as for all other waits; POSIX.1-2017 XSH "
              "sem_wait allows [EINTR], whose loop is then the implementation's",
    .method = "8 signals, without SA_RESTART, to a thread that waits; then one post",
    .meaning = "a wait that ends by a handler, with or without an error, or that a handler makes "
               "deaf for the post is seen",
    .needs = "sem signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_handler,
};
TL_CHECK(handler_returns);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int wait_uncancelled(struct tl_sem *s)
{
    int old, err;

    sound.cancel->set_state(TL_CANCEL_DISABLE, &old);
    err = sound.sem->wait(s);
    sound.cancel->set_state(old, NULL);
    return err;
}

/* The token is taken before the request is looked for. */
static int wait_then_test(struct tl_sem *s)
{
    int err = wait_uncancelled(s);

    sound.cancel->test();
    return err;
}

static int wait_eintr(struct tl_sem *s)
{
    int before = atomic_load(&handled), err = sound.sem->wait(s);

    return err || atomic_load(&handled) == before ? err : EINTR;
}

#define APPLY(function, broken)                \
    static void function(struct tl_impl *impl) \
    {                                          \
        sound = *impl;                         \
        TL_MUTATE(impl, sem)->wait = broken;   \
    }
APPLY(apply_uncancelled, wait_uncancelled)
APPLY(apply_then_test, wait_then_test)
APPLY(apply_eintr, wait_eintr)

MUTANT(uncancelled, "sem-wait-no-cancel-point", "a wait does not act on requests",
       "sem.wait-is-a-cancel-point", EVERYWHERE, apply_uncancelled);
MUTANT(then_test, "sem-cancel-takes-token",
       "a wait acts on a request when it has taken its token, which is lost",
       "sem.wait-is-a-cancel-point", EVERYWHERE, apply_then_test);
MUTANT(eintr, "sem-answers-eintr", "a wait during which a handler ran answers EINTR",
       "sem.wait-handler-returns", EVERYWHERE, apply_eintr);

/*
 * handler-yields.c - handler.yields: a handler that interrupts a wait gives up the PU, and the
 * wait goes on where it was.
 */
#include "signals.h"

#define TURNS 20
#define YIELDS 3

static struct tl_ctx *ctx;
static struct tl_sem go, done;
static _Atomic int begun, ended, woke;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&begun, 1);
    for (int i = 0; i < YIELDS; i++)
        ctx->impl->yield();
    atomic_fetch_add(&ended, 1);
    ctx->impl->sem->post(&done);
}

static void *wait_for_it(void *arg)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&go));
    atomic_fetch_add(&woke, 1);
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    TL_CALL(c, c->impl->sem->init(&go, 0));
    TL_CALL(c, c->impl->sem->init(&done, 0));
    if (!signals_concurrent(c) || !signals_handle(c, SIGUSR1, handler, SA_RESTART) ||
        !tl_start(c, 0, &t, wait_for_it, NULL))
        return TL_FAILED;
    for (int i = 1; i <= TURNS && tl_verdict(c) == TL_OK; i++) {
        c->impl->yield(); /* it waits by now, most likely */
        TL_CALL(c, signals_kill(c, t, SIGUSR1, 0));
        TL_CALL(c, c->impl->sem->wait(&done));
        TL_EXPECT(c, atomic_load(&begun) == i && atomic_load(&ended) == i,
                  "after %d signals the handler has begun %d times and ended %d times", i,
                  atomic_load(&begun), atomic_load(&ended));
        TL_EXPECT(c, !atomic_load(&woke), "the wait has ended, and nobody has posted");
    }
    TL_CALL(c, c->impl->sem->post(&go));
    tl_finish(c, t);
    TL_EXPECT(c, tl_verdict(c) != TL_OK || atomic_load(&ended) == TURNS,
              "after %d signals the handler has ended %d times", TURNS, atomic_load(&ended));
    return tl_verdict(c);
}

static const struct tl_check handler_yields = {
    .abi = TL_ABI,
    .name = "handler.yields",
    .group = "Signals",
    .promise = "a handler that interrupts a wait may give up the PU: it goes on behind that, ends "
               "once, and so does the wait",
    .source = "the implementation's own promise (README of impls/user: a handler may lock, post, "
              "yield, block, exit)",
    .method = "20 signals to a thread that waits for a semaphore; the handler yields three times "
              "and posts, while the sender waits",
    .meaning = "who keeps where the thread was in the place that the handler's own switches use "
               "runs a part of the handler twice, or crashes",
    .needs = "signal.kill sem.post_in_handler",
    .prefers = "lwps=1", /* who is the only one on its kernel thread switches in another way */
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(handler_yields);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int kill_and_end_wait(struct tl_thread t, int sig, const union sigval *value)
{
    int err = sound->kill(t, sig, value);

    if (!err)
        ctx->impl->sem->post(&go);
    return err;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_and_end_wait;
}

static const struct tl_mutant signal_ends_wait = {
    .abi = TL_ABI,
    .name = "signal-ends-wait",
    .fault = "a wait for a semaphore ends by a signal, as if it had got a unit",
    .kills = "handler.yields",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(signal_ends_wait);

#ifdef TL_INJECT
static const struct tl_mutant arrives_without_copy = {
    .abi = TL_ABI,
    .name = "user-arrives-without-copy",
    .fault = "on the only LWP a handler's switches overwrite where its thread was",
    .kills = "handler.yields",
    .of = "hybrid",
};
TL_MUTANT_OF(arrives_without_copy);
#endif

/*
 * signal.thread - a signal to another thread that runs on another PU, or that is blocked there or
 * here. A running receiver must be interrupted (an inter-processor interrupt); a blocked one woken.
 * Between PUs the sender first waits until a blocked receiver sleeps again, as /proc says: without
 * that a part of the signals found it awake (5th percentile 3.1 us instead of 6.0). That wait is in
 * the time per op, not in the latency. On one PU the receiver cannot be awake while the sender is.
 * On one PU the sender gives up the PU until the handler has run: a context switch is in the
 * number.
 */
#include "signal.h"

struct state {
    struct exchange x;
    bool running;
};

static void *receive(void *arg)
{
    struct state *st = arg;
    const struct tl_impl *impl = st->x.sig.ctx->impl;

    receiver_ready(&st->x.receiver, impl);
    if (st->running)
        while (!atomic_load_explicit(&st->x.receiver.stop, memory_order_relaxed))
            __asm__ volatile("" ::: "memory");
    else
        receiver_block(&st->x.receiver, impl);
    return NULL;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->running = strcmp(tl_axis(ctx, "state"), "running") == 0;
    st->x.same_pu = sig_same_pu(ctx);
    if (model_user_level(ctx) && !ctx->impl->signal->action)
        return sig_send_failed(ctx, ENOTSUP);
    if (st->running && st->x.same_pu)
        return tl_unsupported(ctx, "the receiver cannot be running where the sender is");
    enum tl_status status = sig_init(&st->x.sig, ctx, SIGUSR1, sig_handler);
    if (status == TL_OK)
        status = receiver_start(&st->x.receiver, ctx, 1, receive, st);
    if (status == TL_OK && !st->running && !st->x.same_pu)
        status = receiver_watch(&st->x.receiver, ctx);
    return status;
}

static int send_one(void *arg)
{
    struct state *st = arg;

    return st->x.sig.ctx->impl->signal->kill(st->x.receiver.thread, SIGUSR1, NULL);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;

    return sig_run(&st->x.sig, n, st->x.same_pu, exchange_stands, send_one, st);
}

static const struct tl_axis axes[] = {
    {"state", "running,blocked", NULL, NULL, "what the receiver does when the signal comes"},
    {0},
};

static const char *const rests_on[] = {"kill.thread", "kill.blocked-thread", "sem.count", NULL};

static const struct tl_bench signal_thread = {
    .abi = TL_ABI,
    .name = "signal.thread",
    .version = 1,
    .title = "Signal to another thread",
    .op = "one signal sent to another thread, until the sender sees that its handler has run",
    .needs = TL_NEED_SIGNAL | TL_NEED_SEM,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = exchange_verify,
    .teardown = exchange_teardown,
};
TL_BENCH(signal_thread);

/*
 * signal.self - a thread sends a signal to itself: the kernel's price of a delivery, without
 * anybody to wake.
 */
#include "signal.h"

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct sig *s = aligned_alloc(_Alignof(struct sig), sizeof(*s));

    if (!s)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(s, 0, sizeof(*s));
    ctx->state = s;
    return sig_init(s, ctx, SIGUSR1, sig_handler);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct sig *s = ctx->state;
    const struct tl_impl *impl = ctx->impl;
    struct tl_thread self = impl->self();
    int error = 0;
    uint64_t i;

    tl_begin(ctx);
    for (i = 0; i < n && !error; i++) {
        atomic_store_explicit(&s->sent_ns, tl_now_ns(), memory_order_relaxed);
        s->sent++;
        error = impl->signal->kill(self, SIGUSR1, NULL);
        /* POSIX (XSH kill): delivered before the call returns, for one thread that has it open */
        if (!error)
            error = sig_await(s, true);
    }
    tl_end(ctx, i);
    tl_count(ctx, "signals", i);
    return error ? sig_send_failed(ctx, error) : TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    return sig_verify(ctx->state);
}

static void teardown(struct tl_ctx *ctx)
{
    signal(SIGUSR1, SIG_IGN);
    free(ctx->state);
    ctx->state = NULL;
}

static const char *const rests_on[] = {"kill.thread", "handler.errno", NULL};

static const struct tl_bench signal_self = {
    .abi = TL_ABI,
    .name = "signal.self",
    .version = 1,
    .title = "Signal to oneself",
    .op = "one signal sent to the calling thread and its handler run",
    .needs = TL_NEED_SIGNAL,
    .workers = 1,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(signal_self);

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

static int send_one(void *arg)
{
    const struct tl_impl *impl = arg;

    return impl->signal->kill(impl->self(), SIGUSR1, NULL);
}

/* POSIX (XSH kill): delivered before the call returns, for one thread that has it open. */
static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    return sig_run(ctx->state, n, true, NULL, send_one, (void *)(uintptr_t)ctx->impl);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    return sig_verify(ctx->state);
}

static void teardown(struct tl_ctx *ctx)
{
    tl_sigignore(ctx->impl, SIGUSR1);
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

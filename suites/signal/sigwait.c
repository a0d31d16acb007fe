/*
 * signal.sigwait - a thread of its own takes the signals with sigwait, everybody has them blocked:
 * the way that POSIX recommends (XRAT B.2.8), against an asynchronous handler.
 */
#include "signal.h"

struct state {
    struct sig sig;
    struct receiver receiver;
    bool same_pu, masked;
    sigset_t set, old;
};

static void *receive(void *arg)
{
    struct state *st = arg;
    struct sig *s = &st->sig;
    const struct tl_impl *impl = s->ctx->impl;

    receiver_ready(&st->receiver, impl);
    for (;;) {
        int number, error = impl->signal->wait(&st->set, &number);
        uint64_t now = tl_now_ns();

        if (error == EINTR)
            continue;
        if (error || number != SIGUSR1) {
            atomic_store(&st->receiver.error, error ? error : EPROTO);
            break;
        }
        if (atomic_load_explicit(&st->receiver.stop, memory_order_acquire))
            break;
        tl_record(s->latency, now - atomic_load_explicit(&s->sent_ns, memory_order_relaxed));
        /* Release: pairs with the acquire in sig_await. */
        atomic_fetch_add_explicit(&s->handled, 1, memory_order_release);
    }
    return NULL;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->same_pu = sig_same_pu(ctx);
    sigemptyset(&st->set);
    sigaddset(&st->set, SIGUSR1);
    error = ctx->impl->signal->mask(SIG_BLOCK, &st->set, &st->old);
    if (error)
        return tl_failed(ctx, "signal.mask: %s", strerror(error));
    st->masked = true;
    enum tl_status status = sig_init(&st->sig, ctx, SIGUSR1, NULL);
    return status == TL_OK ? receiver_start(&st->receiver, ctx, 1, receive, st) : status;
}

static int send_one(void *arg)
{
    struct state *st = arg;

    return st->sig.ctx->impl->signal->kill(st->receiver.thread, SIGUSR1, NULL);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;

    return sig_run(&st->sig, n, st->same_pu, NULL, send_one, st);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    int error = atomic_load(&st->receiver.error);

    if (error)
        return tl_failed(ctx, "signal.wait: %s", strerror(error));
    return sig_verify(&st->sig);
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (st) {
        /* The receiver is in sigwait: one more signal, after `stop`, ends it. */
        atomic_store(&st->receiver.stop, true);
        if (st->receiver.created)
            ctx->impl->signal->kill(st->receiver.thread, SIGUSR1, NULL);
        receiver_stop(&st->receiver, ctx->impl);
        if (st->masked)
            ctx->impl->signal->mask(SIG_SETMASK, &st->old, NULL);
    }
    free(st);
    ctx->state = NULL;
}

static const char *const rests_on[] = {"sigwait.exactly-once", "mask.inherited", "kill.thread",
                                       NULL};

static const struct tl_bench signal_sigwait = {
    .abi = TL_ABI,
    .name = "signal.sigwait",
    .version = 1,
    .title = "Signal to a thread in sigwait",
    .op = "one signal sent to a thread in sigwait, until the sender sees that it was taken",
    .needs = TL_NEED_SIGNAL | TL_NEED_SIGWAIT | TL_NEED_SEM,
    .workers = 2,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(signal_sigwait);

/*
 * preempt.direct - how fast does one thread get at another: by a directed signal that interrupts it
 * (which is how a library preempts a thread on another PU), by one that wakes it, by a semaphore,
 * and, at the least, by a word that it keeps reading?
 *
 * The result is the histogram `latency`: from before the call, or the store, to the first statement
 * behind it in the other thread. The time per op has the way back in it, and between PUs the wait
 * until a blocked receiver's kernel thread sleeps again. As signal.thread, by what is sent.
 */
#include "../signal/signal.h"

struct state {
    struct exchange x;
    bool running;
    enum { BY_SIGNAL, BY_SEM, BY_WORD } by;
    _Alignas(64) _Atomic uint64_t word; /* of BY_WORD: how many were sent */
};

static void *receive(void *arg)
{
    struct state *st = arg;
    const struct tl_impl *impl = st->x.sig.ctx->impl;
    uint64_t seen = 0;

    receiver_ready(&st->x.receiver, impl);
    if (st->by == BY_SEM)
        receiver_take(&st->x.receiver, impl, &st->x.sig);
    else if (!st->running)
        receiver_block(&st->x.receiver, impl);
    else
        while (!atomic_load_explicit(&st->x.receiver.stop, memory_order_relaxed))
            if (atomic_load_explicit(&st->word, memory_order_relaxed) != seen) {
                seen++;
                sig_taken(&st->x.sig);
            }
    return NULL;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    const char *by = tl_axis(ctx, "by");
    enum tl_status status;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->by = strcmp(by, "sem-blocked") == 0    ? BY_SEM
             : strcmp(by, "word-running") == 0 ? BY_WORD
                                               : BY_SIGNAL;
    st->running = strstr(by, "-running");
    st->x.same_pu = model_same_pu(ctx);
    if (st->running && st->x.same_pu)
        return tl_unsupported(ctx, "the receiver cannot be running on the PU of the sender");
    status = sig_init(&st->x.sig, ctx, SIGUSR1, sig_handler);
    if (status == TL_OK)
        status = receiver_start(&st->x.receiver, ctx, 1, receive, st);
    if (status == TL_OK && !st->running && !st->x.same_pu)
        status = receiver_watch(&st->x.receiver, ctx);
    return status;
}

static int send_one(void *arg)
{
    struct state *st = arg;
    const struct tl_impl *impl = st->x.sig.ctx->impl;

    if (st->by == BY_SIGNAL)
        return impl->signal->kill(st->x.receiver.thread, SIGUSR1, NULL);
    if (st->by == BY_SEM)
        return impl->sem->post(&st->x.receiver.park);
    atomic_fetch_add_explicit(&st->word, 1, memory_order_relaxed);
    return 0;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;

    return sig_run(&st->x.sig, n, st->x.same_pu, exchange_stands, send_one, st);
}

static const struct tl_axis axes[] = {
    {"by", "signal-running,signal-blocked,sem-blocked,word-running", NULL, NULL,
     "what is sent, and what the receiver does meanwhile"},
    {0},
};

static const char *const rests_on[] = {"kill.thread", "kill.blocked-thread", "sem.count", NULL};

static const struct tl_bench preempt_direct = {
    .abi = TL_ABI,
    .name = "preempt.direct",
    .version = 1,
    .title = "Getting at another thread: signal, semaphore, shared word",
    .op = "one of them sent, until the sender sees that it has arrived",
    .needs = TL_NEED_SIGNAL | TL_NEED_SEM,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .min_n = 100, /* a 99th percentile wants a thousand, in all windows */
    .setup = setup,
    .run = run,
    .verify = exchange_verify,
    .teardown = exchange_teardown,
};
TL_BENCH(preempt_direct);

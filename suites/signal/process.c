/*
 * signal.process - a signal to the process: exactly one of the threads that have it open runs the
 * handler. Which one is the kernel's choice: `busiest` is the largest share that one receiver had.
 */
#include "signal.h"

#define RECEIVERS 2

struct state {
    struct sig sig;
    struct receiver receiver[RECEIVERS];
    struct tl_ctx *ctx;
    unsigned started;
    bool same_pu;
    sigset_t old;
    bool masked;
    _Atomic uint64_t by[RECEIVERS + 1]; /* the last one: by a thread that has it blocked */
};

static struct state *the_state;

static void handler(int number)
{
    unsigned i = 0;
    struct state *st = the_state;
    uint64_t now = tl_now_ns(), me;

    (void)number;
    tl_record(st->sig.latency, now - atomic_load_explicit(&st->sig.sent_ns, memory_order_relaxed));
    me = st->ctx->impl->self().id;
    while (i < RECEIVERS && st->receiver[i].thread.id != me)
        i++;
    atomic_fetch_add_explicit(&st->by[i], 1, memory_order_relaxed);
    /* Release: pairs with the acquire in sig_await. */
    atomic_fetch_add_explicit(&st->sig.handled, 1, memory_order_release);
}

static void *receive(void *arg)
{
    struct state *st = the_state;
    struct receiver *r = arg;
    const struct tl_impl *impl = st->ctx->impl;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    int error = impl->signal->mask(SIG_UNBLOCK, &set, NULL); /* the creator's mask is inherited */
    if (error)
        atomic_store(&r->error, error);
    receiver_ready(r, impl);
    receiver_block(r, impl);
    return NULL;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    sigset_t set;
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = the_state = st;
    st->ctx = ctx;
    st->same_pu = sig_same_pu(ctx);
    if (model_user_level(ctx) && !ctx->impl->signal->action)
        return tl_unsupported(ctx,
                              "%s has the masks of its kernel threads: no thread can have the "
                              "signal open while another has not",
                              ctx->impl->name);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    error = ctx->impl->signal->mask(SIG_BLOCK, &set, &st->old);
    if (error)
        return tl_failed(ctx, "signal.mask: %s", strerror(error));
    st->masked = true;
    enum tl_status status = sig_init(&st->sig, ctx, SIGUSR1, handler);
    for (; status == TL_OK && st->started < RECEIVERS; st->started++)
        status = receiver_start(&st->receiver[st->started], ctx, st->started + 1, receive,
                                &st->receiver[st->started]);
    return status;
}

static int send_one(void *arg)
{
    (void)arg;
    return kill(getpid(), SIGUSR1) ? errno : 0;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;

    return sig_run(&st->sig, n, st->same_pu, NULL, send_one, NULL);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    uint64_t busiest = 0, wrong = atomic_load(&st->by[RECEIVERS]);

    for (unsigned i = 0; i < RECEIVERS; i++)
        if (atomic_load(&st->by[i]) > busiest)
            busiest = atomic_load(&st->by[i]);
    if (wrong)
        return tl_invalid(ctx, "%" PRIu64 " handlers ran on a thread that has the signal blocked",
                          wrong);
    tl_metric(ctx, "busiest", (double)busiest / (double)(st->sig.sent ? st->sig.sent : 1), "share");
    return sig_verify(&st->sig);
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (st) {
        for (unsigned i = 0; i < RECEIVERS; i++)
            receiver_stop(&st->receiver[i], ctx->impl);
        tl_sigignore(ctx->impl, SIGUSR1);
        if (st->masked)
            ctx->impl->signal->mask(SIG_SETMASK, &st->old, NULL);
    }
    free(st);
    ctx->state = NULL;
}

static const char *const rests_on[] = {"signal.process-once", "mask.inherited", "mask.per-thread",
                                       NULL};

static const struct tl_bench signal_process = {
    .abi = TL_ABI,
    .name = "signal.process",
    .version = 2,
    .title = "Signal to the process",
    .op = "one signal sent to the process, until the sender sees that one thread has handled it",
    .needs = TL_NEED_SIGNAL | TL_NEED_SEM,
    .workers = 2,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(signal_process);

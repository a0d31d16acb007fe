/*
 * idle.wake - a thread posts a semaphore to another after nothing has run beside it for a while:
 * how long until the other one runs? With an M:N library that is the way of a kernel thread from
 * its idle state back to work: spinning at first, later parked in the kernel.
 *
 * Between PUs the poster is busy all the time, so that the thread must be run elsewhere. On one PU
 * it yields after the post: then it is the price of a wake-up without an idle PU, for comparison.
 * The result is the histogram `latency`; the gap is in the time per op.
 */
#include "../signal/signal.h"

struct state {
    struct exchange x;
    uint64_t gap_ns;
};

static void *receive(void *arg)
{
    struct state *st = arg;
    const struct tl_impl *impl = st->x.sig.ctx->impl;

    receiver_ready(&st->x.receiver, impl);
    receiver_take(&st->x.receiver, impl, &st->x.sig);
    return NULL;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    enum tl_status status;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->gap_ns = (uint64_t)tl_axis_int(ctx, "gap_ns");
    st->x.same_pu = model_same_pu(ctx);
    status = sig_init(&st->x.sig, ctx, 0, NULL);
    return status == TL_OK ? receiver_start(&st->x.receiver, ctx, 1, receive, st) : status;
}

static int wait_gap(void *arg)
{
    struct state *st = arg;

    tl_spin_ns(st->gap_ns);
    return 0;
}

static int post(void *arg)
{
    struct state *st = arg;

    return st->x.sig.ctx->impl->sem->post(&st->x.receiver.park);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;

    return sig_run(&st->x.sig, n, st->x.same_pu, wait_gap, post, st);
}

static const struct tl_axis axes[] = {
    {"gap_ns", "10000,1000000", NULL, "1000,10000,100000,1000000,10000000",
     "time since the other thread began to wait, ns"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "sem.count", NULL};

static const struct tl_bench idle_wake = {
    .abi = TL_ABI,
    .name = "idle.wake",
    .version = 1,
    .title = "Wake-up after idle time",
    .op = "the gap, then one post, until the poster sees that the other thread has run",
    .needs = TL_NEED_SEM,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .min_n = 20, /* some hundred, in all windows: a distribution, whatever the first one took */
    .setup = setup,
    .run = run,
    .verify = exchange_verify,
    .teardown = exchange_teardown,
};
TL_BENCH(idle_wake);

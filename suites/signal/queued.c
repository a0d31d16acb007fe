/*
 * signal.queued - real-time signals queue: `depth` of them are sent while blocked, each with its
 * number, then let in at once. Each must arrive, in the order of sending (POSIX.1-2017, XSH 2.4.2).
 */
#include "signal.h"

#include <sys/resource.h>

#define MAX_DEPTH 4096

struct state {
    struct tl_ctx *ctx;
    struct tl_hist *latency;
    int number;
    unsigned depth;
    bool masked;
    sigset_t set, old;
    uint64_t sent, handled, disordered; /* one thread, and its own handler */
    int next;                           /* payload that must come next */
    uint64_t sent_ns[MAX_DEPTH];
};

static struct state *the_state;

static void handler(int number, siginfo_t *info, void *context)
{
    uint64_t now = tl_now_ns();
    struct state *st = the_state;
    int payload = info->si_value.sival_int;

    (void)number;
    (void)context;
    if (payload != st->next || payload < 0 || payload >= MAX_DEPTH)
        st->disordered++;
    else
        tl_record(st->latency, now - st->sent_ns[payload]);
    st->next++;
    st->handled++;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = calloc(1, sizeof(*st));
    struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct rlimit pending;

    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = the_state = st;
    st->ctx = ctx;
    st->latency = tl_hist(ctx, "latency");
    st->number = SIGRTMIN + 1;
    st->depth = (unsigned)tl_axis_int(ctx, "depth");
    if (st->depth < 1 || st->depth > MAX_DEPTH)
        return tl_unsupported(ctx, "depth=%u: from 1 to %d", st->depth, MAX_DEPTH);
    if (getrlimit(RLIMIT_SIGPENDING, &pending) == 0 && pending.rlim_cur < st->depth)
        return tl_unsupported(ctx, "RLIMIT_SIGPENDING allows %llu queued signals",
                              (unsigned long long)pending.rlim_cur);
    sigemptyset(&st->set);
    sigaddset(&st->set, st->number);
    int error = tl_sigaction(ctx->impl, st->number, &act, NULL);
    if (error)
        return tl_failed(ctx, "sigaction: %s", strerror(error));
    error = ctx->impl->signal->mask(SIG_BLOCK, &st->set, &st->old);
    if (error)
        return tl_failed(ctx, "signal.mask: %s", strerror(error));
    st->masked = true;
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_signal_ops *ops = ctx->impl->signal;
    struct tl_thread self = ctx->impl->self();
    int error = 0;
    uint64_t done = 0;

    tl_begin(ctx);
    while (done < n && !error) {
        st->next = 0;
        for (unsigned i = 0; i < st->depth && !error; i++) {
            union sigval value = {.sival_int = (int)i};

            st->sent_ns[i] = tl_now_ns();
            error = ops->kill(self, st->number, &value);
            st->sent += !error;
        }
        /* They are delivered before the call that lets them in returns (XSH sigprocmask). */
        ops->mask(SIG_UNBLOCK, &st->set, NULL);
        ops->mask(SIG_BLOCK, &st->set, NULL);
        done += st->depth;
    }
    tl_end(ctx, done);
    tl_count(ctx, "signals", done);
    return error ? tl_failed(ctx, "signal.kill: %s", strerror(error)) : TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (st->handled != st->sent)
        return tl_invalid(ctx, "%" PRIu64 " signals queued, %" PRIu64 " delivered", st->sent,
                          st->handled);
    if (st->disordered)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " signals came out of order",
                          st->disordered, st->sent);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (st && st->masked)
        ctx->impl->signal->mask(SIG_SETMASK, &st->old, NULL);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"depth", "1,64", "1,64", "1,16,256,4096", "signals queued before they are let in"},
    {0},
};

static const char *const rests_on[] = {"rt.queues", "rt.order", NULL};

static const struct tl_bench signal_queued = {
    .abi = TL_ABI,
    .name = "signal.queued",
    .version = 1,
    .title = "Queued real-time signals",
    .op = "one real-time signal with a payload queued and delivered",
    .needs = TL_NEED_SIGNAL,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(signal_queued);

/*
 * rt-overflow.c - rt.overflow: the queue of real-time signals has an end, which is told.
 */
#include "signals.h"

#include <sys/resource.h>

#define LIMIT 32
#define TRIES 1000
#define SIG (SIGRTMIN + 1)

static struct tl_ctx *ctx;
static int seen[TRIES], handled; /* of the one thread that receives */

static void handler(int sig, siginfo_t *info, void *context)
{
    int payload = info->si_value.sival_int;

    (void)sig;
    (void)context;
    handled++;
    if (payload >= 0 && payload < TRIES)
        seen[payload]++;
}

static void *nothing(void *arg)
{
    return arg;
}

static void *fill(void *arg)
{
    struct tl_thread self = ctx->impl->self();
    struct rlimit limit = {LIMIT, LIMIT};
    struct tl_thread t;
    int queued = 0, err = 0;

    TL_EXPECT(ctx, setrlimit(RLIMIT_SIGPENDING, &limit) == 0, "setrlimit: %s", strerror(errno));
    signals_handle(ctx, SIG, handler, SA_RESTART);
    for (int round = 0; round < 3 && tl_verdict(ctx) == TL_OK; round++) {
        handled = 0;
        memset(seen, 0, sizeof(seen));
        signals_mask(ctx, SIG_BLOCK, SIG);
        for (queued = 0; queued < TRIES; queued++) {
            union sigval value = {.sival_int = queued};

            err = ctx->impl->signal->kill(self, SIG, &value);
            if (err)
                break;
        }
        TL_EXPECT(ctx, err == EAGAIN && queued <= LIMIT,
                  "%d signals were queued where the limit is %d, the next one answered %s", queued,
                  LIMIT, err ? strerrorname_np(err) : "0");
        TL_CALL(ctx, ctx->impl->signal->kill(self, 0, NULL)); /* which needs no place */
        signals_mask(ctx, SIG_UNBLOCK, SIG);
        TL_EXPECT(ctx, handled == queued, "%d signals were queued before EAGAIN, %d handled",
                  queued, handled);
        for (int i = 0; i < queued && i < TRIES; i++)
            TL_EXPECT(ctx, seen[i] == 1, "the signal with the value %d was handled %d times", i,
                      seen[i]);
    }
    if (tl_start(ctx, 1, &t, nothing, &limit)) /* it is usable still */
        TL_EXPECT(ctx, tl_finish(ctx, t) == &limit, "join gave another value");
    return arg;
}

static enum tl_status outside(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    if (signals_child(ctx, fill, 0, &end))
        TL_EXPECT(ctx, end.status == 0, "the process %s %d", end.hung ? "hung," : "ended by signal",
                  end.signal);
    return tl_verdict(ctx);
}

static const struct tl_check rt_overflow = {
    .abi = TL_ABI,
    .name = "rt.overflow",
    .group = "Signals",
    .promise = "where the queue of signals is full kill answers EAGAIN; what was queued before is "
               "delivered, and there is room again",
    .source = "POSIX.1-2017 XSH sigqueue (EAGAIN); pthread_sigqueue(3); getrlimit(2) "
              "(RLIMIT_SIGPENDING)",
    .method = "in a child process with room for at most 32 a thread blocks a real-time signal and "
              "sends itself more until it is refused, opens it and compares; three times",
    .meaning = "a queue that drops without a word, or has no end, is always seen. The limit is "
               "per user: others' signals may leave less room, which changes nothing",
    .needs = "signal.kill signal.mask",
    .outside = outside,
};
TL_CHECK(rt_overflow);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int kill_silently(struct tl_thread t, int sig, const union sigval *value)
{
    int err = sound->kill(t, sig, value);

    return err == EAGAIN ? 0 : err;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_silently;
}

static const struct tl_mutant rt_overflow_silent = {
    .abi = TL_ABI,
    .name = "rt-overflow-silent",
    .fault = "a signal for which there is no room is dropped, and kill answers 0",
    .kills = "rt.overflow",
    .of = "nptl clone green ucontext",
    .apply = apply,
};
TL_MUTANT_OF(rt_overflow_silent);

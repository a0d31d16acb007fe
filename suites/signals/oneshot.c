/*
 * oneshot.c - oneshot.resethand: a handler that is good for one signal.
 */
#include "signals.h"

static struct tl_ctx *ctx;
static _Atomic int *shared; /* with the child: handlers that ran; 1 before the last signal */

static void count_one(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&shared[0], 1);
}

static void *handled_once(void *arg)
{
    struct tl_thread self = ctx->impl->self();

    signals_handle(ctx, SIGUSR2, count_one, 0);
    for (int i = 1; i <= 20; i++) {
        TL_CALL(ctx, ctx->impl->signal->kill(self, SIGUSR2, NULL));
        TL_EXPECT(ctx, atomic_load(&shared[0]) == i, "a handler that stays ran %d times for %d",
                  atomic_load(&shared[0]), i);
    }
    signals_handle(ctx, SIGUSR1, count_one, SA_RESETHAND);
    atomic_store(&shared[0], 0);
    TL_CALL(ctx, ctx->impl->signal->kill(self, SIGUSR1, NULL));
    TL_EXPECT(ctx, atomic_load(&shared[0]) == 1, "the one-shot handler ran %d times",
              atomic_load(&shared[0]));
    signals_handle(ctx, SIGUSR1, count_one, SA_RESETHAND); /* registered again */
    TL_CALL(ctx, ctx->impl->signal->kill(self, SIGUSR1, NULL));
    TL_EXPECT(ctx, atomic_load(&shared[0]) == 2, "registered again it ran %d times in all",
              atomic_load(&shared[0]));
    atomic_store(&shared[1], 1);
    TL_CALL(ctx, ctx->impl->signal->kill(self, SIGUSR1, NULL)); /* ends the process */
    return arg;
}

static enum tl_status outside_oneshot(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    shared = signals_share(ctx);
    if (shared && signals_child(ctx, handled_once, 0, &end)) {
        TL_EXPECT(ctx, atomic_load(&shared[1]), "the thread did not come to its last signal");
        TL_EXPECT(ctx, end.signal == SIGUSR1,
                  "a second signal to a one-shot handler is to end the process: it ended by signal "
                  "%d, with status %d; the handler ran %d times",
                  end.signal, end.status, atomic_load(&shared[0]));
    }
    return tl_verdict(ctx);
}

static const struct tl_check oneshot = {
    .abi = TL_ABI,
    .name = "oneshot.resethand",
    .group = "Signals",
    .promise = "a handler stays until it is replaced; with SA_RESETHAND it is good for one signal "
               "and has to be registered again",
    .source = "POSIX.1-2017 XSH sigaction (SA_RESETHAND); System V had that for all handlers",
    .method = "in a child process a thread sends itself 20 signals with a usual handler, then one "
              "with a one-shot handler, one after it was registered again, and one more, which "
              "ends the process",
    .meaning = "no race: a library that keeps handlers of its own is always seen",
    .needs = "signal.kill",
    .outside = outside_oneshot,
};
TL_CHECK(oneshot);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_impl *mutated;
static const struct tl_signal_ops *sound;

static int kill_keeping(struct tl_thread t, int sig, const union sigval *value)
{
    struct sigaction now;
    bool known = sig > 0 && tl_sigaction(mutated, sig, NULL, &now) == 0;
    int err = sound->kill(t, sig, value);

    if (known && now.sa_flags & SA_RESETHAND)
        tl_sigaction(mutated, sig, &now, NULL);
    return err;
}

static void apply_keeping(struct tl_impl *impl)
{
    mutated = impl;
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_keeping;
}

static const struct tl_mutant oneshot_stays = {
    .abi = TL_ABI,
    .name = "oneshot-stays",
    .fault = "a one-shot handler stays for the next signal",
    .kills = "oneshot.resethand",
    .of = "nptl clone green ucontext",
    .apply = apply_keeping,
};
TL_MUTANT_OF(oneshot_stays);

/*
 * suspend.c - suspend.until-handler, suspend.blocks-alone: a thread that gives itself another mask
 * and waits for a handler, in one step.
 */
#include "signals.h"

#define ROUNDS 40

static struct tl_ctx *ctx;
static struct tally handled;
static _Atomic int ready, again, sent, counted, back, over;
static _Atomic uint64_t suspended, handled_by;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_store(&handled_by, ctx->impl->self().id);
    tally_add(&handled);
}

static bool begin(struct tl_ctx *c)
{
    ctx = c;
    return signals_handle(ctx, SIGUSR1, handler, SA_RESTART) &&
           signals_mask(ctx, SIG_BLOCK, SIGUSR1);
}

static void suspend_once(void)
{
    sigset_t open = signals_of(0);

    TL_CALL(ctx, ctx->impl->signal->suspend(&open));
    TL_EXPECT(ctx, atomic_load(&handled.count) == 1, "suspend returned, and %d handlers had run",
              atomic_load(&handled.count));
    TL_EXPECT(ctx, atomic_load(&handled_by) == ctx->impl->self().id,
              "the handler that ended suspend ran in another thread");
    TL_EXPECT(ctx, signals_blocked(ctx, SIGUSR1),
              "the mask that the thread had before suspend is not back");
}

/* ---- until a handler has run ----------------------------------------------------------------- */

static void *suspender(void *arg)
{
    for (int i = 0; i < ROUNDS && !atomic_load(&over) && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&ready, 1);
        tl_delay(ctx, "before suspend"); /* the signal may be pending already */
        if (i % 4 == 0 && !tl_await(ctx, &sent, "the signal")) /* it is */
            break;
        suspend_once();
        atomic_store(&back, 1);
        if (!tl_await(ctx, &again, "the next round"))
            break;
        atomic_store(&again, 0);
    }
    return arg;
}

static enum tl_status run_until(struct tl_ctx *c)
{
    struct tl_thread t;
    int err = 0;

    if (!begin(c))
        return TL_FAILED;
    tally_reset(&handled, 1);
    if (!tl_start(ctx, 1, &t, suspender, NULL))
        return tl_verdict(ctx);
    for (int i = 0; i < ROUNDS && !err && tl_verdict(ctx) == TL_OK; i++) {
        if (!tl_await(ctx, &ready, "the thread to begin a round"))
            break;
        atomic_store(&ready, 0);
        tl_delay(ctx, "before the signal");
        if (i % 8 == 7)
            signals_linger(ctx);
        err = signals_wake(ctx, t, SIGUSR1);
        atomic_store(&sent, 1);
        tl_await(ctx, &back, "suspend to return after a signal");
        atomic_store(&back, 0);
        tally_reset(&handled, 1);
        atomic_store(&sent, 0);
        atomic_store(&over, err);
        atomic_store(&again, 1);
    }
    tl_finish(ctx, t);
    if (err == ENOTSUP && tl_verdict(ctx) == TL_OK)
        return tl_refused(ctx, "signal.kill");
    TL_CALL(ctx, err);
    return tl_verdict(ctx);
}

static const struct tl_check suspend_until = {
    .abi = TL_ABI,
    .name = "suspend.until-handler",
    .group = "Signals",
    .promise = "suspend opens the mask and waits in one step, returns when a handler has run, and "
               "puts the old mask back",
    .source = "POSIX.1-2017 XSH sigsuspend",
    .method = "40 seeded rounds: a thread that has a signal blocked suspends itself with the "
              "signal open, another sends it before, while or after that; the handler has run in "
              "the first thread when it goes on",
    .meaning = "a suspend that opens the mask first and waits then hangs when the signal comes in "
               "between; one that does not wait at all sees no handler",
    .needs = "signal.suspend signal.kill signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_until,
};
TL_CHECK(suspend_until);

/* ---- alone ----------------------------------------------------------------------------------- */

static void *suspend_one(void *arg)
{
    atomic_store(&suspended, ctx->impl->self().id);
    atomic_store(&ready, 1);
    suspend_once();
    atomic_store(&back, 1);
    return arg;
}

static void *count(void *arg)
{
    for (int i = 0; i < 20; i++) {
        tl_delay(ctx, "while another thread is suspended");
        ctx->impl->yield();
    }
    atomic_store(&counted, 1);
    return arg;
}

static enum tl_status run_alone(struct tl_ctx *c)
{
    struct tl_thread t, other;
    int err = 0;

    if (!begin(c))
        return TL_FAILED;
    for (int i = 0; i < 5 && !err && tl_verdict(ctx) == TL_OK; i++) {
        tally_reset(&handled, 1);
        atomic_store(&ready, 0);
        atomic_store(&counted, 0);
        atomic_store(&back, 0);
        if (!tl_start(ctx, 1, &t, suspend_one, NULL))
            break;
        tl_await(ctx, &ready, "the thread to run");
        signals_linger(ctx);
        if (!tl_start(ctx, 1, &other, count, NULL)) /* where the first one is */
            break;
        tl_await(ctx, &counted, "a thread beside one that is suspended");
        TL_EXPECT(ctx, !atomic_load(&back), "suspend returned before the signal was sent");
        err = signals_wake(ctx, t, SIGUSR1);
        tl_finish(ctx, other);
        tl_finish(ctx, t);
    }
    if (err == ENOTSUP && tl_verdict(ctx) == TL_OK)
        return tl_refused(ctx, "signal.kill");
    TL_CALL(ctx, err);
    return tl_verdict(ctx);
}

static const struct tl_check suspend_alone = {
    .abi = TL_ABI,
    .name = "suspend.blocks-alone",
    .group = "Signals",
    .promise = "suspend stops the thread that calls it and no other",
    .source = "POSIX.1-2017 XSH sigsuspend (suspend the thread)",
    .method = "a thread suspends itself; another, made later for the same PU, yields 20 times and "
              "ends, while the first stays suspended; then the signal is sent; 5 times",
    .meaning = "a suspend that stops the kernel thread of all hangs here",
    .needs = "signal.suspend signal.kill signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_alone,
};
TL_CHECK(suspend_alone);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;
static void (*sound_yield)(void);
static _Atomic int stopped;

/* sigpause as it was before sigsuspend: open, then pause. */
static int suspend_in_two_steps(const sigset_t *mask)
{
    sigset_t old;

    sound->mask(SIG_SETMASK, mask, &old);
    pause();
    sound->mask(SIG_SETMASK, &old, NULL);
    return 0;
}

static void apply_two_steps(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->suspend = suspend_in_two_steps;
}

static const struct tl_mutant suspend_two_steps = {
    .abi = TL_ABI,
    .name = "suspend-two-steps",
    .fault = "suspend opens the mask first and waits then: a signal in between is missed",
    .kills = "suspend.until-handler",
    .of = "nptl clone green",
    .apply = apply_two_steps,
};
TL_MUTANT_OF(suspend_two_steps);

static int suspend_not_at_all(const sigset_t *mask)
{
    sigset_t old;

    sound->mask(SIG_SETMASK, mask, &old);
    sound_yield();
    sound->mask(SIG_SETMASK, &old, NULL);
    return 0;
}

static void apply_not_at_all(struct tl_impl *impl)
{
    sound = impl->signal;
    sound_yield = impl->yield;
    TL_MUTATE(impl, signal)->suspend = suspend_not_at_all;
}

static const struct tl_mutant suspend_returns_early = {
    .abi = TL_ABI,
    .name = "suspend-returns-early",
    .fault = "suspend opens the mask for a moment and returns",
    .kills = "suspend.until-handler suspend.blocks-alone",
    .of = "nptl clone green",
    .apply = apply_not_at_all,
};
TL_MUTANT_OF(suspend_returns_early);

static int suspend_stops_all(const sigset_t *mask)
{
    int err;

    atomic_fetch_add(&stopped, 1);
    err = sound->suspend(mask);
    atomic_fetch_sub(&stopped, 1);
    return err;
}

static void yield_stopped(void)
{
    do
        sound_yield();
    while (atomic_load(&stopped));
}

static void apply_stops_all(struct tl_impl *impl)
{
    sound = impl->signal;
    sound_yield = impl->yield;
    impl->yield = yield_stopped;
    TL_MUTATE(impl, signal)->suspend = suspend_stops_all;
}

static const struct tl_mutant suspend_stops_others = {
    .abi = TL_ABI,
    .name = "suspend-stops-others",
    .fault = "no thread gets on while one is suspended",
    .kills = "suspend.blocks-alone",
    .of = "nptl clone green",
    .apply = apply_stops_all,
};
TL_MUTANT_OF(suspend_stops_others);

/*
 * mask-inherited.c - mask.inherited: a new thread has the mask that its creator had in create.
 */
#include "signals.h"

#include "../common/wrap.h"

#define ROUNDS 60

static struct tl_ctx *ctx;
static sigset_t wanted, kept; /* kept: by the implementation, for itself */

/* Signals of which a mask is compared: what programs use. */
static bool compared(int sig)
{
    return sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig >= SIGRTMIN) && sig != SIGSTKFLT &&
           sigismember(&kept, sig) != 1;
}

static void find_kept(void)
{
    sigemptyset(&kept);
    if (signals_keeps(ctx->impl, SIGPWR))
        sigaddset(&kept, SIGPWR);
}

static void compare(const sigset_t *got, const char *whose)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (compared(sig))
            TL_EXPECT(ctx, sigismember(got, sig) == sigismember(&wanted, sig),
                      "signal %d is %s in %s, in its creator it was not", sig,
                      sigismember(got, sig) == 1 ? "blocked" : "open", whose);
}

static void *heir(void *arg)
{
    sigset_t now, none = signals_of(0);

    sigemptyset(&now);
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_BLOCK, NULL, &now));
    compare(&now, arg ? "a thread made by a thread" : "a new thread");
    if (!arg) {
        struct tl_thread t;

        if (tl_start(ctx, 1, &t, heir, &wanted))
            tl_finish(ctx, t);
    }
    /* What it does with its own mask is not to reach the next one. */
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_SETMASK, &none, NULL));
    return NULL;
}

static enum tl_status run(struct tl_ctx *c)
{
    uint64_t state = c->seed;

    ctx = c;
    find_kept();
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        struct tl_thread t;
        uint64_t bits = i ? tl_random(&state) & tl_random(&state) : 0;

        sigemptyset(&wanted);
        for (int sig = 1; sig <= SIGRTMAX; sig++)
            if (compared(sig) && bits >> (sig - 1) & 1)
                sigaddset(&wanted, sig);
        TL_CALL(ctx, ctx->impl->signal->mask(SIG_SETMASK, &wanted, NULL));
        tl_delay(ctx, "before create");
        if (!tl_start(ctx, (unsigned)i, &t, heir, NULL))
            break;
        tl_finish(ctx, t);
    }
    return tl_verdict(ctx);
}

static const struct tl_check mask_inherited = {
    .abi = TL_ABI,
    .name = "mask.inherited",
    .group = "Signals",
    .promise = "a new thread starts with the signal mask of its creator",
    .source = "POSIX.1-2017 XSH pthread_create; XSH 2.4.1",
    .method = "60 rounds with random masks: a thread, and a thread that it makes, compare their "
              "mask with that of the first one, signal by signal; then each opens all signals, so "
              "that a recycled thread would start with the wrong mask",
    .meaning = "a mask that is not copied, or is left over from the thread before, differs in "
               "most rounds. Signals that the implementation keeps for itself are not compared",
    .needs = "signal.mask",
    .run = run,
};
TL_CHECK(mask_inherited);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_signal_ops *ops;

static void *all_open(void *(*entry)(void *), void *arg)
{
    static _Atomic unsigned starts;
    sigset_t none = signals_of(0);

    if (atomic_fetch_add(&starts, 1) % 8 == 7)
        ops->mask(SIG_SETMASK, &none, NULL);
    return entry(arg);
}

static void apply(struct tl_impl *impl)
{
    ops = impl->signal;
    wrap_entries(impl, all_open);
}

static const struct tl_mutant mask_starts_open = {
    .abi = TL_ABI,
    .name = "mask-starts-open",
    .fault = "one new thread in eight starts with all signals open",
    .kills = "mask.inherited",
    .of = "nptl clone green ucontext",
    .apply = apply,
};
TL_MUTANT_OF(mask_starts_open);

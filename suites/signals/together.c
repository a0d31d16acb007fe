/*
 * together.c - signal.first-use-together, oneshot.one-of-two: what two threads do with one signal
 * at the same time.
 */
#include "signals.h"

#include "../common/mutant.h"
#include "../common/rounds.h"

#define FEW 60
#define MOST 2000

static struct tl_ctx *ctx;
static _Atomic unsigned arrived;

/* Both go on as much at the same time as can be. False: the other one will not come. */
static bool meet(void)
{
    unsigned n = atomic_fetch_add(&arrived, 1) / 2 + 1;

    for (unsigned turns = 1; atomic_load(&arrived) < 2 * n; turns++) {
        if (tl_verdict(ctx) != TL_OK)
            return false;
        if (turns % 256 == 0)
            ctx->impl->yield();
    }
    return true;
}

static enum tl_status run_two(struct tl_ctx *c, void *(*body)(void *))
{
    struct tl_thread t[2];
    unsigned made = 0;

    ctx = c;
    if (!signals_concurrent(ctx))
        return TL_FAILED;
    while (made < 2 && tl_start(ctx, made, &t[made], body, made ? NULL : ctx))
        made++;
    while (made)
        tl_finish(ctx, t[--made]);
    return tl_verdict(ctx);
}

/* ---- the first use --------------------------------------------------------------------------- */

static void *block_all(void *arg)
{
    for (int sig = SIGRTMIN + 2; sig <= SIGRTMAX; sig++) {
        if (!meet())
            break;
        signals_mask(ctx, SIG_BLOCK, sig);
    }
    return arg;
}

static enum tl_status run_first(struct tl_ctx *c)
{
    run_two(c, block_all);
    for (int sig = SIGRTMIN + 2; sig <= SIGRTMAX && tl_verdict(ctx) == TL_OK; sig++) {
        struct sigaction now;

        TL_CALL(ctx, tl_sigaction(ctx->impl, sig, NULL, &now));
        TL_EXPECT(ctx, !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL,
                  "two threads have blocked signal %d at the same time, and it has a handler that "
                  "nobody has set",
                  sig);
    }
    return tl_verdict(ctx);
}

static const struct tl_check first_use = {
    .abi = TL_ABI,
    .name = "signal.first-use-together",
    .group = "Signals",
    .promise = "a signal that threads block at the same time keeps its action",
    .source = "POSIX.1-2017 XSH pthread_sigmask, sigaction",
    .method = "two threads block one real-time signal after the other, each at the same time; then "
              "none has a handler",
    .meaning = "a library that takes a signal over from the kernel at its first use, twice, takes "
               "its own function for the user's: with two PUs seen in some of 29 signals",
    .needs = "signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_first,
};
TL_CHECK(first_use);

/* ---- a handler that is good for one signal --------------------------------------------------- */

static _Atomic int handled;

static void count_one(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&handled, 1);
}

static void *send_oneself(void *first)
{
    const struct tl_thread self = ctx->impl->self();

    for (unsigned round = 0; round < MOST; round++) {
        static _Atomic bool more;

        if (first) {
            atomic_store(&handled, 0);
            signals_handle(ctx, SIGURG, count_one, SA_RESETHAND);
            atomic_store(&more, rounds_more(ctx, round, FEW, MOST));
        }
        if (!meet() || !atomic_load(&more))
            break;
        TL_CALL(ctx, ctx->impl->signal->kill(self, SIGURG, NULL));
        if (!meet())
            break;
        if (first)
            TL_EXPECT(ctx, atomic_load(&handled) == 1,
                      "two threads were sent a signal each whose handler is good for one: it ran "
                      "%d times",
                      atomic_load(&handled));
        if (!meet())
            break;
    }
    return NULL;
}

static enum tl_status run_oneshot(struct tl_ctx *c)
{
    return run_two(c, send_oneself);
}

static const struct tl_check one_of_two = {
    .abi = TL_ABI,
    .name = "oneshot.one-of-two",
    .group = "Signals",
    .promise = "a handler with SA_RESETHAND runs once, also if two threads get the signal at the "
               "same time",
    .source = "POSIX.1-2017 XSH sigaction (SA_RESETHAND: reset on entry to the handler)",
    .method =
        "60 times or more two threads send themselves a signal that is ignored by default, at "
        "the same time; one of the two is handled",
    .meaning = "a library that resets the action after it has read it runs the handler twice: with "
               "two PUs in some rounds",
    .needs = "signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_oneshot,
};
TL_CHECK(one_of_two);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int kill_twice(struct tl_thread t, int sig, const union sigval *value)
{
    static _Atomic unsigned calls;
    int err = sound->kill(t, sig, value);

    if (sig == SIGURG && atomic_fetch_add(&calls, 1) % 16 == 15)
        count_one(sig, NULL, NULL);
    return err;
}

static void apply_twice(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_twice;
}

MUTANT(oneshot_twice, "signal-oneshot-twice",
       "a handler with SA_RESETHAND runs once more in one of 16 cases", "oneshot.one-of-two",
       "nptl green", apply_twice);

#ifdef TL_INJECT
MUTANT(adopted_twice, "user-signal-adopted-twice",
       "two threads that use a signal first take it over from the kernel, one after the other",
       "signal.first-use-together", "hybrid", NULL);
#endif

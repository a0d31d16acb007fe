/*
 * sigtimedwait.c - sigtimedwait.timeout, sigtimedwait.takes: a wait for a signal that has an end.
 */
#include "signals.h"

#include <time.h>

#define SIG (SIGRTMIN + 1)

static struct tl_ctx *ctx;
static _Atomic int handled;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&handled, 1);
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static enum tl_status in_a_thread(struct tl_ctx *c, void *(*entry)(void *))
{
    struct tl_thread t;

    ctx = c;
    signals_handle(ctx, SIG, handler, SA_RESTART);
    if (tl_start(ctx, 1, &t, entry, NULL))
        tl_finish(ctx, t);
    TL_EXPECT(ctx, atomic_load(&handled) == 0, "%d handlers ran for signals that were waited for",
              atomic_load(&handled));
    return tl_verdict(ctx);
}

static void *wait_in_vain(void *arg)
{
    static const uint64_t lengths_ns[] = {0, 1, 1000000, 7000000, 30000000};
    sigset_t set = signals_of(SIG);
    siginfo_t info;

    signals_mask(ctx, SIG_BLOCK, SIG);
    for (size_t i = 0; i < sizeof(lengths_ns) / sizeof(lengths_ns[0]); i++) {
        uint64_t begin = monotonic_ns(), end;

        TL_ANSWERS(ctx, ctx->impl->signal->timedwait(&set, &info, lengths_ns[i]), EAGAIN);
        end = monotonic_ns();
        TL_EXPECT(ctx, end - begin >= lengths_ns[i],
                  "a wait of %llu ns without a signal ended after %llu ns",
                  (unsigned long long)lengths_ns[i], (unsigned long long)(end - begin));
    }
    return arg;
}

static enum tl_status run_timeout(struct tl_ctx *c)
{
    return in_a_thread(c, wait_in_vain);
}

static const struct tl_check timeout = {
    .abi = TL_ABI,
    .name = "sigtimedwait.timeout",
    .group = "Signals",
    .promise = "a timed wait for a signal that does not come answers EAGAIN, not before its time",
    .source = "POSIX.1-2017 XSH sigtimedwait (EAGAIN; 0: returns immediately)",
    .method = "a thread waits 0 and 1 ns, 1, 7 and 30 ms for a signal that nobody sends",
    .meaning = "lower bounds only: a wait that ends early is seen, one that ends late is not",
    .needs = "signal.timedwait signal.mask",
    .run = run_timeout,
};
TL_CHECK(timeout);

static void *wait_for_pending(void *arg)
{
    sigset_t set = signals_of(SIG);

    signals_mask(ctx, SIG_BLOCK, SIG);
    for (int i = 0; i < 100 && tl_verdict(ctx) == TL_OK; i++) {
        union sigval value = {.sival_ptr = (char *)arg + i};
        uint64_t patience_ns = i % 2 ? 0 : 3600 * UINT64_C(1000000000);
        siginfo_t info = {0};

        TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIG, &value));
        tl_delay(ctx, "while a signal is pending");
        if (!TL_CALL(ctx, ctx->impl->signal->timedwait(&set, &info, patience_ns)))
            break;
        TL_EXPECT(ctx, info.si_signo == SIG && info.si_code == SI_QUEUE,
                  "it gave signal %d with code %d, sent was %d with SI_QUEUE", info.si_signo,
                  info.si_code, SIG);
        TL_EXPECT(ctx, info.si_value.sival_ptr == value.sival_ptr,
                  "it gave the value %p, sent was %p", info.si_value.sival_ptr, value.sival_ptr);
        if (i % 10 == 9)
            TL_ANSWERS(ctx, ctx->impl->signal->timedwait(&set, &info, 0), EAGAIN);
    }
    return NULL;
}

static enum tl_status run_takes(struct tl_ctx *c)
{
    return in_a_thread(c, wait_for_pending);
}

static const struct tl_check takes = {
    .abi = TL_ABI,
    .name = "sigtimedwait.takes",
    .group = "Signals",
    .promise = "a timed wait takes a pending signal at once, with what was sent along, once",
    .source = "POSIX.1-2017 XSH sigtimedwait, sigwaitinfo (si_signo, si_code, si_value)",
    .method = "100 times a thread sends itself a value with a blocked signal and waits for it, for "
              "no time or for an hour; afterwards nothing is pending and no handler has run",
    .meaning = "no race: a signal that stays, a wrong value or a wait for nothing is always seen",
    .needs = "signal.timedwait signal.kill signal.mask",
    .run = run_takes,
};
TL_CHECK(takes);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int wait_half(const sigset_t *set, siginfo_t *info, uint64_t ns)
{
    return sound->timedwait(set, info, ns / 2);
}

static void apply_half(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->timedwait = wait_half;
}

static const struct tl_mutant sigtimedwait_halves = {
    .abi = TL_ABI,
    .name = "sigtimedwait-halves",
    .fault = "a timed wait lasts half its time",
    .kills = "sigtimedwait.timeout",
    .of = "nptl clone green",
    .apply = apply_half,
};
TL_MUTANT_OF(sigtimedwait_halves);

static int wait_without_value(const sigset_t *set, siginfo_t *info, uint64_t ns)
{
    int err = sound->timedwait(set, info, ns);

    info->si_value.sival_ptr = NULL;
    return err;
}

static void apply_without(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->timedwait = wait_without_value;
}

static const struct tl_mutant sigtimedwait_loses_value = {
    .abi = TL_ABI,
    .name = "sigtimedwait-loses-value",
    .fault = "a timed wait gives the signal without its value",
    .kills = "sigtimedwait.takes",
    .of = "nptl clone green",
    .apply = apply_without,
};
TL_MUTANT_OF(sigtimedwait_loses_value);

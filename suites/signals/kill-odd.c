/*
 * kill-odd.c - kill.zero, kill.invalid, kill.ended, kill.stale: probing a thread, numbers that are
 * no signal, and threads that are no more.
 */
#include "signals.h"

#define ROUNDS 100

static struct tl_ctx *ctx;
static _Atomic int by_target, by_others, stop, ready;
static _Atomic uint64_t target_id;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(ctx->impl->self().id == atomic_load(&target_id) ? &by_target : &by_others, 1);
}

/* ---- 0, and what is no signal ---------------------------------------------------------------- */

static void *live(void *arg)
{
    atomic_store(&ready, 1);
    tl_await(ctx, &stop, "the probes");
    return arg;
}

static enum tl_status run_zero(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && !signals_keeps(ctx->impl, sig))
            signals_handle(ctx, sig, handler, SA_RESTART);
    if (!tl_start(ctx, 1, &t, live, NULL))
        return tl_verdict(ctx);
    tl_await(ctx, &ready, "the thread to run");
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        TL_CALL(ctx, ctx->impl->signal->kill(t, 0, NULL));
        TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), 0, NULL));
        tl_delay(ctx, "between two probes");
    }
    signals_linger(ctx);
    TL_EXPECT(ctx, atomic_load(&by_others) + atomic_load(&by_target) == 0,
              "signal 0 made %d handlers run", atomic_load(&by_others) + atomic_load(&by_target));
    atomic_store(&stop, 1);
    tl_finish(ctx, t);
    return tl_verdict(ctx);
}

static const struct tl_check kill_zero = {
    .abi = TL_ABI,
    .name = "kill.zero",
    .group = "Signals",
    .promise = "signal 0 tells that a thread is alive, and is not delivered",
    .source = "POSIX.1-2017 XSH pthread_kill",
    .method = "signal 0 is sent 100 times to a thread that runs and to the caller; no handler of "
              "any standard signal may run",
    .meaning = "an implementation that refuses 0, or passes on some other number, is seen",
    .needs = "signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_zero,
};
TL_CHECK(kill_zero);

static enum tl_status run_invalid(struct tl_ctx *c)
{
    static const int numbers[] = {-1, _NSIG, 1 << 20, -2147483647 - 1};
    union sigval value = {.sival_int = 1};

    ctx = c;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct tl_thread self = ctx->impl->self();

        TL_ANSWERS(ctx, ctx->impl->signal->kill(self, numbers[i], NULL), EINVAL);
        TL_ANSWERS(ctx, ctx->impl->signal->kill(self, numbers[i], &value), EINVAL);
    }
    return tl_verdict(ctx);
}

static const struct tl_check kill_invalid = {
    .abi = TL_ABI,
    .name = "kill.invalid",
    .group = "Signals",
    .promise = "a number that is no signal answers EINVAL",
    .source = "POSIX.1-2017 XSH pthread_kill (EINVAL); signal(7)",
    .method = "-1, one more than the last signal, a large and the least number, with and without "
              "a value, are sent to the caller",
    .meaning = "no race: whatever is answered will always be answered",
    .needs = "signal.kill",
    .run = run_invalid,
};
TL_CHECK(kill_invalid);

/* ---- who has ended --------------------------------------------------------------------------- */

static void *mortal(void *arg)
{
    atomic_store(&ready, 1);
    return arg;
}

static enum tl_status run_ended(struct tl_ctx *c)
{
    ctx = c;
    if (!signals_handle(ctx, SIGUSR1, handler, SA_RESTART))
        return TL_FAILED;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        struct tl_thread t;
        int err;

        if (!tl_start(ctx, (unsigned)i, &t, mortal, &ready))
            break;
        atomic_store(&target_id, t.id);
        tl_await(ctx, &ready, "the thread to run");
        atomic_store(&ready, 0);
        for (int n = i % 8; n > 0; n--) /* it may still run, or have ended long ago */
            tl_delay(ctx, "while the thread ends");
        if (i % 8 == 7)
            signals_linger(ctx);
        err = ctx->impl->signal->kill(t, SIGUSR1, NULL);
        TL_EXPECT(ctx, err == 0 || err == ESRCH || err == ENOTSUP, "kill answered %s",
                  strerror(err));
        TL_EXPECT(ctx, tl_finish(ctx, t) == &ready, "join gave another value");
        TL_EXPECT(ctx, atomic_load(&by_others) == 0,
                  "round %d: a signal to a thread that has ended was handled by another", i);
        if (err == ENOTSUP) /* it was still ready to run: this model cannot aim at it */
            TL_EXPECT(ctx, atomic_load(&by_target) == 0, "kill answered ENOTSUP and was heard");
    }
    return tl_verdict(ctx);
}

static const struct tl_check kill_ended = {
    .abi = TL_ABI,
    .name = "kill.ended",
    .group = "Signals",
    .promise = "a signal to a thread that has ended, or is about to, is heard by nobody else; the "
               "thread can be joined as before",
    .source = "POSIX.1-2017 XSH pthread_kill with 2.9.2 (the ID is valid until the thread is "
              "joined): ESRCH, or 0 as Issue 8 wants of a thread that is not joined",
    .method = "100 threads end at once and are sent a signal, sooner or later, before they are "
              "joined; a handler may run in the thread that was meant, in no other",
    .meaning = "a signal that falls back to the process, or goes to the next user of a kernel id, "
               "is heard by another thread; that the thread had ended already is likely in most "
               "rounds, not certain",
    .needs = "signal.kill",
    .run = run_ended,
};
TL_CHECK(kill_ended);

static void *successor(void *arg)
{
    const struct tl_thread *stale = arg;
    int err = ctx->impl->signal->kill(*stale, SIGUSR1, NULL);

    TL_EXPECT(ctx, atomic_load(&by_others) + atomic_load(&by_target) == 0,
              "a signal to a thread that was joined was handled by the next one");
    TL_EXPECT(ctx, err == ESRCH, "kill of a thread that was joined answered %d in the next one",
              err);
    return NULL;
}

static void *stale(void *arg)
{
    signals_handle(ctx, SIGUSR1, handler, SA_RESTART);
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        struct tl_thread t, next;

        if (!tl_start(ctx, (unsigned)i, &t, mortal, NULL))
            break;
        atomic_store(&target_id, t.id);
        tl_finish(ctx, t);
        if (!tl_start(ctx, (unsigned)i, &next, successor, &t))
            break;
        tl_finish(ctx, next);
        TL_ANSWERS(ctx, ctx->impl->signal->kill(t, SIGUSR1, NULL), ESRCH);
        TL_ANSWERS(ctx, ctx->impl->signal->kill(t, 0, NULL), ESRCH);
        TL_EXPECT(ctx, atomic_load(&by_others) + atomic_load(&by_target) == 0,
                  "a signal to a thread that was joined was handled by another one");
    }
    return arg;
}

static enum tl_status outside_stale(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    if (signals_child(ctx, stale, 0, &end))
        TL_EXPECT(ctx, end.status == 0, "kill of a thread that was joined: the process %s %d",
                  end.hung ? "hung," : "ended by signal", end.signal);
    return tl_verdict(ctx);
}

static const struct tl_check kill_stale = {
    .abi = TL_ABI,
    .name = "kill.stale",
    .group = "Signals",
    .promise = "a signal to a thread that was joined answers ESRCH and is heard by nobody, also "
               "when another thread has taken its place",
    .source = "POSIX.1-2017 XSH pthread_kill, RATIONALE (recommended: ESRCH; otherwise undefined, "
              "2.9.2)",
    .method = "in a child process, 100 times: a thread is joined, its successor sends a signal to "
              "the stale id, then the joiner does",
    .meaning = "an id that is a pointer, or a kernel id, means whoever lives there next: that "
               "thread would be hit, or the process would crash",
    .needs = "signal.kill",
    .outside = outside_stale,
};
TL_CHECK(kill_stale);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int kill_passes_zero(struct tl_thread t, int sig, const union sigval *value)
{
    if (sig == 0 && t.id == ctx->impl->self().id)
        sig = SIGCONT;
    return sound->kill(t, sig, value);
}

static void apply_zero(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_passes_zero;
}

static const struct tl_mutant kill_probes_aloud = {
    .abi = TL_ABI,
    .name = "kill-probes-aloud",
    .fault = "signal 0 is delivered, as SIGCONT",
    .kills = "kill.zero",
    .of = "nptl clone green",
    .apply = apply_zero,
};
TL_MUTANT_OF(kill_probes_aloud);

static int kill_any_number(struct tl_thread t, int sig, const union sigval *value)
{
    return sig >= _NSIG ? 0 : sound->kill(t, sig, value);
}

static void apply_any(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_any_number;
}

static const struct tl_mutant kill_takes_any_number = {
    .abi = TL_ABI,
    .name = "kill-takes-any-number",
    .fault = "a number above the last signal is ignored: kill answers 0",
    .kills = "kill.invalid",
    .of = "nptl clone green",
    .apply = apply_any,
};
TL_MUTANT_OF(kill_takes_any_number);

/* Where the implementation sees that nobody is there, and one time in eight. */
static int kill_falls_back(struct tl_thread t, int sig, const union sigval *value)
{
    static _Atomic unsigned calls;
    int err = atomic_fetch_add(&calls, 1) % 8 == 7 ? ESRCH : sound->kill(t, sig, value);

    return err == ESRCH && kill(getpid(), sig) == 0 ? 0 : err;
}

static void apply_fall_back(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_falls_back;
}

static const struct tl_mutant kill_of_ended_hits_process = {
    .abi = TL_ABI,
    .name = "kill-of-ended-hits-process",
    .fault = "a signal for a thread that cannot be found is sent to the process",
    .kills = "kill.ended",
    .of = "nptl clone green",
    .apply = apply_fall_back,
};
TL_MUTANT_OF(kill_of_ended_hits_process);

static int kill_finds_successor(struct tl_thread t, int sig, const union sigval *value)
{
    int err = sound->kill(t, sig, value);

    return err == ESRCH ? sound->kill(ctx->impl->self(), sig, value) : err;
}

static void apply_successor(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_finds_successor;
}

static const struct tl_mutant kill_of_stale_hits_next = {
    .abi = TL_ABI,
    .name = "kill-of-stale-hits-next",
    .fault = "the id of a thread that was joined means the next one in its place",
    .kills = "kill.stale",
    .of = "clone green",
    .apply = apply_successor,
};
TL_MUTANT_OF(kill_of_stale_hits_next);

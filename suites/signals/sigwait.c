/*
 * sigwait.c - sigwait.exactly-once, sigwait.blocks-others: threads that wait for signals take each
 * one once, and leave the others alone.
 */
#include "signals.h"

#define WAITERS 3
#define QUEUED 3000
#define SIG (SIGRTMIN + 1)
#define SIG_END (SIGRTMIN + 3) /* comes after all of SIG: the lower number goes first */

static struct tl_ctx *ctx;
static struct tally taken;
static _Atomic int handled, waited, stop, ready, counted;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&handled, 1);
    tally_add(&taken);
}

static sigset_t both(void)
{
    sigset_t set = signals_of(SIG);

    sigaddset(&set, SIG_END);
    return set;
}

static void *waiter(void *arg)
{
    sigset_t set = both();
    int sig = 0;

    atomic_fetch_add(&ready, 1);
    while (TL_CALL(ctx, ctx->impl->signal->wait(&set, &sig)) && sig == SIG) {
        atomic_fetch_add(&waited, 1);
        if (tally_add(&taken) % 16 == 0)
            tl_delay(ctx, "after a wait");
    }
    TL_EXPECT(ctx, sig == SIG_END, "wait gave signal %d, which is not in the set", sig);
    return arg;
}

static void *open_one(void *arg)
{
    signals_mask(ctx, SIG_UNBLOCK, SIG);
    atomic_fetch_add(&ready, 1);
    tl_await(ctx, &stop, "the end of the check");
    return arg;
}

/* ---- once ------------------------------------------------------------------------------------ */

static enum tl_status run_once(struct tl_ctx *c)
{
    struct tl_thread t[WAITERS + 1];
    sigset_t set = both();
    int made = 0, err = 0;

    ctx = c;
    tally_reset(&taken, QUEUED);
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_BLOCK, &set, NULL));
    signals_handle(ctx, SIG, handler, SA_RESTART);
    while (made <= WAITERS &&
           tl_start(ctx, (unsigned)made, &t[made], made < WAITERS ? waiter : open_one, NULL))
        made++;
    while (atomic_load(&ready) < made && tl_verdict(ctx) == TL_OK)
        ctx->impl->yield();
    for (int i = 0; i < QUEUED && made == WAITERS + 1 && tl_verdict(ctx) == TL_OK; i++) {
        if (i % 4 == 3 && !err)
            err = signals_wake(ctx, t[i % WAITERS], SIG);
        else
            signals_to_process(ctx, SIG, i);
        if (i % 32 == 31)
            tl_delay(ctx, "between two signals");
    }
    tl_await(ctx, &taken.reached, "all signals to be taken");
    signals_linger(ctx); /* for one too many */
    for (int i = 0; i < WAITERS && i < made; i++)
        signals_wake(ctx, t[i], SIG_END);
    atomic_store(&stop, 1);
    while (made)
        tl_finish(ctx, t[--made]);
    TL_EXPECT(ctx, err == 0 || err == ENOTSUP, "kill answered %s", strerror(err));
    TL_EXPECT(ctx, atomic_load(&handled) + atomic_load(&waited) == QUEUED,
              "%d signals were sent, %d came from wait and %d handlers ran", QUEUED,
              atomic_load(&waited), atomic_load(&handled));
    tl_say(ctx, "%d from wait, %d by a handler", atomic_load(&waited), atomic_load(&handled));
    return tl_verdict(ctx);
}

static const struct tl_check sigwait_once = {
    .abi = TL_ABI,
    .name = "sigwait.exactly-once",
    .group = "Signals",
    .promise = "each signal is taken once: by one thread that waits for it, or by one handler",
    .source = "POSIX.1-2017 XSH sigwait (no more than one thread returns), 2.4.1",
    .method = "3000 queued signals, to the process and (where that is offered) to single threads, "
              "while three threads wait "
              "for them and a fourth has them open; the wait's and the handlers' are counted",
    .meaning = "a signal that two take, or that is lost between two waits, spoils the count; what "
               "comes more than a few milliseconds late may be missed",
    .needs = "signal.wait signal.kill signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_once,
};
TL_CHECK(sigwait_once);

/* ---- alone ----------------------------------------------------------------------------------- */

static void *wait_for_one(void *arg)
{
    sigset_t set = signals_of(SIG);
    int sig = 0;

    atomic_store(&ready, 1);
    TL_CALL(ctx, ctx->impl->signal->wait(&set, &sig));
    TL_EXPECT(ctx, sig == SIG, "wait gave signal %d, awaited was %d", sig, SIG);
    TL_EXPECT(ctx, atomic_load(&stop), "wait returned before the signal was sent");
    atomic_fetch_add(&waited, 1);
    return arg;
}

static void *count(void *arg)
{
    for (int i = 0; i < 20; i++) {
        tl_delay(ctx, "while another thread waits for a signal");
        ctx->impl->yield();
    }
    atomic_store(&counted, 1);
    return arg;
}

static enum tl_status run_alone(struct tl_ctx *c)
{
    struct tl_thread wait, other;
    int err;

    ctx = c;
    signals_mask(ctx, SIG_BLOCK, SIG);
    for (int i = 0; i < 5 && tl_verdict(ctx) == TL_OK; i++) {
        atomic_store(&ready, 0);
        atomic_store(&counted, 0);
        atomic_store(&stop, 0);
        if (!tl_start(ctx, 1, &wait, wait_for_one, NULL))
            break;
        tl_await(ctx, &ready, "the waiter to run");
        if (!tl_start(ctx, 1, &other, count, NULL)) /* where the waiter is */
            break;
        signals_linger(ctx);
        tl_await(ctx, &counted, "a thread beside one that waits for a signal");
        TL_EXPECT(ctx, atomic_load(&waited) == i, "wait returned before the signal was sent");
        atomic_store(&stop, 1);
        err = signals_wake(ctx, wait, SIG);
        TL_EXPECT(ctx, err == 0 || err == ENOTSUP, "kill answered %s", strerror(err));
        tl_finish(ctx, other);
        tl_finish(ctx, wait);
    }
    return tl_verdict(ctx);
}

static const struct tl_check sigwait_alone = {
    .abi = TL_ABI,
    .name = "sigwait.blocks-others",
    .group = "Signals",
    .promise = "a thread that waits for a signal does not stop the others, and waits until it has "
               "come",
    .source = "POSIX.1-2017 XSH sigwait (the thread shall be suspended)",
    .method = "one thread waits for a signal; another, made later for the same PU, yields 20 "
              "times and ends, while the first goes on waiting; then the signal is sent; 5 times",
    .meaning = "a wait that stops the kernel thread of all, or a lock that it holds, hangs here",
    .needs = "signal.wait signal.kill signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_alone,
};
TL_CHECK(sigwait_alone);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;
static void (*sound_yield)(void);
static _Atomic unsigned waits;
static _Atomic int waiting;

static int wait_twice(const sigset_t *set, int *sig)
{
    int err = sound->wait(set, sig);

    if (!err && *sig == SIG && atomic_fetch_add(&waits, 1) % 256 == 255)
        sigqueue(getpid(), SIG, (union sigval){0});
    return err;
}

static void apply_twice(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->wait = wait_twice;
}

static const struct tl_mutant sigwait_leaves_signal = {
    .abi = TL_ABI,
    .name = "sigwait-leaves-signal",
    .fault = "one wait in 256 does not take its signal away: the next one gets it again",
    .kills = "sigwait.exactly-once",
    .of = "nptl clone green",
    .apply = apply_twice,
};
TL_MUTANT_OF(sigwait_leaves_signal);

static int wait_early(const sigset_t *set, int *sig)
{
    if (atomic_fetch_add(&waits, 1) % 4 != 3)
        return sound->wait(set, sig);
    *sig = SIG;
    return 0;
}

static void apply_early(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->wait = wait_early;
}

static const struct tl_mutant sigwait_returns_early = {
    .abi = TL_ABI,
    .name = "sigwait-returns-early",
    .fault = "one wait in four returns before a signal has come",
    .kills = "sigwait.blocks-others sigwait.exactly-once",
    .of = "nptl clone green",
    .apply = apply_early,
};
TL_MUTANT_OF(sigwait_returns_early);

/* As on one kernel thread: nobody runs while one waits in the kernel. */
static int wait_stops_all(const sigset_t *set, int *sig)
{
    int err;

    atomic_fetch_add(&waiting, 1);
    err = sound->wait(set, sig);
    atomic_fetch_sub(&waiting, 1);
    return err;
}

static void yield_stopped(void)
{
    while (atomic_load(&waiting))
        sound_yield();
    sound_yield();
}

static void apply_stops(struct tl_impl *impl)
{
    sound = impl->signal;
    sound_yield = impl->yield;
    impl->yield = yield_stopped;
    TL_MUTATE(impl, signal)->wait = wait_stops_all;
}

static const struct tl_mutant sigwait_stops_all = {
    .abi = TL_ABI,
    .name = "sigwait-stops-all",
    .fault = "no thread gets on while one waits for a signal",
    .kills = "sigwait.blocks-others",
    .of = "nptl clone green",
    .apply = apply_stops,
};
TL_MUTANT_OF(sigwait_stops_all);

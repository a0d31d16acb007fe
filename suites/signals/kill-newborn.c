/*
 * kill-newborn.c - kill.newborn: a signal that is sent as soon as create has returned the id finds
 * a thread that can handle it.
 */
#include "signals.h"

#include "../common/wrap.h"

#define ROUNDS 100

static struct tl_ctx *ctx;
static struct tally handled;
static _Atomic uint64_t target_id;
static _Atomic int elsewhere;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    if (ctx->impl->self().id != atomic_load(&target_id))
        atomic_fetch_add(&elsewhere, 1);
    tally_add(&handled);
}

static void *newborn(void *arg)
{
    TL_EXPECT(ctx, !signals_blocked(ctx, SIGUSR1), "its creator's signal is blocked in a thread");
    tl_await(ctx, &handled.reached, "a signal that was sent to a thread when it began");
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    int err = 0;

    ctx = c;
    if (!signals_handle(ctx, SIGUSR1, handler, SA_RESTART))
        return TL_FAILED;
    for (int i = 0; i < ROUNDS && !err && tl_verdict(ctx) == TL_OK; i++) {
        struct tl_thread t;

        tally_reset(&handled, 1);
        if (!tl_start(ctx, (unsigned)i, &t, newborn, &handled))
            break;
        atomic_store(&target_id, t.id);
        if (i % 4 == 3)
            tl_delay(ctx, "while the thread begins");
        err = ctx->impl->signal->kill(t, SIGUSR1, NULL);
        if (err)
            atomic_store(&handled.reached, 1);
        TL_EXPECT(ctx, tl_finish(ctx, t) == &handled, "join gave another value");
        TL_EXPECT(ctx, err || atomic_load(&handled.count) == 1,
                  "round %d: %d handlers ran for one signal", i, atomic_load(&handled.count));
        TL_EXPECT(ctx, atomic_load(&elsewhere) == 0,
                  "round %d: a signal to a new thread was handled by another", i);
    }
    if (err == ENOTSUP && tl_verdict(ctx) == TL_OK)
        return tl_refused(ctx, "signal.kill");
    TL_CALL(ctx, err);
    return tl_verdict(ctx);
}

static const struct tl_check kill_newborn = {
    .abi = TL_ABI,
    .name = "kill.newborn",
    .group = "Signals",
    .promise = "a thread handles a signal from its first instruction on: its handler can ask which "
               "thread it is, and the thread goes on",
    .source = "POSIX.1-2017 XSH pthread_create (the ID may be used when it has returned), "
              "pthread_kill; 2.4.3 (pthread_self is async-signal-safe)",
    .method = "100 threads are sent a signal as soon as create has returned; the handler asks for "
              "self, the thread waits for it and ends",
    .meaning = "a thread that begins with signals open before the library knows it crashes, or "
               "takes itself for another, in the rounds where the signal is that early; on one PU "
               "it nearly always is",
    .needs = "signal.kill signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(kill_newborn);

/* ---- mutant ---------------------------------------------------------------------------------- */

static struct tl_thread (*sound_self)(void);
static _Thread_local bool adopted;

static struct tl_thread self_when_adopted(void)
{
    struct tl_thread nobody = {0};

    return adopted ? sound_self() : nobody;
}

static void *adopt_late(void *(*entry)(void *), void *arg)
{
    tl_spin_ns(20000);
    adopted = true;
    return entry(arg);
}

static void apply(struct tl_impl *impl)
{
    sound_self = impl->self;
    impl->self = self_when_adopted;
    wrap_entries(impl, adopt_late);
}

static const struct tl_mutant thread_adopted_late = {
    .abi = TL_ABI,
    .name = "thread-adopted-late",
    .fault = "a thread runs for 20 us, with signals open, before self knows it",
    .kills = "kill.newborn",
    .of = "nptl clone",
    .apply = apply,
};
TL_MUTANT_OF(thread_adopted_late);

/*
 * kill-thread.c - kill.thread, kill.self, rt.value: a signal that is sent to a thread is handled
 * there, once, with what was sent along.
 */
#include "signals.h"

#include "../common/crowd.h"

#define THREADS 4
#define SENDS 200
#define SIG (SIGRTMIN + 1)

static struct tl_ctx *ctx;
static struct tl_thread who[THREADS + 1]; /* the last one: the first thread */
static _Atomic int handled[THREADS + 1], astray;
static struct tally all;
static _Atomic int ready, stop;

static void handler(int sig, siginfo_t *info, void *context)
{
    unsigned target = (unsigned)info->si_value.sival_int;

    (void)sig;
    (void)context;
    if (target > THREADS || ctx->impl->self().id != who[target].id)
        atomic_fetch_add(&astray, 1);
    else
        atomic_fetch_add(&handled[target], 1);
    tally_add(&all);
}

/* ---- to another thread ----------------------------------------------------------------------- */

static void *target(void *arg)
{
    who[(uintptr_t)arg] = ctx->impl->self();
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&stop) && tl_verdict(ctx) == TL_OK) {
        tl_delay(ctx, "in a target");
        ctx->impl->yield();
    }
    return NULL;
}

static enum tl_status run_thread(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    int sent[THREADS] = {0}, made = 0, err = 0;
    uint64_t state = c->seed;

    ctx = c;
    who[THREADS] = ctx->impl->self();
    if (!signals_concurrent(ctx))
        return TL_FAILED;
    if (!signals_handle(ctx, SIG, handler, SA_RESTART))
        return TL_FAILED;
    tally_reset(&all, SENDS);
    while (made < THREADS &&
           tl_start(ctx, (unsigned)made, &t[made], target, (void *)(uintptr_t)made))
        made++;
    while (atomic_load(&ready) < made)
        ctx->impl->yield();
    for (int i = 0; made == THREADS && i < SENDS && !err && tl_verdict(ctx) == TL_OK; i++) {
        int to = (int)(tl_random(&state) % THREADS);

        err = signals_kill(ctx, t[to], SIG, to);
        sent[to] += !err;
        tl_delay(ctx, "between two signals");
    }
    if (!err)
        tl_await(ctx, &all.reached, "the handlers of all signals that were sent");
    atomic_store(&stop, 1);
    for (int i = 0; i < made; i++)
        tl_finish(ctx, t[i]);
    if (err == ENOTSUP)
        return tl_refused(ctx, "signal.kill");
    TL_CALL(ctx, err);
    TL_EXPECT(ctx, atomic_load(&astray) == 0, "%d of %d signals were handled by another thread",
              atomic_load(&astray), SENDS);
    for (int i = 0; i < made; i++)
        TL_EXPECT(ctx, atomic_load(&handled[i]) == sent[i],
                  "thread %d handled %d of the %d signals that were sent to it", i,
                  atomic_load(&handled[i]), sent[i]);
    return tl_verdict(ctx);
}

static const struct tl_check kill_thread = {
    .abi = TL_ABI,
    .name = "kill.thread",
    .group = "Signals",
    .promise = "a signal that is sent to a thread is handled by that thread, once",
    .source = "POSIX.1-2017 XSH pthread_kill; XSH 2.4.1 (generated for a thread)",
    .method = "200 queued signals with the number of their target go to four threads that run and "
              "yield; each handler compares the number with the thread that it runs in",
    .meaning = "a signal that goes to the process, or to the thread that happens to run, is "
               "handled by the wrong one; a lost or a doubled one spoils the counts",
    .needs = "signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_thread,
};
TL_CHECK(kill_thread);

/* ---- to oneself ------------------------------------------------------------------------------ */

static void *to_self(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;

    who[me] = ctx->impl->self();
    for (int i = 1; i <= SENDS / THREADS && tl_verdict(ctx) == TL_OK; i++) {
        TL_CALL(ctx, signals_kill(ctx, who[me], SIG, (int)me));
        TL_EXPECT(ctx, atomic_load(&handled[me]) == i,
                  "%d signals to itself have come back, the thread has handled %d", i,
                  atomic_load(&handled[me]));
        tl_delay(ctx, "between two signals to itself");
        ctx->impl->yield();
    }
    return NULL;
}

static enum tl_status run_self(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    int made = 0;

    ctx = c;
    if (!signals_handle(ctx, SIG, handler, SA_RESTART))
        return TL_FAILED;
    while (made < THREADS &&
           tl_start(ctx, (unsigned)made, &t[made], to_self, (void *)(uintptr_t)made))
        made++;
    to_self((void *)(uintptr_t)THREADS);
    while (made)
        tl_finish(ctx, t[--made]);
    TL_EXPECT(ctx, atomic_load(&astray) == 0,
              "%d signals of a thread to itself were handled by another", atomic_load(&astray));
    return tl_verdict(ctx);
}

static const struct tl_check kill_self = {
    .abi = TL_ABI,
    .name = "kill.self",
    .group = "Signals",
    .promise = "a signal that a thread sends to itself, and has open, has been handled by it when "
               "kill returns",
    .source = "POSIX.1-2017 XSH raise (does not return before the handler does; equivalent to "
              "pthread_kill of pthread_self)",
    .method = "the first thread and four others send themselves 50 signals each and compare the "
              "count of their own handlers after each",
    .meaning = "a signal that comes later, elsewhere, or not at all is seen at once",
    .needs = "signal.kill",
    .run = run_self,
};
TL_CHECK(kill_self);

/* ---- what is sent along ---------------------------------------------------------------------- */

static siginfo_t last;
static _Atomic int arrived;

static void keep(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    last = *info;
    atomic_fetch_add(&arrived, 1);
}

static void *send_values(void *arg)
{
    uint64_t state = ctx->seed;

    (void)arg;
    for (int i = 1; i <= 50 && tl_verdict(ctx) == TL_OK; i++) {
        union sigval value = {.sival_ptr = (void *)(uintptr_t)tl_random(&state)};

        TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIG, &value));
        if (!TL_EXPECT(ctx, atomic_load(&arrived) == i, "signal %d was not handled", i))
            break;
        TL_EXPECT(ctx, last.si_signo == SIG, "si_signo is %d, sent was %d", last.si_signo, SIG);
        TL_EXPECT(ctx, last.si_value.sival_ptr == value.sival_ptr, "the value is %p, sent was %p",
                  last.si_value.sival_ptr, value.sival_ptr);
        TL_EXPECT(ctx, last.si_code == SI_QUEUE, "si_code is %d, not SI_QUEUE", last.si_code);
        TL_EXPECT(ctx, last.si_pid == getpid() && last.si_uid == getuid(),
                  "the sender is process %d of user %d, not this one", (int)last.si_pid,
                  (int)last.si_uid);
    }
    return NULL;
}

static enum tl_status run_value(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    if (signals_handle(ctx, SIG, keep, SA_RESTART) && tl_start(ctx, 1, &t, send_values, NULL))
        tl_finish(ctx, t);
    return tl_verdict(ctx);
}

static const struct tl_check rt_value = {
    .abi = TL_ABI,
    .name = "rt.value",
    .group = "Signals",
    .promise = "a queued signal brings its value, a whole pointer, and who sent it",
    .source = "POSIX.1-2017 XSH 2.4.2, 2.4.3 (siginfo_t: SI_QUEUE, si_value); sigqueue; "
              "pthread_sigqueue(3)",
    .method = "a thread sends itself 50 random values and compares number, value, code, process "
              "and user",
    .meaning = "no race: whatever the handler finds, it will always find",
    .needs = "signal.kill",
    .run = run_value,
};
TL_CHECK(rt_value);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static bool one_in_32(void)
{
    static _Atomic unsigned calls;

    return atomic_fetch_add(&calls, 1) % 32 == 31;
}

static int kill_process(struct tl_thread t, int sig, const union sigval *value)
{
    union sigval none = {0};

    if (sig && one_in_32())
        return sigqueue(getpid(), sig, value ? *value : none) ? errno : 0;
    return sound->kill(t, sig, value);
}

static void apply_process(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_process;
}

static const struct tl_mutant kill_hits_process = {
    .abi = TL_ABI,
    .name = "kill-hits-process",
    .fault = "one signal for a thread in 32 is sent to the process",
    .kills = "kill.thread",
    .of = "nptl clone green",
    .apply = apply_process,
};
TL_MUTANT_OF(kill_hits_process);

static int kill_nobody(struct tl_thread t, int sig, const union sigval *value)
{
    return sig && one_in_32() ? 0 : sound->kill(t, sig, value);
}

static void apply_nobody(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_nobody;
}

static const struct tl_mutant kill_loses = {
    .abi = TL_ABI,
    .name = "kill-loses",
    .fault = "one signal for a thread in 32 is lost",
    .kills = "kill.self rt.value rt.queues",
    .of = "nptl clone green ucontext",
    .apply = apply_nobody,
};
TL_MUTANT_OF(kill_loses);

static int kill_half_value(struct tl_thread t, int sig, const union sigval *value)
{
    union sigval half = {.sival_int = value ? value->sival_int : 0};

    return sound->kill(t, sig, value ? &half : NULL);
}

static void apply_half(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_half_value;
}

static const struct tl_mutant kill_halves_value = {
    .abi = TL_ABI,
    .name = "kill-halves-value",
    .fault = "of a value that is sent with a signal only an int arrives",
    .kills = "rt.value",
    .of = "nptl clone green",
    .apply = apply_half,
};
TL_MUTANT_OF(kill_halves_value);

/*
 * process.c - signal.process-once, signal.process-open-thread: a signal to the process is handled
 * once, by a thread that has it open.
 */
#include "signals.h"

#include "../common/crowd.h"

#define THREADS 4
#define QUEUED 3000
#define SINGLE 100
#define SIG (SIGRTMIN + 1)

static struct tl_ctx *ctx;
static struct tally all;
static _Atomic unsigned char times[QUEUED];
static _Atomic int stop, ready;

static void handler(int sig, siginfo_t *info, void *context)
{
    int payload = info->si_value.sival_int;

    (void)context;
    if (sig == SIG && payload >= 0 && payload < QUEUED)
        atomic_fetch_add(&times[payload], 1);
    tally_add(&all);
}

/* ---- once ------------------------------------------------------------------------------------ */

static void *receiver(void *arg)
{
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&stop) && tl_verdict(ctx) == TL_OK) {
        tl_delay(ctx, "in a receiver");
        ctx->impl->yield();
    }
    return arg;
}

static void send_queued(void)
{
    tl_step(ctx, "queued signals");
    tally_reset(&all, QUEUED);
    for (int i = 0; i < QUEUED && tl_verdict(ctx) == TL_OK; i++) {
        signals_to_process(ctx, SIG, i);
        if (i % 32 == 31)
            tl_delay(ctx, "between two queued signals");
    }
    tl_await(ctx, &all.reached, "the handlers of all queued signals");
    signals_linger(ctx); /* for one too many */
    for (int i = 0; i < QUEUED; i++)
        TL_EXPECT(ctx, atomic_load(&times[i]) == 1,
                  "the signal with the value %d was handled %d times", i, atomic_load(&times[i]));
}

/* Standard signals, the next one when the last has been handled: none may be merged. */
static void send_singly(void)
{
    tl_step(ctx, "single signals");
    for (int i = 0; i < SINGLE && tl_verdict(ctx) == TL_OK; i++) {
        tally_reset(&all, 1);
        TL_EXPECT(ctx, kill(getpid(), SIGUSR1) == 0, "kill: %s", strerror(errno));
        tl_await(ctx, &all.reached, "the handler of a signal to the process");
        tl_delay(ctx, "between two signals");
        TL_EXPECT(ctx, atomic_load(&all.count) == 1, "one signal was handled %d times",
                  atomic_load(&all.count));
    }
}

static enum tl_status run_once(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    int made = 0;

    ctx = c;
    if (!signals_concurrent(ctx))
        return TL_FAILED;
    if (!signals_handle(ctx, SIG, handler, SA_RESTART) ||
        !signals_handle(ctx, SIGUSR1, handler, SA_RESTART))
        return TL_FAILED;
    while (made < THREADS && tl_start(ctx, (unsigned)made, &t[made], receiver, NULL))
        made++;
    while (atomic_load(&ready) < made && tl_verdict(ctx) == TL_OK)
        ctx->impl->yield();
    if (made == THREADS && tl_verdict(ctx) == TL_OK) {
        send_queued();
        send_singly();
    }
    atomic_store(&stop, 1);
    while (made)
        tl_finish(ctx, t[--made]);
    return tl_verdict(ctx);
}

static const struct tl_check process_once = {
    .abi = TL_ABI,
    .name = "signal.process-once",
    .group = "Signals",
    .promise = "a signal to the process is handled exactly once, however many threads have it open",
    .source = "POSIX.1-2017 XSH 2.4.1 (delivered to exactly one of the threads)",
    .method = "3000 queued signals with numbers, then 100 standard ones one at a time, are sent to "
              "the process while five threads that have them open run and yield; each number is "
              "counted",
    .meaning = "a library that takes signals itself and passes them on loses or doubles some; "
               "what comes more than a few milliseconds late may be missed",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_once,
};
TL_CHECK(process_once);

/* ---- where it is open ------------------------------------------------------------------------ */

static struct tl_thread who[THREADS];
static struct tally one;
static _Atomic int handled_by; /* index + 1; -1: of another thread */

static void note_thread(int sig, siginfo_t *info, void *context)
{
    struct tl_thread me = ctx->impl->self();
    int by = -1;

    (void)sig;
    (void)info;
    (void)context;
    for (unsigned i = 0; i < THREADS; i++)
        if (who[i].id == me.id)
            by = (int)i + 1;
    atomic_store(&handled_by, by);
    tally_add(&one);
}

static void take_turns(unsigned i)
{
    uint64_t state = ctx->seed;

    who[i] = ctx->impl->self();
    for (int n = 0; n < 30 && tl_verdict(ctx) == TL_OK; n++) {
        unsigned owner = (unsigned)(tl_random(&state) % THREADS);
        unsigned sender = (owner + 1 + (unsigned)n % (THREADS - 1)) % THREADS;

        if (i == sender)
            tally_reset(&one, 1);
        if (i == owner)
            signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
        if (!crowd_meet())
            return;
        if (i == sender)
            TL_EXPECT(ctx, kill(getpid(), SIGUSR1) == 0, "kill: %s", strerror(errno));
        if (!tl_await(ctx, &one.reached, "a thread that has the signal open to handle it"))
            return;
        if (i == owner) {
            TL_EXPECT(ctx, atomic_load(&handled_by) == (int)owner + 1,
                      "only thread %u has the signal open, thread %d handled it", owner,
                      atomic_load(&handled_by) - 1);
            signals_mask(ctx, SIG_BLOCK, SIGUSR1);
        }
        tl_delay(ctx, "after the signal was handled");
        if (!crowd_meet())
            return;
        TL_EXPECT(ctx, atomic_load(&one.count) == 1, "one signal was handled %d times",
                  atomic_load(&one.count));
        if (!crowd_meet())
            return;
    }
}

static enum tl_status run_open(struct tl_ctx *c)
{
    ctx = c;
    signals_mask(ctx, SIG_BLOCK, SIGUSR1); /* the threads inherit that */
    if (signals_handle(ctx, SIGUSR1, note_thread, SA_RESTART))
        crowd_run(ctx, THREADS, take_turns);
    return tl_verdict(ctx);
}

static const struct tl_check process_open_thread = {
    .abi = TL_ABI,
    .name = "signal.process-open-thread",
    .group = "Signals",
    .promise = "a signal to the process is handled by a thread that has it open, whoever sent it",
    .source = "POSIX.1-2017 XSH 2.4.1 (delivered to a thread that has not blocked it)",
    .method = "30 times one of four threads, drawn at random, opens the signal, another one that "
              "has it blocked sends it to the process; its handler has to run in the first",
    .meaning = "one mask for the process, or a signal that goes to who runs, is seen in most "
               "rounds",
    .needs = "signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_open,
};
TL_CHECK(process_open_thread);

/* ---- mutants --------------------------------------------------------------------------------- */

static void (*sound_yield)(void);
static const struct tl_signal_ops *sound;

static bool one_in_16(void)
{
    static _Atomic unsigned calls;

    return atomic_fetch_add(&calls, 1) % 16 == 15;
}

/* As a library that takes the signal itself during a switch, and forgets that it has to be passed
 * on. */
static void yield_ignoring(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, usual;

    if (!one_in_16()) {
        sound_yield();
        return;
    }
    sigaction(SIG, &ignore, &usual);
    sound_yield();
    if (usual.sa_handler != SIG_IGN)
        sigaction(SIG, &usual, NULL);
}

static void apply_ignoring(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_ignoring;
}

static const struct tl_mutant switch_drops_signals = {
    .abi = TL_ABI,
    .name = "switch-drops-signals",
    .fault = "a signal that comes during one of 16 switches is thrown away",
    .kills = "signal.process-once",
    .of = "nptl clone green",
    .apply = apply_ignoring,
};
TL_MUTANT_OF(switch_drops_signals);

/* As a library that passes a signal on although it has been handled. */
static void yield_repeating(void)
{
    int seen = atomic_load(&all.count);

    sound_yield();
    if (seen > 0 && seen < QUEUED && one_in_16())
        sigqueue(getpid(), SIG, (union sigval){.sival_int = seen - 1});
}

static void apply_repeating(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_repeating;
}

static const struct tl_mutant switch_repeats_signals = {
    .abi = TL_ABI,
    .name = "switch-repeats-signals",
    .fault = "a signal that was handled is passed on again after one of 16 switches",
    .kills = "signal.process-once",
    .of = "nptl clone green ucontext",
    .apply = apply_repeating,
};
TL_MUTANT_OF(switch_repeats_signals);

static int mask_forgetting(int how, const sigset_t *set, sigset_t *old)
{
    static _Atomic unsigned calls;

    if (set && how == SIG_BLOCK && atomic_fetch_add(&calls, 1) % 6 == 5)
        return sound->mask(how, NULL, old);
    return sound->mask(how, set, old);
}

static void apply_forgetting(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->mask = mask_forgetting;
}

static const struct tl_mutant mask_forgets_to_block = {
    .abi = TL_ABI,
    .name = "mask-forgets-to-block",
    .fault = "one call in six that blocks a signal does nothing",
    .kills = "signal.process-open-thread mask.per-thread",
    .of = "nptl clone ucontext",
    .apply = apply_forgetting,
};
TL_MUTANT_OF(mask_forgets_to_block);

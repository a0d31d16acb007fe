/*
 * pending.c - pending.thread, pending.process, signal.process-pending-visible: what is pending for
 * a thread is its own; what is pending for the process, all its threads see.
 */
#include "signals.h"

#include "../common/crowd.h"

#include <stdio.h>

#define THREADS 3
#define ROUNDS 12

static struct tl_ctx *ctx;
static struct tally seen;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    tally_add(&seen);
}

static bool is_pending(int sig)
{
    sigset_t set = signals_of(0);

    TL_CALL(ctx, ctx->impl->signal->pending(&set));
    return sigismember(&set, sig) == 1;
}

static enum tl_status start(struct tl_ctx *c)
{
    ctx = c;
    tally_reset(&seen, -1);
    signals_handle(ctx, SIGUSR1, handler, SA_RESTART);
    signals_mask(ctx, SIG_BLOCK, SIGUSR1); /* the threads inherit that */
    return tl_verdict(ctx);
}

/* ---- of a thread ----------------------------------------------------------------------------- */

static void one_of_all(unsigned i)
{
    for (unsigned n = 0; n < ROUNDS && tl_verdict(ctx) == TL_OK; n++) {
        bool mine = n % THREADS == i;

        signals_mask(ctx, SIG_BLOCK, SIGUSR1);
        if (!crowd_meet())
            return;
        if (mine)
            TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIGUSR1, NULL));
        if (!crowd_meet())
            return;
        TL_EXPECT(ctx, is_pending(SIGUSR1) == mine, "%s",
                  mine ? "what a thread sent to itself is not pending for it"
                       : "what is pending for one thread is pending for another");
        tl_delay(ctx, "while the signal is pending");
        if (!crowd_meet())
            return;
        signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
        TL_EXPECT(ctx, !is_pending(SIGUSR1), "a signal is pending for a thread that has it open");
    }
}

static enum tl_status run_thread(struct tl_ctx *c)
{
    if (start(c) == TL_OK)
        crowd_run(ctx, THREADS, one_of_all);
    TL_EXPECT(ctx, tl_verdict(ctx) != TL_OK || atomic_load(&seen.count) == ROUNDS,
              "%d signals were sent, %d handled", ROUNDS, atomic_load(&seen.count));
    return tl_verdict(ctx);
}

static const struct tl_check pending_thread = {
    .abi = TL_ABI,
    .name = "pending.thread",
    .group = "Signals",
    .promise = "a blocked signal that was sent to a thread is pending for that thread only",
    .source = "POSIX.1-2017 XSH 2.4.1, sigpending",
    .method = "three threads have a signal blocked, in turn one sends it to itself; it is pending "
              "for that one, not for the others, and handled once, when that one opens it",
    .meaning = "sets of pending signals that are shared or mixed up in a switch differ",
    .needs = "signal.kill signal.mask signal.pending",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_thread,
};
TL_CHECK(pending_thread);

/* Who runs the handler. */
static _Atomic uint64_t owner;
static _Atomic int by_owner, by_others;

static void whose(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(ctx->impl->self().id == atomic_load(&owner) ? &by_owner : &by_others, 1);
}

static void keep_own(unsigned i)
{
    for (unsigned n = 0; n < ROUNDS && tl_verdict(ctx) == TL_OK; n++) {
        bool mine = n % THREADS == i;

        if (!crowd_meet())
            return;
        if (mine) {
            atomic_store(&owner, ctx->impl->self().id);
            signals_mask(ctx, SIG_BLOCK, SIGUSR1);
            TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIGUSR1, NULL));
        } else {
            signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
        }
        tl_delay(ctx, "while the signal is pending for one");
        signals_linger(ctx);
        if (!crowd_meet())
            return;
        if (mine) {
            TL_EXPECT(
                ctx, atomic_load(&by_others) == 0,
                "what a thread sent to itself while it had it blocked was handled by another");
            TL_EXPECT(ctx, atomic_load(&by_owner) == (int)n, "it was handled while it was blocked");
            signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
            TL_EXPECT(ctx, atomic_load(&by_owner) == (int)n + 1,
                      "what a thread sent to itself was not handled when it opened it");
        }
    }
}

static enum tl_status run_own(struct tl_ctx *c)
{
    ctx = c;
    if (signals_handle(ctx, SIGUSR1, whose, SA_RESTART))
        crowd_run(ctx, THREADS, keep_own);
    return tl_verdict(ctx);
}

static const struct tl_check pending_waits = {
    .abi = TL_ABI,
    .name = "pending.waits-for-thread",
    .group = "Signals",
    .promise = "a signal that was sent to a thread which has it blocked waits for that thread, "
               "whoever else has it open",
    .source = "POSIX.1-2017 XSH 2.4.1 (generated for a thread: remains pending until unblocked)",
    .method = "a thread blocks a signal and sends it to itself while two others run and have it "
              "open; no handler may run before it opens it, then its own",
    .meaning =
        "a model that leaves the signal with the kernel thread hands it to whoever runs next",
    .needs = "signal.kill signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_own,
};
TL_CHECK(pending_waits);

/* ---- of the process -------------------------------------------------------------------------- */

static void all_of_one(unsigned i)
{
    for (unsigned n = 0; n < ROUNDS && tl_verdict(ctx) == TL_OK; n++) {
        signals_mask(ctx, SIG_BLOCK, SIGUSR1);
        if (!crowd_meet())
            return;
        if (n % THREADS == i)
            signals_send(ctx, SIGUSR1, NULL);
        if (!crowd_meet())
            return;
        TL_EXPECT(ctx, is_pending(SIGUSR1),
                  "what is pending for the process is not seen by thread %u", i);
        tl_delay(ctx, "while the signal is pending");
        if (!crowd_meet())
            return;
        if ((n + 1) % THREADS == i) /* who did not send it */
            signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
        if (!crowd_meet())
            return;
        TL_EXPECT(ctx, !is_pending(SIGUSR1),
                  "a signal is still pending for the process after one thread has handled it");
        TL_EXPECT(ctx, atomic_load(&seen.count) == (int)n + 1,
                  "%d handlers ran for %u signals to the process", atomic_load(&seen.count), n + 1);
        if (!crowd_meet())
            return;
    }
}

static enum tl_status run_process(struct tl_ctx *c)
{
    if (start(c) == TL_OK)
        crowd_run(ctx, THREADS, all_of_one);
    return tl_verdict(ctx);
}

static const struct tl_check pending_process = {
    .abi = TL_ABI,
    .name = "pending.process",
    .group = "Signals",
    .promise = "a signal to the process that all threads have blocked is pending for all of them, "
               "until one has handled it",
    .source = "POSIX.1-2017 XSH 2.4.1, sigpending (pending on the thread or on the process)",
    .method = "a thread sends the process a signal that all three have blocked; each sees it "
              "pending; another one opens it, and it is pending for none",
    .meaning = "an implementation that gives the signal to a thread at once, or asks for the "
               "thread's own set only, is seen",
    .needs = "signal.mask signal.pending",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_process,
};
TL_CHECK(pending_process);

/* ---- as a new thread sees it ----------------------------------------------------------------- */

static void *newcomer(void *arg)
{
    TL_EXPECT(ctx, is_pending(SIGUSR1),
              "what is pending for the process is not seen by a new thread");
    TL_EXPECT(ctx, atomic_load(&seen.count) == *(int *)arg, "it was handled while it was blocked");
    signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
    TL_EXPECT(ctx, atomic_load(&seen.count) == *(int *)arg + 1,
              "a new thread opened a signal that is pending for the process: %d handlers ran",
              atomic_load(&seen.count) - *(int *)arg);
    return NULL;
}

static enum tl_status run_newcomer(struct tl_ctx *c)
{
    start(c);
    for (int n = 0; n < ROUNDS && tl_verdict(ctx) == TL_OK; n++) {
        struct tl_thread t;

        signals_mask(ctx, SIG_BLOCK, SIGUSR1);
        signals_send(ctx, SIGUSR1, NULL);
        if (!tl_start(ctx, (unsigned)n, &t, newcomer, &n))
            break;
        tl_finish(ctx, t);
        TL_EXPECT(ctx, !is_pending(SIGUSR1), "it is still pending after a thread has handled it");
    }
    return tl_verdict(ctx);
}

static const struct tl_check process_pending_visible = {
    .abi = TL_ABI,
    .name = "signal.process-pending-visible",
    .group = "Signals",
    .promise = "a thread sees, and takes by opening it, what was pending for the process before "
               "the thread was made",
    .source = "POSIX.1-2017 XSH sigpending; pthread_create (only the thread's own set is empty)",
    .method = "a signal to the process is pending when a thread is made; the new thread sees it "
              "and opens it: one handler runs before the call returns",
    .meaning = "no race: an implementation that gives new threads an empty view is always seen",
    .needs = "signal.mask signal.pending",
    .run = run_newcomer,
};
TL_CHECK(process_pending_visible);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int pending_of_anybody(sigset_t *set)
{
    static _Atomic int by_anybody;
    int err = sound->pending(set);

    if (sigismember(set, SIGUSR1) == 1)
        atomic_store(&by_anybody, 1);
    else if (atomic_load(&by_anybody))
        sigaddset(set, SIGUSR1);
    return err;
}

static void apply_anybody(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->pending = pending_of_anybody;
}

static const struct tl_mutant pending_is_shared = {
    .abi = TL_ABI,
    .name = "pending-is-shared",
    .fault = "what was seen pending by one thread is shown to all, also later",
    .kills = "pending.thread pending.process signal.process-pending-visible",
    .of = "nptl clone green",
    .apply = apply_anybody,
};
TL_MUTANT_OF(pending_is_shared);

static int kill_whoever(struct tl_thread t, int sig, const union sigval *value)
{
    static _Atomic unsigned calls;

    if (atomic_fetch_add(&calls, 1) % 4 == 3)
        return kill(getpid(), sig) ? errno : 0;
    return sound->kill(t, sig, value);
}

static void apply_whoever(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_whoever;
}

static const struct tl_mutant kill_self_hits_process = {
    .abi = TL_ABI,
    .name = "kill-self-hits-process",
    .fault = "now and then a thread's signal to itself is sent to the process",
    .kills = "pending.waits-for-thread pending.thread",
    .of = "nptl clone green",
    .apply = apply_whoever,
};
TL_MUTANT_OF(kill_self_hits_process);

static int pending_own(sigset_t *set)
{
    char line[128];
    unsigned long long own = 0;
    FILE *f = fopen("/proc/thread-self/status", "re");
    int err = sound->pending(set);

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "SigPnd: %llx", &own) == 1)
            break;
    if (f)
        fclose(f);
    for (int sig = 1; sig < 64; sig++)
        if (!(own >> (sig - 1) & 1))
            sigdelset(set, sig);
    return err;
}

static void apply_own(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->pending = pending_own;
}

static const struct tl_mutant pending_hides_process = {
    .abi = TL_ABI,
    .name = "pending-hides-process",
    .fault = "pending tells of the thread's own set only",
    .kills = "pending.process signal.process-pending-visible",
    .of = "nptl clone green",
    .apply = apply_own,
};
TL_MUTANT_OF(pending_hides_process);

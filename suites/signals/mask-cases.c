/*
 * mask-cases.c - mask.case1 to mask.case4: where a signal to the process goes, by who has it open.
 *
 * The four cases are those of a library that keeps the masks of its threads itself: D. Stein and
 * D. Shah 1992, "Implementing Lightweight Threads" (USENIX Summer), on signals. They are asked as
 * what a program can see, so of any implementation: once, on a thread that has the signal open, as
 * soon as there is one.
 */
#include "signals.h"

#include "../common/model.h"
#include "../common/scope.h"

#define OTHERS 3
#define ROUNDS 25

static struct tl_ctx *ctx;
static struct tally one;
static _Atomic uint64_t handled_by;
static _Atomic pid_t handled_on; /* the kernel thread (LWP) */
static int elsewhere;            /* of `signals_seen`: not on the sender's kernel thread */
static int signals_seen;
static _Atomic int stop, ready, do_open, opened, spins;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_store(&handled_by, ctx->impl->self().id);
    atomic_store(&handled_on, scope_kernel_thread());
    tally_add(&one);
}

static bool begin(struct tl_ctx *c)
{
    ctx = c;
    return signals_handle(ctx, SIGUSR1, handler, SA_RESTART);
}

static void send_one(void)
{
    tally_reset(&one, 1);
    TL_EXPECT(ctx, kill(getpid(), SIGUSR1) == 0, "kill: %s", strerror(errno));
}

/* By t, or, where t is NULL, by anybody. */
static void expect_handled(const struct tl_thread *t)
{
    if (!tl_await(ctx, &one.reached, "a signal to the process to be handled"))
        return;
    TL_EXPECT(ctx, !t || atomic_load(&handled_by) == t->id,
              "the signal was handled by a thread that has it blocked");
    signals_seen++;
    elsewhere += atomic_load(&handled_on) != scope_kernel_thread();
    tl_delay(ctx, "after a signal was handled");
    TL_EXPECT(ctx, atomic_load(&one.count) == 1, "one signal was handled %d times",
              atomic_load(&one.count));
}

/* A thread that called nothing is on the kernel thread where it was, unless it is preempted. */
static void expect_handled_on(pid_t lwp)
{
    if (tl_verdict(ctx) == TL_OK && (tl_trait(ctx, TL_ONE_TO_ONE) || !model_preempted(ctx)))
        TL_EXPECT(ctx, atomic_load(&handled_on) == lwp,
                  "the handler ran on kernel thread %d, its thread is on %d",
                  (int)atomic_load(&handled_on), (int)lwp);
}

static void say_where(void)
{
    tl_say(ctx, "%d of %d signals were handled on another kernel thread than the sender's",
           elsewhere, signals_seen);
}

static bool await_ready(int n)
{
    while (atomic_load(&ready) < n && tl_verdict(ctx) == TL_OK) {
        if (!signals_concurrent(ctx))
            return false;
        ctx->impl->yield();
    }
    return tl_verdict(ctx) == TL_OK;
}

/* ---- 1: all have it open --------------------------------------------------------------------- */

static void *run_and_yield(void *arg)
{
    if (arg) /* one that has it open, made by one that has not */
        signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
    atomic_fetch_add(&ready, 1);
    tl_await(ctx, &stop, "the end of the check");
    return NULL;
}

static enum tl_status run_case1(struct tl_ctx *c)
{
    struct tl_thread t[OTHERS];
    int made = 0;

    if (!begin(c))
        return TL_FAILED;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        send_one();
        /* The kernel gives it to the first kernel thread, from where the thread may have moved. */
        if (model_preempted(ctx) && tl_trait(ctx, TL_PARALLEL) && !tl_trait(ctx, TL_ONE_TO_ONE))
            tl_await(ctx, &one.reached, "a signal to the process to be handled");
        TL_EXPECT(ctx, atomic_load(&one.count) == 1,
                  "the only thread sent a signal that it has open: when kill returned %d handlers "
                  "had run",
                  atomic_load(&one.count));
        expect_handled_on(scope_kernel_thread());
    }
    while (made < OTHERS && tl_start(ctx, (unsigned)made, &t[made], run_and_yield, NULL))
        made++;
    await_ready(made);
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        send_one();
        expect_handled(NULL);
    }
    atomic_store(&stop, 1);
    while (made)
        tl_finish(ctx, t[--made]);
    say_where();
    return tl_verdict(ctx);
}

static const struct tl_check mask_case1 = {
    .abi = TL_ABI,
    .name = "mask.case1",
    .group = "Signals",
    .promise = "a signal that the running thread has open is handled at once, and once",
    .source = "Stein, Shah 1992, \"Implementing Lightweight Threads\", on signals; POSIX.1-2017 "
              "XSH kill (delivered before kill "
              "returns, where no other thread has it open)",
    .method = "the only thread sends 25 signals to the process, each handled when kill returns; "
              "then four threads have it open, and each of 25 is handled once",
    .meaning = "a library that defers what could be delivered, or loses it, is seen",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_case1,
};
TL_CHECK(mask_case1);

/* ---- 2: another runnable thread has it open -------------------------------------------------- */

static enum tl_status run_case2(struct tl_ctx *c)
{
    struct tl_thread t[OTHERS];
    int made = 0;

    if (!begin(c) || !signals_mask(ctx, SIG_BLOCK, SIGUSR1))
        return TL_FAILED;
    /* All in one place, so that the open one is no more than runnable while this one runs. */
    while (made < OTHERS &&
           tl_start(ctx, 0, &t[made], run_and_yield, made == OTHERS / 2 ? &ready : NULL))
        made++;
    await_ready(made);
    for (int i = 0; i < ROUNDS && made == OTHERS && tl_verdict(ctx) == TL_OK; i++) {
        send_one();
        expect_handled(&t[OTHERS / 2]);
    }
    TL_EXPECT(ctx, tl_verdict(ctx) != TL_OK || signals_blocked(ctx, SIGUSR1),
              "the sender's signal is open now");
    atomic_store(&stop, 1);
    while (made)
        tl_finish(ctx, t[--made]);
    say_where();
    return tl_verdict(ctx);
}

static const struct tl_check mask_case2 = {
    .abi = TL_ABI,
    .name = "mask.case2",
    .group = "Signals",
    .promise = "a signal that the running thread has blocked is handled by another runnable thread "
               "that has it open",
    .source = "Stein, Shah 1992, \"Implementing Lightweight Threads\", on signals; POSIX.1-2017 "
              "XSH 2.4.1",
    .method = "one of three threads on one PU has the signal open; the first thread, which has it "
              "blocked, sends 25 and yields; each is handled by that one, once",
    .meaning = "one mask for all, or a signal that waits for the running thread, is seen",
    .needs = "signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_case2,
};
TL_CHECK(mask_case2);

/* ---- 3: the thread that has it open runs elsewhere ------------------------------------------- */

static void *run_and_compute(void *arg)
{
    signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
    *(pid_t *)arg = scope_kernel_thread();
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&stop)) /* calls nothing */
        atomic_fetch_add_explicit(&spins, 1, memory_order_relaxed);
    return arg;
}

static enum tl_status run_case3(struct tl_ctx *c)
{
    struct tl_thread t;
    pid_t lwp = 0;

    if (!begin(c) || !signals_mask(ctx, SIG_BLOCK, SIGUSR1))
        return TL_FAILED;
    if (!signals_concurrent(ctx))
        return TL_FAILED;
    if (!tl_start(ctx, 1, &t, run_and_compute, &lwp))
        return tl_verdict(ctx);
    await_ready(1);
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        int before = atomic_load(&spins);

        while (atomic_load(&spins) == before) /* it runs */
            ctx->impl->yield();
        send_one();
        expect_handled(&t);
        expect_handled_on(lwp);
    }
    atomic_store(&stop, 1);
    tl_finish(ctx, t);
    say_where();
    return tl_verdict(ctx);
}

static const struct tl_check mask_case3 = {
    .abi = TL_ABI,
    .name = "mask.case3",
    .group = "Signals",
    .promise = "a signal that the running thread has blocked reaches a thread that has it open and "
               "computes on another PU, without its help",
    .source = "Stein, Shah 1992, \"Implementing Lightweight Threads\", on signals; POSIX.1-2017 "
              "XSH 2.4.1",
    .method = "a thread on another PU has the signal open and increments a number without a call; "
              "the first thread, which has it blocked, sends 25; each is handled there, once, "
              "by that thread and on its kernel thread",
    .meaning = "a library that looks for signals only when threads call it would leave it waiting; "
               "that the other thread is on a PU at that very moment is likely, not certain",
    .needs = "signal.mask",
    .traits = TL_PARALLEL,
    .flags = TL_CHECK_CONCURRENT,
    .pus = 2,
    .run = run_case3,
};
TL_CHECK(mask_case3);

/* ---- 4: nobody has it open ------------------------------------------------------------------- */

static void *open_when_told(void *arg)
{
    const struct tl_thread me = ctx->impl->self();

    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        if (!tl_await(ctx, &do_open, "leave to open the signal"))
            break;
        atomic_store(&do_open, 0);
        signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
        TL_EXPECT(ctx, atomic_load(&one.count) == 1,
                  "a thread opened a signal that was pending: when the call returned %d handlers "
                  "had run",
                  atomic_load(&one.count));
        TL_EXPECT(ctx, atomic_load(&handled_by) == me.id,
                  "the signal was handled by a thread that has it blocked");
        expect_handled_on(scope_kernel_thread());
        signals_mask(ctx, SIG_BLOCK, SIGUSR1);
        atomic_store(&opened, 1);
    }
    return arg;
}

/* kill(2), past the library, which may learn of it later; pending says when. */
static void send_and_see(void)
{
    sigset_t set = signals_of(0);

    TL_EXPECT(ctx, kill(getpid(), SIGUSR1) == 0, "kill: %s", strerror(errno));
    while (TL_CALL(ctx, ctx->impl->signal->pending(&set)) && sigismember(&set, SIGUSR1) != 1 &&
           tl_verdict(ctx) == TL_OK) {
        tl_delay(ctx, "until the signal is pending");
        ctx->impl->yield();
    }
}

static enum tl_status run_case4(struct tl_ctx *c)
{
    struct tl_thread t[OTHERS];
    int made = 0;

    if (!begin(c) || !signals_mask(ctx, SIG_BLOCK, SIGUSR1))
        return TL_FAILED;
    while (made < OTHERS &&
           tl_start(ctx, (unsigned)made, &t[made], made ? run_and_yield : open_when_told, NULL))
        made++;
    await_ready(made - 1);
    for (int i = 0; i < ROUNDS && made == OTHERS && tl_verdict(ctx) == TL_OK; i++) {
        tally_reset(&one, 1);
        /* By the kernel as well: a library may have lowered the kernel's mask. */
        if (i % 2)
            signals_send(ctx, SIGUSR1, NULL);
        else
            send_and_see();
        tl_delay(ctx, "while all have it blocked");
        signals_linger(ctx);
        TL_EXPECT(ctx, atomic_load(&one.count) == 0,
                  "a signal that all threads have blocked was handled");
        atomic_store(&do_open, 1);
        tl_await(ctx, &opened, "a thread to open the signal");
        atomic_store(&opened, 0);
        TL_EXPECT(ctx, atomic_load(&one.count) == 1, "one signal was handled %d times",
                  atomic_load(&one.count));
    }
    atomic_store(&stop, 1);
    while (made)
        tl_finish(ctx, t[--made]);
    return tl_verdict(ctx);
}

static const struct tl_check mask_case4 = {
    .abi = TL_ABI,
    .name = "mask.case4",
    .group = "Signals",
    .promise = "a signal that all threads have blocked waits, and is handled by the first thread "
               "that opens it, before that call returns",
    .source = "Stein, Shah 1992, \"Implementing Lightweight Threads\", on signals; POSIX.1-2017 "
              "XSH 2.4.1, sigprocmask (delivered "
              "before the call returns)",
    .method = "four threads have the signal blocked, one of them sends it; no handler runs while "
              "all yield; then another opens it, and its handler has run; 25 times",
    .meaning = "a library that lowers the kernel's mask late must send the signal again, once, and "
               "to the right thread: a lost, doubled or misled one is seen",
    .needs = "signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_case4,
};
TL_CHECK(mask_case4);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;
static void (*sound_yield)(void);

static void yield_resending(void)
{
    static _Atomic unsigned calls;

    sound_yield();
    if (atomic_load(&one.count) > 0 && atomic_fetch_add(&calls, 1) % 32 == 31)
        kill(getpid(), SIGUSR1);
}

static void apply_resending(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_resending;
}

static const struct tl_mutant switch_resends_signal = {
    .abi = TL_ABI,
    .name = "switch-resends-signal",
    .fault = "a switch sends a signal again that has been delivered, one time in 32",
    .kills = "mask.case1",
    .of = "nptl clone green ucontext",
    .apply = apply_resending,
};
TL_MUTANT_OF(switch_resends_signal);

/* The signal is opened when some later call asks for the mask. */
static int mask_lazy(int how, const sigset_t *set, sigset_t *old)
{
    return how == SIG_UNBLOCK && sigismember(set, SIGUSR1) == 1 ? 0 : sound->mask(how, set, old);
}

static void apply_lazy(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->mask = mask_lazy;
}

static const struct tl_mutant mask_not_lowered = {
    .abi = TL_ABI,
    .name = "mask-not-lowered",
    .fault = "a thread opens a signal in the library, but not in the kernel",
    .kills = "mask.case2 mask.case3 mask.case4",
    .of = "nptl clone",
    .apply = apply_lazy,
};
TL_MUTANT_OF(mask_not_lowered);

static const struct tl_mutant mask_opens_late = {
    .abi = TL_ABI,
    .name = "mask-opens-late",
    .fault = "a thread that opens a signal has it blocked still",
    .kills = "mask.case2 mask.case4",
    .of = "green ucontext",
    .apply = apply_lazy,
};
TL_MUTANT_OF(mask_opens_late);

#ifdef TL_INJECT
static const struct tl_mutant user_lost = {
    .abi = TL_ABI,
    .name = "user-signal-not-raised",
    .fault = "the library opens a signal, the kernel's mask stays lowered: the next one is not "
             "delivered",
    .kills = "mask.case4",
    .of = "green ucontext",
};
TL_MUTANT_OF(user_lost);

static const struct tl_mutant user_current_only = {
    .abi = TL_ABI,
    .name = "user-signal-current-only",
    .fault = "the library looks only at the thread that runs for one that has a signal open",
    .kills = "mask.case2",
    .of = "green ucontext",
};
TL_MUTANT_OF(user_current_only);
#endif

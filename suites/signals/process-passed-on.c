/*
 * process-passed-on.c - signal.process-meets-block, signal.process-meets-end,
 * signal.process-beside-handler, signal.process-beside-wait: a signal to the process that meets a
 * thread which then does not take it is another thread's.
 */
#include "signals.h"

#include "../common/mutant.h"
#include "../common/rounds.h"

#define FEW 30
#define MOST 3000
#define SPIN_NS 3000 /* about what it takes from one PU to another, and to send */
#define QUEUED 3
#define RT (SIGRTMIN + 2)

static struct tl_ctx *ctx;
static struct tally taken;     /* of one round */
static int values[QUEUED + 1]; /* in the order of the handlers: they never overlap */
static _Atomic int ready, closed, again, over;

static void handler(int sig, siginfo_t *info, void *context)
{
    int n = tally_add(&taken) - 1;

    (void)context;
    if (n < QUEUED + 1)
        values[n] = sig == RT ? info->si_value.sival_int : 0;
}

static bool begin(struct tl_ctx *c)
{
    ctx = c;
    return signals_concurrent(ctx) && signals_handle(ctx, SIGUSR1, handler, SA_RESTART) &&
           signals_handle(ctx, SIGUSR2, handler, SA_RESTART) &&
           signals_handle(ctx, RT, handler, SA_RESTART) && signals_mask(ctx, SIG_BLOCK, SIGUSR1) &&
           signals_mask(ctx, SIG_BLOCK, SIGUSR2) && signals_mask(ctx, SIG_BLOCK, RT);
}

static bool is_pending(int sig)
{
    sigset_t set = signals_of(0);

    TL_CALL(ctx, ctx->impl->signal->pending(&set));
    return sigismember(&set, sig) == 1;
}

static void spin(uint64_t *random)
{
    tl_spin_ns(tl_random(random) % SPIN_NS);
}

/* ---- a thread that blocks it, or ends, at that moment ---------------------------------------- */

static void *close_each_time(void *arg)
{
    uint64_t random = ctx->seed + 1;

    while (!atomic_load(&over) && tl_verdict(ctx) == TL_OK) {
        int sig = *(int *)arg;

        signals_mask(ctx, SIG_UNBLOCK, sig);
        atomic_store(&ready, 1);
        spin(&random);
        signals_mask(ctx, SIG_BLOCK, sig);
        atomic_store(&closed, 1);
        if (!tl_await(ctx, &again, "the next round"))
            break;
        atomic_store(&again, 0);
    }
    return NULL;
}

static void *close_once(void *arg)
{
    uint64_t random = ctx->seed + (unsigned)*(int *)arg;

    signals_mask(ctx, SIG_UNBLOCK, *(int *)arg);
    atomic_store(&ready, 1);
    spin(&random);
    return NULL;
}

static void send_some(int sig, uint64_t *random)
{
    spin(random);
    for (int i = 0; i < taken.goal; i++)
        signals_send(ctx, sig, sig == RT ? &(union sigval){.sival_int = i} : NULL);
}

/* The other one is through with it: what it has not handled is this thread's. */
static void take_the_rest(int sig)
{
    int theirs = atomic_load(&taken.count);

    if (theirs < taken.goal) {
        TL_EXPECT(ctx, is_pending(sig),
                  "of %d signals to the process %d were handled by a thread that has blocked them "
                  "since, or ended, and none is pending",
                  taken.goal, theirs);
        signals_mask(ctx, SIG_UNBLOCK, sig);
        signals_mask(ctx, SIG_BLOCK, sig);
    }
    TL_EXPECT(ctx, atomic_load(&taken.count) == taken.goal,
              "of %d signals to the process %d were handled by a thread that has blocked them "
              "since, or ended; another opened them: %d",
              taken.goal, theirs, atomic_load(&taken.count));
    for (int i = 0; sig == RT && i < taken.goal && tl_verdict(ctx) == TL_OK; i++)
        TL_EXPECT(ctx, values[i] == i, "the queued signal %d came as number %d", values[i], i + 1);
}

static enum tl_status run_block(struct tl_ctx *c)
{
    static int sig;
    uint64_t random = c->seed;
    unsigned met = 0;
    struct tl_thread t;

    if (!begin(c))
        return TL_FAILED;
    sig = SIGUSR1;
    tally_reset(&taken, 1);
    if (!tl_start(ctx, 1, &t, close_each_time, &sig))
        return tl_verdict(ctx);
    for (unsigned round = 0; rounds_more(ctx, round, FEW, MOST); round++) {
        if (!tl_await(ctx, &ready, "a thread to open the signal"))
            break;
        atomic_store(&ready, 0);
        send_some(sig, &random);
        if (!tl_await(ctx, &closed, "a thread to block the signal"))
            break;
        atomic_store(&closed, 0);
        met += atomic_load(&taken.count) != 0;
        take_the_rest(sig);
        sig = round % 2 ? SIGUSR1 : RT;
        tally_reset(&taken, round % 2 ? 1 : QUEUED);
        atomic_store(&again, 1);
    }
    atomic_store(&over, 1);
    atomic_store(&again, 1);
    tl_finish(ctx, t);
    tl_say(ctx, "in %u rounds the thread that blocks them had handled some", met);
    return tl_verdict(ctx);
}

static const struct tl_check meets_block = {
    .abi = TL_ABI,
    .name = "signal.process-meets-block",
    .group = "Signals",
    .promise =
        "a signal to the process that comes while a thread blocks it is handled there, or is "
        "pending for the process",
    .source = "POSIX.1-2017 XSH 2.4.1 (generated for the process: delivered to a thread that has "
              "not blocked it, or pending on the process)",
    .method =
        "a thread opens a signal and blocks it again while another one, which has it blocked, "
        "sends one, or three queued ones; 30 times or more. What the first has not handled "
        "then is pending for the second, and handled when that opens it, in order",
    .meaning = "a library that gives the signal to a thread, and leaves it there when that blocks "
               "it, is seen if the two meet: with two PUs in many of the rounds",
    .needs = "signal.mask signal.pending",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_block,
};
TL_CHECK(meets_block);

static enum tl_status run_end(struct tl_ctx *c)
{
    uint64_t random = c->seed;

    if (!begin(c))
        return TL_FAILED;
    for (unsigned round = 0; rounds_more(ctx, round, FEW, MOST); round++) {
        int sig = round % 2 ? RT : SIGUSR1;
        struct tl_thread t;

        tally_reset(&taken, round % 2 ? QUEUED : 1);
        atomic_store(&ready, 0);
        if (!tl_start(ctx, 1, &t, close_once, &sig) ||
            !tl_await(ctx, &ready, "a thread to open the signal"))
            break;
        send_some(sig, &random);
        tl_finish(ctx, t);
        take_the_rest(sig);
    }
    return tl_verdict(ctx);
}

static const struct tl_check meets_end = {
    .abi = TL_ABI,
    .name = "signal.process-meets-end",
    .group = "Signals",
    .promise = "a signal to the process that comes while a thread ends is handled there, or is "
               "pending for the process",
    .source = "POSIX.1-2017 XSH 2.4.1, pthread_exit",
    .method =
        "a thread opens a signal and ends while another one, which has it blocked, sends one, "
        "or three queued ones; 30 times or more. When it has been joined, what it has not "
        "handled is pending, and handled when the other one opens it, in order",
    .meaning = "a signal that ends with the thread it was given to is seen if the two meet",
    .needs = "signal.mask signal.pending",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_end,
};
TL_CHECK(meets_end);

/* ---- a thread whose handler blocks it -------------------------------------------------------- */

static _Atomic int inside, second, opened;

static void handle_first(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_store(&inside, 1);
    tl_await(ctx, &second, "another thread to handle what this handler has blocked");
}

static void handle_second(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_store(&second, 1);
}

static void *open_both(void *arg)
{
    signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
    signals_mask(ctx, SIG_UNBLOCK, SIGUSR2);
    atomic_store(&ready, 1);
    tl_await(ctx, &over, "the end of the check");
    return arg;
}

static void *open_second(void *arg)
{
    signals_mask(ctx, SIG_UNBLOCK, SIGUSR2);
    atomic_store(&opened, 1);
    tl_await(ctx, &over, "the end of the check");
    return arg;
}

/* another: has the second open all the time. */
static void beside_handler(bool another)
{
    struct tl_thread t[2];
    int made = 0;

    atomic_store(&ready, 0);
    atomic_store(&opened, !another);
    atomic_store(&over, 0);
    atomic_store(&inside, 0);
    atomic_store(&second, 0);
    /* All in one place, so that the receiver is no more than runnable while this one sends. */
    made += tl_start(ctx, 0, &t[made], open_both, NULL);
    if (another)
        made += tl_start(ctx, 0, &t[made], open_second, NULL);
    tl_await(ctx, &ready, "a thread to open both");
    tl_await(ctx, &opened, "a thread to open the second");
    signals_send(ctx, SIGUSR2, NULL);
    signals_send(ctx, SIGUSR1, NULL);
    tl_await(ctx, &inside, "the handler of the first");
    if (!another && !atomic_load(&second)) {
        TL_EXPECT(ctx, is_pending(SIGUSR2),
                  "a signal to the process that is blocked by the handler which runs in the thread "
                  "that has it open is not pending");
        signals_mask(ctx, SIG_UNBLOCK, SIGUSR2);
        TL_EXPECT(ctx, atomic_load(&second),
                  "a signal to the process that the handler of another thread has blocked was not "
                  "handled when this thread opened it");
        signals_mask(ctx, SIG_BLOCK, SIGUSR2);
    }
    tl_await(ctx, &second, "a thread that has the second signal open to handle it");
    atomic_store(&over, 1);
    while (made)
        tl_finish(ctx, t[--made]);
}

static enum tl_status run_handler(struct tl_ctx *c)
{
    if (!begin(c) || !signals_handle(ctx, SIGUSR1, handle_first, SA_RESTART) ||
        !signals_handle(ctx, SIGUSR2, handle_second, SA_RESTART))
        return TL_FAILED;
    for (int i = 0; i < 20 && tl_verdict(ctx) == TL_OK; i++)
        beside_handler(i % 2);
    return tl_verdict(ctx);
}

static const struct tl_check beside_handler_check = {
    .abi = TL_ABI,
    .name = "signal.process-beside-handler",
    .group = "Signals",
    .promise = "a signal to the process that is blocked by the handler which runs in a thread is "
               "handled by another one that has it open, or opens it",
    .source = "POSIX.1-2017 XSH 2.4.1, sigaction (sa_mask: blocked during the handler's execution)",
    .method =
        "a thread has two signals open, both are sent to the process, and the handler of one, "
        "which blocks the other, waits until that has been handled: by a third thread that has "
        "it open, or by the sender, who opens it then",
    .meaning = "a library that gives both to the thread that had them open hangs, where the sender "
               "and the receiver share a PU each time",
    .needs = "signal.mask signal.pending",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_handler,
};
TL_CHECK(beside_handler_check);

/* ---- a thread that waits for two ------------------------------------------------------------- */

static _Atomic int got;

static void *wait_for_both(void *arg)
{
    sigset_t set = signals_of(SIGUSR1);
    int sig = 0;

    sigaddset(&set, SIGUSR2);
    atomic_store(&ready, 1);
    TL_CALL(ctx, ctx->impl->signal->wait(&set, &sig));
    atomic_store(&got, sig);
    tl_await(ctx, &over, "the end of the round"); /* what ends with it is another case */
    return arg;
}

static void *wait_for_second(void *arg)
{
    sigset_t set = signals_of(SIGUSR2);
    int sig = 0;

    atomic_store(&second, 1);
    TL_CALL(ctx, ctx->impl->signal->wait(&set, &sig));
    return arg;
}

/* another: waits, too, but for the second only. */
static void beside_wait(bool another)
{
    sigset_t set = signals_of(0);
    struct tl_thread t[2];
    int made = 0, other;

    atomic_store(&ready, 0);
    atomic_store(&over, 0);
    atomic_store(&second, 0);
    atomic_store(&got, 0);
    if (tl_start(ctx, 0, &t[made], wait_for_both, NULL))
        made++;
    tl_await(ctx, &ready, "a thread to wait");
    signals_linger(ctx);
    if (another && tl_start(ctx, 0, &t[made], wait_for_second, NULL)) {
        made++;
        tl_await(ctx, &second, "another thread to wait");
        signals_linger(ctx);
    }
    signals_send(ctx, SIGUSR2, NULL);
    signals_send(ctx, SIGUSR1, NULL);
    tl_await(ctx, &got, "a signal that a thread waits for");
    other = atomic_load(&got) == SIGUSR1 ? SIGUSR2 : SIGUSR1;
    if (!another || other == SIGUSR1) {
        siginfo_t info;

        TL_EXPECT(ctx, is_pending(other),
                  "signals %d and %d were sent, a thread waited for both and has %d: the other one "
                  "is not pending",
                  SIGUSR2, SIGUSR1, atomic_load(&got));
        sigaddset(&set, other);
        TL_CALL(ctx, ctx->impl->signal->timedwait(&set, &info, 0));
        if (another) /* the first one has what it waits for */
            signals_send(ctx, SIGUSR2, NULL);
    }
    atomic_store(&over, 1);
    while (made)
        tl_finish(ctx, t[--made]);
}

static enum tl_status run_wait(struct tl_ctx *c)
{
    if (!begin(c))
        return TL_FAILED;
    for (int i = 0; i < 20 && tl_verdict(ctx) == TL_OK; i++)
        beside_wait(i % 2);
    return tl_verdict(ctx);
}

static const struct tl_check beside_wait_check = {
    .abi = TL_ABI,
    .name = "signal.process-beside-wait",
    .group = "Signals",
    .promise =
        "of two signals to the process a thread that waits for both takes one: the other one "
        "is another's that waits for it, or pending",
    .source = "POSIX.1-2017 XSH sigwait (selects a pending signal), 2.4.1",
    .method = "a thread waits for two signals, and both are sent to the process; the one that it "
              "has not got is pending for the sender, who takes it; every other time a second "
              "thread waits for one of them, and gets it",
    .meaning = "a library that wakes the thread for one and lets it take the other one leaves the "
               "first with it, where the sender and the receiver share a PU each time",
    .needs = "signal.wait signal.timedwait signal.mask signal.pending",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_wait,
};
TL_CHECK(beside_wait_check);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

/* To the thread that made the signal open last, as a library that decides once. */
static struct tl_thread opener;
static _Atomic int has_opener;

static int mask_noted(int how, const sigset_t *set, sigset_t *old)
{
    if (set && how == SIG_UNBLOCK) {
        opener = ctx->impl->self();
        atomic_store(&has_opener, 1);
    }
    return sound->mask(how, set, old);
}

static int send_to_opener(int sig, const union sigval *value)
{
    if (!atomic_load(&has_opener))
        return signals_send_op(sound, sig, value);
    sound->kill(opener, sig, value); /* or it has ended, and nobody gets it */
    return 0;
}

static void apply_decided(struct tl_impl *impl)
{
    struct tl_signal_ops *ops;

    sound = impl->signal;
    ops = TL_MUTATE(impl, signal);
    ops->mask = mask_noted;
    ops->send = send_to_opener;
}

MUTANT(decided_once, "signal-process-decided-once",
       "a signal to the process is sent to the thread that opened one last",
       "signal.process-meets-block signal.process-meets-end signal.process-beside-handler",
       "nptl green", apply_decided);

#ifdef TL_INJECT
MUTANT(kept_for_one, "user-signal-kept-for-one",
       "a thread that blocks a signal, ends, or returns from sigwait tells nobody that it leaves "
       "one to others",
       "signal.process-beside-handler signal.process-beside-wait", "green hybrid", NULL);
#endif

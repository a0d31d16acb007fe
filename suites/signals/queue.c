/*
 * queue.c - blocked.coalesces, rt.queues, rt.order, rt.process-order: standard signals that are
 * blocked do not count, real-time signals do, and come in order.
 */
#include "signals.h"

#define SENDS 1000
#define KINDS 3
#define SIG (SIGRTMIN + 1)

static struct tl_ctx *ctx;
static _Atomic int handled;
static int seen[SENDS], order[SENDS]; /* of the one thread that receives */

static void handler(int sig, siginfo_t *info, void *context)
{
    int payload = info->si_value.sival_int;

    (void)sig;
    (void)context;
    if (handled < SENDS)
        order[handled] = payload;
    handled++;
    if (payload >= 0 && payload < SENDS)
        seen[payload]++;
}

static enum tl_status in_a_thread(struct tl_ctx *c, void *(*entry)(void *))
{
    struct tl_thread t;

    ctx = c;
    if (tl_start(ctx, 1, &t, entry, NULL))
        tl_finish(ctx, t);
    return tl_verdict(ctx);
}

/* ---- standard signals ------------------------------------------------------------------------ */

static void count_down(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    handled++;
}

static void *coalesce(void *arg)
{
    struct tl_thread self = ctx->impl->self();

    (void)arg;
    signals_handle(ctx, SIGUSR1, count_down, SA_RESTART);
    for (int to_process = 0; to_process < 2; to_process++) {
        handled = 0;
        signals_mask(ctx, SIG_BLOCK, SIGUSR1);
        for (int i = 0; i < SENDS && tl_verdict(ctx) == TL_OK; i++)
            if (to_process)
                TL_EXPECT(ctx, kill(getpid(), SIGUSR1) == 0, "kill: %s", strerror(errno));
            else
                TL_CALL(ctx, ctx->impl->signal->kill(self, SIGUSR1, NULL));
        TL_EXPECT(ctx, handled == 0, "%d handlers ran while the signal was blocked", handled);
        signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
        /* The kernel may have given it to another kernel thread, which has not been on a PU yet. */
        if (to_process && tl_trait(ctx, TL_PARALLEL) && !tl_trait(ctx, TL_ONE_TO_ONE))
            tl_await(ctx, &handled, "the handler of a signal to the process");
        TL_EXPECT(ctx, handled == 1, "%d signals to the %s while it was blocked: %d handlers ran",
                  SENDS, to_process ? "process" : "thread", handled);
    }
    return NULL;
}

static enum tl_status run_coalesces(struct tl_ctx *c)
{
    sigset_t set = signals_of(SIGUSR1);

    c->impl->signal->mask(SIG_BLOCK, &set, NULL); /* those to the process are for the thread */
    return in_a_thread(c, coalesce);
}

static const struct tl_check blocked_coalesces = {
    .abi = TL_ABI,
    .name = "blocked.coalesces",
    .group = "Signals",
    .promise = "a standard signal that comes 1000 times while it is blocked is handled once",
    .source = "signal(7), \"Queueing and delivery semantics for standard signals\"; "
              "POSIX.1-2017 XSH 2.4.1 leaves it to the implementation",
    .method = "a thread blocks a signal, sends it 1000 times to itself, then to the process, opens "
              "it and counts its handlers",
    .meaning = "no race: one that is lost, or repeats that are kept, are always seen; where "
               "threads share several kernel threads, what was sent to the process is waited for",
    .needs = "signal.kill signal.mask",
    .run = run_coalesces,
};
TL_CHECK(blocked_coalesces);

/* ---- real-time signals ----------------------------------------------------------------------- */

static void *queue(void *arg)
{
    struct tl_thread self = ctx->impl->self();

    (void)arg;
    signals_handle(ctx, SIG, handler, SA_RESTART);
    signals_mask(ctx, SIG_BLOCK, SIG);
    for (int i = 0; i < SENDS && tl_verdict(ctx) == TL_OK; i++) {
        union sigval value = {.sival_int = i};

        TL_CALL(ctx, ctx->impl->signal->kill(self, SIG, &value));
    }
    TL_EXPECT(ctx, handled == 0, "%d handlers ran while the signal was blocked", handled);
    signals_mask(ctx, SIG_UNBLOCK, SIG);
    TL_EXPECT(ctx, handled == SENDS, "%d signals were queued, %d handled", SENDS, handled);
    for (int i = 0; i < SENDS; i++)
        TL_EXPECT(ctx, seen[i] == 1, "the signal with the value %d was handled %d times", i,
                  seen[i]);
    return NULL;
}

static enum tl_status run_queues(struct tl_ctx *c)
{
    return in_a_thread(c, queue);
}

static const struct tl_check rt_queues = {
    .abi = TL_ABI,
    .name = "rt.queues",
    .group = "Signals",
    .promise = "1000 real-time signals that come while they are blocked are handled 1000 times, "
               "each with its value",
    .source = "POSIX.1-2017 XSH 2.4.1 (queued), sigqueue; signal(7). The end of the queue is "
              "RLIMIT_SIGPENDING, see rt.overflow",
    .method = "a thread blocks a real-time signal, sends it 1000 times to itself, opens it and "
              "compares what its handlers got",
    .meaning = "no race: one that is lost or doubled is always seen; a queue that is filled by "
               "others (the limit is per user) fails it, too",
    .needs = "signal.kill signal.mask",
    .run = run_queues,
};
TL_CHECK(rt_queues);

/* The payload is (number of the signal - SIG) * SENDS + the turn it was sent at. */
static void note_order(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if (handled < SENDS)
        order[handled] = info->si_value.sival_int;
    handled++;
}

static void expect_order(const char *how)
{
    TL_EXPECT(ctx, handled == SENDS / 2, "%s: %d of %d signals came", how, handled, SENDS / 2);
    for (int i = 1; i < SENDS / 2 && i < handled; i++)
        if (!TL_EXPECT(ctx, order[i - 1] < order[i],
                       "%s: signal SIGRTMIN+%d of turn %d came before SIGRTMIN+%d of turn %d", how,
                       1 + order[i - 1] / SENDS, order[i - 1] % SENDS, 1 + order[i] / SENDS,
                       order[i] % SENDS))
            break;
}

static bool by_process; /* they are sent to it, not to the thread */

static void send_mixed(void)
{
    struct tl_thread self = ctx->impl->self();
    uint64_t state = ctx->seed;

    handled = 0;
    for (int i = 0; i < SENDS / 2 && tl_verdict(ctx) == TL_OK; i++) {
        int kind = (int)(tl_random(&state) % KINDS);
        union sigval value = {.sival_int = kind * SENDS + i};

        if (by_process)
            signals_send(ctx, SIG + kind, &value);
        else
            TL_CALL(ctx, ctx->impl->signal->kill(self, SIG + kind, &value));
    }
}

static void *in_order(void *arg)
{
    const struct tl_signal_ops *ops = ctx->impl->signal;
    sigset_t kinds = signals_of(0);

    (void)arg;
    for (int kind = 0; kind < KINDS; kind++) {
        signals_handle(ctx, SIG + kind, note_order, SA_RESTART);
        sigaddset(&kinds, SIG + kind);
    }
    TL_CALL(ctx, ops->mask(SIG_BLOCK, &kinds, NULL));
    send_mixed();
    TL_CALL(ctx, ops->mask(SIG_UNBLOCK, &kinds, NULL));
    expect_order("handlers");
    TL_CALL(ctx, ops->mask(SIG_BLOCK, &kinds, NULL));
    if (ops->timedwait) {
        siginfo_t info;

        send_mixed();
        for (int i = 0; i < SENDS / 2; i++) {
            if (!TL_CALL(ctx, ops->timedwait(&kinds, &info, 0)))
                break;
            note_order(info.si_signo, &info, NULL);
        }
        expect_order("timedwait");
    }
    return NULL;
}

static enum tl_status run_order(struct tl_ctx *c)
{
    return in_a_thread(c, in_order);
}

static const struct tl_check rt_order = {
    .abi = TL_ABI,
    .name = "rt.order",
    .group = "Signals",
    .promise = "of several real-time signals that are pending the lowest number comes first, of "
               "one number that which was sent first",
    .source = "POSIX.1-2017 XSH 2.4.2 (SA_SIGINFO: FIFO), sigwaitinfo (lowest numbered first); "
              "signal(7) for handlers",
    .method = "a thread blocks three real-time signals, sends itself 500 of them in random order, "
              "and opens all; handlers block the others. Where timedwait is offered it takes "
              "another 500",
    .meaning = "no race: an order by time only, or a stack instead of a queue, is always seen",
    .needs = "signal.kill signal.mask",
    .run = run_order,
};
TL_CHECK(rt_order);

static enum tl_status run_process_order(struct tl_ctx *c)
{
    sigset_t kinds = signals_of(SIG);

    for (int kind = 1; kind < KINDS; kind++)
        sigaddset(&kinds, SIG + kind);
    c->impl->signal->mask(SIG_BLOCK, &kinds, NULL); /* they are for the other thread */
    by_process = true;
    return in_a_thread(c, in_order);
}

static const struct tl_check rt_process_order = {
    .abi = TL_ABI,
    .name = "rt.process-order",
    .group = "Signals",
    .promise = "the same holds for signals that are pending for the process",
    .source = "POSIX.1-2017 XSH 2.4.2 (SA_SIGINFO: FIFO), sigwaitinfo (lowest numbered first); "
              "signal(7) for handlers",
    .method = "both threads block three real-time signals, one sends 500 to the process and opens "
              "all, then takes another 500 by timedwait, as above",
    .meaning = "of a library that lets several kernel threads take signals, two that were taken at "
               "once change places now and then; one thread's own signals only: what other "
               "processes send is not asked",
    .needs = "signal.mask",
    .run = run_process_order,
};
TL_CHECK(rt_process_order);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;
static _Atomic int repeats;

static int kill_counting(struct tl_thread t, int sig, const union sigval *value)
{
    int err = sound->kill(t, sig, value);

    if (!err && sig == SIGUSR1)
        atomic_fetch_add(&repeats, 1);
    return err;
}

static int mask_repeating(int how, const sigset_t *set, sigset_t *old)
{
    int err = sound->mask(how, set, old);

    if (!err && how == SIG_UNBLOCK && atomic_exchange(&repeats, 0) > 1)
        kill(getpid(), SIGUSR1);
    return err;
}

static void apply_repeating(struct tl_impl *impl)
{
    struct tl_signal_ops *broken;

    sound = impl->signal;
    broken = TL_MUTATE(impl, signal);
    broken->kill = kill_counting;
    broken->mask = mask_repeating;
}

static const struct tl_mutant blocked_repeats = {
    .abi = TL_ABI,
    .name = "blocked-repeats",
    .fault = "a standard signal that came more than once while it was blocked is delivered twice",
    .kills = "blocked.coalesces",
    .of = "nptl clone green ucontext",
    .apply = apply_repeating,
};
TL_MUTANT_OF(blocked_repeats);

static int kill_coalescing(struct tl_thread t, int sig, const union sigval *value)
{
    sigset_t pending;

    sound->pending(&pending);
    return sigismember(&pending, sig) == 1 ? 0 : sound->kill(t, sig, value);
}

static void apply_coalescing(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_coalescing;
}

static const struct tl_mutant rt_coalesces = {
    .abi = TL_ABI,
    .name = "rt-coalesces",
    .fault = "a signal that is pending already is not queued again",
    .kills = "rt.queues rt.order",
    .of = "nptl clone green ucontext",
    .apply = apply_coalescing,
};
TL_MUTANT_OF(rt_coalesces);

static struct tl_thread only;

static int send_to(bool process, int sig, const union sigval *value)
{
    return process ? signals_send_op(sound, sig, value) : sound->kill(only, sig, value);
}

/* One in 64 waits until the next one has been sent. */
static int overtaken(bool process, int sig, const union sigval *value)
{
    static unsigned calls;
    static struct {
        int sig;
        union sigval value;
    } held;
    int err, late = held.sig;

    if (calls++ % 64 == 63 && value) {
        held.sig = sig;
        held.value = *value;
        return 0;
    }
    err = send_to(process, sig, value);
    if (late) {
        held.sig = 0;
        send_to(process, late, &held.value);
    }
    return err;
}

static int kill_overtaken(struct tl_thread t, int sig, const union sigval *value)
{
    only = t;
    return overtaken(false, sig, value);
}

static int send_overtaken(int sig, const union sigval *value)
{
    return overtaken(true, sig, value);
}

static void apply_overtaken(struct tl_impl *impl)
{
    struct tl_signal_ops *broken;

    sound = impl->signal;
    broken = TL_MUTATE(impl, signal);
    broken->kill = kill_overtaken;
    broken->send = send_overtaken;
}

static const struct tl_mutant rt_overtakes = {
    .abi = TL_ABI,
    .name = "rt-overtakes",
    .fault = "now and then a queued signal is overtaken by the next one",
    .kills = "rt.order rt.process-order",
    .of = "nptl clone green ucontext",
    .apply = apply_overtaken,
};
TL_MUTANT_OF(rt_overtakes);

/*
 * process-outside.c - signal.process-outside-pending: what another process has sent is pending as
 * soon as it has sent it.
 */
#include "signals.h"

#include "../common/mutant.h"
#include "../common/rounds.h"

#include <sys/wait.h>

#define OTHERS 3
#define FEW 24
#define MOST 4000

static struct tl_ctx *ctx;
static _Atomic int stop, handled;
static _Atomic int *sent; /* shared with the sender: how many signals */
static int orders[2];     /* a pipe: a byte for each that it is to send */

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&handled, 1);
}

/* The other process: system calls only. */
static void serve(pid_t whom)
{
    char order;

    close(orders[1]);
    while (read(orders[0], &order, 1) == 1) {
        kill(whom, SIGUSR1);
        atomic_fetch_add(sent, 1);
    }
    _exit(0);
}

static void *run_and_yield(void *arg)
{
    while (!atomic_load(&stop) && tl_verdict(ctx) == TL_OK) {
        tl_delay(ctx, "beside one that is sent a signal");
        ctx->impl->yield();
    }
    return arg;
}

static bool is_pending(void)
{
    sigset_t set = signals_of(0);

    TL_CALL(ctx, ctx->impl->signal->pending(&set));
    return sigismember(&set, SIGUSR1) == 1;
}

static bool take_pending(void)
{
    sigset_t set = signals_of(SIGUSR1);
    siginfo_t info;

    return ctx->impl->signal->timedwait(&set, &info, 0) == 0;
}

static void ask(unsigned round)
{
    int before = atomic_load(sent);

    signals_mask(ctx, SIG_UNBLOCK, SIGUSR1); /* so that the kernel has it open again */
    signals_mask(ctx, SIG_BLOCK, SIGUSR1);
    if (!TL_EXPECT(ctx, write(orders[1], "", 1) == 1, "write: %s", strerror(errno)))
        return;
    while (atomic_load(sent) == before && tl_verdict(ctx) == TL_OK)
        if (round % 4 < 2)
            ctx->impl->yield();
    TL_EXPECT(ctx, round % 2 || is_pending(),
              "another process has sent a signal that all threads have blocked: it is not pending");
    TL_EXPECT(ctx, take_pending(),
              "another process has sent a signal that all threads have blocked: timedwait does not "
              "find it");
    TL_EXPECT(ctx, atomic_load(&handled) == 0, "a signal was handled that all have blocked");
}

static void *ask_often(void *arg)
{
    for (unsigned round = 0; rounds_more(ctx, round, FEW, MOST); round++)
        ask(round);
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[OTHERS];
    pid_t pid, me = getpid();
    int made = 0;

    ctx = c;
    sent = signals_share(ctx);
    if (!sent || !TL_EXPECT(ctx, pipe(orders) == 0, "there is no pipe") ||
        !signals_handle(ctx, SIGUSR1, handler, SA_RESTART) ||
        !signals_mask(ctx, SIG_BLOCK, SIGUSR1))
        return TL_FAILED;
    pid = fork();
    if (pid == 0)
        serve(me);
    while (made < OTHERS - 1 && tl_trait(ctx, TL_CONCURRENT) &&
           tl_start(ctx, (unsigned)made, &t[made], run_and_yield, NULL))
        made++;
    if (tl_start(ctx, 1, &t[made], ask_often, NULL)) /* not on the first kernel thread */
        tl_finish(ctx, t[made]);
    atomic_store(&stop, 1);
    close(orders[1]); /* which ends the sender */
    while (made)
        tl_finish(ctx, t[--made]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return tl_verdict(ctx);
}

static const struct tl_check outside_pending = {
    .abi = TL_ABI,
    .name = "signal.process-outside-pending",
    .group = "Signals",
    .promise = "what another process has sent is pending when its kill has returned",
    .source = "POSIX.1-2017 XSH 2.4.1, kill, sigpending",
    .method = "another process sends signals that all of four threads have blocked, one at a time, "
              "24 times or more; as soon as it says that it has, the signal is pending, and "
              "timedwait with no time takes it",
    .meaning = "a library that hears of a signal by the kernel's call on some kernel thread, and "
               "asks what it has heard of, is late when that thread is not on a PU, or just on its "
               "way: seen by chance",
    .needs = "signal.mask signal.pending signal.timedwait",
    .run = run,
};
TL_CHECK(outside_pending);

/* ---- mutant ---------------------------------------------------------------------------------- */

#ifdef TL_INJECT
MUTANT(
    not_asked, "user-signal-not-asked",
    "pending and a timedwait that is over tell what the library has heard of, and do not ask the "
    "kernel",
    "signal.process-outside-pending", "hybrid", NULL);
#endif

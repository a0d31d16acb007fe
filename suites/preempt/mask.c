/*
 * mask.c - preempt.mask: which signals get through is not what it was when a thread was
 * interrupted.
 */
#include "../signals/signals.h"
#include "busy.h"

#define THREADS 4
#define TURNS 60
#define OPENER 0
#define YIELDS 4                       /* each lets another thread run, for a quantum */
#define COMES_NS UINT64_C(10000000000) /* a signal that takes 10 s is lost */

static _Atomic unsigned caught;

static void catch_one(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&caught, 1);
}

/* The others go on, and are interrupted again. */
static void let_others(void)
{
    for (int k = 0; k < YIELDS; k++)
        busy.ctx->impl->yield();
}

/* Sent to the process, of which nobody but the caller ever opens it. */
static void send_one(void)
{
    TL_EXPECT(busy.ctx, kill(getpid(), SIGUSR1) == 0, "kill: %s", strerror(errno));
}

static void await_caught(unsigned wanted)
{
    uint64_t until = tl_now_ns() + COMES_NS;

    while (atomic_load(&caught) < wanted && tl_verdict(busy.ctx) == TL_OK)
        TL_EXPECT(busy.ctx, tl_now_ns() < until,
                  "a signal that the only running thread has open did not come within 10 s, after "
                  "others went on that were interrupted while it was blocked");
}

static void open_and_close(unsigned i)
{
    for (unsigned n = 0; busy_turn(i); n += i == OPENER ? 2 : 0) {
        if (i != OPENER)
            continue;
        send_one();
        let_others();
        signals_mask(busy.ctx, SIG_UNBLOCK, SIGUSR1);
        await_caught(n + 1);
        let_others();
        send_one();
        await_caught(n + 2);
        signals_mask(busy.ctx, SIG_BLOCK, SIGUSR1);
    }
}

static enum tl_status run(struct tl_ctx *ctx)
{
    atomic_store(&caught, 0);
    signals_mask(ctx, SIG_BLOCK, SIGUSR1); /* the threads inherit that */
    if (signals_handle(ctx, SIGUSR1, catch_one, SA_RESTART))
        busy_run(ctx, THREADS, TURNS, open_and_close);
    return tl_verdict(ctx);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "preempt.mask",
    .group = "Preemption",
    .promise = "a thread that has opened a signal gets it, whoever was interrupted before it did",
    .source = "POSIX.1-2017 XSH pthread_sigmask, 2.4.1; sigreturn(2): a handler's return restores "
              "the mask that the kernel thread had when it began",
    .method = "all of four threads on one PU have a signal blocked, which is sent to the process; "
              "three of them spin, and are interrupted. The fourth opens it, yields to them, sends "
              "it again, and waits for its handler",
    .meaning = "a thread that was interrupted under the mask of then brings that back to its "
               "kernel thread, unless somebody corrects its frame. Asked with one kernel thread: "
               "of several, another would take the signal",
    .needs = "signal.mask",
    .params = BUSY_PREEMPT ",lwps=1",
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run,
};
TL_CHECK(check);

MUTANT(keeps_mask, "preempt-keeps-mask",
       "an interrupted thread brings back the signal mask of the time when it was interrupted",
       "preempt.mask", "hybrid green", NULL); /* swapcontext sets the mask itself */

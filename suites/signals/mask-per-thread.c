/*
 * mask-per-thread.c - mask.per-thread: a change of the mask is seen by the thread that made it,
 * and by no other.
 */
#include "signals.h"

#include "../common/crowd.h"

#define THREADS 4
#define TURNS 60

static struct tl_ctx *ctx;
static _Atomic int handled[THREADS];
static struct tl_thread who[THREADS];

static void handler(int sig, siginfo_t *info, void *context)
{
    struct tl_thread me = ctx->impl->self();

    (void)sig;
    (void)info;
    (void)context;
    for (unsigned i = 0; i < THREADS; i++)
        if (who[i].id == me.id)
            atomic_fetch_add(&handled[i], 1);
}

static void body(unsigned i)
{
    uint64_t state = ctx->seed + i;
    const struct tl_signal_ops *ops = ctx->impl->signal;

    who[i] = ctx->impl->self();
    if (!crowd_meet())
        return;
    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        bool block = tl_random(&state) & 1;
        int before = atomic_load(&handled[i]);

        signals_mask(ctx, block ? SIG_BLOCK : SIG_UNBLOCK, SIGUSR1);
        tl_delay(ctx, "between a change of the mask and the look at it");
        ctx->impl->yield();
        if (!TL_EXPECT(ctx, signals_blocked(ctx, SIGUSR1) == block,
                       "thread %u %s a signal, later it is not so", i,
                       block ? "blocked" : "opened"))
            break;
        TL_CALL(ctx, ops->kill(who[i], SIGUSR1, NULL));
        TL_EXPECT(ctx, atomic_load(&handled[i]) == before + !block,
                  "thread %u had a signal %s and sent it to itself: %d handlers ran", i,
                  block ? "blocked" : "open", atomic_load(&handled[i]) - before);
        if (block) { /* it is pending: let it in, before another thread runs */
            signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
            TL_EXPECT(ctx, atomic_load(&handled[i]) == before + 1,
                      "thread %u opened a signal that was pending: %d handlers ran", i,
                      atomic_load(&handled[i]) - before);
        }
    }
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    if (signals_handle(ctx, SIGUSR1, handler, SA_RESTART))
        crowd_run(ctx, THREADS, body);
    return tl_verdict(ctx);
}

static const struct tl_check mask_per_thread = {
    .abi = TL_ABI,
    .name = "mask.per-thread",
    .group = "Signals",
    .promise = "each thread has a signal mask of its own, which others' changes do not touch",
    .source = "POSIX.1-2017 XSH 2.4.1 (each thread has a signal mask), sigprocmask",
    .method = "four threads block and open the same signal at random and yield; each finds its "
              "mask as it left it, and a signal that it sends to itself is handled exactly when it "
              "has it open",
    .meaning = "a mask that is the process's, or that is lost in a switch, differs soon: 60 "
               "random changes for each thread",
    .needs = "signal.mask signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(mask_per_thread);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;
static _Atomic int shared; /* SIGUSR1 was blocked by the last change of any thread */

static int mask_of_process(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t one = signals_of(SIGUSR1);
    int err;

    sound->mask(atomic_load(&shared) ? SIG_BLOCK : SIG_UNBLOCK, &one, NULL);
    err = sound->mask(how, set, old);
    if (!err && set && sigismember(set, SIGUSR1) == 1 && how != SIG_SETMASK)
        atomic_store(&shared, how == SIG_BLOCK);
    return err;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->mask = mask_of_process;
}

static const struct tl_mutant mask_is_shared = {
    .abi = TL_ABI,
    .name = "mask-is-shared",
    .fault = "there is one signal mask, of the process",
    .kills = "mask.per-thread",
    .of = "nptl clone ucontext",
    .apply = apply,
};
TL_MUTANT_OF(mask_is_shared);

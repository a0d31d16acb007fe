/*
 * handler-errno.c - handler.errno: a handler finds the errno of the thread that it interrupted,
 * and what it calls of the implementation leaves that alone.
 */
#include "signals.h"

#define THREADS 3
#define TURNS 40

static struct tl_ctx *ctx;
static struct tl_sem sem;
static _Atomic int handled, found, left, posts;

/* Where errno lives is asked anew in each call: no compiler may keep the address across a switch.
 */
static __attribute__((noipa)) void set_errno(int value)
{
    errno = value;
}

static __attribute__((noipa)) int get_errno(void)
{
    return errno;
}

static void handler(int sig, siginfo_t *info, void *context)
{
    const struct tl_impl *impl = ctx->impl;
    struct tl_thread me = impl->self();

    (void)sig;
    (void)context;
    if (get_errno() != info->si_value.sival_int)
        atomic_store(&found, get_errno());
    impl->signal->kill(me, 0, NULL);
    impl->signal->kill(me, _NSIG, NULL); /* fails */
    if (impl->sem && impl->sem->post_in_handler && impl->sem->post(&sem) == 0)
        atomic_fetch_add(&posts, 1);
    if (get_errno() != info->si_value.sival_int)
        atomic_store(&left, get_errno());
    atomic_fetch_add(&handled, 1);
}

static void *worker(void *arg)
{
    int mine = 10001 + (int)(uintptr_t)arg;

    for (int i = 0; i < TURNS && tl_verdict(ctx) == TL_OK; i++) {
        set_errno(mine);
        ctx->impl->yield();
        TL_CALL(ctx, signals_kill(ctx, ctx->impl->self(), SIGUSR1, mine));
        TL_EXPECT(ctx, get_errno() == mine, "errno is %d after a handler, it was %d", get_errno(),
                  mine);
        tl_delay(ctx, "between two signals");
    }
    return NULL;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    int made = 0;

    ctx = c;
    if (ctx->impl->sem)
        TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
    if (!signals_handle(ctx, SIGUSR1, handler, SA_RESTART))
        return TL_FAILED;
    while (made < THREADS &&
           tl_start(ctx, (unsigned)made, &t[made], worker, (void *)(uintptr_t)made))
        made++;
    while (made)
        tl_finish(ctx, t[--made]);
    TL_EXPECT(ctx, atomic_load(&found) == 0,
              "a handler found errno %d, the thread that it interrupted had another",
              atomic_load(&found));
    TL_EXPECT(ctx, atomic_load(&left) == 0, "a call within a handler left errno %d",
              atomic_load(&left));
    TL_EXPECT(ctx, tl_verdict(ctx) != TL_OK || atomic_load(&handled) == THREADS * TURNS,
              "%d signals were sent, %d handled", THREADS * TURNS, atomic_load(&handled));
    for (int i = atomic_load(&posts); i > 0; i--)
        TL_CALL(ctx, ctx->impl->sem->trywait(&sem));
    return tl_verdict(ctx);
}

static const struct tl_check handler_errno = {
    .abi = TL_ABI,
    .name = "handler.errno",
    .group = "Signals",
    .promise = "a handler finds the errno of the thread that it interrupted; what it calls of the "
               "implementation leaves it alone, so that the thread finds it, too",
    .source = "POSIX.1-2017 XSH 2.3, 2.4.3 (pthread_self, pthread_kill, sem_post in handlers); "
              "harness/impl.h (no function sets errno)",
    .method = "three threads with an errno of their own send themselves 40 signals each, between "
              "switches; the handler compares errno before and after self, kill and post",
    .meaning = "an errno that is another thread's, or is changed by a delivery, is seen in the "
               "handler or behind it. Handlers in the middle of a switch: handler.during-switch",
    .needs = "signal.kill",
    .run = run,
};
TL_CHECK(handler_errno);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int kill_with_errno(struct tl_thread t, int sig, const union sigval *value)
{
    int err = sound->kill(t, sig, value);

    if (err)
        set_errno(err);
    return err;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_with_errno;
}

static const struct tl_mutant kill_sets_errno = {
    .abi = TL_ABI,
    .name = "kill-sets-errno",
    .fault = "a kill that fails leaves its error in errno",
    .kills = "handler.errno",
    .of = "nptl clone green ucontext",
    .apply = apply,
};
TL_MUTANT_OF(kill_sets_errno);

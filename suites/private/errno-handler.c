/*
 * errno-handler.c - errno.private-handler: handlers come at any point of a switch or a wait, and
 * each thread finds its errno as it left it.
 */
#include "private-errno.h"

#include "../common/action.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define THREADS 4
#define TURNS 60
#define STORM_US 300

static struct tl_ctx *ctx;
static struct tl_sem ring[THREADS];
static struct tl_thread who[THREADS];
static _Atomic unsigned storms, sent;

/* As POSIX wants it: what it changes it puts back. */
static void handler(int sig)
{
    int saved = errno_get();

    errno_set(sig == SIGALRM ? 20001 : 20002);
    close(-1);
    if (sig == SIGALRM)
        atomic_fetch_add(&storms, 1);
    errno_set(saved);
}

/* One that does not: it is its own thread's errno that is lost. */
static void careless(int sig)
{
    (void)sig;
    errno_set(20003);
}

static void body(unsigned i)
{
    const struct tl_impl *impl = ctx->impl;

    who[i] = impl->self();
    if (!crowd_meet())
        return;
    errno_set(errno_of(i));
    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        impl->sem->wait(&ring[i]);
        errno_kept(ctx, i, "after sem wait, with signals");
        impl->signal->kill(who[i], SIGUSR1, NULL);
        errno_kept(ctx, i, "after a handler that preserves it");
        /* The one that waits longest; a model that cannot aim answers ENOTSUP. */
        if (impl->signal->kill(who[(i + 1) % THREADS], SIGUSR1, NULL) == 0)
            atomic_fetch_add(&sent, 1);
        errno_kept(ctx, i, "after a signal to another thread");
        impl->yield();
        errno_kept(ctx, i, "after a yield, with signals");
        tl_delay(ctx, "with the baton");
        impl->sem->post(&ring[(i + 1) % THREADS]);
        errno_kept(ctx, i, "after sem post, with signals");
    }
    impl->sem->post(&ring[(i + 1) % THREADS]); /* who fails lets the others go */
    if (!crowd_meet())
        return;
    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        errno_set(errno_of(i));
        if (i == 0)
            impl->signal->kill(who[i], SIGUSR2, NULL);
        crowd_step();
        if (i > 0)
            errno_kept(ctx, i, "after another thread's handler left its own");
    }
}

static void install(int sig, void (*function)(int sig))
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = function; /* without SA_RESTART: waits are interrupted */
    tl_sigaction(ctx->impl, sig, &action, NULL);
}

static enum tl_status run(struct tl_ctx *c)
{
    struct itimerval storm = {{0, STORM_US}, {0, STORM_US}}, calm = {{0, 0}, {0, 0}};

    ctx = c;
    install(SIGALRM, handler);
    install(SIGUSR1, handler);
    install(SIGUSR2, careless);
    for (unsigned i = 0; i < THREADS; i++)
        TL_CALL(ctx, ctx->impl->sem->init(&ring[i], i == 0));
    setitimer(ITIMER_REAL, &storm, NULL);
    crowd_run(ctx, THREADS, body);
    setitimer(ITIMER_REAL, &calm, NULL);
    return tl_verdict(ctx);
}

static const struct tl_check errno_private_handler = {
    .abi = TL_ABI,
    .name = "errno.private-handler",
    .group = "TLS and errno",
    .promise = "signal handlers that come while threads switch and wait do not mix up their errno; "
               "what a handler leaves in errno is its own thread's",
    .source = "POSIX.1-2017 XSH 2.3, 2.4.3 (a handler is to save and restore errno)",
    .method = "four threads hand a baton round and yield while a timer and directed signals run "
              "handlers that change errno and put it back; then one thread's handler leaves its "
              "own value behind, and the others keep theirs",
    .meaning =
        "an errno that is saved at the wrong moment of a switch, or that an interrupted "
        "wait sets to EINTR, is seen; the timer comes at most some hundred times, so a window of "
        "a few instructions may be missed",
    .needs = "sem signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(errno_private_handler);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound_signal;

static int kill_leaves_eintr(struct tl_thread t, int sig, const union sigval *value)
{
    static _Atomic unsigned calls;
    int err = sound_signal->kill(t, sig, value);

    if (atomic_fetch_add(&calls, 1) % 16 == 15)
        errno_set(EINTR);
    return err;
}

static void apply(struct tl_impl *impl)
{
    sound_signal = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_leaves_eintr;
}

static const struct tl_mutant errno_of_delivery = {
    .abi = TL_ABI,
    .name = "errno-of-delivery",
    .fault = "one delivery of a signal in sixteen leaves EINTR in errno",
    .kills = "errno.private-handler",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(errno_of_delivery);

/*
 * interrupt.c - interrupt.eintr, interrupt.restart: what a handler does to a system call that its
 * thread sleeps in.
 */
#include "signals.h"

#include "../common/wrap.h"

#include <sys/wait.h>

/* Handlers that have run, a millisecond apart, when the sender lets the read end. Each of them has
 * let its thread go on, so many are behind the step from `reading` to the read itself. */
#define MOST 300
#define ENOUGH 20

static struct tl_ctx *ctx;
static int flags, fds[2];
static struct {
    _Atomic int reading, handled, over;
} * shared; /* with the sender */

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&shared->handled, 1);
}

/* The read itself is the C library's: a model in which it stops all threads is asked, too, so the
 * signals come from another process, and the other threads have them blocked. */
static void *reader(void *arg)
{
    char byte = 0;
    ssize_t got;
    int err;

    signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
    atomic_store(&shared->reading, 1);
    got = read(fds[0], &byte, 1);
    err = errno;
    atomic_store(&shared->over, 1);
    TL_EXPECT(ctx, atomic_load(&shared->handled) > 0, "no handler ran while a thread was reading");
    if (flags & SA_RESTART)
        TL_EXPECT(ctx, got == 1 && byte == '!',
                  "with SA_RESTART a read ended with %zd, %s, not with what was written", got,
                  got < 0 ? strerror(err) : "another byte");
    else
        TL_EXPECT(ctx, got == -1 && err == EINTR,
                  "without SA_RESTART a read did not end by EINTR, although %d handlers had run: "
                  "%zd, %s",
                  atomic_load(&shared->handled), got, got < 0 ? strerror(err) : "data");
    return arg;
}

static void *first(void *arg)
{
    struct tl_thread t;

    signals_mask(ctx, SIG_BLOCK, SIGUSR1);
    signals_handle(ctx, SIGUSR1, handler, flags);
    if (tl_start(ctx, 1, &t, reader, NULL))
        tl_finish(ctx, t);
    return arg;
}

/* Another process: signals until the read is over; in the end it gets its byte in any case. */
static void send_to(pid_t target)
{
    int enough = flags & SA_RESTART ? ENOUGH : MOST;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!atomic_load(&shared->over) && atomic_load(&shared->handled) < enough) {
        if (atomic_load(&shared->reading))
            kill(target, SIGUSR1);
        usleep(1000);
    }
    if (write(fds[1], "!", 1) != 1)
        _exit(1);
    _exit(0);
}

static enum tl_status interrupt(struct tl_ctx *c, int how)
{
    sigset_t set = signals_of(SIGUSR1);
    pid_t self = getpid(), sender;
    int err;

    ctx = c;
    flags = how;
    sigprocmask(SIG_BLOCK, &set, NULL); /* until there is a handler */
    shared = signals_share(ctx);
    if (!shared)
        return TL_FAILED;
    if (pipe(fds))
        return tl_failed(ctx, "pipe: %s", strerror(errno));
    sender = fork();
    if (sender == 0)
        send_to(self);
    if (sender < 0)
        return tl_failed(ctx, "fork: %s", strerror(errno));
    err = tl_boot(ctx, first, NULL, NULL);
    TL_EXPECT(ctx, err == 0, "run: %s", strerror(err));
    kill(sender, SIGKILL);
    waitpid(sender, NULL, 0);
    return tl_verdict(ctx);
}

static enum tl_status outside_eintr(struct tl_ctx *c)
{
    return interrupt(c, 0);
}

static const struct tl_check interrupt_eintr = {
    .abi = TL_ABI,
    .name = "interrupt.eintr",
    .group = "Signals",
    .promise = "a handler without SA_RESTART ends the system call that its thread sleeps in, with "
               "EINTR",
    .source = "POSIX.1-2017 XSH 2.4.4 (effect of signals on other functions), sigaction; signal(7)",
    .method = "a thread reads from an empty pipe, another process sends signals until that ends; "
              "after 300 handlers it writes a byte",
    .meaning = "signals that a library blocks, or reads that it starts again, are seen. That the "
               "handler ran during the read follows from many signals, not from each",
    .needs = "signal.mask",
    .outside = outside_eintr,
};
TL_CHECK(interrupt_eintr);

static enum tl_status outside_restart(struct tl_ctx *c)
{
    return interrupt(c, SA_RESTART);
}

static const struct tl_check interrupt_restart = {
    .abi = TL_ABI,
    .name = "interrupt.restart",
    .group = "Signals",
    .promise = "a handler with SA_RESTART leaves the system call that its thread sleeps in to go "
               "on",
    .source = "POSIX.1-2017 XSH sigaction (SA_RESTART); signal(7)",
    .method = "a thread reads from an empty pipe, another process sends it signals until 20 "
              "handlers have run, then writes a byte, which the read has to give",
    .meaning = "a read that ends by EINTR is seen; that a handler ran during the read is likely "
               "with 20 of them, not certain",
    .needs = "signal.mask",
    .outside = outside_restart,
};
TL_CHECK(interrupt_restart);

/* ---- mutants --------------------------------------------------------------------------------- */

/* As a library that installs handlers of its own has it: with its own flags. */
static void set_flags(int wanted)
{
    struct sigaction action;

    if (tl_sigaction(ctx->impl, SIGUSR1, NULL, &action))
        return;
    action.sa_flags = (action.sa_flags & ~SA_RESTART) | wanted;
    tl_sigaction(ctx->impl, SIGUSR1, &action, NULL);
}

static void *always_restart(void *(*entry)(void *), void *arg)
{
    set_flags(SA_RESTART);
    return entry(arg);
}

static void apply_always(struct tl_impl *impl)
{
    wrap_entries(impl, always_restart);
}

static const struct tl_mutant handlers_always_restart = {
    .abi = TL_ABI,
    .name = "handlers-always-restart",
    .fault = "the library installs all handlers with SA_RESTART",
    .kills = "interrupt.eintr",
    .of = "nptl clone green ucontext",
    .apply = apply_always,
};
TL_MUTANT_OF(handlers_always_restart);

static void *never_restart(void *(*entry)(void *), void *arg)
{
    set_flags(0);
    return entry(arg);
}

static void apply_never(struct tl_impl *impl)
{
    wrap_entries(impl, never_restart);
}

static const struct tl_mutant handlers_never_restart = {
    .abi = TL_ABI,
    .name = "handlers-never-restart",
    .fault = "the library installs all handlers without SA_RESTART",
    .kills = "interrupt.restart",
    .of = "nptl clone green ucontext",
    .apply = apply_never,
};
TL_MUTANT_OF(handlers_never_restart);

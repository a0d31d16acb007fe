/*
 * default-actions.c - default.actions, default.stop-all, default.uncatchable: what a signal does
 * that nobody has a handler for.
 */
#include "signals.h"

#include <sys/wait.h>

static struct tl_ctx *ctx;
static int sending;
static _Atomic int *shared; /* memory shared with the children: what they count */

static bool share(struct tl_ctx *c)
{
    ctx = c;
    shared = signals_share(ctx);
    return shared;
}

/* ---- the table ------------------------------------------------------------------------------- */

enum action { TERMINATE, IGNORE };

static const struct {
    int sig;
    enum action action;
} defaults[] = {
    {SIGHUP, TERMINATE},    {SIGINT, TERMINATE},  {SIGQUIT, TERMINATE}, {SIGILL, TERMINATE},
    {SIGTRAP, TERMINATE},   {SIGABRT, TERMINATE}, {SIGBUS, TERMINATE},  {SIGFPE, TERMINATE},
    {SIGKILL, TERMINATE},   {SIGUSR1, TERMINATE}, {SIGSEGV, TERMINATE}, {SIGUSR2, TERMINATE},
    {SIGPIPE, TERMINATE},   {SIGALRM, TERMINATE}, {SIGTERM, TERMINATE}, {SIGCHLD, IGNORE},
    {SIGCONT, IGNORE},      {SIGURG, IGNORE},     {SIGXCPU, TERMINATE}, {SIGXFSZ, TERMINATE},
    {SIGVTALRM, TERMINATE}, {SIGPROF, TERMINATE}, {SIGWINCH, IGNORE},   {SIGIO, TERMINATE},
    {SIGPWR, TERMINATE},    {SIGSYS, TERMINATE},
};

#define KEPT 77 /* exit status of a child: the signal is the library's */

static void *send_to_self(void *arg)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};

    if (signals_keeps(ctx->impl, sending))
        _exit(KEPT);
    if (sending != SIGKILL)
        tl_sigaction(ctx->impl, sending, &usual, NULL);
    signals_mask(ctx, SIG_UNBLOCK, sending);
    TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), sending, NULL));
    return arg;
}

static void try_default(int sig, enum action action)
{
    struct tl_child end;

    sending = sig;
    if (!signals_child(ctx, send_to_self, 0, &end) || (!end.signal && end.status == KEPT))
        return;
    if (action == IGNORE)
        TL_EXPECT(ctx, end.status == 0, "signal %d (%s) is to be ignored: the process %s %d", sig,
                  sigabbrev_np(sig), end.signal ? "was ended by signal" : "ended with status",
                  end.signal ? end.signal : end.status);
    else
        TL_EXPECT(ctx, end.signal == sig,
                  "signal %d is to end the process: it ended by signal %d, with status %d", sig,
                  end.signal, end.status);
}

static enum tl_status outside_actions(struct tl_ctx *c)
{
    ctx = c;
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        try_default(defaults[i].sig, defaults[i].action);
    try_default(SIGRTMIN + 1, TERMINATE);
    try_default(SIGRTMAX - 1, TERMINATE);
    return tl_verdict(ctx);
}

static const struct tl_check default_actions = {
    .abi = TL_ABI,
    .name = "default.actions",
    .group = "Signals",
    .promise = "a signal to a thread that nobody handles ends the whole process, or is ignored, as "
               "the table of its default action has it",
    .source = "POSIX.1-2017 XBD <signal.h>, XSH 2.4.3 (SIG_DFL); signal(7)",
    .method = "28 child processes, in which a thread that is not the first sends itself one signal "
              "each: 22 standard and 2 real-time ones have to end the process, 4 to do nothing",
    .meaning = "a library that takes signals for itself, or ends a thread instead of the process, "
               "is seen. Whether a core file would be written is not asked",
    .needs = "signal.kill signal.mask",
    .outside = outside_actions,
};
TL_CHECK(default_actions);

/* ---- stop and go on -------------------------------------------------------------------------- */

static void *count(void *arg)
{
    while (!atomic_load(&shared[2])) {
        atomic_fetch_add(&shared[0], 1);
        ctx->impl->yield();
    }
    return arg;
}

static void *stop_all(void *arg)
{
    struct tl_thread counter;

    if (!tl_start(ctx, 0, &counter, count, NULL))
        return arg;
    while (!atomic_load(&shared[0]))
        ctx->impl->yield();
    TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), sending, NULL));
    atomic_store(&shared[1], 1); /* goes on */
    atomic_store(&shared[2], 1);
    tl_finish(ctx, counter);
    return arg;
}

static void try_stop(int sig)
{
    struct signals_body body = {ctx, stop_all};
    int status = 0, before;
    pid_t pid;

    sending = sig;
    for (int i = 0; i < 3; i++)
        atomic_store(&shared[i], 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0); /* not orphaned, as its parent is in another group of the session: SIGTSTP
                        * and its like would be ignored otherwise */
        _exit(signals_boot(ctx, &body));
    }
    if (!TL_EXPECT(ctx, pid > 0 && waitpid(pid, &status, WUNTRACED) == pid, "fork or waitpid: %s",
                   strerror(errno)))
        return;
    if (!TL_EXPECT(ctx, WIFSTOPPED(status) && WSTOPSIG(status) == sig,
                   "signal %d is to stop the process: its wait status is %#x", sig, status)) {
        if (WIFSTOPPED(status)) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        }
        return;
    }
    before = atomic_load(&shared[0]);
    usleep(3000);
    TL_EXPECT(ctx, atomic_load(&shared[0]) == before && !atomic_load(&shared[1]),
              "a thread goes on in a process that signal %d has stopped", sig);
    kill(pid, SIGCONT);
    TL_EXPECT(ctx, waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "after SIGCONT the process did not go on to its end: wait status %#x", status);
    TL_EXPECT(ctx, atomic_load(&shared[1]), "the thread that sent signal %d did not go on", sig);
}

static enum tl_status outside_stop(struct tl_ctx *c)
{
    static const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};

    if (!share(c) || !signals_concurrent(c))
        return TL_FAILED;
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]) && tl_verdict(ctx) == TL_OK; i++)
        try_stop(stops[i]);
    return tl_verdict(ctx);
}

static const struct tl_check default_stop = {
    .abi = TL_ABI,
    .name = "default.stop-all",
    .group = "Signals",
    .promise = "a stop signal to a thread stops all threads of the process, SIGCONT lets all go on",
    .source = "POSIX.1-2017 XSH 2.4.3 (stop: the process, with all its threads), 2.4.1 (SIGCONT)",
    .method = "in child processes a thread counts, another sends itself SIGSTOP, SIGTSTP, SIGTTIN "
              "or SIGTTOU; the parent sees the stop, a count that stands still for 3 ms, and after "
              "SIGCONT the normal end",
    .meaning = "a thread that goes on, or never goes on again, is seen",
    .needs = "signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside_stop,
};
TL_CHECK(default_stop);

/* ---- not to be caught ------------------------------------------------------------------------ */

static void nothing(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&shared[0], 1);
}

static void *resist(void *arg)
{
    struct sigaction action = {.sa_sigaction = nothing, .sa_flags = SA_SIGINFO},
                     ignore = {.sa_handler = SIG_IGN};
    sigset_t all;

    TL_EXPECT(ctx, tl_sigaction(ctx->impl, sending, &action, NULL) == EINVAL,
              "signal %d can have a handler", sending);
    TL_EXPECT(ctx, tl_sigaction(ctx->impl, sending, &ignore, NULL) == EINVAL,
              "signal %d can be ignored", sending);
    sigfillset(&all);
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_SETMASK, &all, NULL));
    TL_EXPECT(ctx, !signals_blocked(ctx, sending), "signal %d is said to be blocked", sending);
    atomic_store(&shared[1], 1);
    if (sending == SIGKILL)
        TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), sending, NULL));
    return arg;
}

static enum tl_status outside_uncatchable(struct tl_ctx *c)
{
    static const int signals[] = {SIGSTOP, SIGKILL};
    struct tl_child end;

    if (!share(c))
        return TL_FAILED;
    for (size_t i = 0; i < 2; i++) {
        sending = signals[i];
        atomic_store(&shared[1], 0);
        if (!signals_child(ctx, resist, 0, &end))
            break;
        TL_EXPECT(ctx, atomic_load(&shared[1]), "the thread did not come to its signal");
        TL_EXPECT(ctx, sending == SIGSTOP ? end.status == 0 : end.signal == SIGKILL,
                  "signal %d: the process ended by signal %d, with status %d", sending, end.signal,
                  end.status);
    }
    return tl_verdict(ctx);
}

static const struct tl_check default_uncatchable = {
    .abi = TL_ABI,
    .name = "default.uncatchable",
    .group = "Signals",
    .promise = "SIGKILL and SIGSTOP cannot be handled, ignored or blocked; SIGKILL to a thread "
               "ends the process",
    .source = "POSIX.1-2017 XSH sigaction (EINVAL), sigprocmask (not possible to block), XBD "
              "<signal.h>",
    .method = "in child processes a thread tries to set a handler, to ignore and to block each of "
              "the two, asks for its mask, and sends itself SIGKILL",
    .meaning = "no race: a mask that pretends to hold them is always seen. That SIGSTOP stops: "
               "default.stop-all",
    .needs = "signal.kill signal.mask",
    .outside = outside_uncatchable,
};
TL_CHECK(default_uncatchable);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *mutated;
static const struct tl_signal_ops *sound;

static int kill_one_thread(struct tl_thread t, int sig, const union sigval *value)
{
    struct sigaction now;

    if (sig == SIGTERM && tl_sigaction(mutated, sig, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        return 0;
    return sound->kill(t, sig, value);
}

static void apply_one_thread(struct tl_impl *impl)
{
    mutated = impl;
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_one_thread;
}

static const struct tl_mutant kill_spares_process = {
    .abi = TL_ABI,
    .name = "kill-spares-process",
    .fault = "a SIGTERM to a thread that has no handler for it is dropped",
    .kills = "default.actions",
    .of = "nptl clone green ucontext",
    .apply = apply_one_thread,
};
TL_MUTANT_OF(kill_spares_process);

static int kill_without_stop(struct tl_thread t, int sig, const union sigval *value)
{
    return sig == SIGTTIN || sig == SIGTTOU ? 0 : sound->kill(t, sig, value);
}

static void apply_without_stop(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->kill = kill_without_stop;
}

static const struct tl_mutant kill_drops_stops = {
    .abi = TL_ABI,
    .name = "kill-drops-stops",
    .fault = "SIGTTIN and SIGTTOU to a thread are dropped",
    .kills = "default.stop-all",
    .of = "nptl clone green ucontext",
    .apply = apply_without_stop,
};
TL_MUTANT_OF(kill_drops_stops);

/* As a library that keeps the set it was given. */
static int mask_pretending(int how, const sigset_t *set, sigset_t *old)
{
    static sigset_t given;
    int err = sound->mask(how, set, old);

    if (set)
        given = *set;
    else if (old)
        *old = given;
    return err;
}

static void apply_pretending(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->mask = mask_pretending;
}

static const struct tl_mutant mask_pretends = {
    .abi = TL_ABI,
    .name = "mask-pretends",
    .fault = "asked for the mask, the library gives the set that it was given last",
    .kills = "default.uncatchable",
    .of = "nptl clone green ucontext",
    .apply = apply_pretending,
};
TL_MUTANT_OF(mask_pretends);

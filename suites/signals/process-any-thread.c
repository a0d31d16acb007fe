/*
 * process-any-thread.c - signal.process-any-thread: every thread may send to the process, whatever
 * the signal's disposition.
 */
#include "signals.h"

#include <sys/syscall.h>
#include <unistd.h>

static struct tl_ctx *ctx;
static struct tally handled;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    tally_add(&handled);
}

static void *sender(void *arg)
{
    /* Ignored by default; one that stops and continues the process; handled. 0: is it there? */
    static const int sent[] = {SIGURG, SIGCONT, SIGUSR1, 0};

    for (unsigned i = 0; i < sizeof(sent) / sizeof(*sent); i++) {
        int err = signals_send_op(ctx->impl->signal, sent[i], NULL);

        TL_EXPECT(ctx, err == 0, "signal %d to the process: answered %s (%d), right is 0", sent[i],
                  strerror(err), err);
    }
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[2];
    unsigned made = 0;

    ctx = c;
    tally_reset(&handled, 1); /* the second one may be merged */
    signals_handle(c, SIGUSR1, handler, SA_RESTART);
    /* A place each: with several kernel threads, one that is not the first. */
    while (made < 2 && tl_start(c, made, &t[made], sender, NULL))
        made++;
    while (made)
        tl_finish(c, t[--made]);
    tl_await(c, &handled.reached, "a handler");
    return tl_verdict(c);
}

static const struct tl_check process_any_thread = {
    .abi = TL_ABI,
    .name = "signal.process-any-thread",
    .group = "Signals",
    .promise = "a thread on any PU may send a signal to its process, handled or not",
    .source = "POSIX.1-2017 XSH kill (permission: the same user's processes)",
    .method = "a thread on each of two PUs sends SIGURG, SIGCONT, SIGUSR1 and 0 to the process; "
              "each call answers 0, and SIGUSR1's handler runs",
    .meaning = "Linux lets only the first kernel thread of a process send a siginfo that claims to "
               "be of kill(2): a library that builds one is caught",
    .needs = "signal",
    .traits = TL_PARALLEL,
    .pus = 2,
    .run = run,
};
TL_CHECK(process_any_thread);

/* ---- mutant ---------------------------------------------------------------------------------- */

static int send_as_kernel(int sig, const union sigval *value)
{
    siginfo_t info = {.si_signo = sig, .si_code = value ? SI_QUEUE : SI_USER};

    return syscall(SYS_rt_sigqueueinfo, getpid(), sig, &info) ? errno : 0;
}

static void apply(struct tl_impl *impl)
{
    TL_MUTATE(impl, signal)->send = send_as_kernel;
}

static const struct tl_mutant send_forged = {
    .abi = TL_ABI,
    .name = "signal-send-forged",
    .fault = "a signal to the process is sent with a siginfo of kill(2)'s",
    .kills = "signal.process-any-thread",
    .of = "nptl clone hybrid",
    .apply = apply,
};
TL_MUTANT_OF(send_forged);

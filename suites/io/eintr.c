/*
 * eintr.c - io.eintr, io.restart: what a signal handler that runs in a thread does to the call that
 * it waits in.
 */
#include "waits.h"

#include "../common/mutant.h"
#include "../common/wrap.h"

#define APART_NS 500000
#define KILLS_NS 10000000000u /* a thread that none of them ends so long is not interrupted */
#define ROUNDS 3

static const struct wait *wait_now;
static _Atomic int waits, back, handlers, error;

static void handler(int sig)
{
    (void)sig;
    atomic_fetch_add(&handlers, 1);
}

static void *waiter(void *arg)
{
    atomic_store(&waits, 1);
    tl_delay(ctx, "before the call");
    atomic_store(&error, wait_now->call());
    atomic_store(&back, 1);
    return arg;
}

/* Which signal: SIGUSR1 without SA_RESTART, SIGUSR2 with. */
static bool kill_it(struct tl_thread t, int sig)
{
    int err = ctx->impl->signal->kill(t, sig, NULL);

    TL_CALL(ctx, ctx->impl->sleep(APART_NS));
    return !err || TL_EXPECT(ctx, err == ESRCH && atomic_load(&back), "kill answered %d", err);
}

static void interrupt_once(const struct wait *w, struct tl_thread t, int sig)
{
    bool stops = sig == SIGUSR1 || w == &waits_in[POLL];

    uint64_t until = tl_now_ns() + KILLS_NS;

    for (int i = 0; (stops ? tl_now_ns() < until : i < 4) && !atomic_load(&back); i++)
        if (!kill_it(t, sig))
            break;
    if (stops)
        TL_EXPECT(ctx, atomic_load(&back), "%d handlers ran, and %s goes on",
                  atomic_load(&handlers), w->name);
    else
        TL_EXPECT(ctx, !atomic_load(&back), "%s answered %d after a handler with SA_RESTART",
                  w->name, atomic_load(&error));
    write_lost = stops;
    w->let();
    write_lost = false;
    tl_finish(ctx, t);
    if (!stops)
        TL_CALL(ctx, atomic_load(&error));
    else if (TL_EXPECT(ctx, atomic_load(&error) == EINTR, "%s answered %d, not EINTR", w->name,
                       atomic_load(&error)))
        TL_EXPECT(ctx, !w->call(), "%s is not to be had after EINTR", w->name);
}

static void one_round(const struct wait *w, int sig)
{
    struct tl_thread t;

    if (!w->before())
        return;
    wait_now = w;
    atomic_store(&waits, 0);
    atomic_store(&back, 0);
    if (tl_start(ctx, 1, &t, waiter, NULL)) {
        if (tl_await(ctx, &waits, "the thread to be about to wait"))
            interrupt_once(w, t, sig);
        else
            w->let();
    }
    w->after();
}

static enum tl_status rounds(struct tl_ctx *c, int sig)
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = sig == SIGUSR2 ? SA_RESTART : 0};
    const char *lacks;

    ctx = c;
    write_size = 1000;
    if (c->impl->signal->action ? !TL_CALL(c, c->impl->signal->action(sig, &act, NULL))
                                : !system_call(!sigaction(sig, &act, NULL), "sigaction"))
        return tl_verdict(c);
    for (int w = 0; w < WAITS; w++) {
        lacks = waits_refused(c, w);
        if (lacks)
            return tl_refused(c, lacks);
        for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++)
            one_round(&waits_in[w], sig);
    }
    return tl_verdict(c);
}

static enum tl_status run_eintr(struct tl_ctx *c)
{
    return rounds(c, SIGUSR1);
}

static enum tl_status run_restart(struct tl_ctx *c)
{
    return rounds(c, SIGUSR2);
}

static const struct tl_check io_eintr = {
    .abi = TL_ABI,
    .name = "io.eintr",
    .group = "Blocking calls",
    .promise = "a handler without SA_RESTART that runs in a thread ends the call that it waits in "
               "with EINTR, and the call can be made again",
    .source = "POSIX.1-2017 XSH read, write, accept, connect, poll, waitpid (EINTR); signal(7)",
    .method = "a thread makes each call where it has to wait, and gets signals until it is back; "
              "then the wait is ended and the call made again; 3 seeded rounds",
    .meaning = "a handler that ran before the call proves nothing, so the signals go on until the "
               "thread is back, for ten seconds at most",
    .needs = "signal.kill sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_eintr,
};
TL_CHECK(io_eintr);

static const struct tl_check io_restart = {
    .abi = TL_ABI,
    .name = "io.restart",
    .group = "Blocking calls",
    .promise = "a handler with SA_RESTART that runs in a thread does not end the call that it "
               "waits in; it does end poll",
    .source = "POSIX.1-2017 XSH sigaction (SA_RESTART); signal(7) (poll is never restarted)",
    .method = "a thread makes each call where it has to wait, and gets four signals; then the wait "
              "is ended, and the call has to have its answer; 3 seeded rounds",
    .meaning = "a call that answers EINTR makes programs fail that rely on the flag; that a "
               "handler ran while the thread waited is likely, not certain",
    .needs = "signal.kill sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_restart,
};
TL_CHECK(io_restart);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_io_ops *sound;

static int read_again(int fd, void *buffer, size_t size, size_t *done)
{
    int err;

    do
        err = sound->read(fd, buffer, size, done);
    while (err == EINTR);
    return err;
}

static void apply_again(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->read = read_again;
}
MUTANT(read_restarts, "io-read-never-interrupted", "read goes on after any handler", "io.eintr",
       "green ucontext hybrid clone", apply_again);

static int poll_again(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    int err;

    do
        err = sound->poll(fds, n, timeout_ms, done);
    while (err == EINTR);
    return err;
}

/* As if it had looked at the state only when it began. */
static int accept_once(int fd, struct sockaddr *from, unsigned *size, int flags, int *done)
{
    int before = atomic_load(&handlers), err = sound->accept(fd, from, size, flags, done);

    if (!err && atomic_load(&handlers) != before) {
        close(*done);
        err = EINTR;
    }
    return err;
}

static void apply_poll(struct tl_impl *impl)
{
    struct tl_io_ops *io;

    sound = impl->io;
    io = TL_MUTATE(impl, io);
    io->poll = poll_again;
    io->accept = accept_once;
}
MUTANT(poll_restarts, "io-poll-restarts-accept-does-not",
       "poll goes on after a handler, and accept answers EINTR in spite of SA_RESTART",
       "io.restart io.eintr", "green ucontext hybrid clone", apply_poll);

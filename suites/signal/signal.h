/*
 * signal.h - what the signal benchmarks share: a handler that takes the time, one signal on the way
 * at a time, and a second thread that receives.
 *
 * `latency` is from before the sending call to the first statement of the handler (or to the return
 * of sigwait): it holds the call itself, and, between PUs, the interrupt that the kernel sends.
 */
#ifndef SUITES_SIGNAL_H
#define SUITES_SIGNAL_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#include "../common/action.h"
#include "../common/gate.h"
#include "../common/model.h"

#define SIG_PATIENCE_NS UINT64_C(2000000000) /* a signal that takes 2 s is lost */

/* Invariant: sent - handled is 0 or 1; sent_ns belongs to the one on the way. The handler reads
 * sent_ns after the kernel has delivered the signal, which orders it behind the store. */
struct sig {
    struct tl_ctx *ctx;
    struct tl_hist *latency;
    _Alignas(64) _Atomic uint64_t sent_ns;
    uint64_t sent; /* by the sender */
    _Alignas(64) _Atomic uint64_t handled;
};

/* A handler can only reach a global; one benchmark runs in a process. */
static struct sig *sig_state;

/* It has arrived, whatever it is. Async-signal-safe. */
static inline void sig_taken(struct sig *s)
{
    uint64_t now = tl_now_ns();

    tl_record(s->latency, now - atomic_load_explicit(&s->sent_ns, memory_order_relaxed));
    /* Release: pairs with the acquire in sig_await; the record is in place when it is seen. */
    atomic_fetch_add_explicit(&s->handled, 1, memory_order_release);
}

static inline void sig_handler(int number)
{
    (void)number;
    sig_taken(sig_state);
}

static inline enum tl_status sig_init(struct sig *s, struct tl_ctx *ctx, int number,
                                      void (*handler)(int))
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART};

    s->ctx = ctx;
    s->latency = tl_hist(ctx, "latency");
    sig_state = s;
    int error = handler ? tl_sigaction(ctx->impl, number, &act, NULL) : 0;

    return error ? tl_failed(ctx, "sigaction: %s", strerror(error)) : TL_OK;
}

/* Sender and receiver share a PU, or the only kernel thread there is. */
static inline bool sig_same_pu(const struct tl_ctx *ctx)
{
    return model_same_pu(ctx) || (model_user_level(ctx) && !tl_trait(ctx, TL_PARALLEL));
}

/* Waits until all that was sent has been handled. Between PUs it spins; on one PU it yields, since
 * the receiver needs the PU. Returns 0 or ETIMEDOUT. */
static inline int sig_await(struct sig *s, bool same_pu)
{
    uint64_t deadline = 0;

    for (unsigned tries = 1; atomic_load_explicit(&s->handled, memory_order_acquire) != s->sent;
         tries++) {
        if (same_pu)
            s->ctx->impl->yield();
        if (tries % 4096 == 0) {
            uint64_t now = tl_now_ns();

            if (deadline == 0)
                deadline = now + SIG_PATIENCE_NS;
            else if (now > deadline)
                return ETIMEDOUT;
        }
    }
    return 0;
}

static inline enum tl_status sig_send_failed(struct tl_ctx *ctx, int error)
{
    if (error == ENOTSUP)
        return tl_unsupported(ctx, "%s cannot aim a signal at another of its threads",
                              ctx->impl->name);
    if (error == ETIMEDOUT)
        return tl_invalid(ctx, "a signal, or a post, was not handled within 2 s");
    return tl_failed(ctx, "signal.kill: %s", strerror(error));
}

/* A window of n signals, one at a time. ready (or NULL) waits until the receiver stands; send sends
 * one; both get arg and return 0 or an error number. Inlined, so that neither is a call. */
static inline __attribute__((always_inline)) enum tl_status sig_run(struct sig *s, uint64_t n,
                                                                    bool same_pu,
                                                                    int (*ready)(void *),
                                                                    int (*send)(void *), void *arg)
{
    int error = 0;
    uint64_t i;

    tl_begin(s->ctx);
    for (i = 0; i < n && !error; i++) {
        error = ready ? ready(arg) : 0;
        if (error)
            break;
        atomic_store_explicit(&s->sent_ns, tl_now_ns(), memory_order_relaxed);
        s->sent++;
        error = send(arg);
        if (!error)
            error = sig_await(s, same_pu);
    }
    tl_end(s->ctx, i);
    tl_count(s->ctx, "signals", i);
    return error ? sig_send_failed(s->ctx, error) : TL_OK;
}

static inline enum tl_status sig_verify(const struct sig *s)
{
    uint64_t handled = atomic_load(&s->handled);

    if (handled != s->sent)
        return tl_invalid(s->ctx, "%" PRIu64 " signals sent, %" PRIu64 " handled", s->sent,
                          handled);
    return TL_OK;
}

/* A thread that receives until it is told to stop. */
struct receiver {
    struct tl_thread thread;
    bool created;
    struct tl_sem ready,
        park; /* it posts ready once it stands; then waits for park, if it blocks */
    unsigned sems;
    _Atomic bool stop;
    _Atomic int error;
    pid_t tid;
    int stat_fd; /* of receiver_watch; 0: none */
};

static inline enum tl_status receiver_start(struct receiver *r, struct tl_ctx *ctx, unsigned slot,
                                            void *(*body)(void *), void *arg)
{
    const struct tl_impl *impl = ctx->impl;
    struct tl_attr attr = tl_worker_attr(ctx, slot);
    int error = 0;

    for (; !error && r->sems < 2; r->sems += !error)
        error = impl->sem->init(r->sems == 0 ? &r->ready : &r->park, 0);
    if (error)
        return tl_failed(ctx, "sem.init: %s", strerror(error));
    error = impl->create(&r->thread, &attr, body, arg);
    if (error)
        return tl_failed(ctx, "create: %s", strerror(error));
    r->created = true;
    error = gate_sem_wait(impl, &r->ready);
    if (!error)
        error = atomic_load(&r->error);
    if (error == EDEADLK)
        return tl_invalid(ctx, "the receiver ran inside create: there is no second thread");
    return error ? tl_failed(ctx, "the receiver: %s", strerror(error)) : TL_OK;
}

static inline void receiver_stop(struct receiver *r, const struct tl_impl *impl)
{
    if (r->created) {
        atomic_store(&r->stop, true);
        impl->sem->post(&r->park);
        impl->join(r->thread, NULL);
        r->created = false;
    }
    if (r->sems > 1)
        impl->sem->destroy(&r->park);
    if (r->sems > 0)
        impl->sem->destroy(&r->ready);
    r->sems = 0;
    if (r->stat_fd > 0)
        close(r->stat_fd);
    r->stat_fd = 0;
}

/* Opens what tells whether the receiver sleeps, after receiver_start. */
static inline enum tl_status receiver_watch(struct receiver *r, struct tl_ctx *ctx)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)r->tid);
    r->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->stat_fd < 0)
        return tl_unsupported(ctx, "%s: %s: whether the receiver is blocked cannot be known", path,
                              strerror(errno));
    return TL_OK;
}

/* Waits until the kernel thread of the receiver sleeps. That its handler has run does not say so:
 * it still has to go back into the call that blocks. Returns 0 or an error number. */
static inline int receiver_await_asleep(struct receiver *r)
{
    uint64_t deadline = tl_now_ns() + SIG_PATIENCE_NS;
    char text[128];

    do {
        ssize_t got = pread(r->stat_fd, text, sizeof(text) - 1, 0);
        const char *state;

        if (got <= 0)
            return got < 0 ? errno : ESRCH;
        text[got] = '\0';
        state = strrchr(text, ')'); /* a thread's name may hold anything, also that */
        if (state && state + 2 < text + got && state[2] == 'S')
            return 0;
    } while (tl_now_ns() < deadline);
    return ETIMEDOUT;
}

/* In the receiver: says that it stands. */
static inline void receiver_ready(struct receiver *r, const struct tl_impl *impl)
{
    r->tid = (pid_t)syscall(SYS_gettid);
    int error = impl->sem->post(&r->ready);
    if (error)
        atomic_store(&r->error, error);
}

/* In the receiver: takes what comes as posts of park, until receiver_stop. */
static inline void receiver_take(struct receiver *r, const struct tl_impl *impl, struct sig *s)
{
    int error;

    while (!(error = gate_sem_wait(impl, &r->park)) &&
           !atomic_load_explicit(&r->stop, memory_order_relaxed))
        sig_taken(s);
    if (error)
        atomic_store(&r->error, error);
}

/* In the receiver: blocks until receiver_stop, handlers run meanwhile. */
static inline void receiver_block(struct receiver *r, const struct tl_impl *impl)
{
    while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
        int error = impl->sem->wait(&r->park);
        if (error && error != EINTR) {
            atomic_store(&r->error, error);
            break;
        }
    }
}

/* One thread sends to another, which is on another PU or not: what the state of such a benchmark
 * begins with. */
struct exchange {
    struct sig sig;
    struct receiver receiver;
    bool same_pu;
};

/* For sig_run: the receiver stands, or sleeps where that is watched. */
static inline int exchange_stands(void *arg)
{
    struct exchange *e = arg;

    return e->receiver.stat_fd > 0 ? receiver_await_asleep(&e->receiver) : 0;
}

static inline enum tl_status exchange_verify(struct tl_ctx *ctx)
{
    const struct exchange *e = ctx->state;

    return sig_verify(&e->sig);
}

static inline void exchange_teardown(struct tl_ctx *ctx)
{
    struct exchange *e = ctx->state;

    if (e)
        receiver_stop(&e->receiver, ctx->impl);
    tl_sigignore(ctx->impl, SIGUSR1);
    free(e);
    ctx->state = NULL;
}

#endif

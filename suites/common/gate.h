/*
 * gate.h - persistent workers that do a round of work whenever the first thread says so.
 *
 *     setup:     gate_init(&g, ctx, n, stack, work, arg)   n threads exist and block
 *     run:       status = gate_gather(&g)    all stand at the start line, where they yield
 *                tl_begin(ctx); gate_open(&g);
 *                gate_wait(&g)               all have returned from work()
 *                tl_end(ctx, ops); return gate_status(&g);
 *     teardown:  gate_stop(&g)               ends and joins them; idempotent, at any time
 *                                            outside a round, also when gate_init failed
 *
 * Every worker has a semaphore of its own: with a common one, a fast worker that is back from its
 * round would take the token of one that has not started. The start line is a yield loop, so that
 * no wake-up falls into the timed window; it gives up after a bounded time.
 *
 * An implementation that runs a thread inside create answers EDEADLK to the first wait. That ends
 * as TL_INVALID, any other error as TL_FAILED, both with the reason.
 *
 * A work() that fails calls gate_fail() and sees to it that its partners in the round get out too.
 */
#ifndef SUITES_GATE_H
#define SUITES_GATE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct gate;
typedef void gate_work(struct gate *g, unsigned index, void *arg);
/* Memory for the stack of worker `index`, which stays the caller's; NULL: the implementation's. */
typedef void *gate_stack(unsigned index, void *arg);

struct gate_worker {
    struct tl_sem go; /* one token a round, and one to quit */
    struct gate *gate;
    struct tl_thread thread;
    unsigned index;
};

struct gate {
    struct tl_ctx *ctx;
    struct gate_worker *worker;
    unsigned workers; /* asked for */
    unsigned made;    /* created and not joined yet */
    unsigned sems;    /* initialised: ready, done, then worker[0 .. sems-3].go */
    gate_work *work;
    void *arg;
    struct tl_sem ready, done;
    /* Each of these is written by the first thread before the semaphore post that lets a worker
     * read it, but for `opened`: release in gate_open, acquire at the start line. */
    _Alignas(64) _Atomic unsigned round;
    _Atomic unsigned opened; /* the last round that was let go */
    _Atomic bool quit;
    _Atomic enum tl_status status;
    _Alignas(64) _Atomic unsigned arrived;
    _Atomic unsigned finished;
};

/* Takes down the first status that is not TL_OK, and answers it. Any thread. */
static inline enum tl_status gate_note(struct gate *g, enum tl_status status)
{
    enum tl_status none = TL_OK;

    return atomic_compare_exchange_strong(&g->status, &none, status) ? status : none;
}

/* What went wrong, in the name of `what`. Any thread. */
static inline enum tl_status gate_fail(struct gate *g, const char *what, int error)
{
    enum tl_status status;

    if (error == EDEADLK)
        status = tl_invalid(g->ctx,
                            "%s answered EDEADLK: threads do not stand half way side by side "
                            "(does create run them to their end?)",
                            what);
    else
        status = tl_failed(g->ctx, "%s: %s", what, strerror(error));
    return gate_note(g, status);
}

static inline enum tl_status gate_status(struct gate *g)
{
    return atomic_load(&g->status);
}

/* A wait that a signal handler does not cut short. */
static inline int gate_sem_wait(const struct tl_impl *impl, struct tl_sem *s)
{
    int error;

    do
        error = impl->sem->wait(s);
    while (error == EINTR);
    return error;
}

/* Yields until the round is open. An implementation whose yield comes back to the caller for ever
 * would stand here for ever: it gets 10 s. A gathering was seen to take 7 ms for 1,000 kernel
 * threads on one PU and 0.3 to 3.7 s for 10,000 (those who stand here already slow down the posts
 * to the others), 0.12 s for 100,000 user-level threads. */
static inline void gate_start_line(struct gate *g, unsigned round)
{
    const uint64_t patience_ns = 10000000000u;
    uint64_t deadline = tl_now_ns() + patience_ns;
    unsigned tries = 0;

    while (atomic_load_explicit(&g->opened, memory_order_acquire) != round &&
           !atomic_load_explicit(&g->quit, memory_order_acquire) && gate_status(g) == TL_OK) {
        g->ctx->impl->yield();
        if (++tries % 1024 == 0 && tl_now_ns() > deadline)
            gate_fail(g, "start line: yield does not let the other threads run", ETIMEDOUT);
    }
}

static inline void *gate_worker_main(void *arg)
{
    struct gate_worker *self = arg;
    struct gate *g = self->gate;
    const struct tl_impl *impl = g->ctx->impl;

    for (unsigned round = 1;; round++) {
        int error = gate_sem_wait(impl, &self->go);

        if (error) {
            gate_fail(g, "sem.wait", error);
            break;
        }
        if (atomic_load_explicit(&g->quit, memory_order_acquire))
            break;
        if (atomic_load_explicit(&g->round, memory_order_acquire) != round) {
            gate_fail(g, "sem.wait: came back without a post", EPROTO);
            break;
        }
        if (atomic_fetch_add(&g->arrived, 1) + 1 == g->workers) {
            error = impl->sem->post(&g->ready);
            if (error)
                gate_fail(g, "sem.post", error);
        }
        gate_start_line(g, round);
        if (gate_status(g) == TL_OK)
            g->work(g, self->index, g->arg);
        if (atomic_fetch_add(&g->finished, 1) + 1 == g->workers) {
            error = impl->sem->post(&g->done);
            if (error)
                gate_fail(g, "sem.post", error);
        }
    }
    return self;
}

/* Ends the workers and gives everything back. A worker that cannot be joined keeps its memory. */
static inline void gate_stop(struct gate *g)
{
    const struct tl_sem_ops *sem = g->ctx ? g->ctx->impl->sem : NULL;
    bool lost = false;

    if (!sem)
        return;
    atomic_store_explicit(&g->quit, true, memory_order_release);
    for (unsigned i = 0; i < g->made; i++)
        sem->post(&g->worker[i].go);
    for (unsigned i = 0; i < g->made; i++) {
        int error = g->ctx->impl->join(g->worker[i].thread, NULL);

        if (error) {
            gate_fail(g, "join", error);
            lost = true;
        }
    }
    g->made = 0;
    if (lost)
        return;
    while (g->sems > 2)
        sem->destroy(&g->worker[--g->sems - 2].go);
    if (g->sems > 1)
        sem->destroy(&g->done);
    if (g->sems > 0)
        sem->destroy(&g->ready);
    g->sems = 0;
    free(g->worker);
    g->worker = NULL;
}

/* g: anything, need not be zeroed. stack: bytes, 0 for the implementation's default; place: NULL or
 * where each lies. */
static inline enum tl_status gate_init_at(struct gate *g, struct tl_ctx *ctx, unsigned workers,
                                          size_t stack, gate_stack *place, gate_work *work,
                                          void *arg)
{
    const struct tl_impl *impl = ctx->impl;
    int error;

    memset(g, 0, sizeof(*g));
    g->ctx = ctx;
    g->workers = workers;
    g->work = work;
    g->arg = arg;
    g->worker = aligned_alloc(_Alignof(struct gate_worker), workers * sizeof(*g->worker));
    if (!g->worker)
        return gate_fail(g, "gate", ENOMEM);
    memset(g->worker, 0, workers * sizeof(*g->worker));

    for (; g->sems < workers + 2; g->sems++) {
        error = impl->sem->init(g->sems == 0   ? &g->ready
                                : g->sems == 1 ? &g->done
                                               : &g->worker[g->sems - 2].go,
                                0);
        if (error)
            return gate_fail(g, "sem.init", error);
    }
    for (; g->made < workers && gate_status(g) == TL_OK; g->made++) {
        struct gate_worker *w = &g->worker[g->made];
        struct tl_attr attr = tl_worker_attr(ctx, g->made);

        attr.stack_size = stack;
        attr.stack = place ? place(g->made, arg) : NULL;
        w->gate = g;
        w->index = g->made;
        error = impl->create(&w->thread, &attr, gate_worker_main, w);
        if (error == ENOTSUP && attr.stack)
            return gate_note(g, tl_refused(ctx, "attr.stack"));
        if (error) {
            tl_failed(ctx, "create of thread %u of %u: %s", g->made + 1, workers, strerror(error));
            return gate_fail(g, "create", error);
        }
    }
    return gate_status(g);
}

static inline enum tl_status gate_init(struct gate *g, struct tl_ctx *ctx, unsigned workers,
                                       size_t stack, gate_work *work, void *arg)
{
    return gate_init_at(g, ctx, workers, stack, NULL, work, arg);
}

/* Wakes the workers and waits until each of them is at the start line. */
static inline enum tl_status gate_gather(struct gate *g)
{
    const struct tl_impl *impl = g->ctx->impl;
    int error = 0;

    if (gate_status(g) != TL_OK)
        return gate_status(g);
    atomic_store(&g->arrived, 0);
    atomic_store(&g->finished, 0);
    atomic_fetch_add(&g->round, 1);
    for (unsigned i = 0; i < g->workers && !error; i++)
        error = impl->sem->post(&g->worker[i].go);
    if (error)
        return gate_fail(g, "sem.post", error);
    error = gate_sem_wait(impl, &g->ready);
    if (error)
        return gate_fail(g, "sem.wait", error);
    if (atomic_load(&g->arrived) != g->workers)
        return gate_fail(g, "sem.wait: came back without a post", EPROTO);
    return gate_status(g);
}

static inline void gate_open(struct gate *g)
{
    atomic_store_explicit(&g->opened, atomic_load(&g->round), memory_order_release);
}

/* Waits until every worker has returned from this round's work(). */
static inline void gate_wait(struct gate *g)
{
    int error = gate_sem_wait(g->ctx->impl, &g->done);

    if (error)
        gate_fail(g, "sem.wait", error);
    else if (atomic_load(&g->finished) != g->workers)
        gate_fail(g, "sem.wait: came back without a post", EPROTO);
}

#endif

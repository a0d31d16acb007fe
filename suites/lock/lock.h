/*
 * lock.h - what the benchmarks of locks share: the kinds by name, work of a known length that does
 * not read the clock, and N threads that take one lock in turn.
 *
 * A window is a pool of acquisitions: whoever holds the lock takes one out, until it is empty. So
 * the threads compete, and how many each of them got says how fair the lock is: Jain's index
 * (sum x)^2 / (n sum x^2), 1 for equal shares, 1/n if one got all; Jain, Chiu and Hawe, "A
 * Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared Computer
 * Systems", DEC-TR-301, 1984.
 *
 * Exclusion is seen by a plain counter that is read at the beginning of the critical section and
 * written at its end: two holders at once lose a count.
 *
 * A crowd that watches its holders reads the clock at both ends of each critical section: a section
 * that took far longer than its work had a holder that was stopped inside, and the time from the
 * end of one section to the end of the next is a stall of everybody.
 *
 * The metrics, unlike histograms, are made here: they cover the windows since the last one that was
 * larger than all before, which leaves the warm-up out.
 */
#ifndef SUITES_LOCK_H
#define SUITES_LOCK_H

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/gate.h"
#include "../common/model.h"

/* TL_OK, or the kind is not offered. */
static inline enum tl_status lock_init(struct tl_ctx *ctx, struct tl_mutex *m)
{
    const char *word = tl_axis(ctx, "kind");
    enum tl_mutex_kind kind = strcmp(word, "spin") == 0       ? TL_MUTEX_SPIN
                              : strcmp(word, "adaptive") == 0 ? TL_MUTEX_ADAPTIVE
                              : strcmp(word, "pi") == 0       ? TL_MUTEX_PI
                                                              : TL_MUTEX_BLOCK;
    int error = ctx->impl->mutex->init(m, kind);

    if (error == ENOTSUP)
        return tl_unsupported(ctx, "no mutex of kind %s is offered", word);
    return error ? tl_failed(ctx, "mutex.init: %s", strerror(error)) : TL_OK;
}

/* A chain of multiplications that no compiler and no CPU can shorten. */
static inline void lock_burn(uint64_t steps)
{
    uint64_t x = steps;

    for (uint64_t i = 0; i < steps; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        __asm__ volatile("" : "+r"(x));
    }
}

/* How many steps take ns. The fastest of 16 tries of about 20 us: an interrupted one is longer,
 * never shorter. */
static inline uint64_t lock_steps(uint64_t ns)
{
    const uint64_t steps = 16384;
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 16; i++) {
        uint64_t start = tl_now_ns(), took;

        lock_burn(steps);
        took = tl_now_ns() - start;
        if (took > 0 && took < best)
            best = took;
    }
    return (ns * steps + best / 2) / best;
}

struct lock_worker {
    _Alignas(64) _Atomic bool asks; /* is in lock(), and does not hold it */
    uint64_t got;                   /* acquisitions, in all windows; its own thread writes them */
    uint64_t got_before;            /* ... before those that the metrics cover */
    uint64_t longest_ns; /* wait, of those that were sampled, where the metrics cover it */
};

struct lock_crowd {
    struct gate gate;
    struct lock_worker *worker;
    unsigned threads;
    bool made; /* the mutex */
    uint64_t cs_steps, think_steps;
    uint64_t grain;   /* acquisitions for each n of a window: see lock_crowd_grain */
    uint64_t stop_ns; /* a longer section was stopped; 0: this crowd does not watch */
    struct tl_hist *stall;
    uint64_t sample_mask; /* a wait is timed where (number & mask) == 0 */
    struct tl_hist *wait;
    /* What the metrics cover. */
    uint64_t largest_n, window_ns, window_ops;
    uint64_t handovers_before;
    _Alignas(64) struct tl_mutex mutex;
    /* Guarded by mutex; volatile, so that each access stays where it stands. */
    _Alignas(64) volatile int64_t left; /* in the pool of this window */
    volatile uint64_t counter;          /* acquisitions in all windows */
    volatile uint64_t handovers;        /* the holder before was another thread */
    volatile unsigned last;             /* holder */
    /* Of a crowd that watches: end of the section before, 0 at the beginning of a window; longest
     * time between two ends; sections that took longer than stop_ns. */
    volatile uint64_t ended_ns, longest_stall_ns, stops;
    volatile uint64_t met; /* holders that saw somebody ask, of every 8th; only where they yield */
};

/* A hint that may be late by a moment: relaxed. */
static inline bool lock_somebody_asks(struct lock_crowd *c)
{
    for (unsigned i = 0; i < c->threads; i++)
        if (atomic_load_explicit(&c->worker[i].asks, memory_order_relaxed))
            return true;
    return false;
}

/* At the end of a section that began then; holding the mutex. */
static inline void lock_watch(struct lock_crowd *c, uint64_t began_ns)
{
    uint64_t now = tl_now_ns(), stall_ns;

    c->stops += now - began_ns > c->stop_ns;
    if (c->ended_ns) {
        stall_ns = now - c->ended_ns;
        tl_record(c->stall, stall_ns);
        if (stall_ns > c->longest_stall_ns)
            c->longest_stall_ns = stall_ns;
    }
    c->ended_ns = now;
}

/* What a thread does in a window. Instantiated with constants, so that the loop holds no branch
 * that asks what is measured. The clock is read 20 ns or so inside the critical section of a
 * sampled acquisition, no more; the histogram is written outside. */
static inline __attribute__((always_inline)) void lock_loop(struct lock_crowd *c, unsigned index,
                                                            bool yields, bool watches)
{
    const struct tl_impl *impl = c->gate.ctx->impl;
    const struct tl_mutex_ops *mutex = impl->mutex;
    struct lock_worker *w = &c->worker[index];
    const uint64_t mask = c->sample_mask, cs_steps = c->cs_steps, think_steps = c->think_steps;
    uint64_t got = 0, longest_ns = 0;
    const char *what = "mutex.lock";
    int error;

    for (;;) {
        bool sampled = (got & mask) == 0;
        uint64_t asked_ns = sampled ? tl_now_ns() : 0, began_ns = 0, waited_ns, count;
        int64_t left;

        if (yields)
            atomic_store_explicit(&w->asks, true, memory_order_relaxed);
        error = mutex->lock(&c->mutex);
        if (yields)
            atomic_store_explicit(&w->asks, false, memory_order_relaxed);
        if (error)
            break;
        waited_ns = sampled ? tl_now_ns() - asked_ns : 0;
        left = c->left;
        if (left <= 0) { /* no acquisition of the pool: nobody counts it */
            error = mutex->unlock(&c->mutex);
            what = "mutex.unlock";
            break;
        }
        if (watches)
            began_ns = sampled ? asked_ns + waited_ns : tl_now_ns();
        c->left = left - 1;
        count = c->counter;
        if (c->last != index) {
            c->last = index;
            c->handovers++;
        }
        lock_burn(cs_steps);
        if (yields) {
            impl->yield();
            if (got % 8 == 0)
                c->met += lock_somebody_asks(c);
        }
        c->counter = count + 1;
        if (watches)
            lock_watch(c, began_ns);
        error = mutex->unlock(&c->mutex);
        if (error) {
            what = "mutex.unlock";
            break;
        }
        got++;
        if (sampled) {
            tl_record(c->wait, waited_ns);
            longest_ns = waited_ns > longest_ns ? waited_ns : longest_ns;
        }
        lock_burn(think_steps);
    }
    w->got += got;
    w->longest_ns = longest_ns > w->longest_ns ? longest_ns : w->longest_ns;
    if (error)
        gate_fail(&c->gate, what, error);
}

static inline enum tl_status lock_crowd_setup(struct tl_ctx *ctx, gate_work *work, uint64_t cs_ns,
                                              uint64_t think_ns, uint64_t sample_mask)
{
    struct lock_crowd *c = aligned_alloc(_Alignof(struct lock_crowd), sizeof(*c));
    enum tl_status status;

    if (!c)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(c, 0, sizeof(*c));
    ctx->state = c;
    c->threads = (unsigned)tl_axis_int(ctx, "threads");
    if (c->threads < 2)
        return tl_unsupported(ctx, "threads=%u: it takes two to contend", c->threads);
    c->worker = aligned_alloc(_Alignof(struct lock_worker), c->threads * sizeof(*c->worker));
    if (!c->worker)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(c->worker, 0, c->threads * sizeof(*c->worker));
    c->cs_steps = lock_steps(cs_ns);
    c->think_steps = lock_steps(think_ns);
    c->sample_mask = sample_mask;
    c->grain = 1;
    c->wait = tl_hist(ctx, "wait");
    c->last = UINT32_MAX;
    status = lock_init(ctx, &c->mutex);
    if (status != TL_OK)
        return status;
    c->made = true;
    return gate_init(&c->gate, ctx, c->threads, 65536, work, c);
}

/* After the set-up: no window is shorter than about that much work. The first windows of a crowd
 * may have a time slice in them, and the harness, which then asks for tiny ones, would measure how
 * the threads start. */
static inline void lock_crowd_grain(struct lock_crowd *c, uint64_t ns, uint64_t op_ns)
{
    c->grain = ns / (op_ns + 50) + 1;
}

static inline enum tl_status lock_crowd_run(struct tl_ctx *ctx, uint64_t n)
{
    struct lock_crowd *c = ctx->state;
    enum tl_status status = gate_gather(&c->gate);
    uint64_t begin_ns, before = c->handovers;

    if (status != TL_OK)
        return status;
    n *= c->grain;
    if (n > c->largest_n) {
        c->largest_n = n;
        c->window_ns = c->window_ops = 0;
        c->handovers_before = before;
        c->longest_stall_ns = c->stops = 0;
        for (unsigned i = 0; i < c->threads; i++) {
            c->worker[i].got_before = c->worker[i].got;
            c->worker[i].longest_ns = 0;
        }
    }
    c->left = (int64_t)n;
    c->ended_ns = 0;

    begin_ns = tl_now_ns();
    tl_begin(ctx);
    gate_open(&c->gate);
    gate_wait(&c->gate);
    tl_end(ctx, n);
    c->window_ns += tl_now_ns() - begin_ns;
    c->window_ops += n;
    tl_count(ctx, "acquisitions", n);
    tl_count(ctx, "handovers", c->handovers - before);
    return gate_status(&c->gate);
}

static inline void lock_crowd_metrics(struct tl_ctx *ctx)
{
    struct lock_crowd *c = ctx->state;
    double sum = 0, squares = 0, least = HUGE_VAL, most = 0;
    uint64_t longest_ns = 0;
    unsigned pus = model_same_pu(ctx) || !tl_trait(ctx, TL_PARALLEL) ? 1 : ctx->nslots;

    for (unsigned i = 0; i < c->threads; i++) {
        double got = (double)(c->worker[i].got - c->worker[i].got_before);

        sum += got;
        squares += got * got;
        least = got < least ? got : least;
        most = got > most ? got : most;
        if (c->worker[i].longest_ns > longest_ns)
            longest_ns = c->worker[i].longest_ns;
    }
    if (squares > 0)
        tl_metric(ctx, "fairness", sum * sum / (c->threads * squares), "jain");
    if (most > 0)
        tl_metric(ctx, "least_to_most", least / most, "ratio");
    if (c->window_ns > 0)
        tl_metric(ctx, "throughput", (double)c->window_ops * 1e9 / (double)c->window_ns, "1/s");
    if (c->window_ops > 0)
        tl_metric(ctx, "handover_share",
                  (double)(c->handovers - c->handovers_before) / (double)c->window_ops, "1/op");
    tl_metric(ctx, "max_wait", (double)longest_ns, "ns");
    if (c->stop_ns) {
        tl_metric(ctx, "max_stall", (double)c->longest_stall_ns, "ns");
        if (c->window_ops > 0)
            tl_metric(ctx, "stopped_holders", (double)c->stops / (double)c->window_ops, "1/op");
    }
    tl_metric(ctx, "oversubscription", (double)c->threads / pus, "threads/PU");
}

/* contended: what was seen that shows it; 0 is invalid. The same holder time after time does not
 * mean that nobody contends: a spinning waiter may starve. */
static inline enum tl_status lock_crowd_verify(struct tl_ctx *ctx, uint64_t contended)
{
    struct lock_crowd *c = ctx->state;
    uint64_t got = 0;

    for (unsigned i = 0; i < c->threads; i++)
        got += c->worker[i].got;
    lock_crowd_metrics(ctx);
    if (c->counter != got)
        return tl_invalid(ctx,
                          "the guarded counter says %" PRIu64 " after %" PRIu64
                          " acquisitions: two threads held the lock at once",
                          c->counter, got);
    if (contended == 0)
        return tl_invalid(ctx, "in %" PRIu64 " acquisitions nobody was seen to contend", got);
    return TL_OK;
}

static inline void lock_crowd_teardown(struct tl_ctx *ctx)
{
    struct lock_crowd *c = ctx->state;

    if (!c)
        return;
    gate_stop(&c->gate);
    if (c->gate.worker) /* a thread could not be joined: it may still use all this */
        return;
    if (c->made)
        ctx->impl->mutex->destroy(&c->mutex);
    free(c->worker);
    free(c);
    ctx->state = NULL;
}

#endif

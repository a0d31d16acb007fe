/*
 * rota.h - N persistent threads that yield to each other in turn: the body of switch.yield and
 * switch.workset, which differ in what a thread does between two yields.
 *
 * That yield came back says nothing. A thread writes its number to the shared word `last` when it
 * runs; finding somebody else's there, it has seen a hand-over, and only that counts as an op.
 *
 * A window: all threads yield before it opens (gate.h). Thread 0 is the leader: after its share of
 * the yields it wakes the first thread, which ends the window and only then lets all go. So no
 * thread starts, stops or blocks inside the window. It is a whole number of laps, at least one.
 */
#ifndef SUITES_ROTA_H
#define SUITES_ROTA_H

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/gate.h"
#include "../common/model.h"

struct rota_worker {
    _Alignas(64) uint64_t handovers, yields; /* in all windows; its own thread writes them */
    unsigned char *set;                      /* for the case's walk */
    uint64_t sum;
};

struct rota {
    struct gate gate;
    struct rota_worker *worker;
    unsigned threads;
    bool one_at_a_time; /* no other thread can run between a load and the store behind it */
    size_t walk_bytes;
    uint64_t laps;                /* yields of the leader before it wakes the first thread */
    uint64_t handovers, reported; /* in all windows; what tl_end was told */
    uint64_t windows;
    bool lap_made;
    _Atomic bool lapped; /* the leader has done them */
    struct tl_sem lap;   /* posted by the leader then */
    /* The line that every yield touches. */
    _Alignas(64) _Atomic uint32_t last;
    _Atomic bool closed;
    _Atomic uint64_t seen; /* hand-overs of this window */
};

/* What a thread does in a window. Instantiated with constants, so that the loop holds neither the
 * case's nor the model's branch. */
static inline __attribute__((always_inline)) void
rota_loop(struct rota *r, unsigned index, bool plain_count,
          void (*walk)(struct rota_worker *, size_t))
{
    void (*const yield)(void) = r->gate.ctx->impl->yield;
    struct rota_worker *w = &r->worker[index];
    uint64_t handovers = 0, yields = 0;
    const uint64_t laps = index == 0 ? r->laps : UINT64_MAX;

    do {
        if (atomic_load_explicit(&r->last, memory_order_relaxed) != index) {
            atomic_store_explicit(&r->last, index, memory_order_relaxed);
            handovers++;
            if (plain_count) {
                uint64_t seen = atomic_load_explicit(&r->seen, memory_order_relaxed);

                atomic_store_explicit(&r->seen, seen + 1, memory_order_relaxed);
            } else {
                atomic_fetch_add_explicit(&r->seen, 1, memory_order_relaxed);
            }
        }
        if (yields == laps) {
            int error;

            atomic_store_explicit(&r->lapped, true, memory_order_relaxed);
            error = r->gate.ctx->impl->sem->post(&r->lap);
            if (error)
                gate_fail(&r->gate, "sem.post", error);
        }
        if (walk)
            walk(w, r->walk_bytes);
        yields++;
        yield();
    } while (!atomic_load_explicit(&r->closed, memory_order_relaxed));
    w->handovers += handovers;
    w->yields += yields;
}

#define ROTA_STACK 32768

/* place: NULL, or where the stacks lie; its argument is the rota. */
static inline enum tl_status rota_setup_at(struct tl_ctx *ctx, gate_work *work, size_t walk_bytes,
                                           gate_stack *place)
{
    struct rota *r = aligned_alloc(_Alignof(struct rota), sizeof(*r));
    int error;

    if (!r)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(r, 0, sizeof(*r));
    ctx->state = r;
    r->threads = (unsigned)tl_axis_int(ctx, "threads");
    r->walk_bytes = walk_bytes;
    r->one_at_a_time = model_one_at_a_time(ctx);
    if (r->threads < 2)
        return tl_unsupported(ctx, "threads=%u: a hand-over takes two", r->threads);
    r->worker = aligned_alloc(_Alignof(struct rota_worker), r->threads * sizeof(*r->worker));
    if (!r->worker)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(r->worker, 0, r->threads * sizeof(*r->worker));
    for (unsigned i = 0; i < r->threads && walk_bytes; i++) {
        r->worker[i].set = aligned_alloc(4096, (walk_bytes + 4095) & ~(size_t)4095);
        if (!r->worker[i].set)
            return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
        memset(r->worker[i].set, 1, walk_bytes);
    }
    error = ctx->impl->sem->init(&r->lap, 0);
    if (error)
        return tl_failed(ctx, "sem.init: %s", strerror(error));
    r->lap_made = true;
    return gate_init_at(&r->gate, ctx, r->threads, ROTA_STACK, place, work, r);
}

static inline enum tl_status rota_setup(struct tl_ctx *ctx, gate_work *work, size_t walk_bytes)
{
    return rota_setup_at(ctx, work, walk_bytes, NULL);
}

static inline enum tl_status rota_run(struct tl_ctx *ctx, uint64_t n)
{
    struct rota *r = ctx->state;
    enum tl_status status = gate_gather(&r->gate);
    uint64_t ops;
    int error;

    if (status != TL_OK)
        return status;
    r->laps = n / r->threads ? n / r->threads : 1;
    if (tl_trait(ctx, TL_YIELD_IS_FIFO))
        r->laps--; /* the first thread gets its turn behind all others: one lap later */
    atomic_store(&r->closed, false);
    atomic_store(&r->lapped, false);
    atomic_store(&r->seen, 0);
    atomic_store(&r->last, UINT32_MAX);

    tl_begin(ctx);
    gate_open(&r->gate);
    error = gate_sem_wait(ctx->impl, &r->lap);
    if (!error && !atomic_load(&r->lapped))
        error = EPROTO; /* it came back without a post */
    ops = atomic_load(&r->seen);
    tl_end(ctx, ops ? ops : 1);
    atomic_store(&r->closed, true);
    if (error)
        return gate_fail(&r->gate, "sem.wait", error);
    gate_wait(&r->gate);
    r->windows++;
    r->reported += ops;
    r->handovers += atomic_load(&r->seen);
    tl_count(ctx, "handovers", ops);
    return gate_status(&r->gate);
}

static inline enum tl_status rota_verify(struct tl_ctx *ctx)
{
    struct rota *r = ctx->state;
    uint64_t handovers = 0, yields = 0, least = UINT64_MAX, most = 0;
    unsigned idle = 0;

    for (unsigned i = 0; i < r->threads; i++) {
        uint64_t own = r->worker[i].handovers;

        handovers += own;
        yields += r->worker[i].yields;
        least = own < least ? own : least;
        most = own > most ? own : most;
        idle += own == 0;
    }
    tl_metric(ctx, "least", least == UINT64_MAX ? 0 : (double)least, "handovers");
    tl_metric(ctx, "most", (double)most, "handovers");
    if (handovers != r->handovers)
        return tl_invalid(ctx, "the threads saw %" PRIu64 " hand-overs, together %" PRIu64,
                          handovers, r->handovers);
    if (handovers < yields - yields / 2)
        return tl_invalid(ctx, "yield returned without a switch %" PRIu64 " of %" PRIu64 " times",
                          yields - handovers, yields);
    if (idle > 0)
        return tl_invalid(ctx, "%u of %u threads never got their turn", idle, r->threads);
    /* One more or less at each end of a window. */
    if (tl_trait(ctx, TL_YIELD_IS_FIFO) && most - least > 2 * r->windows)
        return tl_invalid(ctx, "turns of the threads differ: %" PRIu64 " to %" PRIu64, least, most);
    return TL_OK;
}

static inline void rota_teardown(struct tl_ctx *ctx)
{
    struct rota *r = ctx->state;

    if (!r)
        return;
    atomic_store(&r->closed, true);
    gate_stop(&r->gate);
    if (r->gate.worker) /* a thread could not be joined: it may still use all this */
        return;
    if (r->lap_made)
        ctx->impl->sem->destroy(&r->lap);
    for (unsigned i = 0; i < r->threads && r->worker; i++)
        free(r->worker[i].set);
    free(r->worker);
    free(r);
    ctx->state = NULL;
}

/* 1:1: each op is a switch of the kernel. */
static inline void rota_expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    model_expect_no_switches(ctx, expect);
    if (tl_trait(ctx, TL_ONE_TO_ONE) && model_same_pu(ctx)) {
        expect->switches = (struct tl_range){0.9, 2.2};
        expect->why = "on one PU each hand-over between kernel threads is a switch";
    }
}

#endif

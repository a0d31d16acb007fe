/*
 * pingpong.h - two threads hand a token back and forth through two semaphores: the body of
 * switch.sem and switch.bound, which differ in who the two are.
 *
 * `ball` is the number of the last hand-over. Each side checks on waking that exactly one hand-over
 * happened since its own post: a wait that returns too early, or a post that is lost, is seen.
 */
#ifndef SUITES_PINGPONG_H
#define SUITES_PINGPONG_H

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/gate.h"
#include "../common/model.h"

struct pingpong {
    const struct tl_impl *impl;
    struct tl_thread partner;
    bool created;
    unsigned sems; /* initialised: ping, then pong */
    struct tl_sem ping, pong;
    _Alignas(64) _Atomic uint64_t ball;
    uint64_t handovers;      /* as the leader has asked for */
    uint64_t wrong;          /* wakes of the leader without a hand-over */
    uint64_t partner_counts; /* hand-overs seen by the partner; read after its last post */
    uint64_t partner_wrong;
    _Atomic int error; /* of the partner */
    _Atomic bool quit;
};

static inline void *pingpong_partner(void *arg)
{
    struct pingpong *p = arg;
    const struct tl_sem_ops *sem = p->impl->sem;
    uint64_t expected = 1;
    int error;

    for (;; expected += 2) {
        error = gate_sem_wait(p->impl, &p->ping);
        if (error || atomic_load_explicit(&p->quit, memory_order_relaxed))
            break;
        if (atomic_load_explicit(&p->ball, memory_order_relaxed) == expected)
            p->partner_counts++;
        else
            p->partner_wrong++;
        atomic_store_explicit(&p->ball, expected + 1, memory_order_relaxed);
        error = sem->post(&p->pong);
        if (error)
            break;
    }
    if (error) { /* nobody is to wait for us */
        atomic_store(&p->error, error);
        sem->post(&p->pong);
    }
    return p;
}

/* TL_OK, or what has become of the partner. */
static inline enum tl_status pingpong_status(struct tl_ctx *ctx, struct pingpong *p)
{
    int error = atomic_load(&p->error);

    if (error == EDEADLK)
        return tl_invalid(ctx, "0 hand-overs seen: the second thread runs inside create");
    return error ? tl_failed(ctx, "the second thread: sem: %s", strerror(error)) : TL_OK;
}

/* *p: zeroed by the caller, aligned. attr: of the partner. */
static inline enum tl_status pingpong_setup(struct tl_ctx *ctx, struct pingpong *p,
                                            const struct tl_attr *attr)
{
    int error;

    p->impl = ctx->impl;
    for (; p->sems < 2; p->sems++) {
        error = ctx->impl->sem->init(p->sems == 0 ? &p->ping : &p->pong, 0);
        if (error)
            return tl_failed(ctx, "sem.init: %s", strerror(error));
    }
    error = ctx->impl->create(&p->partner, attr, pingpong_partner, p);
    if (error)
        return tl_failed(ctx, "create: %s", strerror(error));
    p->created = true;
    return pingpong_status(ctx, p);
}

/* The leader's side, in one thread at a time. Returns an error number; *made: rounds, each of two
 * hand-overs. Inlined, so that the loop is the same in the first thread and in another. */
static inline __attribute__((always_inline)) int pingpong_play(struct pingpong *p, uint64_t rounds,
                                                               uint64_t *made)
{
    const struct tl_sem_ops *sem = p->impl->sem;
    uint64_t i, ball = p->handovers, wrong = 0;
    int error = 0;

    for (i = 0; i < rounds; i++) {
        atomic_store_explicit(&p->ball, ++ball, memory_order_relaxed);
        error = sem->post(&p->ping);
        if (error)
            break;
        error = gate_sem_wait(p->impl, &p->pong);
        if (error)
            break;
        wrong += atomic_load_explicit(&p->ball, memory_order_relaxed) != ++ball;
    }
    p->handovers = ball;
    p->wrong += wrong;
    *made = i;
    return error;
}

static inline enum tl_status pingpong_verify(struct tl_ctx *ctx, const struct pingpong *p)
{
    uint64_t half = p->handovers / 2, seen = half - p->wrong + p->partner_counts;

    if (seen != p->handovers || p->partner_wrong)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " hand-overs seen", seen, p->handovers);
    return TL_OK;
}

/* Returns 0, or join's error: then the partner may still use *p, which has to stay. */
static inline int pingpong_end(struct pingpong *p)
{
    int error = 0;

    atomic_store(&p->quit, true);
    if (p->created) {
        p->impl->sem->post(&p->ping);
        error = p->impl->join(p->partner, NULL);
    }
    if (error)
        return error;
    if (p->sems > 1)
        p->impl->sem->destroy(&p->pong);
    if (p->sems > 0)
        p->impl->sem->destroy(&p->ping);
    p->created = false;
    p->sems = 0;
    return 0;
}

/* Across PUs an implementation that spins before it blocks may have none. */
static inline void pingpong_expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    model_expect_no_switches(ctx, expect);
    if (tl_trait(ctx, TL_ONE_TO_ONE) && model_same_pu(ctx)) {
        expect->switches = (struct tl_range){0.9, 2.2};
        expect->why = "on one PU each hand-over between kernel threads is a switch";
    }
}

#endif

/*
 * model.h - what several benchmarks ask about the model under test and its place.
 */
#ifndef SUITES_MODEL_H
#define SUITES_MODEL_H

#include "bench.h"

/* Threads are switched by a library, without the kernel. `null` has no threads: it is neither. */
static inline bool model_user_level(const struct tl_ctx *ctx)
{
    return tl_trait(ctx, TL_CONCURRENT) && !tl_trait(ctx, TL_ONE_TO_ONE);
}

/* All slots that two workers get are one PU. */
static inline bool model_same_pu(const struct tl_ctx *ctx)
{
    return ctx->nslots < 2 || ctx->cpus[0] == ctx->cpus[1];
}

/* Nothing blocks in the kernel: what is seen of switches comes from other processes. A hundredth
 * per op leaves room for their preemptions. */
static inline void model_expect_no_switches(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    if (model_user_level(ctx) && (model_same_pu(ctx) || !tl_trait(ctx, TL_PARALLEL))) {
        expect->switches = (struct tl_range){0, 0.01};
        expect->why = "a user-level switch does not enter the kernel's scheduler";
    }
}

#endif

/*
 * model.h - what several benchmarks ask about the model under test and its place.
 */
#ifndef SUITES_MODEL_H
#define SUITES_MODEL_H

#include <string.h>

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

/* Threads lose the PU also where they do not give it up. */
static inline bool model_preempted(const struct tl_ctx *ctx)
{
    const char *preempt = tl_impl_param(ctx, "preempt");

    return tl_trait(ctx, TL_PREEMPTIVE) || (preempt && strcmp(preempt, "off") != 0);
}

/* No other thread can run between a load and the store behind it. An implementation with several
 * kernel threads is asked how many it has now: where nobody blocks, no more are added. */
static inline bool model_one_at_a_time(const struct tl_ctx *ctx)
{
    const struct tl_concurrency_ops *concurrency = ctx->impl->concurrency;

    if (model_preempted(ctx))
        return false;
    return !tl_trait(ctx, TL_PARALLEL) ||
           (concurrency && concurrency->lwps && concurrency->lwps() == 1);
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

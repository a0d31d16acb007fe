/*
 * spinner.c - preempt.spinner: threads that never give up the PU starve neither each other nor
 * those that sleep.
 */
#include "busy.h"

#define SPINNERS 4
#define SLEEPER SPINNERS
#define TURNS 40
#define NAPS 5

static _Atomic unsigned naps;

static void body(unsigned i)
{
    if (i == SLEEPER) {
        while (naps < NAPS && busy_turn(i)) {
            TL_CALL(busy.ctx, busy.ctx->impl->sleep(300000));
            naps++;
        }
        while (busy_turn(i)) /* one more of them */
            ;
        return;
    }
    while (busy_turn(i) || (naps < NAPS && tl_verdict(busy.ctx) == TL_OK))
        ;
}

static enum tl_status run(struct tl_ctx *ctx)
{
    return busy_run(ctx, SPINNERS + 1, TURNS, body);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "preempt.spinner",
    .group = "Preemption",
    .promise = "threads that never yield starve neither each other nor a thread that sleeps",
    .source = "Shiina, Iwasaki, Taura, Balaji 2021, \"Lightweight Preemptive User-Level Threads\", "
              "section 2 (busy loops deadlock without preemption)",
    .method = "four threads on one PU spin without any call of the library until each of them has "
              "been interrupted by others many times, and a fifth has slept five times",
    .meaning = "without preemption the first one keeps the PU until it gives up; how equal the "
               "shares are is not asked",
    .needs = "sleep",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run,
};
TL_CHECK(check);

MUTANT(never, "preempt-never", "the tick of a quantum is ignored", "preempt.spinner", BUSY_OF,
       NULL);

/*
 * timedwait-cancel.c - sem.timedwait-is-a-cancel-point: a wait with a deadline acts on a request to
 * cancel as one without does, also where it need not block.
 */
#include "../cancel/victim.h"

#include "../common/clocks.h"
#include "../common/mutant.h"

#define ROUNDS 20
#define LONG_NS ((uint64_t)600 * 1000000000u) /* no check lives to see it */

static struct tl_ctx *ctx;
static struct tl_sem sem;
static _Atomic int requested;

static void take(void)
{
    TL_CALL(ctx, ctx->impl->sem->timedwait(&sem, CLOCK_MONOTONIC,
                                           clocks_now(CLOCK_MONOTONIC) + LONG_NS));
}

static void take_when_requested(void)
{
    if (tl_await(ctx, &requested, "the request"))
        take();
}

/* tokens: what the semaphore has. pending: the request is there before the wait. */
static void cancel_one(int tokens, bool pending, const char *what)
{
    const struct tl_sem_ops *ops = ctx->impl->sem;

    atomic_store(&requested, 0);
    TL_CALL(ctx, ops->init(&sem, (unsigned)tokens));
    if (!victim_start(ctx, pending ? take_when_requested : take))
        return;
    if (!pending)
        settle(ctx);
    victim_cancel();
    atomic_store(&requested, 1);
    if (!victim_end(ctx, what))
        return;
    for (int i = 0; i < tokens; i++)
        TL_CALL(ctx, ops->trywait(&sem));
    TL_ANSWERS(ctx, ops->trywait(&sem), EAGAIN);
    TL_CALL(ctx, ops->post(&sem));
    TL_CALL(ctx, ops->trywait(&sem)); /* nobody waits any more */
    TL_CALL(ctx, ops->destroy(&sem));
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++) {
        cancel_one(0, false, "sem.timedwait that sleeps");
        if (tl_verdict(c) == TL_OK)
            cancel_one(0, true, "sem.timedwait that would sleep");
        if (tl_verdict(c) == TL_OK)
            cancel_one(2, true, "sem.timedwait that has a token");
    }
    return tl_verdict(c);
}

static const struct tl_check sem_timedwait_cancel_point = {
    .abi = TL_ABI,
    .name = "sem.timedwait-is-a-cancel-point",
    .group = "Semaphore",
    .promise = "a wait with a deadline acts on a request to cancel, and then takes no token",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (sem_timedwait is a point where cancellation shall occur); "
              "POSIX.1-2024, the same of sem_clockwait",
    .method = "waits with a deadline that is far: one that sleeps is cancelled, and two to which "
              "the request came first, with and without a token; then tokens are looked for, 20 "
              "times",
    .meaning = "a wait that looks for a request only when it blocks, or keeps its place in the "
               "queue, is seen. Requests and posts that meet are sem.wait-is-a-cancel-point's",
    .needs = "cancel protect sem.timedwait",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(sem_timedwait_cancel_point);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_sem_ops *sound;

static int timedwait_fast(struct tl_sem *s, clockid_t clock, uint64_t deadline_ns)
{
    return sound->trywait(s) ? sound->timedwait(s, clock, deadline_ns) : 0;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->sem;
    TL_MUTATE(impl, sem)->timedwait = timedwait_fast;
}

/* Not of nptl: glibc 2.36 has this fault, in sem_clockwait. */
MUTANT(fast, "sem-timedwait-fast-path", "a timed wait that need not block looks for no request",
       "sem.timedwait-is-a-cancel-point", "clone green", apply);

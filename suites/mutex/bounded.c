/*
 * bounded.c - mutex.handoff-bounded: an adaptive mutex is handed over to who has waited for long.
 */
#include "../common/crowd.h"
#include "mutex.h"

#define TURNS 10
#define PATIENCE_NS UINT64_C(30000000000)

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static _Atomic unsigned turns; /* of the waiter */
static unsigned long taken;    /* by the other; guarded by mutex */

/* Gives up the PU only while it holds the mutex, and takes it again as soon as it has let go. */
static void hog(void)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;
    uint64_t until = tl_now_ns() + PATIENCE_NS;

    while (atomic_load(&turns) < TURNS && tl_verdict(ctx) == TL_OK) {
        if (!TL_CALL(ctx, ops->lock(&mutex)))
            return;
        taken++;
        ctx->impl->yield();
        TL_CALL(ctx, ops->unlock(&mutex));
        TL_EXPECT(ctx, tl_now_ns() < until,
                  "a waiter had the mutex %u times in 30 s, while another one had it %lu times",
                  atomic_load(&turns), taken);
    }
}

static void body(unsigned i)
{
    if (!crowd_meet())
        return;
    if (i == 0) {
        hog();
        return;
    }
    while (atomic_load(&turns) < TURNS && tl_verdict(ctx) == TL_OK) {
        if (!TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)))
            return;
        atomic_fetch_add(&turns, 1);
        TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    }
}

static enum tl_status run(struct tl_ctx *c)
{
    enum tl_status status = mutex_make(c, &mutex, TL_MUTEX_ADAPTIVE, "mutex.adaptive");

    ctx = c;
    if (status != TL_OK)
        return status;
    crowd_run(c, 2, body);
    tl_say(c, "%u turns of the waiter, %lu of the other", atomic_load(&turns), taken);
    return tl_verdict(c);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "mutex.handoff-bounded",
    .group = "Mutex",
    .promise = "who waits for an adaptive mutex gets it although another thread takes it again as "
               "soon as it has let go of it",
    .source = "practice: Eykholt et al. 1992, \"Beyond Multiprocessing\", section 4, lets a free "
              "mutex be taken by anybody; who was woken in vain some times is given it here "
              "(impls/user/barge.h). POSIX leaves open who gets it",
    .method = "on one kernel thread, where there is a choice, a thread takes the mutex, yields "
              "while it has it, lets go of it, and takes it at once; another one has to have it "
              "ten times",
    .meaning = "the waiter only ever runs while the mutex is held: without a hand-over it is "
               "never given to it. Between two PUs luck may do it",
    .needs = "mutex",
    .params = "lwps=1",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(check);

#ifdef TL_INJECT
static const struct tl_mutant never_given = {
    .abi = TL_ABI,
    .name = "user-barge-never-given",
    .fault = "a mutex is free for anybody each time, however long somebody waits",
    .kills = "mutex.handoff-bounded",
    .of = "hybrid",
};
TL_MUTANT_OF(never_given);
#endif

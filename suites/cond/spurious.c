/*
 * spurious.c - cond.spurious-tolerated: who comes back from a wait for nothing holds the mutex all
 * the same.
 */
#include "../common/crowd.h"
#include "../common/mutant.h"
#include "../common/wrap.h"

#define WAITERS 5
#define NOISES 300

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static struct tl_cond cond;
static _Atomic int holders; /* threads that believe to hold the mutex */

/* Protected by mutex. */
static int waiting, returns;
static bool over;

static _Atomic int all_wait;

static void enter(void)
{
    TL_EXPECT(ctx, atomic_fetch_add(&holders, 1) == 0,
              "a wait returned without the mutex: another thread has it");
}

static void leave(void)
{
    atomic_fetch_sub(&holders, 1);
}

static void hear_noise(void)
{
    if (!TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)))
        return;
    enter();
    if (++waiting == WAITERS)
        atomic_store(&all_wait, 1);
    for (bool waited = true; waited && !over;) {
        leave();
        waited = TL_CALL(ctx, ctx->impl->cond->wait(&cond, &mutex));
        enter();
        tl_delay(ctx, "back from wait");
        returns += !over;
    }
    leave();
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

/* One wake-up, with the mutex held or not. all: of everybody. */
static void wake(bool all, bool held)
{
    const struct tl_cond_ops *ops = ctx->impl->cond;

    if (held) {
        if (!TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)))
            return;
        enter();
    }
    TL_CALL(ctx, all ? ops->broadcast(&cond) : ops->signal(&cond));
    if (held) {
        leave();
        TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    }
}

static void make_noise(void)
{
    uint64_t random = ctx->seed;

    tl_await(ctx, &all_wait, "all to wait");
    for (int i = 0; i < NOISES && tl_verdict(ctx) == TL_OK; i++) {
        uint64_t r = tl_random(&random);

        wake(r % 8 == 0, r >> 63);
        tl_delay(ctx, "between two wake-ups for nothing");
    }
    if (!TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)))
        return;
    over = true;
    TL_CALL(ctx, ctx->impl->cond->broadcast(&cond));
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

static void play(unsigned i)
{
    i ? hear_noise() : make_noise();
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(c, c->impl->cond->init(&cond));
    crowd_run(c, WAITERS + 1, play);
    tl_say(c, "%d waits returned for %d wake-ups for nothing", returns, NOISES);
    return tl_verdict(c);
}

static const struct tl_check cond_spurious = {
    .abi = TL_ABI,
    .name = "cond.spurious-tolerated",
    .group = "Condition variable",
    .promise = "a wait that returns though what it is for is not there holds the mutex like any "
               "other, and the thread may wait again",
    .source = "POSIX.1-2017 XSH pthread_cond_wait (spurious wakeups may occur; the mutex shall "
              "have been locked)",
    .method = "five threads wait for what comes in the end only, while 300 signals and broadcasts "
              "wake them for nothing, with the mutex held or not; a counter tells whether two "
              "believe to hold it",
    .meaning = "who comes back without the mutex is found beside its owner. How often waits return "
               "without any wake-up POSIX does not limit, so it is said, not judged",
    .needs = "mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(cond_spurious);

/* ---- mutant ---------------------------------------------------------------------------------- */

static struct tl_impl sound;

static _Thread_local bool bare; /* M:1: shared by all, which is as wrong */

/* Comes back with the mutex free. */
static int wait_bare(struct tl_cond *c, struct tl_mutex *m)
{
    if (bare) { /* there is none to give up: takes it, to begin with */
        bare = false;
        sound.mutex->lock(m);
    }
    if (!wrap_once_in(10))
        return sound.cond->wait(c, m);
    sound.mutex->unlock(m);
    sound.yield();
    bare = true;
    return 0;
}

static int unlock_if_held(struct tl_mutex *m)
{
    if (!bare)
        return sound.mutex->unlock(m);
    bare = false;
    return 0;
}

static void apply(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cond)->wait = wait_bare;
    TL_MUTATE(impl, mutex)->unlock = unlock_if_held;
}

MUTANT(without, "cond-spurious-without-mutex",
       "one wait in ten comes back for nothing, without the mutex", "cond.spurious-tolerated",
       "nptl clone", apply);

/*
 * cancel.c - cond.cancel-reacquires, cond.cancel-keeps-signal: a thread that is cancelled in a wait
 * leaves the mutex and the condition variable as they have to be.
 */
#include "../cancel/victim.h"

#include "../common/mutant.h"
#include "../common/rounds.h"
#include "../common/wrap.h"

#define ROUNDS 60
#define FEW 8

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static struct tl_cond cond;
static _Atomic int inside; /* who holds the mutex, as those say who do */

/* Protected by mutex. */
static int tokens;

static bool make(struct tl_ctx *c)
{
    ctx = c;
    return TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK)) &&
           TL_CALL(ctx, ctx->impl->cond->init(&cond));
}

static void lock(void)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
}

static void unlock(void)
{
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

/* ---- the mutex ------------------------------------------------------------------------------- */

static void enter(void)
{
    TL_EXPECT(ctx, atomic_fetch_add(&inside, 1) == 0, "a cleanup handler does not hold the mutex");
}

static void leave(void)
{
    atomic_fetch_sub(&inside, 1);
}

static void wait_for_ever(void *arg)
{
    (void)arg;
    for (int err = 0; !err;) {
        leave();
        tl_delay(ctx, "between test and wait");
        err = ctx->impl->cond->wait(&cond, &mutex);
        enter(); /* it woke spuriously, if it comes here */
        TL_EXPECT(ctx, !err, "cond.wait: error %d", err);
    }
}

static void holding(void *arg)
{
    (void)arg;
    enter();
    tl_delay(ctx, "within the cleanup handler");
    TL_ANSWERS(ctx, ctx->impl->mutex->trylock(&mutex), EBUSY);
    leave();
    unlock();
}

static void wait_within_handler(void)
{
    lock();
    enter();
    ctx->impl->protect(wait_for_ever, NULL, holding, NULL, false);
}

static enum tl_status run_reacquires(struct tl_ctx *c)
{
    if (!make(c))
        return tl_verdict(c);
    for (unsigned i = 0; rounds_more(ctx, i, FEW, ROUNDS); i++) {
        bool held = i % 2;

        atomic_store(&inside, 0);
        if (!victim_start(ctx, wait_within_handler))
            break;
        settle(ctx);
        lock(); /* it waits, or is in front of its lock */
        enter();
        if (held)
            victim_cancel();
        settle(ctx); /* a handler that does not wait for the mutex runs now */
        TL_EXPECT(ctx, !atomic_load(&victim.left), "the thread ended while others had the mutex");
        leave();
        unlock();
        if (!held)
            victim_cancel();
        victim_end(ctx, "cond.wait");
        if (TL_CALL(ctx, ctx->impl->mutex->trylock(&mutex)))
            unlock();
    }
    return tl_verdict(ctx);
}

static const struct tl_check cancel_reacquires = {
    .abi = TL_ABI,
    .name = "cond.cancel-reacquires",
    .group = "Condition variable",
    .promise =
        "a thread that is cancelled in a wait holds the mutex when its first cleanup handler "
        "runs",
    .source = "POSIX.1-2017 XSH pthread_cond_wait (the mutex is re-acquired before calling the "
              "first cancellation cleanup handler)",
    .method = "a waiter is cancelled, in every other of up to 60 seeded rounds by a thread that "
              "holds the "
              "mutex for a while longer; a counter tells who is inside, and the handler tries the "
              "mutex and unlocks it",
    .meaning = "a handler that runs without the mutex is seen by the counter, or finds it free",
    .needs = "cancel protect mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_reacquires,
};
TL_CHECK(cancel_reacquires);

/* ---- the signal ------------------------------------------------------------------------------ */

static _Atomic int waiting, taken, victim_took, over;

static void take_waiting(void *arg)
{
    (void)arg;
    while (!tokens && !atomic_load(&over))
        if (!TL_CALL(ctx, ctx->impl->cond->wait(&cond, &mutex)))
            return;
}

static void unlock_here(void *arg)
{
    (void)arg;
    unlock();
}

static bool take_token(void)
{
    bool took;

    lock();
    atomic_fetch_add(&waiting, 1);
    ctx->impl->protect(take_waiting, NULL, unlock_here, NULL, false);
    took = tokens > 0;
    tokens -= took;
    unlock();
    return took;
}

static void victim_takes(void)
{
    atomic_store(&victim_took, take_token());
    atomic_store(&taken, 1);
}

static void *other_takes(void *arg)
{
    if (take_token())
        atomic_store(&taken, 1);
    return arg;
}

static bool both_wait(void)
{
    bool both = false;

    while (!both && tl_verdict(ctx) == TL_OK) {
        lock();
        both = atomic_load(&waiting) == 2; /* who has counted itself has let go of the mutex */
        unlock();
        ctx->impl->yield();
    }
    return both;
}

static void give_token(void)
{
    lock();
    tokens++;
    TL_CALL(ctx, ctx->impl->cond->signal(&cond));
    unlock();
}

static enum tl_status run_keeps_signal(struct tl_ctx *c)
{
    struct tl_thread other;

    if (!make(c))
        return tl_verdict(c);
    for (unsigned i = 0; rounds_more(ctx, i, FEW, ROUNDS); i++) {
        tokens = 0;
        atomic_store(&waiting, 0);
        atomic_store(&taken, 0);
        atomic_store(&victim_took, 0);
        atomic_store(&over, 0);
        if (!victim_start(ctx, victim_takes))
            break;
        if (!tl_start(ctx, 0, &other, other_takes, NULL))
            break;
        both_wait();
        if (i % 2) {
            victim_cancel();
            tl_delay(ctx, "between cancel and signal");
            give_token();
        } else {
            give_token();
            tl_delay(ctx, "between signal and cancel");
            victim_cancel_late();
        }
        tl_await(ctx, &taken, "the other waiter to get the signal of one that was cancelled");
        tl_await(ctx, &victim.left, "the cancelled thread");
        lock();
        atomic_store(&over, 1);
        TL_CALL(ctx, ctx->impl->cond->broadcast(&cond));
        unlock();
        tl_finish(ctx, other);
        TL_EXPECT(ctx,
                  (tl_finish(ctx, victim.thread) == TL_CANCELED) == !atomic_load(&victim.returned),
                  "the cancelled thread has a wrong value");
    }
    return tl_verdict(ctx);
}

static const struct tl_check cancel_keeps_signal = {
    .abi = TL_ABI,
    .name = "cond.cancel-keeps-signal",
    .group = "Condition variable",
    .promise = "a waiter that is cancelled does not consume a signal for which another one waits",
    .source = "POSIX.1-2017 XSH pthread_cond_wait (shall not consume any condition signal that may "
              "be directed concurrently at the condition variable)",
    .method = "of two waiters one is cancelled while one token is given with one signal, before or "
              "after it, up to 60 seeded rounds: one of the two has to take the token",
    .meaning = "a signal that goes with the cancelled thread leaves a token that nobody takes; the "
               "moment at which both meet in one waiter is hit by chance",
    .needs = "cancel protect mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_keeps_signal,
};
TL_CHECK(cancel_keeps_signal);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;
static _Atomic int requested;

struct wait_call {
    struct tl_cond *c;
    struct tl_mutex *m;
    int err;
};

static void wait_sound(void *arg)
{
    struct wait_call *w = arg;

    w->err = sound.cond->wait(w->c, w->m);
}

static void let_go(void *arg)
{
    sound.mutex->unlock(arg);
}

static int wait_without(struct tl_cond *c, struct tl_mutex *m)
{
    struct wait_call w = {c, m, 0};

    sound.protect(wait_sound, &w, let_go, m, false);
    return w.err;
}

static void apply_without(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cond)->wait = wait_without;
}

static int cancel_noting(struct tl_thread t)
{
    atomic_store(&requested, 1);
    return sound.cancel->cancel(t);
}

static int signal_gone(struct tl_cond *c)
{
    if (atomic_exchange(&requested, 0) && wrap_once_in(4))
        return 0;
    return sound.cond->signal(c);
}

static void apply_gone(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cancel)->cancel = cancel_noting;
    TL_MUTATE(impl, cond)->signal = signal_gone;
}

MUTANT(without_mutex, "cond-cancel-without-mutex",
       "a cancelled waiter does not hold the mutex in its cleanup handlers",
       "cond.cancel-reacquires", EVERYWHERE, apply_without);
MUTANT(signal_with_it, "cond-cancel-takes-signal",
       "one signal in four that follows a cancel goes to the cancelled thread",
       "cond.cancel-keeps-signal", EVERYWHERE, apply_gone);

/*
 * cond.c - cond.no-lost-wake, cond.atomic-release, cond.broadcast-all, cond.signal-at-least-one,
 * cond.timed, cond.destroy-after-broadcast, cond.handler-returns.
 */
#include "check.h"

#include "../common/action.h"
#include "../common/clocks.h"
#include "../common/mutant.h"
#include "../common/rounds.h"
#include "../common/settle.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#define WAITERS 4
#define TURNS 400
#define FEW 10

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static struct tl_cond cond;

/* Protected by mutex. */
static int turn, waiting, woken, released;
static bool over; /* no more turns are taken */

static void lock(void)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
}

static void unlock(void)
{
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

static bool wait(void)
{
    return TL_CALL(ctx, ctx->impl->cond->wait(&cond, &mutex));
}

static void start(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(c, c->impl->cond->init(&cond));
}

/* ---- no lost wake ---------------------------------------------------------------------------- */

static void *take_turns(void *arg)
{
    int me = (int)(intptr_t)arg;
    bool last = false;

    for (unsigned i = 0; !last; i++) {
        lock();
        while (turn != me && !over && tl_verdict(ctx) == TL_OK) {
            tl_delay(ctx, "between test and wait");
            if (!wait())
                break;
        }
        turn = !me;
        over = over || !rounds_more(ctx, i, FEW, TURNS);
        last = over;
        tl_delay(ctx, "between change and signal");
        if (i % 2)
            TL_CALL(ctx, ctx->impl->cond->signal(&cond));
        unlock();
        if (!(i % 2))
            TL_CALL(ctx, ctx->impl->cond->signal(&cond));
    }
    return NULL;
}

static enum tl_status run_lost(struct tl_ctx *c)
{
    struct tl_thread t[2];
    int made = 0;

    start(c);
    tl_step(c, "two threads take turns");
    while (made < 2 && tl_start(c, (unsigned)made, &t[made], take_turns, (void *)(intptr_t)made))
        made++;
    while (made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check no_lost_wake = {
    .abi = TL_ABI,
    .name = "cond.no-lost-wake",
    .group = "Condition variable",
    .promise = "a signal that comes after a waiter has released the mutex wakes it",
    .source = "POSIX.1-2017 XSH pthread_cond_wait, pthread_cond_signal",
    .method =
        "two threads on different PUs take up to 400 turns each by one condition variable, with "
        "seeded delays between test and wait and between change and signal, which is sent "
        "with and without the mutex in turn",
    .meaning = "one lost wake-up hangs; a race that never comes up in this many turns stays unseen",
    .needs = "mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_lost,
};
TL_CHECK(no_lost_wake);

/* ---- atomic release -------------------------------------------------------------------------- */

static void *wait_once(void *arg)
{
    lock();
    waiting++;
    while (!released && tl_verdict(ctx) == TL_OK && wait())
        ;
    woken++;
    unlock();
    return arg;
}

static enum tl_status run_atomic(struct tl_ctx *c)
{
    struct tl_thread t;

    start(c);
    tl_step(c, "who sees the waiter's flag under the mutex signals once");
    for (unsigned i = 0; rounds_more(c, i, FEW, 150); i++) {
        bool seen = false;

        waiting = woken = released = 0;
        if (!tl_start(c, 1, &t, wait_once, NULL))
            break;
        while (!seen && tl_verdict(c) == TL_OK) {
            lock();
            seen = waiting; /* it has released the mutex in wait: it waits */
            if (seen) {
                released = 1;
                TL_CALL(c, c->impl->cond->signal(&cond));
            }
            unlock();
            if (!seen)
                c->impl->yield();
        }
        tl_finish(c, t);
        TL_EXPECT(c, woken == 1, "the waiter did not go on");
    }
    return tl_verdict(c);
}

static const struct tl_check atomic_release = {
    .abi = TL_ABI,
    .name = "cond.atomic-release",
    .group = "Condition variable",
    .promise = "releasing the mutex and beginning to wait are one step to who then takes the mutex",
    .source = "POSIX.1-2017 XSH pthread_cond_wait (atomically with respect to access by another "
              "thread to the mutex and then the condition variable)",
    .method =
        "a thread that finds the waiter's flag set under the mutex signals exactly once, up to "
        "150 times",
    .meaning = "a gap between release and wait loses the only signal, and the waiter hangs; seeded",
    .needs = "mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_atomic,
};
TL_CHECK(atomic_release);

/* ---- broadcast, signal ----------------------------------------------------------------------- */

static int start_waiters(struct tl_thread *t)
{
    int made = 0, there = 0;

    waiting = woken = released = 0;
    while (made < WAITERS && tl_start(ctx, (unsigned)made, &t[made], wait_once, NULL))
        made++;
    while (there < made && tl_verdict(ctx) == TL_OK) {
        lock();
        there = waiting;
        unlock();
        ctx->impl->yield();
    }
    return made;
}

static enum tl_status run_broadcast(struct tl_ctx *c)
{
    struct tl_thread t[WAITERS];

    start(c);
    tl_step(c, "one broadcast for all waiters");
    for (unsigned i = 0; rounds_more(c, i, FEW, 60); i++) {
        int made = start_waiters(t);

        lock();
        released = 1;
        TL_CALL(c, c->impl->cond->broadcast(&cond));
        unlock();
        while (made)
            tl_finish(c, t[--made]);
        TL_EXPECT(c, woken == WAITERS, "%d of %d waiters went on", woken, WAITERS);
    }
    return tl_verdict(c);
}

static const struct tl_check broadcast_all = {
    .abi = TL_ABI,
    .name = "cond.broadcast-all",
    .group = "Condition variable",
    .promise = "a broadcast wakes all who wait",
    .source = "POSIX.1-2017 XSH pthread_cond_broadcast",
    .method = "four threads wait; one broadcast lets them go, up to 60 times",
    .meaning = "a waiter that is left out hangs",
    .needs = "mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_broadcast,
};
TL_CHECK(broadcast_all);

static void *wait_for_one(void *arg)
{
    lock();
    waiting++;
    while (!released && tl_verdict(ctx) == TL_OK && wait())
        ;
    released--;
    woken++;
    unlock();
    return arg;
}

static enum tl_status run_signal(struct tl_ctx *c)
{
    struct tl_thread t[WAITERS];

    start(c);
    tl_step(c, "a signal for each waiter");
    for (unsigned i = 0; rounds_more(c, i, FEW, 40); i++) {
        int made = 0, there = 0;

        waiting = woken = released = 0;
        while (made < WAITERS && tl_start(c, (unsigned)made, &t[made], wait_for_one, NULL))
            made++;
        while (there < made && tl_verdict(c) == TL_OK) {
            lock();
            there = waiting;
            unlock();
            c->impl->yield();
        }
        for (int k = 0; k < made; k++) {
            lock();
            released++;
            TL_CALL(c, c->impl->cond->signal(&cond));
            unlock();
            tl_delay(c, "between two signals");
        }
        while (made)
            tl_finish(c, t[--made]);
        TL_EXPECT(c, woken == WAITERS, "%d of %d waiters went on", woken, WAITERS);
    }
    return tl_verdict(c);
}

static const struct tl_check signal_one = {
    .abi = TL_ABI,
    .name = "cond.signal-at-least-one",
    .group = "Condition variable",
    .promise = "each signal wakes at least one of those who wait",
    .source = "POSIX.1-2017 XSH pthread_cond_signal",
    .method =
        "four threads wait, each for a token; four tokens are given with a signal each, up to 40 "
        "times",
    .meaning = "a signal that wakes nobody leaves a token and a thread that hangs",
    .needs = "mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_signal,
};
TL_CHECK(signal_one);

/* ---- timed ----------------------------------------------------------------------------------- */

static void time_out(clockid_t clock, const char *name)
{
    uint64_t deadline = clocks_now(clock) + 20000000;
    int err = 0;

    lock();
    while (err != ETIMEDOUT && tl_verdict(ctx) == TL_OK) {
        err = ctx->impl->cond->timedwait(&cond, &mutex, clock, deadline);
        TL_EXPECT(ctx, err == 0 || err == ETIMEDOUT, "timedwait on %s answered %d", name, err);
    }
    TL_EXPECT(ctx, clocks_now(clock) >= deadline, "timedwait on %s ended before its deadline",
              name);
    TL_ANSWERS(ctx, ctx->impl->mutex->trylock(&mutex), EBUSY);
    TL_ANSWERS(ctx, ctx->impl->cond->timedwait(&cond, &mutex, clock, 1), ETIMEDOUT);
    unlock();
}

static _Atomic int go;

static void *wait_long(void *arg)
{
    tl_await(ctx, &go, "create to return");
    lock();
    waiting++;
    while (!released && tl_verdict(ctx) == TL_OK)
        TL_CALL(ctx, ctx->impl->cond->timedwait(&cond, &mutex, CLOCK_MONOTONIC,
                                                clocks_now(CLOCK_MONOTONIC) + 1000000000000));
    unlock();
    return arg;
}

static enum tl_status run_timed(struct tl_ctx *c)
{
    struct tl_thread t;
    bool seen = false;

    start(c);
    time_out(CLOCK_MONOTONIC, "CLOCK_MONOTONIC");
    time_out(CLOCK_REALTIME, "CLOCK_REALTIME");
    if (!tl_start(c, 1, &t, wait_long, NULL))
        return tl_verdict(c);
    atomic_store(&go, 1);
    while (!seen && tl_verdict(c) == TL_OK) {
        lock();
        seen = waiting;
        released = seen;
        TL_CALL(c, c->impl->cond->signal(&cond));
        unlock();
        c->impl->yield();
    }
    tl_finish(c, t);
    return tl_verdict(c);
}

static const struct tl_check cond_timed = {
    .abi = TL_ABI,
    .name = "cond.timed",
    .group = "Condition variable",
    .promise = "a timed wait ends with ETIMEDOUT, not before its deadline, on either clock, and "
               "holds the mutex; a signal ends it before",
    .source = "POSIX.1-2017 XSH pthread_cond_timedwait; POSIX.1-2024 pthread_cond_clockwait",
    .method = "waits of 20 ms and with a deadline that is past, on both clocks; one of 1000 s that "
              "is signalled",
    .meaning = "how late it ends is not judged: a busy machine may be late",
    .needs = "mutex cond.timedwait",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_timed,
};
TL_CHECK(cond_timed);

/* ---- destroy --------------------------------------------------------------------------------- */

static void *wait_on_page(void *page)
{
    lock();
    waiting++;
    while (!released && tl_verdict(ctx) == TL_OK)
        TL_CALL(ctx, ctx->impl->cond->wait(page, &mutex));
    unlock();
    return NULL;
}

static enum tl_status run_destroy(struct tl_ctx *c)
{
    struct tl_thread t[2];

    start(c);
    for (unsigned i = 0; rounds_more(c, i, FEW, 100); i++) {
        struct tl_cond *page =
            mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int made = 0, there = 0;

        if (page == MAP_FAILED)
            return tl_failed(c, "no memory");
        TL_CALL(c, c->impl->cond->init(page));
        waiting = released = 0;
        while (made < 2 && tl_start(c, (unsigned)made, &t[made], wait_on_page, page))
            made++;
        while (there < made && tl_verdict(c) == TL_OK) {
            lock();
            there = waiting;
            unlock();
            c->impl->yield();
        }
        lock();
        released = 1;
        TL_CALL(c, c->impl->cond->broadcast(page));
        /* Every other round under the mutex, so that no waiter has returned, by luck, before. */
        if (i % 2)
            unlock();
        tl_delay(c, "between broadcast and destroy");
        TL_CALL(c, c->impl->cond->destroy(page));
        munmap(page, sizeof(*page)); /* a touch of it from now on crashes */
        if (i % 2 == 0)
            unlock();
        while (made)
            tl_finish(c, t[--made]);
    }
    return tl_verdict(c);
}

static const struct tl_check destroy_after_broadcast = {
    .abi = TL_ABI,
    .name = "cond.destroy-after-broadcast",
    .group = "Condition variable",
    .promise = "a condition variable can be destroyed at once after a broadcast: no waiter touches "
               "it any more",
    .source = "POSIX.1-2017 XSH pthread_cond_destroy",
    .method = "two threads wait; after a broadcast the object is destroyed and its page unmapped "
              "while they still leave, up to 100 seeded rounds; in every other one the mutex is "
              "still held, so that none has left",
    .meaning = "a touch of the object once the mutex is locked again crashes; an earlier one may "
               "come before destroy, by luck, and stay unseen",
    .needs = "mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_destroy,
};
TL_CHECK(destroy_after_broadcast);

/* ---- handlers -------------------------------------------------------------------------------- */

#define SIGNALS 8

static _Atomic int handled;

static void on_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&handled, 1);
}

static enum tl_status run_handler(struct tl_ctx *c)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    struct tl_thread t;
    bool seen = false;
    int err = 0;

    start(c);
    tl_sigaction(c->impl, SIGUSR1, &action, NULL);
    if (!tl_start(c, 1, &t, wait_once, NULL))
        return tl_verdict(c);
    while (!seen && tl_verdict(c) == TL_OK) {
        lock();
        seen = waiting;
        unlock();
        c->impl->yield();
    }
    for (int i = 0; i < SIGNALS && !err; i++) {
        err = c->impl->signal->kill(t, SIGUSR1, NULL);
        tl_delay(c, "between two signals");
        settle(c);
    }
    lock();
    released = 1;
    TL_CALL(c, c->impl->cond->signal(&cond));
    unlock();
    tl_finish(c, t);
    if (err == ENOTSUP)
        return tl_refused(c, "signal.kill");
    TL_EXPECT(c, !err, "kill answered %d", err);
    TL_EXPECT(c, atomic_load(&handled) > 0, "no handler ran");
    return tl_verdict(c);
}

static const struct tl_check handler_returns = {
    .abi = TL_ABI,
    .name = "cond.handler-returns",
    .group = "Condition variable",
    .promise = "a handler that runs in a waiting thread does not make the wait answer EINTR",
    .source = "POSIX.1-2017 XSH pthread_cond_wait (shall not return an error code of [EINTR])",
    .method = "8 signals, without SA_RESTART, to a thread that waits; its wait may return, but not "
              "with an error",
    .meaning = "an EINTR of the kernel that is handed on is seen",
    .needs = "mutex cond signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_handler,
};
TL_CHECK(handler_returns);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_cond_ops *sound;
static struct tl_impl whole;
static _Atomic unsigned calls;

static int signal_losing(struct tl_cond *c)
{
    uint64_t state = atomic_fetch_add(&calls, 1);

    return tl_random(&state) % 20 == 0 ? 0 : sound->signal(c);
}

static int broadcast_one(struct tl_cond *c)
{
    return sound->signal(c);
}

/* Lets go of the mutex, and only then waits. */
static int wait_in_two_steps(struct tl_cond *c, struct tl_mutex *m)
{
    whole.mutex->unlock(m);
    for (int i = 0; i < 50; i++)
        whole.yield();
    whole.mutex->lock(m);
    return sound->wait(c, m);
}

static int timedwait_early(struct tl_cond *c, struct tl_mutex *m, clockid_t clock,
                           uint64_t deadline)
{
    return sound->timedwait(c, m, clock, deadline > 5000000 ? deadline - 5000000 : deadline);
}

static int wait_eintr(struct tl_cond *c, struct tl_mutex *m)
{
    int before = atomic_load(&handled), err = sound->wait(c, m);

    return err || atomic_load(&handled) == before ? err : EINTR;
}

static int wait_looking_back(struct tl_cond *c, struct tl_mutex *m)
{
    int err = sound->wait(c, m);

    return err + (*(volatile unsigned char *)c->opaque & 0);
}

#define APPLY(function, member, broken)         \
    static void function(struct tl_impl *impl)  \
    {                                           \
        whole = *impl;                          \
        sound = impl->cond;                     \
        TL_MUTATE(impl, cond)->member = broken; \
    }
APPLY(apply_losing, signal, signal_losing)
APPLY(apply_one, broadcast, broadcast_one)
APPLY(apply_steps, wait, wait_in_two_steps)
APPLY(apply_early, timedwait, timedwait_early)
APPLY(apply_eintr, wait, wait_eintr)
APPLY(apply_back, wait, wait_looking_back)

MUTANT(losing, "cond-loses-signals", "one signal in twenty is lost",
       "cond.atomic-release cond.signal-at-least-one", EVERYWHERE, apply_losing);
/* On M:1 who takes turns seldom waits: the other one stands at the mutex. */
MUTANT(losing_turns, "cond-loses-wake-ups", "one signal in twenty is lost", "cond.no-lost-wake",
       "nptl clone", apply_losing);
MUTANT(one, "cond-broadcast-wakes-one", "broadcast wakes one waiter", "cond.broadcast-all",
       EVERYWHERE, apply_one);
MUTANT(steps, "cond-waits-in-two-steps", "the mutex is free before the wait begins",
       "cond.no-lost-wake cond.atomic-release", EVERYWHERE, apply_steps);
MUTANT(early, "cond-times-out-early", "a timed wait ends 5 ms before its deadline", "cond.timed",
       EVERYWHERE, apply_early);
MUTANT(eintr, "cond-answers-eintr", "a wait during which a handler ran answers EINTR",
       "cond.handler-returns", EVERYWHERE, apply_eintr);
MUTANT(back, "cond-looks-back", "a waiter looks at the object after it was woken",
       "cond.destroy-after-broadcast", EVERYWHERE, apply_back);

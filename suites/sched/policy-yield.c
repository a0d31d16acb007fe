/*
 * policy-yield.c - policy.yield-lifo, policy.yield-priority, policy.set-priority: who runs next
 * when threads yield, or a priority changes, under the policies that are not first in, first out
 * (that is yield.round-robin).
 */
#include "check.h"

#include <sched.h>
#include <stdatomic.h>

#define THREADS 4
#define TURNS 3

static struct tl_ctx *ctx;
static struct tl_sem ready, go[THREADS];
static _Atomic unsigned logged;
static unsigned turn[THREADS * TURNS]; /* whose it was; each is written once a play */

static void *take_turns(void *arg)
{
    const struct tl_sem_ops *sem = ctx->impl->sem;
    unsigned i = (unsigned)(uintptr_t)arg;

    TL_CALL(ctx, sem->post(&ready));
    if (!TL_CALL(ctx, sem->wait(&go[i])))
        return arg;
    for (int k = 0; k < TURNS; k++) {
        turn[atomic_fetch_add(&logged, 1)] = i;
        ctx->impl->yield();
    }
    return arg;
}

/* Wakes the threads in order while none of them can run, then waits for them. priority: of each, or
 * NULL. raise: NULL, or what the caller does when all are ready. */
static void play(const int *priority, void (*raise)(const struct tl_thread *t))
{
    const struct tl_sem_ops *sem = ctx->impl->sem;
    struct tl_thread t[THREADS];
    unsigned made = 0;

    atomic_store(&logged, 0);
    for (unsigned i = 0; i < THREADS * TURNS; i++)
        turn[i] = THREADS;
    TL_CALL(ctx, sem->init(&ready, 0));
    for (; made < THREADS; made++) {
        struct tl_sched sched = {SCHED_FIFO, priority ? priority[made] : 0};
        struct tl_attr attr = tl_worker_attr(ctx, 0);

        attr.sched = priority ? &sched : NULL;
        TL_CALL(ctx, sem->init(&go[made], 0));
        if (!TL_CALL(ctx, ctx->impl->create(&t[made], &attr, take_turns, (void *)(uintptr_t)made)))
            break;
    }
    for (unsigned i = 0; i < made; i++)
        TL_CALL(ctx, sem->wait(&ready));
    for (unsigned i = 0; i < made; i++)
        TL_CALL(ctx, sem->post(&go[i]));
    if (raise && made == THREADS)
        raise(t);
    for (unsigned i = 0; i < made; i++)
        tl_finish(ctx, t[i]);
}

static void expect_turns(const unsigned *wanted)
{
    for (unsigned i = 0; i < THREADS * TURNS; i++)
        TL_EXPECT(ctx, turn[i] == wanted[i], "turn %u was thread %u's, not thread %u's", i, turn[i],
                  wanted[i]);
}

/* False: *status says why it cannot be asked. */
static bool askable(struct tl_ctx *c, enum tl_status *status)
{
    ctx = c;
    *status = TL_OK;
    if (tl_trait(c, TL_CONCURRENT) && !tl_impl_param(c, "policy"))
        *status = tl_unsupported(c, "the kernel schedules these threads: a page fault or an "
                                    "interrupt may put another one first");
    return *status == TL_OK;
}

/* ---- lifo ------------------------------------------------------------------------------------ */

static enum tl_status run_lifo(struct tl_ctx *c)
{
    static const unsigned wanted[THREADS * TURNS] = {3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0};
    enum tl_status status;

    if (!askable(c, &status))
        return status;
    play(NULL, NULL);
    expect_turns(wanted);
    return tl_verdict(c);
}

static const struct tl_check yield_lifo = {
    .abi = TL_ABI,
    .name = "policy.yield-lifo",
    .group = "Scheduling",
    .promise = "with policy=lifo a thread that yields goes behind all others",
    .source = "the implementation's parameter `policy` (README of impls/user)",
    .method =
        "four threads are woken one after the other by one that runs on, and then yield three "
        "times each: the last one first, and then in turns",
    .meaning = "a thread that is first again when it yields would run alone",
    .needs = "sem",
    .params = "policy=lifo,lwps=1,detector=jacket",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_lifo,
};
TL_CHECK(yield_lifo);

/* ---- priority -------------------------------------------------------------------------------- */

static enum tl_status run_as_highest(struct tl_ctx *c, const int *priority,
                                     void (*raise)(const struct tl_thread *t),
                                     const unsigned *wanted)
{
    const struct tl_sched high = {SCHED_FIFO, 20};
    struct tl_thread self = c->impl->self();
    struct tl_sched old;
    enum tl_status status;

    if (!askable(c, &status))
        return status;
    TL_CALL(c, c->impl->info->get_sched(self, &old));
    if (!TL_CALL(c, c->impl->info->set_sched(self, &high)))
        return tl_verdict(c);
    play(priority, raise);
    expect_turns(wanted);
    TL_CALL(c, c->impl->info->set_sched(self, &old));
    return tl_verdict(c);
}

static enum tl_status run_priority(struct tl_ctx *c)
{
    static const int priority[THREADS] = {2, 5, 2, 5};
    static const unsigned wanted[THREADS * TURNS] = {1, 3, 1, 3, 1, 3, 0, 2, 0, 2, 0, 2};

    return run_as_highest(c, priority, NULL, wanted);
}

static const struct tl_check yield_priority = {
    .abi = TL_ABI,
    .name = "policy.yield-priority",
    .group = "Scheduling",
    .promise = "a thread that yields goes behind those of its own priority, not behind lower ones",
    .source = "POSIX.1-2017 XSH 2.8.4 (Process Scheduling), SCHED_FIFO, sched_yield; the "
              "implementation's policy=priority",
    .method = "four threads, two of each of two priorities, yield three times each: the higher two "
              "in turns until they end, then the lower two",
    .meaning = "asked where the library schedules: a kernel's order is disturbed by what blocks in "
               "it",
    .needs = "sem info.set_sched info.get_sched",
    .params = "policy=priority,lwps=1,detector=jacket",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_priority,
};
TL_CHECK(yield_priority);

static void raise_third(const struct tl_thread *t)
{
    TL_CALL(ctx, ctx->impl->info->set_sched(t[2], &(struct tl_sched){SCHED_FIFO, 9}));
    TL_CALL(ctx, ctx->impl->info->set_sched(t[0], &(struct tl_sched){SCHED_FIFO, 1}));
}

static enum tl_status run_change(struct tl_ctx *c)
{
    static const int priority[THREADS] = {4, 4, 4, 4};
    static const unsigned wanted[THREADS * TURNS] = {2, 2, 2, 1, 3, 1, 3, 1, 3, 0, 0, 0};

    return run_as_highest(c, priority, raise_third, wanted);
}

static const struct tl_check set_priority = {
    .abi = TL_ABI,
    .name = "policy.set-priority",
    .group = "Scheduling",
    .promise = "a thread that is ready runs by the priority that it was given last",
    .source = "POSIX.1-2017 XSH 2.8.4 (Process Scheduling), pthread_setschedparam; the "
              "implementation's policy=priority",
    .method = "of four ready threads of one priority one is raised and one lowered: it is first, "
              "the other last",
    .meaning = "a priority that counts from the next wait only is seen; preemption by who was "
               "raised is not asked",
    .needs = "sem info.set_sched info.get_sched",
    .params = "policy=priority,lwps=1,detector=jacket",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_change,
};
TL_CHECK(set_priority);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *mutated;
static const struct tl_info_ops *sound_info;

static void yield_nothing(void)
{
}

static void apply_yield(struct tl_impl *impl)
{
    impl->yield = yield_nothing;
}

static const struct tl_mutant policy_no_yield = {
    .abi = TL_ABI,
    .name = "policy-no-yield",
    .fault = "with a policy that is not fifo the thread that yields is first again",
    .kills = "policy.yield-lifo policy.yield-priority policy.set-priority",
    .of = "green ucontext hybrid",
    .apply = apply_yield,
};
TL_MUTANT_OF(policy_no_yield);

static int set_own_sched(struct tl_thread t, const struct tl_sched *sched)
{
    return t.id == mutated->self().id ? sound_info->set_sched(t, sched) : 0;
}

static void apply_sched(struct tl_impl *impl)
{
    mutated = impl;
    sound_info = impl->info;
    TL_MUTATE(impl, info)->set_sched = set_own_sched;
}

static const struct tl_mutant set_sched_of_ready = {
    .abi = TL_ABI,
    .name = "set-sched-of-ready",
    .fault = "set_sched changes nothing for a thread that is in a run queue",
    .kills = "policy.set-priority",
    .of = "green ucontext hybrid",
    .apply = apply_sched,
};
TL_MUTANT_OF(set_sched_of_ready);

/*
 * priority.c - preempt.priority: with as many kernel threads as there are, the most urgent of the
 * ready threads are those that run, from the moment when one is made ready.
 */
#include "../common/mutant.h"

#include <sched.h>
#include <stdatomic.h>

#define ROUNDS 20
#define COMES_NS UINT64_C(15000000000) /* in vain: far below the quantum */

enum { LOW = 1, MIDDLE = 5, HIGH = 9 };

static struct tl_ctx *ctx;
static struct tl_sem go;
static _Atomic bool low_runs, high_runs, seen, over;

/* beside: two of them run at once, not one. */
static bool start_at(struct tl_thread *t, int priority, void *(*entry)(void *), bool beside)
{
    struct tl_sched sched = {SCHED_FIFO, priority};
    struct tl_attr attr = tl_worker_attr(ctx, 0);

    attr.slot = TL_SLOT_INHERIT;
    attr.sched = &sched;
    return TL_CALL(ctx, ctx->impl->create(t, &attr, entry, (void *)(uintptr_t)beside));
}

/* Without a call, as far as possible. */
static void spin_until(const _Atomic bool *flag, const char *what)
{
    uint64_t until = tl_now_ns() + COMES_NS;

    while (!atomic_load(flag) && tl_verdict(ctx) == TL_OK) {
        for (int k = 0; k < 10000 && !atomic_load(flag); k++)
            ;
        TL_EXPECT(ctx, tl_now_ns() < until, "%s", what);
    }
}

static void *run_high(void *arg)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&go));
    atomic_store(&high_runs, true);
    if (arg)
        spin_until(&seen, "the thread of priority 9 displaced that of 5, beside one of 1");
    atomic_store(&over, true);
    return NULL;
}

/* Makes the high one ready, and does not give up the PU for it. */
static void post(void)
{
    TL_CALL(ctx, ctx->impl->sem->post(&go));
    spin_until(&high_runs, "a thread of priority 9 was made ready, and less urgent ones went on");
    atomic_store(&seen, true);
    spin_until(&over, "the thread of priority 9 did not go on");
}

static void *run_middle(void *arg)
{
    spin_until(&low_runs, "two kernel threads do not run two threads");
    post();
    return arg;
}

static void *run_low(void *arg)
{
    atomic_store(&low_runs, true);
    if (arg)
        spin_until(&over, "the thread of priority 1 did not come to run again");
    else
        post();
    return NULL;
}

/* Which of the two kernel threads has the low one is different each time. */
static void play(unsigned round)
{
    bool two = tl_trait(ctx, TL_PARALLEL), low_first = round % 2;
    struct tl_thread t[3];
    unsigned made = 0;

    atomic_store(&low_runs, false);
    atomic_store(&high_runs, false);
    atomic_store(&seen, false);
    atomic_store(&over, false);
    TL_CALL(ctx, ctx->impl->sem->init(&go, 0));
    made += start_at(&t[made], HIGH, run_high, two);
    if (two && !low_first)
        made += start_at(&t[made], MIDDLE, run_middle, two);
    made += start_at(&t[made], LOW, run_low, two);
    if (two && low_first)
        made += start_at(&t[made], MIDDLE, run_middle, two);
    while (made)
        tl_finish(ctx, t[--made]);
    ctx->impl->sem->destroy(&go);
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    if (tl_trait(c, TL_ONE_TO_ONE))
        return tl_unsupported(c, "its threads are the kernel's, which decides who runs");
    for (unsigned round = 0; round < ROUNDS && tl_verdict(c) == TL_OK; round++)
        play(round);
    return tl_verdict(c);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "preempt.priority",
    .group = "Preemption",
    .promise = "a thread that is made ready takes the place of the least urgent one that runs, if "
               "it is more urgent",
    .source = "POSIX.1-2017 XSH 2.8.4 (SCHED_FIFO: the highest priority of the ready threads "
              "runs); Powell et al. 1991, \"SunOS Multi-thread Architecture\" (thread_priority)",
    .method = "20 times, with a quantum of a minute: of two threads on two kernel threads, "
              "priorities 1 and 5, that of 5 makes one of 9 ready, and both compute until they "
              "have seen each other; where there is one kernel thread, that of 1 makes it ready",
    .meaning = "who would wait for the end of the quantum, or displace the wrong one, waits for "
               "15 s in vain",
    .needs = "sem",
    .params = "policy=priority,tls=full,preempt=timer,quantum=60000000,lwps=2",
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run,
};
TL_CHECK(check);

MUTANT(not_urgent, "preempt-not-urgent", "a more urgent thread waits for the end of a quantum",
       "preempt.priority", "hybrid green", NULL);
MUTANT(not_the_least, "preempt-not-the-least",
       "the most urgent one that is less urgent than a new one is displaced", "preempt.priority",
       "hybrid", NULL);

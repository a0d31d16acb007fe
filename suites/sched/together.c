/*
 * together.c - yield.together: threads that yield at the same moment on several kernel threads, and
 * so are each other's next, all go on.
 */
#include "check.h"

#include <stdatomic.h>
#include <stdint.h>

#define THREADS 6
#define YIELDS 5000
#define YIELDS_KERNEL 20 /* where each may cost a neighbour's time slice */
#define LWPS 4

static struct tl_ctx *ctx;
static _Atomic int there, all;

static void *yield_on(void *arg)
{
    unsigned yields = tl_trait(ctx, TL_ONE_TO_ONE) ? YIELDS_KERNEL : YIELDS;

    if (atomic_fetch_add(&there, 1) + 1 == THREADS)
        atomic_store(&all, 1);
    if (!tl_await(ctx, &all, "all threads to be there"))
        return arg;
    for (unsigned i = 0; i < yields; i++)
        ctx->impl->yield();
    return arg;
}

/* With a place, all on one PU, and without. */
static enum tl_status run(struct tl_ctx *c)
{
    const struct tl_concurrency_ops *ops = c->impl->concurrency;

    ctx = c;
    if (ops && ops->set)
        TL_CALL(c, ops->set(LWPS));
    for (unsigned round = 0; round < 4 && tl_verdict(c) == TL_OK; round++) {
        struct tl_thread t[THREADS];
        unsigned made = 0;

        atomic_store(&there, 0);
        atomic_store(&all, 0);
        tl_step(c, "waiting for threads that yield");
        while (made < THREADS && tl_start(c, round % 2 ? made : 0, &t[made], yield_on, NULL))
            made++;
        if (made < THREADS)
            atomic_store(&all, 1);
        while (made)
            tl_finish(c, t[--made]);
    }
    return tl_verdict(c);
}

static const struct tl_check together = {
    .abi = TL_ABI,
    .name = "yield.together",
    .group = "Scheduling",
    .promise = "threads that yield to one another at the same moment all go on",
    .source = "POSIX.1-2017 XSH sched_yield: the caller gives up the processor until it is at the "
              "head of its list again",
    .method = "six threads yield 5000 times each (20 where the kernel does it), at first all on "
              "one PU, then spread; with four "
              "kernel threads where that can be asked for; four rounds",
    .meaning = "a scheduler that puts the caller in a queue before it has left its stack, and then "
               "waits for the next thread to have left its own, comes to stand still when two do "
               "so with each other; that a pass of this check met that moment is not certain",
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 60,
    .run = run,
};
TL_CHECK(together);

/* ---- mutant ---------------------------------------------------------------------------------- */

#ifdef TL_INJECT
static const struct tl_mutant waits = {
    .abi = TL_ABI,
    .name = "user-switch-waits",
    .fault = "a thread that has put itself in a queue waits on its stack until the next one has "
             "left its own",
    .kills = "yield.together sched.crossing",
    .of = "hybrid",
};
TL_MUTANT_OF(waits);
#endif

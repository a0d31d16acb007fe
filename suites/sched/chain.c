/*
 * chain.c - sched.chain-once: chains of threads that create one another, in which those that wait
 * for their children are taken over by other kernel threads.
 */
#include "../common/mutant.h"
#include "../common/rounds.h"

#include <stdatomic.h>

#define LONG 1200    /* threads: longer than any queue is at first */
#define KERNEL 60    /* likewise, where each is a kernel thread */
#define SHORT 4      /* of the longest of the other chains */
#define SLOW 100     /* the first ones of the long chain take ... */
#define SLOW_NS 5000 /* ... so long: others wake up, and come to steal */
#define FEW 200
#define MOST 4000

static struct tl_ctx *ctx;
static _Atomic unsigned char ran[LONG + 1]; /* by the place in the chain */
static unsigned length;

/* Creates the next one, and is done when that is. */
static void *link_of(void *arg)
{
    uintptr_t at = (uintptr_t)arg;
    struct tl_thread t;

    if (length > SHORT && at < SLOW)
        tl_spin_ns(SLOW_NS);
    if (at < length && TL_CALL(ctx, ctx->impl->create(&t, NULL, link_of, (void *)(at + 1))))
        tl_finish(ctx, t);
    atomic_fetch_add(&ran[at], 1);
    return arg;
}

static void chain_of(unsigned n)
{
    length = n;
    for (unsigned i = 0; i <= n; i++)
        atomic_store(&ran[i], 0);
    link_of(NULL);
    for (unsigned i = 0; i <= n && tl_verdict(ctx) == TL_OK; i++)
        TL_EXPECT(ctx, atomic_load(&ran[i]) == 1, "thread %u of %u has run %u times", i, n,
                  atomic_load(&ran[i]));
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    tl_step(c, "a long chain of threads");
    chain_of(tl_trait(c, TL_ONE_TO_ONE) ? KERNEL : LONG);
    tl_step(c, "short chains of threads");
    for (unsigned i = 0; rounds_more(c, i, FEW, MOST); i++)
        chain_of(1 + i % SHORT);
    return tl_verdict(c);
}

static const struct tl_check chain_once = {
    .abi = TL_ABI,
    .name = "sched.chain-once",
    .group = "Scheduling",
    .promise = "each thread of a chain that create one another runs once, and is joined",
    .source = "POSIX.1-2017 XSH pthread_create, pthread_join; Le, Pop, Cohen, Zappa Nardelli 2013, "
              "\"Correct and Efficient Work-Stealing for Weak Memory Models\" (a thread is taken "
              "by its owner or by one thief)",
    .method = "a chain of 1200 threads (60 where each is a kernel thread), then 200 or more of one "
              "to four; each thread counts that it has run, when its child is joined",
    .meaning = "a thread that two kernel threads take at once runs twice or on a stack in use; one "
               "that none takes hangs. Both need a moment that a pass may not have met",
    .run = run,
};
TL_CHECK(chain_once);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *sound;

/* One of 64. */
static int create_twice(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                        void *arg)
{
    static _Atomic unsigned n;
    struct tl_thread again;

    if (atomic_fetch_add(&n, 1) % 64 == 40 && sound->create(&again, attr, entry, arg) == 0)
        sound->join(again, NULL);
    return sound->create(t, attr, entry, arg);
}

static void apply(struct tl_impl *impl)
{
    static struct tl_impl copy;

    copy = *impl;
    sound = &copy;
    impl->create = create_twice;
}

static const struct tl_mutant runs_twice = {
    .abi = TL_ABI,
    .name = "chain-runs-twice",
    .fault = "one thread of 64 runs twice",
    .kills = "sched.chain-once",
    .of = "nptl green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(runs_twice);

#ifdef TL_INJECT
MUTANT(item_late, "user-deque-item-late", "a thief may see that there is a thread before it is",
       "sched.chain-once", "hybrid", NULL);
MUTANT(ring_early, "user-deque-ring-early", "a thief may see a longer deque before it is filled",
       "sched.chain-once", "hybrid", NULL);
MUTANT(take_first, "user-deque-take-looks-first",
       "the owner of a deque looks whether a thread was stolen before it says that it takes it",
       "sched.chain-once", "hybrid", NULL);
MUTANT(steal_late, "user-deque-steal-looks-late",
       "a thief looks how many are left before it looks which one it would take",
       "sched.chain-once", "hybrid", NULL);
#endif

/*
 * yield.c - yield.round-robin, fairness.share: where yield promises an order, it keeps it.
 */
#include "../common/crowd.h"
#include "../common/wrap.h"

#define THREADS 4
#define ROUNDS 1000
#define MANY 100000

static struct tl_ctx *ctx;

/* ---- order ----------------------------------------------------------------------------------- */

static _Atomic unsigned logged;
static unsigned char turn[THREADS * ROUNDS]; /* whose it was; each is written once */

static void note_turns(unsigned i)
{
    for (int k = 0; k < ROUNDS; k++) {
        turn[atomic_fetch_add(&logged, 1)] = (unsigned char)i;
        ctx->impl->yield();
    }
}

static enum tl_status run_order(struct tl_ctx *c)
{
    unsigned n;

    ctx = c;
    crowd_run(c, THREADS, note_turns);
    n = atomic_load(&logged);
    TL_EXPECT(c, n == THREADS * ROUNDS, "%u turns are noted, not %d", n, THREADS * ROUNDS);
    for (unsigned k = THREADS; k < n && tl_verdict(c) == TL_OK; k++)
        TL_EXPECT(c, turn[k] == turn[k - THREADS], "turn %u is thread %u's, not thread %u's", k,
                  turn[k], turn[k - THREADS]);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned j = 0; j < i && tl_verdict(c) == TL_OK; j++)
            TL_EXPECT(c, turn[i] != turn[j], "thread %u had two of the first %d turns", turn[i],
                      THREADS);
    return tl_verdict(c);
}

static const struct tl_check round_robin = {
    .abi = TL_ABI,
    .name = "yield.round-robin",
    .group = "Scheduling",
    .promise = "threads that yield run in turns, always in the same order",
    .source = "POSIX.1-2017 XSH sched_yield: until the thread is again the head of its list; the "
              "trait `yield-is-fifo` of the implementation",
    .method = "four threads note whose turn it is and yield, 1000 times each; the order of the "
              "first four must repeat",
    .meaning = "one turn out of order is seen; with other threads becoming ready meanwhile the "
               "order is not asked",
    .traits = TL_YIELD_IS_FIFO,
    .flags = TL_CHECK_CONCURRENT,
    .run = run_order,
};
TL_CHECK(round_robin);

/* ---- shares ---------------------------------------------------------------------------------- */

static _Atomic unsigned share[THREADS];
static _Atomic bool full; /* one has had all its turns: the others are counted */

static void take_share(unsigned i)
{
    while (atomic_load(&share[i]) < MANY && !atomic_load(&full)) {
        atomic_fetch_add(&share[i], 1);
        ctx->impl->yield();
    }
    if (atomic_exchange(&full, true))
        return;
    for (unsigned j = 0; j < THREADS; j++)
        TL_EXPECT(ctx, atomic_load(&share[j]) + 1 >= MANY,
                  "thread %u has had %u turns when thread %u has had %d", j, atomic_load(&share[j]),
                  i, MANY);
}

static enum tl_status run_share(struct tl_ctx *c)
{
    ctx = c;
    crowd_run(c, THREADS, take_share);
    return tl_verdict(c);
}

static const struct tl_check fair_share = {
    .abi = TL_ABI,
    .name = "fairness.share",
    .group = "Scheduling",
    .promise = "of threads that only yield, none has more than one turn more than another",
    .source = "the trait `yield-is-fifo` of the implementation, of which it follows",
    .method = "four threads count their turns; when the first has had 100,000, the others are "
              "looked at",
    .meaning = "a turn that is lost or doubled even once in 100,000 adds up; the trait is what is "
               "checked, not a law: a kernel's yield promises no share",
    .traits = TL_YIELD_IS_FIFO,
    .flags = TL_CHECK_CONCURRENT,
    .run = run_share,
};
TL_CHECK(fair_share);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void (*sound_yield)(void);

static void yield_mostly(void)
{
    if (!wrap_once_in(50))
        sound_yield();
}

static void apply(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_mostly;
}

static const struct tl_mutant yields_mostly = {
    .abi = TL_ABI,
    .name = "yield-stays",
    .fault = "one yield in fifty comes back at once although others are ready",
    .kills = "yield.round-robin fairness.share",
    .of = "green ucontext",
    .apply = apply,
};
TL_MUTANT_OF(yields_mostly);

/*
 * counters.c - counters.yields, counters.waits, counters.timers: the entries of the scheduler are
 * counted, each by its reason; counters.stacks: so are stacks that come into use.
 */
#include "waiters.h"

#include <stdio.h>

#define COUNTERS 64
#define ALIVE 8
#define YIELDS 1000
#define SLEEPS 3

static struct tl_ctx *ctx;

/* The value of a counter; noted, if there is none such. */
static uint64_t value_of(const char *name)
{
    struct tl_counter all[COUNTERS];
    unsigned n = ctx->impl->inspect->counters(all, COUNTERS);

    for (unsigned i = 0; i < n && i < COUNTERS; i++)
        if (!strcmp(all[i].name, name))
            return all[i].value;
    TL_EXPECT(ctx, false, "there is no counter \"%s\"", name);
    return 0;
}

/* ---- yields ---------------------------------------------------------------------------------- */

static void *yield_often(void *arg)
{
    for (int i = 0; i < YIELDS; i++)
        ctx->impl->yield();
    return arg;
}

static enum tl_status run_yields(struct tl_ctx *c)
{
    struct tl_thread t[2];
    uint64_t before, threads, risen;
    unsigned made = 0;

    ctx = c;
    before = value_of("yields");
    threads = value_of("threads");
    while (made < 2 && tl_start(c, made, &t[made], yield_often, NULL))
        made++;
    for (unsigned i = 0; i < made; i++)
        tl_finish(c, t[i]);
    risen = value_of("yields") - before;
    TL_EXPECT(c, risen == 2 * YIELDS, "%d yields were called, %ju are counted", 2 * YIELDS,
              (uintmax_t)risen);
    risen = value_of("threads") - threads;
    TL_EXPECT(c, risen == 2, "2 threads were created, %ju are counted", (uintmax_t)risen);
    return tl_verdict(c);
}

static const struct tl_check counters_yields = {
    .abi = TL_ABI,
    .name = "counters.yields",
    .group = "Scheduling",
    .promise = "the implementation's statistics count each yield and each thread",
    .source = "Powell et al. 1991, SunOS Multi-thread Architecture (the scheduler is entered by "
              "yield, timer, synchronisation, wake-up); impl.h, tl_counter",
    .method = "two threads yield 1000 times each and are joined; then the counters have risen by "
              "2000 and by 2",
    .meaning = "a path that is not counted, or counted twice, is seen; the counters are asked when "
               "nobody else runs. Yields before the first question need not be counted",
    .needs = "inspect.counters",
    .run = run_yields,
};
TL_CHECK(counters_yields);

/* ---- waits and wakes ------------------------------------------------------------------------- */

static enum tl_status run_waits(struct tl_ctx *c)
{
    uint64_t before[WAITERS], wakes, interrupts, risen;
    char name[32];

    ctx = c;
    for (unsigned i = 0; i < WAITERS; i++) {
        snprintf(name, sizeof(name), "waits-%s", waiter_words[i]);
        before[i] = value_of(name);
    }
    wakes = value_of("wakes");
    interrupts = value_of("interrupts");
    if (!waiters_begin(c))
        return tl_verdict(c);
    for (unsigned i = 0; i < WAITERS; i++) {
        snprintf(name, sizeof(name), "waits-%s", waiter_words[i]);
        risen = value_of(name) - before[i];
        TL_EXPECT(c, risen == 1, "one thread waits (%s), %ju waits are counted", waiter_words[i],
                  (uintmax_t)risen);
    }
    risen = value_of("wakes") - wakes;
    TL_EXPECT(c, risen == 0, "nobody was woken yet, %ju wakes are counted", (uintmax_t)risen);
    waiters_end();
    risen = value_of("wakes") - wakes;
    TL_EXPECT(c, risen >= WAITERS - 1, "%d threads were woken, %ju wakes are counted", WAITERS - 1,
              (uintmax_t)risen);
    risen = value_of("interrupts") - interrupts;
    TL_EXPECT(c, risen == 1, "one thread was cancelled in its wait, %ju interruptions are counted",
              (uintmax_t)risen);
    return tl_verdict(c);
}

static const struct tl_check counters_waits = {
    .abi = TL_ABI,
    .name = "counters.waits",
    .group = "Scheduling",
    .promise = "the implementation's statistics count each wait by its kind, each wake and each "
               "wait that was broken off",
    .source = "Powell et al. 1991, SunOS Multi-thread Architecture (the scheduler is entered by "
              "yield, timer, synchronisation, wake-up); impl.h, tl_counter",
    .method = "five threads begin to wait for a mutex, a condition, a semaphore, another thread's "
              "end and a time, as the thread table shows; each kind has risen by one. Four are "
              "woken, the last is cancelled",
    .meaning = "a kind of wait that is not counted, or as another one, is seen. Wakes have a lower "
               "bound only: the joins of the check itself may wait, too",
    .needs = WAITERS_NEED " inspect.counters",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_waits,
};
TL_CHECK(counters_waits);

/* ---- timers ---------------------------------------------------------------------------------- */

static enum tl_status run_timers(struct tl_ctx *c)
{
    uint64_t before, risen;

    ctx = c;
    before = value_of("timers");
    for (int i = 0; i < SLEEPS; i++)
        TL_CALL(c, c->impl->sleep(1000000));
    risen = value_of("timers") - before;
    TL_EXPECT(c, risen == SLEEPS, "%d sleeps have ended, %ju timers are counted", SLEEPS,
              (uintmax_t)risen);
    return tl_verdict(c);
}

static const struct tl_check counters_timers = {
    .abi = TL_ABI,
    .name = "counters.timers",
    .group = "Scheduling",
    .promise = "the implementation's statistics count each time that came for a waiting thread",
    .source = "Powell et al. 1991, SunOS Multi-thread Architecture (the scheduler is entered by "
              "yield, timer, synchronisation, wake-up); impl.h, tl_counter",
    .method = "a thread sleeps three times a millisecond",
    .meaning = "sleeps only; timed waits take the same path in no implementation by necessity",
    .needs = "sleep inspect.counters",
    .run = run_timers,
};
TL_CHECK(counters_timers);

/* ---- stacks ---------------------------------------------------------------------------------- */

static void *yield_until_told(void *arg)
{
    _Atomic int *told = arg;

    while (!atomic_load(told))
        ctx->impl->yield();
    return arg;
}

/* None has ended before the last was created: none can have had another's stack. */
static enum tl_status run_stacks(struct tl_ctx *c)
{
    static _Atomic int told;
    struct tl_thread t[ALIVE];
    uint64_t before, risen;
    unsigned made = 0;

    ctx = c;
    before = value_of("stacks-new");
    while (made < ALIVE && tl_start(c, made, &t[made], yield_until_told, &told))
        made++;
    risen = value_of("stacks-new") - before;
    TL_EXPECT(c, risen == ALIVE, "%d threads live at once, %ju new stacks are counted", ALIVE,
              (uintmax_t)risen);
    atomic_store(&told, 1);
    for (unsigned i = 0; i < made; i++)
        tl_finish(c, t[i]);
    return tl_verdict(c);
}

static const struct tl_check counters_stacks = {
    .abi = TL_ABI,
    .name = "counters.stacks",
    .group = "Scheduling",
    .promise = "the implementation's statistics count each stack that no thread had used before",
    .source = "Eykholt et al. 1992, Beyond Multiprocessing (reuse of dead threads); impl.h, "
              "tl_counter",
    .method = "the first eight threads of a process live at once",
    .meaning = "what the create benchmarks call reused rests on it; stacks that the caller brings "
               "are not asked for",
    .needs = "inspect.counters",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_stacks,
};
TL_CHECK(counters_stacks);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_inspect_ops *sound;
static const char *frozen; /* counters whose name begins so stay what they were at first */

static unsigned counters_frozen(struct tl_counter *counters, unsigned n)
{
    static struct tl_counter first[COUNTERS];
    unsigned have = sound->counters(counters, n);

    for (unsigned i = 0; i < have && i < n && i < COUNTERS; i++) {
        if (!first[i].name)
            first[i] = counters[i];
        if (!strncmp(counters[i].name, frozen, strlen(frozen)))
            counters[i].value = first[i].value;
    }
    return have;
}

static void freeze(struct tl_impl *impl, const char *prefix)
{
    sound = impl->inspect;
    frozen = prefix;
    TL_MUTATE(impl, inspect)->counters = counters_frozen;
}

#define FROZEN(symbol, prefix, title, text, victim)                        \
    static void apply_##symbol(struct tl_impl *impl)                       \
    {                                                                      \
        freeze(impl, prefix);                                              \
    }                                                                      \
    static const struct tl_mutant symbol = {.abi = TL_ABI,                 \
                                            .name = title,                 \
                                            .fault = text,                 \
                                            .kills = victim,               \
                                            .of = "green ucontext hybrid", \
                                            .apply = apply_##symbol};      \
    TL_MUTANT_OF(symbol)

FROZEN(no_yields, "yields", "counters-no-yields", "the fast path of yield counts nothing",
       "counters.yields");
FROZEN(no_sem, "waits-sem", "counters-no-sem", "waits for a semaphore are not counted",
       "counters.waits");
FROZEN(no_wakes, "wakes", "counters-no-wakes", "wakes are not counted", "counters.waits");
FROZEN(no_timers, "timers", "counters-no-timers", "a time that has come is not counted",
       "counters.timers");
FROZEN(no_stacks, "stacks-new", "counters-no-stacks", "stacks are mapped without being counted",
       "counters.stacks");

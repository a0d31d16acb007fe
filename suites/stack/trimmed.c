/*
 * trimmed.c - stack.trimmed: what a crowd of threads has left is not kept for ever.
 */
#include "../common/opaque.h"
#include "../common/proc.h"

#include "check.h"

#include <stdatomic.h>

#define THREADS 300
#define STACK ((size_t)128 * 1024)
#define USED ((size_t)96 * 1024)
#define COUNTERS 64

static struct tl_ctx *ctx;
static _Atomic unsigned there;
static _Atomic int all_there;

static OPAQUE void *use(void *arg)
{
    volatile unsigned char frame[USED];

    for (size_t b = 0; b < USED; b += 1024)
        frame[b] = 1;
    if (atomic_fetch_add(&there, 1) == THREADS - 1)
        atomic_store(&all_there, 1);
    tl_await(ctx, &all_there, "all threads to be there");
    return frame[0] ? arg : NULL;
}

static bool counts_trims(void)
{
    struct tl_counter all[COUNTERS];
    unsigned n = ctx->impl->inspect->counters(all, COUNTERS);

    for (unsigned i = 0; i < n && i < COUNTERS; i++)
        if (!strcmp(all[i].name, "stacks-trimmed"))
            return true;
    return false;
}

static enum tl_status run(struct tl_ctx *c)
{
    static struct tl_thread t[THREADS];
    struct tl_attr attr;
    int64_t before, most, now;
    unsigned made = 0;
    uint64_t until;

    ctx = c;
    if (!counts_trims())
        return tl_refused(c, "stack.trimmed");
    before = proc_resident();
    if (before < 0)
        return tl_invalid(c, "/proc/self/smaps_rollup cannot be read");
    for (; made < THREADS; made++) {
        attr = tl_worker_attr(c, made);
        attr.stack_size = STACK;
        if (!TL_CALL(c, c->impl->create(&t[made], &attr, use, &there)))
            break;
    }
    if (made == THREADS && tl_await(c, &all_there, "all threads to be there"))
        most = proc_resident();
    else
        return tl_verdict(c);
    while (made)
        tl_finish(c, t[--made]);
    if (!TL_EXPECT(c, most - before >= (int64_t)(THREADS * USED),
                   "%d threads with %zu bytes each take %jd bytes", THREADS, USED,
                   (intmax_t)(most - before)))
        return tl_verdict(c);
    until = tl_now_ns() + UINT64_C(15000000000);
    do {
        TL_CALL(c, c->impl->sleep(200000000));
        now = proc_resident();
    } while (tl_verdict(c) == TL_OK && now - before > (most - before) / 2 && tl_now_ns() < until);
    TL_EXPECT(c, now - before <= (most - before) / 2,
              "%jd KiB of the %jd KiB that the threads used are still resident after 15 s",
              (intmax_t)(now - before) / 1024, (intmax_t)(most - before) / 1024);
    return tl_verdict(c);
}

static const struct tl_check trimmed = {
    .abi = TL_ABI,
    .name = "stack.trimmed",
    .group = "Stacks",
    .promise = "stacks that are kept for later threads give their memory back when nobody has used "
               "them for a while",
    .source = "Stein and Shah 1992, Implementing Lightweight Threads (the reaper; idle resources "
              "age); the implementation's counter `stacks-trimmed`",
    .method = "300 threads use 96 KiB of their stacks each and end; while the first one sleeps the "
              "resident memory falls by half of that at least",
    .meaning = "a limit of 15 s only: what is tuned to a second may take longer beside busy "
               "neighbours. What is kept while the program is never idle is not asked",
    .needs = "sleep inspect.counters",
    .flags = TL_CHECK_CONCURRENT | TL_CHECK_ALONE,
    .run = run,
};
TL_CHECK(trimmed);

static int sleep_busily(uint64_t ns)
{
    tl_spin_ns(ns);
    return 0;
}

static void apply_busy(struct tl_impl *impl)
{
    impl->sleep = sleep_busily;
}

static const struct tl_mutant never_idle = {
    .abi = TL_ABI,
    .name = "sleep-never-idles",
    .fault = "who sleeps keeps the PU busy, so that what is done when idle is never done",
    .kills = "stack.trimmed",
    .of = "green",
    .apply = apply_busy,
};
TL_MUTANT_OF(never_idle);

#ifdef TL_INJECT
static const struct tl_mutant never_trims = {
    .abi = TL_ABI,
    .name = "stacks-never-trimmed",
    .fault = "stacks that nobody uses are found, and kept as they are",
    .kills = "stack.trimmed",
    .of = "green hybrid",
};
TL_MUTANT_OF(never_trims);
#endif

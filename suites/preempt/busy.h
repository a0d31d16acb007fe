/*
 * busy.h - for checks of preemption: threads on one PU that never give it up, and that see from
 * each other's marks that they were interrupted.
 *
 * A body calls busy_turn often, until it answers false: then the threads have followed one another
 * often enough, or (noted as a failure) did not within busy_patience_ns. Nothing else of it calls
 * the implementation.
 */
#ifndef SUITES_BUSY_H
#define SUITES_BUSY_H

#include "../common/mutant.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MAX 16
#define BUSY_PREEMPT "preempt=timer"
#define BUSY_QUANTUM "quantum=100" /* us; shorter than programs need */
/* The inner faults are those of the user-level library. */
#define BUSY_OF "hybrid green ucontext"

/* Invariants: last is the thread that made the last mark; turns[i] counts how often i found that it
 * was not itself. n, body and wanted are constant while they run. */
static struct {
    struct tl_ctx *ctx;
    void (*body)(unsigned i);
    unsigned n, wanted;
    uint64_t until_ns, at_least_ns;
    _Atomic unsigned last;
    _Atomic uint64_t turns[BUSY_MAX];
} busy;

/* How long it may take until everybody has had its turns: a hang, not a slow machine. The control
 * runs one after the other, and is soon done. */
static inline uint64_t busy_patience_ns(void)
{
    return tl_trait(busy.ctx, TL_CONCURRENT) ? UINT64_C(30000000000) : 50000000;
}

static inline bool busy_all_had(uint64_t wanted)
{
    for (unsigned i = 0; i < busy.n; i++)
        if (atomic_load_explicit(&busy.turns[i], memory_order_relaxed) < wanted)
            return false;
    return true;
}

/* Thread i runs. False: enough. */
static inline bool busy_turn(unsigned i)
{
    uint64_t now;

    if (atomic_exchange_explicit(&busy.last, i, memory_order_relaxed) != i)
        atomic_fetch_add_explicit(&busy.turns[i], 1, memory_order_relaxed);
    if (tl_verdict(busy.ctx) != TL_OK)
        return false;
    now = tl_now_ns();
    if (now >= busy.at_least_ns && busy_all_had(busy.wanted))
        return false;
    TL_EXPECT(busy.ctx, now < busy.until_ns,
              "not everybody ran beside threads that do not yield: thread %u had %llu turns", i,
              (unsigned long long)atomic_load(&busy.turns[i]));
    return true;
}

static inline void *busy_entry(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;

    busy.body(i);
    return arg;
}

/* Runs body(0) to body(n - 1), thread i where worker i modulo `pus` runs, until each has had
 * `wanted` turns (fewer where the kernel's time slices are what interrupts: they are long), and
 * long_ns are over (the tenth of it there; not of the control). */
static inline enum tl_status busy_run_for(struct tl_ctx *ctx, unsigned n, unsigned wanted,
                                          uint64_t long_ns, unsigned pus, void (*body)(unsigned i))
{
    bool kernels = tl_trait(ctx, TL_ONE_TO_ONE);
    struct tl_thread t[BUSY_MAX];
    unsigned made = 0;

    busy.ctx = ctx;
    busy.body = body;
    busy.n = n;
    busy.wanted = kernels ? wanted / 20 + 2 : wanted;
    busy.at_least_ns = tl_now_ns();
    if (tl_trait(ctx, TL_CONCURRENT))
        busy.at_least_ns += kernels ? long_ns / 10 : long_ns;
    busy.until_ns = busy.at_least_ns + busy_patience_ns();
    atomic_store(&busy.last, n);
    while (made < n && tl_start(ctx, made % pus, &t[made], busy_entry, (void *)(uintptr_t)made))
        made++;
    while (made)
        tl_finish(ctx, t[--made]);
    return tl_verdict(ctx);
}

/* All on one PU, as soon as they have had their turns. */
static inline enum tl_status busy_run(struct tl_ctx *ctx, unsigned n, unsigned wanted,
                                      void (*body)(unsigned i))
{
    return busy_run_for(ctx, n, wanted, 0, 1, body);
}

#endif

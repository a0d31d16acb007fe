/*
 * preempt.spin - two threads compute on one PU and never yield: what does it cost to take the PU
 * away from them, against the quantum? (Shiina et al., "Lightweight Preemptive User-Level Threads",
 * PPoPP 2021, section 4: below 1% at 1 ms.)
 *
 * The rows to compare are those of one run: preempt=off, where one thread computes after the other,
 * and each quantum. In a 1:1 implementation the kernel does it, with its own slices.
 *
 * Each thread carries an integer and a floating-point register through all its steps; what they
 * must hold at the end is known, so that a switch that loses a register is seen. A hand-over is a
 * unit of work that finds another thread's number in a shared word.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/clocks.h"
#include "../common/gate.h"

#define THREADS 2
#define STEPS 1024 /* of a unit: a microsecond or so */
#define FACTOR UINT64_C(6364136223846793005)

struct worker {
    _Alignas(64) uint64_t units, handovers; /* in all windows; its own thread writes them */
    uint64_t integer;
    double real;
};

struct state {
    struct gate gate;
    struct worker worker[THREADS];
    uint64_t share; /* units of each thread in this window */
    /* What the metrics cover: the windows since the last one that was larger than all before. */
    uint64_t largest_n, window_ns, cpu_ns, ops, handovers;
    _Alignas(64) _Atomic unsigned last;
};

/* integer: x -> x * FACTOR + 1; real: counts, exactly, up to 2^53. */
static void work(struct gate *g, unsigned index, void *arg)
{
    struct state *st = arg;
    struct worker *w = &st->worker[index];
    uint64_t x = w->integer, handovers = 0;
    double y = w->real;

    (void)g;
    for (uint64_t unit = 0; unit < st->share; unit++) {
        if (atomic_load_explicit(&st->last, memory_order_relaxed) != index) {
            atomic_store_explicit(&st->last, index, memory_order_relaxed);
            handovers++;
        }
        for (unsigned i = 0; i < STEPS; i++) {
            x = x * FACTOR + 1;
            y += 1;
            __asm__ volatile("" : "+r"(x), "+x"(y));
        }
    }
    w->units += st->share;
    w->handovers += handovers;
    w->integer = x;
    w->real = y;
}

/* What `steps` steps make of 0, by doubling: a step is x -> a * x + c, two of them are another. */
static uint64_t expected(uint64_t steps)
{
    uint64_t a = FACTOR, c = 1, x = 0;

    for (; steps; steps >>= 1) {
        if (steps & 1)
            x = a * x + c;
        c = a * c + c;
        a = a * a;
    }
    return x;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    return gate_init(&st->gate, ctx, THREADS, 65536, work, st);
}

static uint64_t handovers_of(const struct state *st)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < THREADS; i++)
        sum += st->worker[i].handovers;
    return sum;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    enum tl_status status = gate_gather(&st->gate);
    uint64_t before = handovers_of(st), wall_ns, cpu_ns;

    if (status != TL_OK)
        return status;
    if (n > st->largest_n) {
        st->largest_n = n;
        st->window_ns = st->cpu_ns = st->ops = st->handovers = 0;
    }
    st->share = (n + THREADS - 1) / THREADS;
    atomic_store(&st->last, THREADS);

    wall_ns = tl_now_ns();
    cpu_ns = clocks_now(CLOCK_PROCESS_CPUTIME_ID);
    tl_begin(ctx);
    gate_open(&st->gate);
    gate_wait(&st->gate);
    tl_end(ctx, THREADS * st->share);
    st->cpu_ns += clocks_now(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
    st->window_ns += tl_now_ns() - wall_ns;
    st->ops += THREADS * st->share;
    st->handovers += handovers_of(st) - before;
    tl_count(ctx, "handovers", handovers_of(st) - before);
    return gate_status(&st->gate);
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    for (unsigned i = 0; i < THREADS; i++) {
        const struct worker *w = &st->worker[i];
        uint64_t steps = w->units * STEPS;

        if (w->integer != expected(steps) || w->real != (double)steps)
            return tl_invalid(ctx,
                              "thread %u did not make %" PRIu64 " steps: a register was lost, or "
                              "the work was not done",
                              i, steps);
    }
    /* CPU time leaves out what other processes took, so that a hundredth can be told apart. */
    if (st->ops > 0)
        tl_metric(ctx, "cpu", (double)st->cpu_ns / (double)st->ops, "ns/op");
    if (st->window_ns > 0)
        tl_metric(ctx, "handover_rate", (double)st->handovers * 1e9 / (double)st->window_ns, "1/s");
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    gate_stop(&st->gate);
    if (st->gate.worker) /* a thread could not be joined: it may still use all this */
        return;
    free(st);
    ctx->state = NULL;
}

static const char *const rests_on[] = {"create.runs", "sem.count", NULL};

static const struct tl_bench preempt_spin = {
    .abi = TL_ABI,
    .name = "preempt.spin",
    .version = 1,
    .title = "Two threads compute on one PU and never yield",
    .op = "1,024 steps of a computation by either of the threads",
    .needs = TL_NEED_SEM,
    .workers = 1,
    .vary = "preempt,quantum",
    .rests_on = rests_on,
    .min_n = 4096,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(preempt_spin);

/*
 * floor.cacheline - one cache line goes back and forth between two PUs: the limit for any message
 * between them, and the core-to-core map of the machine when run on every pair.
 *
 * Two pinned processes share the line. Each waits in a bare load loop (a pause instruction would
 * add its own length, 10 to 140 cycles, to every transfer) for the other's number and answers
 * with the next. Between the windows the partner sleeps in the kernel.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#include "../common/model.h"
#include "../common/partner.h"

/* 128: two lines that a prefetcher fetches as a pair. */
struct shared {
    _Alignas(128) _Atomic uint64_t ball;    /* odd: written by the parent; even: by the child */
    _Alignas(128) _Atomic uint32_t windows; /* futex of the child; the parent counts up */
    _Atomic uint32_t gone;                  /* the child has ended */
    _Atomic uint32_t child_ready;           /* it spins for this window */
    uint64_t rounds;                        /* of this window */
    uint64_t child_counts;                  /* transfers that the child received; after its last */
};

struct state {
    struct shared *shared;
    struct partner child;
    uint64_t asked, seen, ball;
};

static struct shared *on_end_shared; /* for the signal handler */

static void child_ended(void)
{
    atomic_store(&on_end_shared->gone, 1);
}

/* Waits for the number. The partner may be dead or stopped: then give up after 2 s; the clock is
 * looked at every 2^20 loads, below a millisecond. */
static bool receive(const _Atomic uint64_t *ball, uint64_t number)
{
    uint64_t deadline = 0;

    for (uint32_t tries = 1; atomic_load_explicit(ball, memory_order_acquire) != number; tries++) {
        if ((tries & 0xfffff) == 0) {
            uint64_t now = tl_now_ns();

            if (deadline == 0)
                deadline = now + 2000000000;
            else if (now > deadline)
                return false;
        }
    }
    return true;
}

static void serve(void *arg)
{
    struct shared *sh = arg;
    uint64_t ball = 0;

    for (uint32_t window = 0;; window++) {
        uint64_t rounds, counts = 0;

        while (atomic_load_explicit(&sh->windows, memory_order_acquire) == window)
            syscall(SYS_futex, &sh->windows, FUTEX_WAIT, window, NULL, NULL, 0);
        atomic_store_explicit(&sh->child_ready, window + 1, memory_order_release);
        rounds = sh->rounds; /* after our last answer the parent may set the next ones */
        for (uint64_t i = 0; i < rounds; i++) {
            if (!receive(&sh->ball, ball + 1))
                return;
            counts++;
            ball += 2;
            if (i + 1 == rounds)
                sh->child_counts += counts; /* before the last answer, which publishes it */
            atomic_store_explicit(&sh->ball, ball, memory_order_release);
        }
    }
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st;

    if (model_same_pu(ctx))
        return tl_unsupported(ctx,
                              "needs two PUs: a spinning process keeps the other from running");
    st = calloc(1, sizeof(*st));
    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = st;
    st->shared = partner_shared(sizeof(*st->shared));
    if (!st->shared)
        return tl_failed(ctx, "mmap: %s", strerror(errno));
    on_end_shared = st->shared;
    return partner_start(&st->child, ctx, 1, serve, st->shared, child_ended);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    struct shared *sh = st->shared;
    const uint64_t rounds = (n + 1) / 2;
    uint64_t ball = st->ball, i;
    uint32_t window = atomic_load(&sh->windows) + 1;

    sh->rounds = rounds;
    atomic_store_explicit(&sh->windows, window, memory_order_release);
    syscall(SYS_futex, &sh->windows, FUTEX_WAKE, 1, NULL, NULL, 0);
    while (atomic_load_explicit(&sh->child_ready, memory_order_acquire) != window) {
        if (atomic_load(&sh->gone))
            return tl_failed(ctx, "the other process ended (can it run on CPU %d?)", ctx->cpus[1]);
    }

    tl_begin(ctx);
    for (i = 0; i < rounds; i++) {
        atomic_store_explicit(&sh->ball, ++ball, memory_order_release);
        if (!receive(&sh->ball, ++ball))
            break;
    }
    tl_end(ctx, 2 * (i ? i : 1));

    if (i < rounds)
        return tl_failed(ctx, "the process on CPU %d did not answer for 2 s", ctx->cpus[1]);
    st->ball = ball;
    st->asked += 2 * rounds;
    st->seen += i;
    tl_count(ctx, "transfers", 2 * rounds);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    uint64_t seen = st->seen + st->shared->child_counts;

    if (seen != st->asked)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " transfers seen", seen, st->asked);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    partner_stop(&st->child);
    if (st->shared)
        munmap(st->shared, sizeof(*st->shared));
    free(st);
    ctx->state = NULL;
}

static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    (void)ctx;
    expect->switches = (struct tl_range){0, 0.01};
    expect->syscalls = (struct tl_range){0, 0.01};
    expect->why = "the op stays in user mode";
}

static const struct tl_bench floor_cacheline = {
    .abi = TL_ABI,
    .name = "floor.cacheline",
    .version = 1,
    .title = "Cache line between two PUs",
    .op = "one transfer: stored on one PU until seen on the other",
    .flags = TL_NO_IMPL | TL_ALL_PAIRS,
    .workers = 2,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(floor_cacheline);

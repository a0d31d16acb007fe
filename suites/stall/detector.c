/*
 * stall.detector - what happens when every kernel thread that runs threads blocks, and others are
 * ready: the scenario of SIGWAITING (Stein & Shah 1992, "Implementing Lightweight Threads"), with
 * two kernel threads and four threads.
 *
 * In a round, two threads block at the same time for 30 ms while the two others beat: look at the
 * clock and yield. `stall` is the longest time without a beat in that round. A round without any
 * beat while both blocked is a miss.
 *
 * `call` says what blocks them: a plain read of a timer's descriptor; the same through the
 * implementation's jacket; a page fault (userfaultfd, resolved by another process); or nothing
 * (compute): then what the implementation does about it is a false alarm (lwps-added).
 *
 * `watching` is the CPU time of kernel threads that run none of our threads, in percent of one CPU.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench.h"

#define BLOCKERS 2
#define BEATERS 2

/* In an M:N implementation each blocker has a place of its own, and so a kernel thread of its own
 * to block. A beater has none: it may run on any kernel thread that is there. */
static inline struct tl_attr place_of(const struct tl_ctx *ctx, unsigned i)
{
    struct tl_attr attr = tl_worker_attr(ctx, i);

    if (i >= BLOCKERS && !tl_trait(ctx, TL_ONE_TO_ONE))
        attr.slot = TL_SLOT_INHERIT;
    return attr;
}
#define tl_worker_attr place_of
#include "../common/gate.h"
#undef tl_worker_attr

#include "others.h"
#include "unfault.h"

#define HOLD_NS UINT64_C(30000000) /* six times the longest period of a sampling detector */

enum call { READ, JACKET, FAULT, COMPUTE };

struct blocker {
    int timer;
    ssize_t got; /* of the last read */
    int error;
};

struct state {
    struct tl_ctx *ctx;
    struct tl_hist *stall;
    struct gate gate;
    bool gated;
    enum call call;
    struct unfault unfault;
    struct blocker blocker[BLOCKERS];
    uint64_t rounds, misses, early; /* early: came back before its time */
    struct others others;
    unsigned lwps_before;
    _Atomic unsigned lwps_most;
    /* Of a round. */
    _Alignas(64) _Atomic unsigned at_line, back;
    _Atomic uint64_t begin, last; /* of the window; the last beat */
    _Atomic uint64_t longest, beats;
    _Atomic bool open;
};

static void gap(struct state *st, uint64_t from, uint64_t to)
{
    uint64_t begin = atomic_load(&st->begin), longest = atomic_load(&st->longest);

    from = from > begin ? from : begin;
    while (to > from && to - from > longest &&
           !atomic_compare_exchange_weak(&st->longest, &longest, to - from))
        ;
}

static void count_lwps(struct state *st)
{
    const struct tl_concurrency_ops *ops = st->ctx->impl->concurrency;
    unsigned now = ops && ops->lwps ? ops->lwps() : 0, most = atomic_load(&st->lwps_most);

    while (now > most && !atomic_compare_exchange_weak(&st->lwps_most, &most, now))
        ;
}

static void beat(struct state *st)
{
    while (atomic_load(&st->back) < BLOCKERS) {
        uint64_t now = tl_now_ns(), last = atomic_exchange(&st->last, now);

        if (atomic_load(&st->open)) {
            gap(st, last, now);
            atomic_fetch_add(&st->beats, 1);
        }
        others_mark(&st->others);
        count_lwps(st);
        st->ctx->impl->yield();
    }
}

static void read_timer(void *arg)
{
    struct blocker *b = arg;
    uint64_t ticks;

    b->got = read(b->timer, &ticks, sizeof(ticks));
    b->error = b->got < 0 ? errno : 0;
}

static void hold(struct state *st, struct blocker *b, unsigned index)
{
    const struct tl_io_ops *io = st->ctx->impl->io;
    uint64_t ticks;
    size_t done = 0;

    switch (st->call) {
    case COMPUTE:
        tl_spin_ns(HOLD_NS);
        break;
    case FAULT:
        unfault_touch(&st->unfault, index);
        break;
    case JACKET:
        if (io && io->blocking) {
            io->blocking(read_timer, b);
            break;
        }
        if (io && io->read) {
            b->error = io->read(b->timer, &ticks, sizeof(ticks), &done);
            break;
        } /* fall through */
    case READ:
        read_timer(b);
    }
}

static void block(struct gate *g, struct state *st, unsigned index)
{
    const struct itimerspec in = {.it_value = {0, HOLD_NS}};
    struct blocker *b = &st->blocker[index];
    uint64_t begin;

    others_mark(&st->others);
    b->error = 0;
    atomic_fetch_add(&st->at_line, 1);
    while (atomic_load(&st->at_line) < BLOCKERS && gate_status(g) == TL_OK)
        st->ctx->impl->yield();
    if ((st->call == READ || st->call == JACKET) && timerfd_settime(b->timer, 0, &in, NULL))
        gate_fail(g, "timerfd_settime", errno);
    begin = tl_now_ns();
    if (!atomic_exchange(&st->open, true))
        atomic_store(&st->begin, begin);
    hold(st, b, index);
    if (b->error)
        gate_fail(g, "read", b->error);
    uint64_t end = tl_now_ns();
    if (atomic_exchange(&st->open, false)) { /* the first one back */
        gap(st, atomic_load(&st->last), end);
        st->misses += st->call != COMPUTE && !atomic_load(&st->beats);
        st->early += end - begin < HOLD_NS;
    }
    atomic_fetch_add(&st->back, 1);
}

static void work(struct gate *g, unsigned index, void *arg)
{
    struct state *st = arg;

    if (index < BLOCKERS)
        block(g, st, index);
    else
        beat(st);
}

static enum tl_status prepare_call(struct tl_ctx *ctx, struct state *st)
{
    const char *call = tl_axis(ctx, "call");
    const struct tl_impl *impl = ctx->impl;

    st->call = !strcmp(call, "read")     ? READ
               : !strcmp(call, "jacket") ? JACKET
               : !strcmp(call, "fault")  ? FAULT
                                         : COMPUTE;
    if (st->call == JACKET && !tl_trait(ctx, TL_BLOCKS_ALONE) &&
        !(impl->io && (impl->io->blocking || impl->io->read)))
        return tl_unsupported(ctx, "it has no jacket for read");
    for (unsigned i = 0; i < BLOCKERS; i++) {
        st->blocker[i].timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        if (st->blocker[i].timer < 0)
            return tl_failed(ctx, "timerfd_create: %s", strerror(errno));
    }
    return st->call == FAULT ? unfault_start(&st->unfault, ctx, BLOCKERS, HOLD_NS) : TL_OK;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    const struct tl_impl *impl = ctx->impl;
    const char *why = impl->why_not ? impl->why_not("blocks-alone") : NULL;
    struct state *st;
    enum tl_status status;
    int error = 0;

    if (!tl_trait(ctx, TL_BLOCKS_ALONE | TL_PARALLEL))
        return tl_unsupported(ctx, "blocks-alone: %s", why ? why : "not promised");
    st = aligned_alloc(64, (sizeof(*st) + 63) / 64 * 64);
    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    for (unsigned i = 0; i < BLOCKERS; i++)
        st->blocker[i].timer = -1;
    ctx->state = st;
    st->ctx = ctx;
    st->stall = tl_hist(ctx, "stall");
    status = prepare_call(ctx, st);
    if (status != TL_OK)
        return status;
    if (impl->concurrency)
        error = impl->concurrency->set(BLOCKERS);
    if (error)
        return tl_failed(ctx, "concurrency.set: %s", strerror(error));
    if (impl->concurrency && impl->concurrency->lwps)
        st->lwps_before = impl->concurrency->lwps();
    others_mark(&st->others);
    st->gated = true;
    return gate_init(&st->gate, ctx, BLOCKERS + BEATERS, 0, work, st);
}

static enum tl_status one_round(struct tl_ctx *ctx, struct state *st)
{
    enum tl_status status;

    atomic_store(&st->at_line, 0);
    atomic_store(&st->back, 0);
    atomic_store(&st->beats, 0);
    atomic_store(&st->longest, 0);
    atomic_store(&st->begin, UINT64_MAX);
    status = gate_gather(&st->gate);
    if (status != TL_OK)
        return status;
    gate_open(&st->gate);
    gate_wait(&st->gate);
    tl_record(st->stall, atomic_load(&st->longest));
    st->rounds++;
    (void)ctx;
    return gate_status(&st->gate);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    enum tl_status status = TL_OK;
    uint64_t misses = st->misses, done = 0;

    others_begin(&st->others);
    tl_begin(ctx);
    for (; done < n && status == TL_OK; done++)
        status = one_round(ctx, st);
    tl_end(ctx, done ? done : 1);
    others_end(&st->others);
    tl_count(ctx, "rounds", done);
    tl_count(ctx, "misses", st->misses - misses);
    return status;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    unsigned most = atomic_load(&st->lwps_most);

    if (st->early)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " calls did not block", st->early,
                          st->rounds);
    tl_metric(ctx, "watching", others_percent(&st->others), "%");
    tl_metric(ctx, "missed", (double)st->misses / (double)st->rounds * 100, "%");
    if (st->lwps_before)
        tl_metric(ctx, "lwps-added", most > st->lwps_before ? most - st->lwps_before : 0, "LWPs");
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    if (st->gated)
        gate_stop(&st->gate);
    unfault_stop(&st->unfault);
    for (unsigned i = 0; i < BLOCKERS; i++)
        if (st->blocker[i].timer >= 0)
            close(st->blocker[i].timer);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"call", "read,compute", NULL, "read,jacket,fault,compute", "what the two threads do at once"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "sem.count", NULL};

static const struct tl_bench stall_detector = {
    .abi = TL_ABI,
    .name = "stall.detector",
    .version = 1,
    .title = "Every kernel thread blocks, and others are ready",
    .op = "one round: two threads block for 30 ms, two beat meanwhile",
    .needs = TL_NEED_SEM,
    .workers = 2,
    .axes = axes,
    .vary = "detector",
    .rests_on = rests_on,
    .max_n = 64,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(stall_detector);

/*
 * stall.lwps - kernel threads as virtual CPUs: how much N threads that compute and block get done,
 * against the number of kernel threads and the fraction of the time that they block.
 *
 * One op takes 200 us: `blocked` percent of it in a read of a timer's descriptor, through the
 * implementation's jacket if it has one, else plainly; the rest computing. A model with one kernel
 * thread and no jacket does one op after the other. With enough kernel threads, or with jackets,
 * the PUs are the limit (Powell et al. 1991, "SunOS Multi-thread Architecture": LWPs are virtual
 * CPUs).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench.h"

#include "../common/gate.h"

#define THREADS 8
#define OP_NS UINT64_C(200000)

struct worker {
    int timer;
    uint64_t ops; /* done in this round */
    int error;
    _Alignas(64) char pad[64];
};

struct state {
    struct tl_ctx *ctx;
    struct gate gate;
    bool gated;
    uint64_t block_ns;
    uint64_t asked, done; /* all rounds */
    uint64_t share;       /* ops of each thread in this round */
    struct worker worker[THREADS];
};

static void read_timer(void *arg)
{
    struct worker *w = arg;
    uint64_t ticks;

    w->error = read(w->timer, &ticks, sizeof(ticks)) < 0 ? errno : 0;
}

static void wait_timer(const struct tl_impl *impl, struct worker *w)
{
    uint64_t ticks;
    size_t done;

    if (impl->io && impl->io->read)
        w->error = impl->io->read(w->timer, &ticks, sizeof(ticks), &done);
    else if (impl->io && impl->io->blocking)
        impl->io->blocking(read_timer, w);
    else
        read_timer(w);
}

static void work(struct gate *g, unsigned index, void *arg)
{
    struct state *st = arg;
    const struct itimerspec in = {.it_value = {0, (long)st->block_ns}};
    struct worker *w = &st->worker[index];

    for (w->ops = 0; w->ops < st->share; w->ops++) {
        if (st->block_ns < OP_NS)
            tl_spin_ns(OP_NS - st->block_ns);
        if (!st->block_ns)
            continue;
        if (timerfd_settime(w->timer, 0, &in, NULL))
            w->error = errno;
        else
            wait_timer(st->ctx->impl, w);
        if (w->error) {
            gate_fail(g, "read", w->error);
            return;
        }
    }
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    const struct tl_concurrency_ops *concurrency = ctx->impl->concurrency;
    unsigned lwps = (unsigned)tl_axis_int(ctx, "concurrency");
    struct state *st;
    int error;

    st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    for (unsigned i = 0; i < THREADS; i++)
        st->worker[i].timer = -1;
    ctx->state = st;
    st->ctx = ctx;
    st->block_ns = OP_NS * (uint64_t)tl_axis_int(ctx, "blocked") / 100;
    if (lwps && (!concurrency || !concurrency->lwps))
        return tl_unsupported(ctx, "concurrency=%u: its kernel threads cannot be set", lwps);
    error = lwps ? concurrency->set(lwps) : 0;
    if (error)
        return tl_failed(ctx, "concurrency.set: %s", strerror(error));
    for (unsigned i = 0; i < THREADS; i++) {
        st->worker[i].timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        if (st->worker[i].timer < 0)
            return tl_failed(ctx, "timerfd_create: %s", strerror(errno));
    }
    st->gated = true;
    return gate_init(&st->gate, ctx, THREADS, 0, work, st);
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    enum tl_status status;
    uint64_t done = 0;

    st->share = (n + THREADS - 1) / THREADS;
    status = gate_gather(&st->gate);
    tl_begin(ctx);
    if (status == TL_OK) {
        gate_open(&st->gate);
        gate_wait(&st->gate);
        for (unsigned i = 0; i < THREADS; i++)
            done += st->worker[i].ops;
    }
    tl_end(ctx, done ? done : 1);
    st->asked += st->share * THREADS;
    st->done += done;
    tl_count(ctx, "ops", done);
    return status == TL_OK ? gate_status(&st->gate) : status;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (st->done != st->asked)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " ops done", st->done, st->asked);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    if (st->gated)
        gate_stop(&st->gate);
    for (unsigned i = 0; i < THREADS; i++)
        if (st->worker[i].timer >= 0)
            close(st->worker[i].timer);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"concurrency", "0,2", NULL, "0,1,2,4,8",
     "kernel threads that run the threads; 0: as it likes"},
    {"blocked", "0,50,90", NULL, "0,50,90,99", "percent of the time in a read"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "sem.count", NULL};

static const struct tl_bench stall_lwps = {
    .abi = TL_ABI,
    .name = "stall.lwps",
    .version = 1,
    .title = "Threads that compute and block, by kernel threads and blocking fraction",
    .op = "200 us of one of 8 threads, computing and blocking",
    .needs = TL_NEED_SEM,
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .min_n = THREADS,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(stall_lwps);

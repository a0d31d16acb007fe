/*
 * idle.cpu - all threads wait and the first one sleeps: how much CPU time does the implementation
 * use, and how often does it wake? What spins before it blocks should have done so within 2 ms,
 * which lie before the window; what is left are timers, monitors and pollers.
 *
 * The results are the metrics. A window's own cost is in them: two readings and one wake-up, some
 * 20 us in 25 ms or more. The time per op only says how exactly the sleep ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

#include "../common/clocks.h"
#include "../common/gate.h"

#define MS UINT64_C(1000000)
#define SETTLE_NS (2 * MS)

struct state {
    const struct tl_impl *impl;
    enum { ON_SEM, ON_COND, ON_MUTEX } on;
    unsigned threads, made;
    struct tl_thread *thread; /* [threads] */
    bool locked;              /* by the first thread: of ON_MUTEX */
    /* In the windows, all of them: a sleep has no warm-up. */
    uint64_t wall_ns, cpu_ns, switches;
    bool over; /* guarded by mutex, of ON_COND */
    _Atomic int error;
    _Atomic unsigned arrived, left;
    struct tl_sem ready, sem; /* ready: posted by each thread, just before it waits */
    struct tl_mutex mutex;
    struct tl_cond cond;
};

static int wait_here(struct state *st)
{
    const struct tl_impl *impl = st->impl;
    int error, second;

    if (st->on == ON_SEM)
        return gate_sem_wait(impl, &st->sem);
    error = impl->mutex->lock(&st->mutex);
    if (error)
        return error;
    while (st->on == ON_COND && !st->over && !error)
        error = impl->cond->wait(&st->cond, &st->mutex);
    second = impl->mutex->unlock(&st->mutex);
    return error ? error : second;
}

static void *waiter(void *arg)
{
    struct state *st = arg;
    int error;

    atomic_fetch_add(&st->arrived, 1);
    error = st->impl->sem->post(&st->ready);
    if (!error)
        error = wait_here(st);
    if (error)
        atomic_store(&st->error, error);
    atomic_fetch_add(&st->left, 1);
    return NULL;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    const struct tl_impl *impl = ctx->impl;
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    const char *on = tl_axis(ctx, "on");
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->impl = impl;
    st->on = strcmp(on, "sem") == 0 ? ON_SEM : strcmp(on, "cond") == 0 ? ON_COND : ON_MUTEX;
    st->threads = (unsigned)tl_axis_int(ctx, "threads");
    st->thread = calloc(st->threads, sizeof(*st->thread));
    if (!st->thread)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    /* Mutex and condition variable: all bytes zero is one. */
    error = impl->sem->init(&st->ready, 0);
    if (!error)
        error = impl->sem->init(&st->sem, 0);
    if (!error && st->on == ON_MUTEX) {
        error = impl->mutex->lock(&st->mutex);
        st->locked = !error;
    }
    if (error)
        return tl_failed(ctx, "sem.init or mutex.lock: %s", strerror(error));
    for (; st->made < st->threads; st->made++) {
        struct tl_attr attr = tl_worker_attr(ctx, st->made);

        attr.stack_size = 65536;
        error = impl->create(&st->thread[st->made], &attr, waiter, st);
        if (error)
            return tl_failed(ctx, "create: %s", strerror(error));
    }
    for (unsigned i = 0; i < st->threads && !error; i++)
        error = gate_sem_wait(impl, &st->ready);
    error = error ? error : atomic_load(&st->error);
    if (error == EDEADLK)
        return tl_invalid(ctx, "0 of %u threads wait: a thread runs inside create", st->threads);
    return error ? tl_failed(ctx, "sem.wait: %s", strerror(error)) : TL_OK;
}

static uint64_t switches(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_nvcsw + (uint64_t)usage.ru_nivcsw;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    uint64_t cpu_ns, wall_ns, before;
    int error = st->impl->sleep(SETTLE_NS);

    if (error)
        return tl_failed(ctx, "sleep: %s", strerror(error));
    before = switches();
    cpu_ns = clocks_now(CLOCK_PROCESS_CPUTIME_ID);
    wall_ns = tl_now_ns();
    tl_begin(ctx);
    error = st->impl->sleep(n * MS);
    tl_end(ctx, n);
    st->wall_ns += tl_now_ns() - wall_ns;
    st->cpu_ns += clocks_now(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
    st->switches += switches() - before;
    return error ? tl_failed(ctx, "sleep: %s", strerror(error)) : TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    unsigned waiting = atomic_load(&st->arrived) - atomic_load(&st->left);
    double seconds = (double)st->wall_ns / 1e9;

    if (waiting != st->threads)
        return tl_invalid(ctx, "%u of %u threads waited all the time", waiting, st->threads);
    tl_metric(ctx, "cpu", (double)st->cpu_ns / 1e3 / seconds, "us/s");
    tl_metric(ctx, "switches", (double)st->switches / seconds, "1/s");
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    int error = 0;

    if (!st)
        return;
    if (st->locked)
        st->impl->mutex->unlock(&st->mutex);
    if (st->on == ON_COND && st->made) {
        st->impl->mutex->lock(&st->mutex);
        st->over = true;
        st->impl->cond->broadcast(&st->cond);
        st->impl->mutex->unlock(&st->mutex);
    }
    for (unsigned i = 0; i < st->made; i++)
        st->impl->sem->post(&st->sem);
    for (unsigned i = 0; i < st->made && !error; i++)
        error = st->impl->join(st->thread[i], NULL);
    if (error) { /* the threads may still use the state: it stays */
        tl_failed(ctx, "join: %s", strerror(error));
        return;
    }
    free(st->thread);
    free(st);
    ctx->state = NULL;
}

static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    (void)ctx;
    expect->not_linear = true;
    expect->why = "a sleep ends late by as much, however long it was";
}

static const struct tl_axis axes[] = {
    {"on", "sem", NULL, "sem,cond,mutex", "what the threads wait for"},
    {"threads", "8", NULL, "1,8,1000", "threads that wait, beside the one that sleeps"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "sem.count", NULL};

static const struct tl_bench idle_cpu = {
    .abi = TL_ABI,
    .name = "idle.cpu",
    .version = 1,
    .title = "CPU time while all threads wait",
    .op = "one millisecond in which every thread waits",
    .needs = TL_NEED_SEM | TL_NEED_MUTEX | TL_NEED_COND | TL_NEED_SLEEP,
    .workers = 2,
    .axes = axes,
    .vary = "detector",
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .min_n = 25,
    .max_n = 1000,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(idle_cpu);

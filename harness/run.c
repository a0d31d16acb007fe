/*
 * run.c - the child's side of a cell: pin, boot the implementation, set up, warm up, time, verify.
 *
 * Started by cell.c as `threadlab --cell-process FD`. One process measures one cell once, so all
 * state here is per process. What it finds goes into the shared page; the driver judges it.
 *
 * Timing: a warm-up finds n so that run(n) takes a twelfth of the wanted time; then n, 2n, n, 2n
 * ... are run until eight batches are there. Twice the size is for the linearity check: a constant
 * that hides in a window shows as t(2n) < 2 t(n).
 */
#include "bench.h"
#include "cell.h"
#include "check_run.h"
#include "clock.h"
#include "registry.h"
#include "threads.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Timed batches of a process: 4 of n and 4 of 2n, which makes 12 n. Half as many where run() spends
 * twice the time of its window outside of it (gathering 100,000 threads, say). */
#define BATCHES 8
#define UNITS 12
#define DEAR 3 /* wall time of run() over its window */
/* Over the shortest window that is worth timing: the estimate of n may be off by half. */
#define LEAST_MARGIN 2.0
/* The timed part is stretched up to three times the set-up, so that a dear set-up does not make the
 * harness cost more than what it measures; but not beyond 1.5 s. */
#define STRETCH 3
#define STRETCH_MAX_NS UINT64_C(1500000000)

static struct cell_page *page;
static struct cell_result *result;
static const struct cell_order *order;
static struct tl_ctx ctx;

/* The open window. Written by the first thread only. */
static struct {
    bool open, closed, counted; /* counted: belongs to a timed batch, not to the warm-up */
    uint64_t begin_ns, ns, ops;
    struct rusage before;
} window;

static struct pmu_set *pmu; /* CELL_COUNT only */
static bool counting;       /* the counters run with the next window */

/* ---- what bench.h promises ------------------------------------------------------------------ */

static void usage_add(const struct rusage *a, const struct rusage *b)
{
    struct cell_usage *u = &result->usage;
#define DELTA(field) (uint64_t)(b->field - a->field)
#define DELTA_NS(field)                                                     \
    ((uint64_t)((b->field.tv_sec - a->field.tv_sec) * INT64_C(1000000000) + \
                (b->field.tv_usec - a->field.tv_usec) * 1000))
    u->voluntary_switches += DELTA(ru_nvcsw);
    u->involuntary_switches += DELTA(ru_nivcsw);
    u->minor_faults += DELTA(ru_minflt);
    u->major_faults += DELTA(ru_majflt);
    u->user_ns += DELTA_NS(ru_utime);
    u->system_ns += DELTA_NS(ru_stime);
    u->max_rss_bytes = (uint64_t)b->ru_maxrss * 1024;
    result->usage_known = true;
}

static void start_counting(void)
{
    if (order->callgrind[0])
        callgrind_begins();
    else
        pmu_start(pmu);
}

static void stop_counting(void)
{
    if (order->callgrind[0])
        callgrind_ends();
    else
        pmu_stop(pmu);
}

void tl_begin(struct tl_ctx *c)
{
    (void)c;
    if (window.open) {
        tl_failed(c, "tl_begin called twice in one run");
        return;
    }
    window.open = true;
    if (window.counted)
        getrusage(RUSAGE_SELF, &window.before);
    hist_gate(window.counted);
    if (counting)
        start_counting();
    window.begin_ns = tl_now_ns();
}

/* Makes the window longer by order->slowdown of what it took, exactly, in real time. */
static uint64_t burn(uint64_t end_ns)
{
    uint64_t until = end_ns + (uint64_t)((double)(end_ns - window.begin_ns) * order->slowdown);
    while (end_ns < until)
        end_ns = tl_now_ns();
    return end_ns;
}

void tl_end(struct tl_ctx *c, uint64_t ops)
{
    uint64_t end_ns = tl_now_ns();
    if (order->slowdown > 0 && window.open)
        end_ns = burn(end_ns);
    if (counting)
        stop_counting();
    hist_gate(false);
    if (!window.open || window.closed) {
        tl_failed(c, "tl_end without its tl_begin");
        return;
    }
    if (window.counted) {
        struct rusage after;
        getrusage(RUSAGE_SELF, &after);
        usage_add(&window.before, &after);
    }
    window.ns = end_ns - window.begin_ns;
    window.ops = ops;
    window.open = false;
    window.closed = true;
}

static const struct cell_value *value_of(const struct cell_value *values, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(values[i].name, name) == 0)
            return &values[i];
    return NULL;
}

const char *tl_axis(const struct tl_ctx *c, const char *name)
{
    const struct cell_value *v = value_of(order->spec.axes, order->spec.naxes, name);
    if (!v) {
        fprintf(stderr, "benchmark %s asks for an axis %s that it does not declare\n",
                c->bench->name, name);
        abort();
    }
    return v->value;
}

int64_t tl_axis_int(const struct tl_ctx *c, const char *name)
{
    const char *text = tl_axis(c, name);
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10); /* the plan has applied the suffix */
    if (errno || end == text || *end) {
        fprintf(stderr, "benchmark %s: axis %s=%s is not an integer\n", c->bench->name, name, text);
        abort();
    }
    return value;
}

bool tl_trait(const struct tl_ctx *c, enum tl_trait trait)
{
    return c->impl && (c->impl->traits & trait);
}

const char *tl_impl_param(const struct tl_ctx *c, const char *name)
{
    (void)c;
    const struct cell_value *v = value_of(order->spec.params, order->spec.nparams, name);
    return v ? v->value : NULL;
}

struct tl_attr tl_worker_attr(const struct tl_ctx *c, unsigned i)
{
    struct tl_attr attr = TL_ATTR_INIT;
    if (tl_trait(c, TL_PARALLEL) && c->nslots > 1)
        attr.slot = (int)(i % c->nslots);
    return attr;
}

static void give_reason(const char *format, va_list args)
{
    if (atomic_exchange(&result->reason_taken, 1) == 0)
        vsnprintf(result->reason, sizeof result->reason, format, args);
}

#define STATUS_FUNCTION(function, status)                              \
    enum tl_status function(struct tl_ctx *c, const char *format, ...) \
    {                                                                  \
        va_list args;                                                  \
        (void)c;                                                       \
        va_start(args, format);                                        \
        give_reason(format, args);                                     \
        va_end(args);                                                  \
        return status;                                                 \
    }
STATUS_FUNCTION(tl_unsupported, TL_UNSUPPORTED)
STATUS_FUNCTION(tl_invalid, TL_INVALID)
STATUS_FUNCTION(tl_failed, TL_FAILED)

enum tl_status tl_refused(struct tl_ctx *c, const char *what)
{
    const char *why = c->impl->why_not ? c->impl->why_not(what) : NULL;
    return tl_unsupported(c, "%s%s%s", what, why ? ": " : " is not offered", why ? why : "");
}

void tl_count(struct tl_ctx *c, const char *name, uint64_t n)
{
    int i = 0;
    if (!window.counted)
        return;
    while (i < result->ncounts && strcmp(result->counts[i].name, name) != 0)
        i++;
    if (i == CELL_NAMED) {
        tl_failed(c, "more than %d counts", CELL_NAMED);
        return;
    }
    if (i == result->ncounts) {
        snprintf(result->counts[i].name, sizeof result->counts[i].name, "%s", name);
        result->ncounts++;
    }
    result->counts[i].n += n;
}

void tl_metric(struct tl_ctx *c, const char *name, double value, const char *unit)
{
    int i = 0;
    while (i < result->nmetrics && strcmp(result->metrics[i].name, name) != 0)
        i++;
    if (i == CELL_NAMED) {
        tl_failed(c, "more than %d metrics", CELL_NAMED);
        return;
    }
    snprintf(result->metrics[i].name, sizeof result->metrics[i].name, "%s", name);
    snprintf(result->metrics[i].unit, sizeof result->metrics[i].unit, "%s", unit);
    result->metrics[i].value = value;
    if (i == result->nmetrics)
        result->nmetrics++;
}

struct tl_hist *tl_hist(struct tl_ctx *c, const char *name)
{
    static struct tl_hist spill; /* so that a caller need not test for NULL */
    int i = 0;
    while (i < result->nhists && strcmp(result->hists[i].name, name) != 0)
        i++;
    if (i == CELL_HISTS) {
        tl_failed(c, "more than %d histograms", CELL_HISTS);
        return &spill;
    }
    if (i == result->nhists) {
        snprintf(result->hists[i].name, sizeof result->hists[i].name, "%s", name);
        result->nhists++;
    }
    return &result->hists[i];
}

/* ---- placement ------------------------------------------------------------------------------ */

static int pin(const struct tl_boot *boot, int slot)
{
    (void)boot;
    if (slot < 0 || (unsigned)slot >= ctx.nslots)
        return EINVAL;
    int cpu = ctx.cpus[slot], e = 0, on = -1;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (syscall(SYS_sched_setaffinity, 0, sizeof set, &set) < 0)
        e = errno;
    unsigned now;
    if (!e && syscall(SYS_getcpu, &now, NULL, NULL) == 0)
        on = (int)now;
    if (slot < 4)
        atomic_store_explicit(&result->pinned[slot], on, memory_order_relaxed);
    if ((e || on != cpu) && atomic_fetch_add(&result->pin_failures, 1) == 0)
        snprintf(result->pin_error, sizeof result->pin_error, "slot %d on PU %d: %s", slot, cpu,
                 e ? strerror(e) : "the kernel runs it elsewhere");
    return e;
}

static const char *boot_param(const struct tl_boot *boot, const char *name)
{
    (void)boot;
    const struct cell_value *v = value_of(order->spec.params, order->spec.nparams, name);
    if (!v) {
        fprintf(stderr, "implementation %s asks for a parameter %s that it does not declare\n",
                order->spec.impl, name);
        abort();
    }
    return v->value;
}

/* ---- the run -------------------------------------------------------------------------------- */

static void stage(enum cell_stage s)
{
    atomic_store(&result->stage, s);
}

/* One call of run() with a window of its own. */
static enum tl_status one_run(uint64_t n)
{
    window.open = window.closed = false;
    window.ns = window.ops = 0;
    enum tl_status status = ctx.bench->run(&ctx, n);
    if (status != TL_OK)
        return status;
    if (result->reason_taken) /* by tl_begin, tl_end, tl_count ... */
        return TL_FAILED;
    if (!window.closed)
        return tl_failed(&ctx, "run returned without tl_begin and tl_end");
    if (window.ops == 0) /* nothing happened: let verify say so */
        window.ops = 1;
    return TL_OK;
}

static uint64_t clamp_n(double n)
{
    const struct tl_bench *b = ctx.bench;
    uint64_t least = b->min_n ? b->min_n : 1;
    uint64_t most = b->max_n ? b->max_n : UINT64_C(1) << 40;
    return n < (double)least ? least : n > (double)most ? most : (uint64_t)n;
}

/* Finds n. An estimate is believed only when it comes from a window of at least a quarter of the
 * size that it asks for: the first calls of anything are slow, and an n from them would be too
 * small. `wall` is what a run costs all in all: a benchmark whose set-up lies in run() must not
 * take for ever to fill its windows. *dear: see DEAR. */
static enum tl_status warm_up(uint64_t target_ns, uint64_t *out, bool *dear)
{
    uint64_t n = clamp_n(1);
    double least = LEAST_MARGIN * (double)clock_min_sample_ns(&order->clock);
    for (int i = 0; i < 64; i++) {
        uint64_t start = tl_now_ns();
        enum tl_status status = one_run(n);
        if (status != TL_OK)
            return status;
        uint64_t wall = tl_now_ns() - start;
        double per_n = (double)(window.ns ? window.ns : 1) / (double)n;
        double wall_per_n = (double)(wall ? wall : 1) / (double)n;
        double fits = (double)target_ns / UNITS / per_n;
        double affordable = (double)target_ns * STRETCH / UNITS / wall_per_n;
        double want = fits < affordable ? fits : affordable;
        if (want * per_n < least)
            want = least / per_n + 1;
        uint64_t next = clamp_n(want);
        if (next <= 8 * n) {
            *dear = wall > DEAR * window.ns;
            *out = *dear ? clamp_n(2.0 * (double)next) : next; /* half the batches, as much work */
            return TL_OK;
        }
        n = next < n * 16 ? next : n * 16;
    }
    return tl_failed(&ctx, "no n gives a window that can be timed");
}

static enum tl_status time_batches(uint64_t n, int batches)
{
    uint64_t most = ctx.bench->max_n;
    if (most >= 2 && n > most / 2) /* room for 2n */
        n = most / 2;
    n = clamp_n((double)n);
    window.counted = true;
    result->n = n;
    for (int i = 0; i < batches; i++) {
        uint64_t size = i % 2 && clamp_n(2.0 * (double)n) == 2 * n ? 2 * n : n;
        baton_take();
        enum tl_status status = one_run(size);
        baton_pass();
        if (status != TL_OK)
            return status;
        result->batches[i].ns = window.ns;
        result->batches[i].ops = window.ops;
        result->nbatches = i + 1;
        result->timed_ns += window.ns;
    }
    return TL_OK;
}

/* What the benchmark says that one op costs in events; the driver compares. */
static void declare(void)
{
    if (ctx.bench->expect)
        ctx.bench->expect(&ctx, &result->expect);
    if (result->expect.why)
        snprintf(result->expect_why, sizeof result->expect_why, "%s", result->expect.why);
    result->expect.why = NULL; /* a pointer of this process */
}

static enum tl_status measure(void)
{
    uint64_t t0 = tl_now_ns(), n = 0;
    stage(CELL_SETUP);
    enum tl_status status = ctx.bench->setup ? ctx.bench->setup(&ctx) : TL_OK;
    uint64_t t1 = tl_now_ns();
    result->setup_ns = t1 - t0;
    if (status != TL_OK)
        return status;

    uint64_t target = order->target_ns, stretched = STRETCH * result->setup_ns;
    if (stretched > STRETCH_MAX_NS)
        stretched = STRETCH_MAX_NS;
    if (stretched > target)
        target = stretched;

    if (order->baton[0]) {
        int e = baton_join(order->baton, order->seat, order->seats);
        if (e)
            return tl_failed(&ctx, "no baton in %s: %s", order->baton, strerror(e));
    }
    bool dear = false;
    stage(CELL_WARMUP);
    if (order->mode == CELL_COUNT) {
        status = one_run(clamp_n((double)order->count_n / 4));
        n = order->count_n;
    } else if (order->fixed_n) {
        n = clamp_n((double)order->fixed_n);
        baton_take();
        status = one_run(n);
        baton_pass();
    } else {
        status = warm_up(target, &n, &dear);
    }
    uint64_t t2 = tl_now_ns();
    result->warmup_ns = t2 - t1;
    if (status != TL_OK)
        return status;

    if (order->mode == CELL_COUNT) {
        stage(CELL_COUNTING);
        counting = true;
        status = one_run(clamp_n((double)n));
        result->counted_ops = window.ops;
        result->counting_ns = window.ns;
    } else {
        struct noise_snapshot before;
        stage(CELL_TIMED);
        noise_count_group(!ctx.impl && ctx.bench->workers > 1); /* then the partner is a process */
        noise_begin(ctx.cpus, (int)ctx.nslots, &before);
        status = time_batches(n, order->batches ? order->batches : dear ? BATCHES / 2 : BATCHES);
        noise_end(ctx.cpus, (int)ctx.nslots, &before, &result->noise);
        baton_leave(&result->baton);
        if (result->noise.stat_known)
            result->noise.foreign_ns -= (int64_t)result->baton.partner_cpu_ns;
        result->noise_known = true;
    }
    if (status != TL_OK)
        return status;

    stage(CELL_VERIFY);
    status = ctx.bench->verify(&ctx);
    if (status == TL_OK)
        declare();
    return status;
}

static void *first_thread(void *arg)
{
    (void)arg;
    enum tl_status status = measure();
    int failed_in = atomic_load(&result->stage);
    baton_leave(&result->baton);
    uint64_t start = tl_now_ns();
    stage(CELL_TEARDOWN);
    if (ctx.bench->teardown)
        ctx.bench->teardown(&ctx);
    result->teardown_ns = tl_now_ns() - start;
    if (status == TL_OK && result->reason_taken) /* teardown, or a tl_metric too many */
        status = TL_FAILED;
    if (status != TL_OK && !result->reason_taken)
        tl_failed(&ctx, "%s said no reason (in %s)", ctx.bench->name, cell_stage_name(failed_in));
    result->status = status;
    return NULL;
}

static enum tl_status boot_and_measure(void)
{
    struct tl_boot boot = {ctx.nslots, pin, boot_param};
    if (order->mode == CELL_CHECK)
        return check_run(&ctx, &boot, order, result);
    int e = pin(&boot, 0); /* before anything is allocated: first touch is near slot 0 */
    if (e)
        return tl_failed(&ctx, "cannot pin to PU %d: %s", ctx.cpus[0], strerror(e));
    /* Pages come from the node of the PU that touches them first, whatever was inherited
     * (numactl); a kernel without NUMA answers ENOSYS, and then there is no choice to make. */
    syscall(SYS_set_mempolicy, MPOL_LOCAL, NULL, 0);

    if (!ctx.impl) {
        first_thread(NULL);
        return result->status;
    }
    char why[256] = "";
    if (ctx.impl->probe && ctx.impl->probe(why, sizeof why) != 0)
        return tl_unsupported(&ctx, "%s", why);
    e = ctx.impl->run(&boot, first_thread, NULL, NULL);
    if (e)
        return tl_failed(&ctx, "%s does not boot: %s", ctx.impl->name, strerror(e));
    return result->status;
}

static void limits(void)
{
    struct rlimit none = {0, 0}, files;
    setrlimit(RLIMIT_CORE, &none); /* a crash is a result here; its core file would fill the disk */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* The counters are opened before the first thread exists: only what is created later inherits. */
static int open_counters(void)
{
    pmu = pmu_open(order->events, (size_t)order->nevents);
    return pmu ? 0 : ENOMEM;
}

int run_cell(int fd)
{
    char error[256];
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (page == MAP_FAILED) {
        fprintf(stderr, "threadlab: --cell-process is for the driver's own use\n");
        return 2;
    }
    result = &page->result;
    order = &page->order;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != order->driver)
        return 2; /* the driver died in between */
    limits();

    int e = registry_init(error, sizeof error);
    for (int i = 0; !e && i < order->nplugins; i++)
        e = registry_load(order->plugins[i], error, sizeof error);
    ctx.bench = e || order->mode == CELL_CHECK ? NULL : registry_bench(order->spec.bench);
    ctx.impl = e ? NULL : registry_impl(order->spec.impl);
    if ((!ctx.bench && order->mode != CELL_CHECK) ||
        (!ctx.impl && strcmp(order->spec.impl, "-") != 0)) {
        fprintf(stderr, "%s\n", e ? error : "the benchmark or implementation is gone");
        return 2;
    }
    ctx.nslots = (unsigned)order->spec.place.ncpus;
    ctx.cpus = order->spec.place.cpus;
    ctx.seed = order->seed;
    clock_use(&order->clock);
    result->expect = (struct tl_expect){TL_ANY, TL_ANY, false, NULL};
    for (size_t i = 0; i < sizeof result->pinned / sizeof *result->pinned; i++)
        atomic_store(&result->pinned[i], -1);

    threads_answer(ctx.impl, order, result);
    if (order->mode == CELL_COUNT && !order->callgrind[0] && open_counters() != 0)
        result->status = tl_failed(&ctx, "no memory for the counters");
    else
        result->status = boot_and_measure();

    if (pmu) {
        pmu_read(pmu, result->counters);
        pmu_close(pmu);
    }
    if (result->status == TL_OK && result->pin_failures > 0)
        result->status = tl_failed(&ctx, "%u threads are not where they were placed: %s",
                                   result->pin_failures, result->pin_error);
    stage(CELL_DONE);
    fflush(NULL);
    _exit(0); /* no destructors: what they would do is not part of the cell */
}

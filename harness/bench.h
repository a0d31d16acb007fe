/*
 * bench.h - contract 2: the form of a benchmark.
 *
 * A benchmark is one `const struct tl_bench` in one file under suites/<topic>/, registered by one
 * macro at its foot. The harness runs it in a process of its own, for one implementation, one
 * placement and one value of each axis:
 *
 *     impl->run( setup(ctx);                      allocate, create the threads that stay
 *                run(ctx, n) several times        do about n ops between tl_begin and tl_end
 *                verify(ctx);                     after the clock: did it really happen?
 *                teardown(ctx); )
 *
 * A benchmark reaches threads only through ctx->impl: calling pthread_create and the like from a
 * suite is poisoned (see the foot). It never trusts that something happened: it counts
 * (tl_count) and verify compares.
 *
 * All functions below are called from threads of the implementation under test; those that say
 * "any thread" may be called from any of them, the others only from the first (where setup, run,
 * verify and teardown run). Times are nanoseconds.
 */
#ifndef TL_BENCH_H
#define TL_BENCH_H

#include "impl.h"

/* How a step ended. Anything but TL_OK ends the cell, with the reason that was given. */
enum tl_status {
    TL_OK,
    TL_UNSUPPORTED, /* cannot be asked of this implementation or machine */
    TL_INVALID,     /* it ran, but what it counted is not what it was to measure */
    TL_FAILED,      /* a call answered an error that it should not have */
    TL_CRASHED,     /* given by the driver only */
    TL_TIMEOUT,     /* given by the driver only */
};

/* What a benchmark needs of an implementation; the plan answers `unsupported` without running. */
enum tl_need {
    TL_NEED_MUTEX = 1u << 0,
    TL_NEED_COND = 1u << 1,
    TL_NEED_SEM = 1u << 2,
    TL_NEED_SIGNAL = 1u << 3,
    TL_NEED_SIGWAIT = 1u << 4,
    TL_NEED_FORK = 1u << 5,
    TL_NEED_SLEEP = 1u << 6,
    TL_NEED_PARALLEL = 1u << 7, /* trait TL_PARALLEL, wherever it is placed */
};

enum tl_bench_flag {
    TL_NO_IMPL = 1u << 0,   /* measures the machine, not an implementation: planned once, as "-" */
    TL_ALL_PAIRS = 1u << 1, /* placed on every pair of PUs (sampled by topology above 64) */
};

/* One dimension of the plan. Values are comma lists; a value is a word or an integer, with k, M, G
 * (1024-based) allowed as suffix. Each preset has its list; NULL: that of the smaller preset. */
struct tl_axis {
    const char *name;
    const char *quick, *standard, *full;
    const char *help; /* one line, with the unit */
};

struct tl_ctx {
    const struct tl_impl *impl; /* NULL with TL_NO_IMPL */
    const struct tl_bench *bench;
    unsigned nslots; /* PUs of the placement */
    const int *cpus; /* their OS numbers, by slot */
    uint64_t seed;   /* of this cell and round */
    void *state;     /* the benchmark's own; it allocates in setup and frees in teardown */
};

/* A range that a count per op must fall into; TL_ANY where nothing is promised. */
struct tl_range {
    double min, max;
};
#define TL_ANY        \
    (struct tl_range) \
    {                 \
        -1, -1        \
    }

/* What one op costs in events, where the benchmark knows. The harness counts (rusage, perf) and
 * marks a sample untrusted when the count per op is outside. Starts as TL_ANY everywhere. */
struct tl_expect {
    struct tl_range switches; /* context switches of the kernel, voluntary or not, per op */
    struct tl_range syscalls; /* system calls per op (where raw_syscalls:sys_enter is readable) */
    bool not_linear;          /* true: time need not grow in proportion to n; say why in `why` */
    const char *why;
};

struct tl_bench {
    unsigned abi;     /* TL_ABI */
    const char *name; /* "topic.case" */
    unsigned version; /* raise it whenever numbers stop being comparable with older ones */
    const char *title;
    const char *op;   /* in words: what one op is */
    const char *unit; /* of value and histograms; NULL: "ns" */
    uint32_t needs;   /* enum tl_need */
    uint32_t flags;   /* enum tl_bench_flag */
    unsigned workers; /* PUs it can use: 1 or 2 or more; 0 means 1. Places give at least that many,
                       * except same-pu */
    const struct tl_axis *axes;  /* ends with .name == NULL; NULL: none */
    const char *vary;            /* "recycle,tls": parameters of the implementation that matter
                                  * here and become axes; NULL: defaults only */
    const char *const *rests_on; /* names of properties that the number rests on; ends with
                                  * NULL; NULL: none */
    const char *kernel_threads;  /* axis whose value is the number of threads alive at once:
                                  * a 1:1 implementation beyond the kernel's limits is
                                  * unsupported without being run; NULL: none */
    const char *places;          /* policies when --place is not given; NULL: same-pu for one
                                  * worker; same-pu and each other relation that this machine
                                  * has for more */
    uint64_t min_n, max_n;       /* bounds of run's n; 0: 1 and no bound */
    uint64_t deadline_ns;        /* of the whole cell; 0: the harness decides */

    enum tl_status (*setup)(struct tl_ctx *ctx); /* NULL: nothing to do */
    enum tl_status (*run)(struct tl_ctx *ctx, uint64_t n);
    enum tl_status (*verify)(struct tl_ctx *ctx);
    void (*teardown)(struct tl_ctx *ctx); /* NULL: nothing; also called when a step before failed */
    void (*expect)(const struct tl_ctx *ctx, struct tl_expect *expect); /* NULL: nothing promised */
};

/* ---- the timed window ---------------------------------------------------------------------- */

/* Each run() calls tl_begin and then tl_end exactly once. What lies outside is set-up. */
void tl_begin(struct tl_ctx *ctx);
/* ops: what was really done in the window, at least 1. */
void tl_end(struct tl_ctx *ctx, uint64_t ops);

/* Monotonic time, comparable between the PUs of one machine. Any thread, async-signal-safe. Its
 * cost and resolution are in the record of the run. */
uint64_t tl_now_ns(void);

/* Burns at least that much time without a system call. Any thread. */
void tl_spin_ns(uint64_t ns);

/* ---- what is known about the cell ------------------------------------------------------------ */

const char *tl_axis(const struct tl_ctx *ctx, const char *name); /* never NULL: aborts if unknown */
int64_t tl_axis_int(const struct tl_ctx *ctx, const char *name); /* suffix applied */
bool tl_trait(const struct tl_ctx *ctx, enum tl_trait trait);
const char *tl_impl_param(const struct tl_ctx *ctx, const char *name); /* NULL: it has none such */

/* Attributes for a worker: slot i % nslots where the implementation is parallel. Any thread. */
struct tl_attr tl_worker_attr(const struct tl_ctx *ctx, unsigned i);

/* A pseudo-random stream (splitmix64, Steele et al. 2014) seeded by the caller. Any thread. */
uint64_t tl_random(uint64_t *state);

/* ---- what it has to tell --------------------------------------------------------------------- */

/* Each sets the cell's reason (the first one is kept), printf-like, and returns the status named,
 * so that `return tl_failed(ctx, "create: %s", strerror(e));` reads well. Any thread. */
enum tl_status tl_unsupported(struct tl_ctx *ctx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* With the implementation's own reason (tl_impl.why_not) for a thing that it refused with ENOTSUP:
 * if (error == ENOTSUP) return tl_refused(ctx, "mutex.robust"); */
enum tl_status tl_refused(struct tl_ctx *ctx, const char *what);
enum tl_status tl_invalid(struct tl_ctx *ctx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum tl_status tl_failed(struct tl_ctx *ctx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds to a named count of what happened ("handovers", "handlers", ...) in timed windows, for the
 * record. At most 16 names, of at most 31 characters. After tl_end, not within the window. */
void tl_count(struct tl_ctx *ctx, const char *name, uint64_t n);

/* Sets a named result that is not a time per op ("fairness", ...). At most 16. unit: a word. */
void tl_metric(struct tl_ctx *ctx, const char *name, double value, const char *unit);

/* A distribution of times: log-linear buckets of 1/32 relative width from 1 ns to 2^40 ns (after
 * HdrHistogram, Tene 2012). At most 8 a cell: by name, created in setup by the first call. The
 * pointer is valid until the process ends. tl_record: any thread, async-signal-safe, wait-free
 * (one relaxed atomic add); only what is recorded while a window is open counts: the harness
 * ignores the warm-up. */
struct tl_hist;
struct tl_hist *tl_hist(struct tl_ctx *ctx, const char *name);
void tl_record(struct tl_hist *hist, uint64_t ns);

/* Registration: `TL_BENCH(create_join);` at the foot of the file. */
#define TL_BENCH(symbol)                                       \
    static const struct tl_bench *const tl_registered_##symbol \
        __attribute__((used, retain, section("tl_benches"))) = &symbol

/* A suite must not reach around the implementation under test (after Plan 9's poisoned names).
 * System headers that declare these come before this one. */
#ifdef TL_SUITE
#pragma GCC poison pthread_create pthread_join pthread_detach pthread_mutex_lock
#pragma GCC poison pthread_mutex_unlock pthread_cond_wait pthread_cond_signal sem_wait sem_post
#pragma GCC poison pthread_kill pthread_sigmask thrd_create mtx_lock
#endif

#endif

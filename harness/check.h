/*
 * check.h - contract 2, second half: the form of a check, and of the mutant that it must catch.
 *
 * A check asks one named property of any implementation. It is one `const struct tl_check` in one
 * file under suites/<topic>/, registered by one macro at its foot, next to at least one `const
 * struct tl_mutant`: a small fault that is put into a sound implementation, which the check must
 * then fail. A check that nothing can fail is worth nothing; `make mutants` tries.
 *
 *     impl->run( run(ctx) );  after(ctx)       or       outside(ctx), which forks children that
 *                                                       boot the implementation (tl_child)
 *
 * Each runs in a process of its own with a deadline: whoever does not come back is `hung`, whoever
 * dies by a signal `crashed`. Verdicts never depend on how fast something is: a lower bound of a
 * time may be checked (a timed wait does not end before its deadline), an upper bound only by the
 * deadline of the whole. What can only show the absence of an accident runs many rounds, with
 * tl_delay at named points; all randomness follows from ctx->seed, which is printed.
 *
 * Conventions: threads are reached through ctx->impl only; any thread may call TL_EXPECT, TL_CALL,
 * tl_failed, tl_delay, tl_step; the first reason is kept. Statics start at 0: a process runs one
 * check once.
 */
#ifndef TL_CHECK_H
#define TL_CHECK_H

#include "bench.h"

enum tl_check_flag {
    /* Two threads have to be half way at the same time: an implementation without TL_CONCURRENT
     * (the control, `null`) must fail it. All checks that this can be said of say it. */
    TL_CHECK_CONCURRENT = 1u << 0,
    TL_CHECK_KERNEL = 1u << 2, /* asked of the kernel, once: ctx->impl is NULL; `outside` only */
    TL_CHECK_ALONE = 1u << 1,  /* not beside other checks: it uses up or counts what they share */
};

struct tl_check {
    unsigned abi;        /* TL_ABI */
    const char *name;    /* the property: "join.waits"; stable, benchmarks rest on it */
    const char *group;   /* heading of the report: "Lifecycle", "Mutex" ... */
    const char *promise; /* the property in one sentence */
    const char *source;  /* where it is promised: "POSIX.1-2017 XSH pthread_join", "clone(2)" */
    const char *method;  /* what the check does, in a sentence or two */
    const char *meaning; /* why a pass means something, and what it cannot show */
    const char *needs;   /* members of struct tl_impl without which it cannot be asked, separated by
                          * blanks: "mutex cond.timedwait exit"; NULL: none */
    uint32_t traits;     /* enum tl_trait: who lacks one does not promise it. (The control is never
                          * excused.) */
    const char *params;  /* "tls=full": values of parameters, in implementations that have them; the
                          * property is one of that mode, and not asked of another. NULL: of all */
    const char *prefers; /* likewise, where nobody asks for another value. NULL: none */
    uint32_t flags;      /* enum tl_check_flag */
    unsigned pus;        /* PUs that it needs; 0: 1 */
    unsigned
        deadline_s; /* 0: CHECK_DEADLINE_S. At least ten times what it takes on an idle machine */

    /* One of the two. run: in the first thread, inside impl->run. outside: in the process's only
     * thread; it may fork, and calls tl_child. Return TL_OK or what tl_failed, tl_unsupported,
     * tl_invalid returned (invalid: the situation that was to be checked never came about). */
    enum tl_status (*run)(struct tl_ctx *ctx);
    enum tl_status (*outside)(struct tl_ctx *ctx);
    enum tl_status (*after)(struct tl_ctx *ctx); /* NULL, or: when impl->run has returned */

    /* NULL, or, for a check that plays a program drawn from ctx->seed and ctx->impl (torture): into
     * how many parts it falls, and what it does, line by line, without the parts of which
     * tl_without is true. Pure, called by the driver as well. */
    unsigned (*parts)(const struct tl_ctx *ctx);
    void (*print)(const struct tl_ctx *ctx, void (*line)(const char *text, void *arg), void *arg);
};

#define CHECK_DEADLINE_S 60

/* A broken variant: apply changes a copy of the implementation's table, whose sub-tables it
 * replaces by copies of its own. The wrappers reach the sound one through the pointers that they
 * saved. */
struct tl_mutant {
    unsigned abi;
    const char *name;  /* "join-returns-early"; unique */
    const char *fault; /* the bug in one sentence, as a maintainer would report it */
    const char *kills; /* properties that must fail on it, separated by blanks; at least one */
    const char *of;    /* sound implementations to make it of, separated by blanks; each must be
                        * caught. NULL: "nptl". "-": of the kernel (TL_CHECK_KERNEL) */
    void (*apply)(
        struct tl_impl *impl); /* impl: NULL for the kernel. apply NULL: the fault is a
                                * TL_MUTANT(name) in the implementation itself (inject.h) */
};

/* ---- for checks ------------------------------------------------------------------------------ */

/* True if cond holds; otherwise notes the reason (printf-like; the first one is kept). */
#define TL_EXPECT(ctx, cond, ...) tl_holds((cond) || tl_failed(ctx, __VA_ARGS__) == TL_OK)
static inline bool tl_holds(bool holds)
{
    return holds;
}

/* True if the call answers 0; otherwise notes the call and the name of its error. */
#define TL_CALL(ctx, call) tl_call(ctx, #call, (call), 0)
/* The same for the error that is right: TL_ANSWERS(ctx, impl->join(self, NULL), EDEADLK). */
#define TL_ANSWERS(ctx, call, error) tl_call(ctx, #call, (call), error)
bool tl_call(struct tl_ctx *ctx, const char *what, int got, int wanted);

/* TL_OK, or TL_FAILED if any thread has noted a reason: `return tl_verdict(ctx);`. Also tells the
 * other threads of a check that they may stop. */
enum tl_status tl_verdict(struct tl_ctx *ctx);

/* One line for the reader beside the verdict, printf-like: a row of a table, a limit that was
 * found. 8 KiB in all; what is more is cut. Not from several threads at once. */
void tl_say(struct tl_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Where the check is: shown when it hangs or crashes. text is not copied. */
void tl_step(struct tl_ctx *ctx, const char *text);

/* A named point of a race: does nothing, yields, or burns up to 20 us, as (seed, name, number of
 * the call) has it. In `null` and the like, too. */
void tl_delay(struct tl_ctx *ctx, const char *point);

/* A thread that runs where worker i runs (tl_worker_attr). False: noted. */
bool tl_start(struct tl_ctx *ctx, unsigned i, struct tl_thread *t, void *(*entry)(void *),
              void *arg);
/* Joins it. NULL if that failed (noted), too. */
void *tl_finish(struct tl_ctx *ctx, struct tl_thread t);

/* Yields until *flag is not 0, at most until the check's deadline is near: then notes `what` was
 * waited for in vain, and returns false, so that it fails with a reason instead of hanging. Also
 * false as soon as another thread has noted a failure. Acquire. */
bool tl_await(struct tl_ctx *ctx, const _Atomic int *flag, const char *what);

/* The part is left out of the program (see parts). Any thread. */
bool tl_without(const struct tl_ctx *ctx, unsigned part);

/* ---- for checks that use `outside` ----------------------------------------------------------- */

/* How a child ended. */
struct tl_child {
    bool hung;       /* it was killed at its deadline */
    int signal;      /* that ended it; 0: none */
    int status;      /* of exit, else -1 */
    char words[512]; /* the end of what it wrote to standard error */
};

/* Boots the implementation and runs entry as its first thread; as tl_impl.run. Once in a process.
 */
int tl_boot(struct tl_ctx *ctx, void *(*entry)(void *), void *arg, void **value);

/* Forks; the child calls body(arg), mostly to tl_boot there, and exits with what it returns. Waits
 * until it has ended, at most deadline_ms (0: until the check's own deadline). What the child
 * notes by tl_failed is kept. Returns 0 or the error of fork. */
int tl_child(struct tl_ctx *ctx, int (*body)(struct tl_ctx *ctx, void *arg), void *arg,
             uint64_t deadline_ms, struct tl_child *end);

/* ---- for mutants ----------------------------------------------------------------------------- */

/* A writable copy of a sub-table, which the implementation has from now on, and the sound one:
 *     sound = impl->mutex;
 *     TL_MUTATE(impl, mutex)->lock = lock_sometimes;
 * Once for each sub-table in an apply. */
#define TL_MUTATE(impl, table)                   \
    ({                                           \
        static struct tl_##table##_ops tl_copy_; \
        tl_copy_ = *(impl)->table;               \
        (impl)->table = &tl_copy_;               \
        &tl_copy_;                               \
    })

/* Registration: `TL_CHECK(join_waits);` and `TL_MUTANT_OF(join_early);` at the foot of the file. */
#define TL_CHECK(symbol)                                       \
    static const struct tl_check *const tl_registered_##symbol \
        __attribute__((used, retain, section("tl_checks"))) = &symbol
#define TL_MUTANT_OF(symbol)                                    \
    static const struct tl_mutant *const tl_registered_##symbol \
        __attribute__((used, retain, section("tl_mutants"))) = &symbol

#endif

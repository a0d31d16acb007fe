/*
 * fp-inherited.c - create.fp-environment: how a new thread rounds.
 */
#include "check.h"

#include "../common/mutant.h"
#include "../common/opaque.h"
#include "../common/wrap.h"

#include <fenv.h>

static struct tl_ctx *ctx;
static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
#define MODES (sizeof(modes) / sizeof(modes[0]))

/* By the mode of the moment; on x86 in two units that have a control word each: the vector unit for
 * double, the x87 for long double. */
struct quotients {
    double plain;
    long double extended;
};

static OPAQUE struct quotients divide(void)
{
    volatile double one = 1, three = 3;
    volatile long double long_one = -1, long_three = 3;

    return (struct quotients){one / three, long_one / long_three};
}

/* arg: what the creator computed. Leaves another mode behind. */
static void *compare(void *arg)
{
    const struct quotients *creators = arg;
    struct quotients mine = divide();

    TL_EXPECT(ctx, mine.plain == creators->plain,
              "1/3 is %a in a new thread, %a in its creator: it rounds by mode %#x", mine.plain,
              creators->plain, (unsigned)fegetround());
    TL_EXPECT(ctx, mine.extended == creators->extended,
              "-1/3 in long double is %La in a new thread, %La in its creator", mine.extended,
              creators->extended);
    fesetround(fegetround() == FE_UPWARD ? FE_DOWNWARD : FE_UPWARD);
    return NULL;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (unsigned i = 0; i < 100 && tl_verdict(c) == TL_OK; i++) {
        int mode = modes[i % MODES];
        struct quotients mine;

        fesetround(mode);
        mine = divide();
        if (tl_start(c, i, &t, compare, &mine))
            tl_finish(c, t);
        TL_EXPECT(c, fegetround() == mode || !(c->impl->traits & TL_CONCURRENT),
                  "the creator rounds by mode %#x after the thread set another", (unsigned)mode);
    }
    fesetround(FE_TONEAREST);
    return tl_verdict(c);
}

static const struct tl_check create_fp_environment = {
    .abi = TL_ABI,
    .name = "create.fp-environment",
    .group = "Lifecycle",
    .promise = "a new thread rounds as its creator did when it created it",
    .source = "POSIX.1-2017 XSH pthread_create (the floating-point environment shall be inherited)",
    .method = "100 threads, created in four rounding modes in turn, divide in double and long "
              "double, compare with their creator, and set another mode before they end",
    .meaning = "a thread that starts with the default mode, or with that of whose stack it got, "
               "differs in three of four; exception flags are not compared",
    .run = run,
};
TL_CHECK(create_fp_environment);

/* ---- mutants --------------------------------------------------------------------------------- */

static void *with_default(void *(*entry)(void *), void *arg)
{
    fesetenv(FE_DFL_ENV);
    return entry(arg);
}

static _Atomic int last_mode;

static void *with_last(void *(*entry)(void *), void *arg)
{
    void *value;

    fesetround(last_mode);
    value = entry(arg);
    last_mode = fegetround();
    return value;
}

static void apply_default(struct tl_impl *impl)
{
    wrap_entries(impl, with_default);
}

static void apply_last(struct tl_impl *impl)
{
    wrap_entries(impl, with_last);
}

MUTANT(fp_default, "create-resets-fp", "a new thread starts with the default fp environment",
       "create.fp-environment", EVERYWHERE, apply_default);
MUTANT(fp_last, "create-recycles-fp", "a new thread rounds as the one that ended before it",
       "create.fp-environment", EVERYWHERE, apply_last);

/*
 * fp.c - fp.control-words, fp.environment: how a thread rounds, and which exceptions it has seen.
 */
#include "../common/crowd.h"
#include "../common/opaque.h"
#include "../common/wrap.h"

#include <fenv.h>

#define THREADS 5
#define TURNS 60

static struct tl_ctx *ctx;
static struct tl_sem ring[THREADS];

/* All have blocked and run once, by a way other than yield. */
static void hand_round(unsigned i)
{
    ctx->impl->sem->wait(&ring[i]);
    ctx->impl->sem->post(&ring[(i + 1) % THREADS]);
}

static enum tl_status ask(struct tl_ctx *c, void (*body)(unsigned i))
{
    ctx = c;
    for (unsigned i = 0; i < THREADS; i++)
        TL_CALL(ctx, ctx->impl->sem->init(&ring[i], i == 0));
    crowd_run(ctx, THREADS, body);
    return tl_verdict(ctx);
}

/* ---- fp.control-words ------------------------------------------------------------------------ */

static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
#define MODES (sizeof(modes) / sizeof(modes[0]))

/* Rounded by the mode of the moment. On x86 by two units with a control word each: the vector unit
 * for double, the x87 for long double. */
struct thirds {
    double plain;
    long double extended;
};

static OPAQUE struct thirds divide(void)
{
    volatile double one = 1, three = 3;
    volatile long double long_one = -1, long_three = 3;

    return (struct thirds){one / three, long_one / long_three};
}

static void rounds(unsigned i)
{
    int mode = modes[i % MODES];
    struct thirds mine, now;

    fesetround(mode);
    mine = divide();
    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        tl_delay(ctx, "with a rounding mode");
        crowd_step();
        if (n % 8 == 0)
            hand_round(i);
        now = divide();
        TL_EXPECT(ctx, fegetround() == mode, "thread %u: rounds by mode %#x, it set %#x", i,
                  (unsigned)fegetround(), (unsigned)mode);
        TL_EXPECT(ctx, now.plain == mine.plain && now.extended == mine.extended,
                  "thread %u: 1/3 is %a and -1/3 is %La, were %a and %La", i, now.plain,
                  now.extended, mine.plain, mine.extended);
    }
    ctx->impl->sem->post(&ring[(i + 1) % THREADS]); /* who fails lets the others go */
}

static enum tl_status run_control(struct tl_ctx *c)
{
    return ask(c, rounds);
}

static const struct tl_check fp_control_words = {
    .abi = TL_ABI,
    .name = "fp.control-words",
    .group = "Scheduling",
    .promise = "the rounding mode is the thread's own: it survives switches to threads that round "
               "otherwise",
    .source = "C11 7.6 p2 (the floating-point environment has thread storage duration); System V "
              "ABI AMD64 3.2.3 (control bits of MXCSR and the x87 control word are callee-saved)",
    .method = "five threads set four rounding modes, divide in double and long double, yield and "
              "block 60 times, and divide again",
    .meaning = "a switch that leaves a control register to the next thread is seen by the mode "
               "and by what is computed, in both units of an x86",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_control,
};
TL_CHECK(fp_control_words);

/* ---- fp.environment -------------------------------------------------------------------------- */

/* By arithmetic, as programs do, in both units. */
static OPAQUE void raise_both(void)
{
    volatile double zero = 0, one = 1, huge = 1e308, result;
    volatile long double long_zero = 0, long_one = 1, long_result;

    result = one / zero;
    result = huge * huge;
    long_result = long_one / long_zero;
    (void)result;
    (void)long_result;
}

#define RAISED (FE_DIVBYZERO | FE_OVERFLOW)

static void excepts(unsigned i)
{
    bool raises = i % 2;

    feclearexcept(FE_ALL_EXCEPT);
    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        feclearexcept(FE_ALL_EXCEPT);
        if (raises)
            raise_both();
        crowd_step();
        if (n % 8 == 0)
            hand_round(i);
        int got = fetestexcept(RAISED);
        TL_EXPECT(ctx, got == (raises ? RAISED : 0),
                  "thread %u: exceptions %#x are set after a switch, it raised %#x", i,
                  (unsigned)got, raises ? (unsigned)RAISED : 0);
    }
    ctx->impl->sem->post(&ring[(i + 1) % THREADS]);
}

static enum tl_status run_environment(struct tl_ctx *c)
{
    return ask(c, excepts);
}

static const struct tl_check fp_environment = {
    .abi = TL_ABI,
    .name = "fp.environment",
    .group = "Scheduling",
    .promise = "the floating-point exceptions that a thread has raised are its own: no other "
               "thread sees them, and they are there after a switch",
    .source = "C11 7.6 p2 (the floating-point environment, flags included, has thread storage "
              "duration)",
    .method = "two of five threads divide by zero and overflow, in double and long double; all "
              "clear the flags, yield and block 60 times, and look",
    .meaning = "a switch that keeps control words but not status words fails: calling conventions "
               "let a function change the status, the language does not let another thread do so",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_environment,
};
TL_CHECK(fp_environment);

/* ---- mutants --------------------------------------------------------------------------------- */

static void (*sound_yield)(void);
static _Atomic int last_mode, last_excepts;

static void yield_rounds(void)
{
    atomic_store(&last_mode, fegetround());
    sound_yield();
    if (wrap_once_in(8))
        fesetround(atomic_load(&last_mode));
}

static void yield_excepts(void)
{
    atomic_store(&last_excepts, fetestexcept(FE_ALL_EXCEPT));
    sound_yield();
    if (wrap_once_in(8)) {
        feclearexcept(FE_ALL_EXCEPT);
        feraiseexcept(atomic_load(&last_excepts));
    }
}

static void apply_rounds(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_rounds;
}

static void apply_excepts(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_excepts;
}

static const struct tl_mutant fp_mode_leaks = {
    .abi = TL_ABI,
    .name = "fp-mode-leaks",
    .fault = "after one yield in eight a thread rounds as the one before it",
    .kills = "fp.control-words",
    .of = "nptl clone green",
    .apply = apply_rounds,
};
TL_MUTANT_OF(fp_mode_leaks);

static const struct tl_mutant fp_flags_leak = {
    .abi = TL_ABI,
    .name = "fp-flags-leak",
    .fault = "after one yield in eight a thread has the exception flags of the one before it",
    .kills = "fp.environment",
    .of = "nptl clone",
    .apply = apply_excepts,
};
TL_MUTANT_OF(fp_flags_leak);

/*
 * once.c - once.exactly-once, once.cancelled-retries: a routine that many threads ask for runs
 * once, to its end.
 */
#include "../cancel/victim.h"

#include "../common/crowd.h"
#include "../common/mutant.h"
#include "../common/rounds.h"
#include "../common/wrap.h"

static struct tl_ctx *ctx;

/* ---- exactly once ---------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 200
#define FEW 10

/* One a round; all zero is an initialised one. */
static struct tl_once once[ROUNDS];
static _Atomic unsigned now;
static _Atomic unsigned end = ROUNDS; /* number of rounds; changed before its meeting */
static _Atomic int runs[ROUNDS];
static int made[ROUNDS]; /* plain: once orders the routine's write before all returns */

static void initialise(void)
{
    unsigned round = atomic_load(&now);

    atomic_fetch_add(&runs[round], 1);
    tl_delay(ctx, "within the routine");
    ctx->impl->yield();
    made[round] = (int)round + 1;
}

static void call_once(unsigned i)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (i == 0 && !rounds_more(ctx, round, FEW, ROUNDS))
            atomic_store(&end, round);
        if (!crowd_meet() || round >= atomic_load(&end))
            return;
        atomic_store(&now, round); /* nobody is in another round */
        tl_delay(ctx, "before once");
        TL_CALL(ctx, ctx->impl->once(&once[round], initialise));
        TL_EXPECT(ctx, made[round] == (int)round + 1, "once returned before its routine had ended");
        TL_CALL(ctx, ctx->impl->once(&once[round], initialise));
    }
}

static enum tl_status run_exactly(struct tl_ctx *c)
{
    ctx = c;
    crowd_run(c, THREADS, call_once);
    for (int i = 0; i < (int)atomic_load(&end) && tl_verdict(c) == TL_OK; i++)
        TL_EXPECT(c, atomic_load(&runs[i]) == 1, "the routine ran %d times", atomic_load(&runs[i]));
    return tl_verdict(c);
}

static const struct tl_check exactly_once = {
    .abi = TL_ABI,
    .name = "once.exactly-once",
    .group = "Once",
    .promise = "the routine runs once, and has ended when any of the calls returns",
    .source = "POSIX.1-2017 XSH pthread_once",
    .method = "four threads call it together, and once more each, up to 200 times; the routine is "
              "held up "
              "by seeded delays, and what it writes last is read after each call",
    .meaning = "a second run is counted, and a call that does not wait reads too early; a write "
               "that the processor lets others see late is seen by chance only",
    .needs = "once",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_exactly,
};
TL_CHECK(exactly_once);

/* ---- cancelled ------------------------------------------------------------------------------- */

#define RETRIES 40
#define FEW_RETRIES 8

static struct tl_once retried[RETRIES];
static unsigned retry; /* changed while no other thread is there */
static _Atomic int begun, tries, ended, returned;

static void fail_at_first(void)
{
    if (atomic_fetch_add(&tries, 1)) {
        atomic_fetch_add(&ended, 1);
        return;
    }
    atomic_store(&begun, 1);
    while (tl_verdict(ctx) == TL_OK) {
        ctx->impl->cancel->test();
        ctx->impl->yield();
    }
}

static void call_retried(void)
{
    TL_CALL(ctx, ctx->impl->once(&retried[retry], fail_at_first));
}

static void *call_behind(void *arg)
{
    call_retried();
    TL_EXPECT(ctx, atomic_load(&ended), "once returned, its routine was cancelled");
    atomic_store(&returned, 1);
    return arg;
}

static enum tl_status run_retries(struct tl_ctx *c)
{
    struct tl_thread behind;

    ctx = c;
    for (retry = 0; rounds_more(ctx, retry, FEW_RETRIES, RETRIES); retry++) {
        bool waits = retry % 2;

        atomic_store(&begun, 0);
        atomic_store(&tries, 0);
        atomic_store(&ended, 0);
        atomic_store(&returned, 0);
        if (!victim_start(ctx, call_retried) || !tl_await(ctx, &begun, "the routine to run"))
            break;
        if (waits) {
            if (!tl_start(ctx, 0, &behind, call_behind, NULL))
                break;
            settle(ctx);
        }
        victim_cancel();
        if (!victim_end(ctx, "the routine of once"))
            break;
        if (waits) {
            tl_await(ctx, &returned, "once in a thread that waited for the cancelled one");
            tl_finish(ctx, behind);
        }
        call_retried();
        call_retried();
        TL_EXPECT(ctx, atomic_load(&ended) == 1, "the routine ran %d times after it was cancelled",
                  atomic_load(&ended));
    }
    return tl_verdict(ctx);
}

static const struct tl_check cancelled_retries = {
    .abi = TL_ABI,
    .name = "once.cancelled-retries",
    .group = "Once",
    .promise =
        "a routine that was cancelled has not run: the next call, or one that waits, runs it",
    .source = "POSIX.1-2017 XSH pthread_once (if init_routine is a cancellation point and is "
              "canceled, the effect shall be as if pthread_once was never called)",
    .method =
        "a thread is cancelled in the routine, with another one that most likely waits for it "
        "in half of up to 40 rounds; then the routine has to run once, to its end",
    .meaning = "a control that stays busy lets the next call hang; one that counts as done is seen",
    .needs = "once cancel protect",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_retries,
};
TL_CHECK(cancelled_retries);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;
static void (*wrapped)(void);
static _Atomic int inside;
static struct tl_once *_Atomic current, *_Atomic tried;

static int once_twice(struct tl_once *o, void (*routine)(void))
{
    if (wrap_once_in(50))
        routine();
    return sound.once(o, routine);
}

static void within(void)
{
    atomic_store(&inside, 1);
    wrapped();
    atomic_store(&inside, 0);
}

static int once_not_waiting(struct tl_once *o, void (*routine)(void))
{
    wrapped = routine;
    return atomic_load(&inside) ? 0 : sound.once(o, within);
}

static void try_first(void)
{
    if (atomic_exchange(&tried, atomic_load(&current)) != atomic_load(&current))
        wrapped();
}

static int once_tried(struct tl_once *o, void (*routine)(void))
{
    wrapped = routine;
    atomic_store(&current, o);
    return sound.once(o, try_first);
}

MUTANT_APPLY(apply_twice, once, once_twice)
MUTANT_APPLY(apply_not_waiting, once, once_not_waiting)
MUTANT_APPLY(apply_tried, once, once_tried)

MUTANT(twice, "once-runs-twice", "one call in fifty runs the routine without asking",
       "once.exactly-once", EVERYWHERE, apply_twice);
MUTANT(not_waiting, "once-does-not-wait", "a call returns while another thread runs the routine",
       "once.exactly-once", EVERYWHERE, apply_not_waiting);
MUTANT(counts_tries, "once-counts-tries", "a routine that was cancelled counts as having run",
       "once.cancelled-retries", EVERYWHERE, apply_tried);

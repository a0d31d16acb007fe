/*
 * exclusion.c - mutex.exclusion, spin.exclusion: at most one thread is between lock and unlock.
 */
#include "mutex.h"

#define THREADS 4
/* Turns of each thread; fewer, but at least some, where a neighbour or a spinning waiter takes the
 * time slice that a delay inside gives up. */
#define TURNS 2000
#define FEW_TURNS 100
#define ENOUGH_NS 300000000u

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static _Atomic int inside, entered;
static _Atomic long turns;
static long plain; /* protected by mutex */
static uint64_t start_ns;

static void *worker(void *arg)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;

    for (int i = 0; i < TURNS && tl_verdict(ctx) == TL_OK; i++) {
        if (i >= FEW_TURNS && tl_now_ns() - start_ns > ENOUGH_NS)
            break;
        if (!TL_CALL(ctx, ops->lock(&mutex)))
            break;
        TL_EXPECT(ctx, atomic_fetch_add(&inside, 1) == 0, "two threads hold the mutex");
        long seen = plain;
        tl_delay(ctx, "within the critical section");
        plain = seen + 1;
        atomic_fetch_sub(&inside, 1);
        atomic_fetch_add(&turns, 1);
        TL_CALL(ctx, ops->unlock(&mutex));
        tl_delay(ctx, "between two critical sections");
    }
    atomic_fetch_add(&entered, 1);
    return arg;
}

static enum tl_status exclude(struct tl_ctx *c, enum tl_mutex_kind kind, const char *why)
{
    struct tl_thread t[THREADS];
    int made = 0, contended = 0;
    enum tl_status status = mutex_make(c, &mutex, kind, why);

    ctx = c;
    if (status != TL_OK)
        return status;
    start_ns = tl_now_ns();
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)); /* so that all have to wait at first */
    while (made < THREADS && tl_start(ctx, (unsigned)made, &t[made], worker, NULL))
        made++;
    contended = atomic_load(&entered) == 0 && made == THREADS;
    ctx->impl->mutex->unlock(&mutex);
    for (int i = 0; i < made; i++)
        tl_finish(ctx, t[i]);
    TL_EXPECT(ctx, contended, "the threads did not wait for the mutex");
    TL_EXPECT(ctx, plain == atomic_load(&turns), "%ld of %ld increments are there", plain,
              atomic_load(&turns));
    return tl_verdict(ctx);
}

static enum tl_status run(struct tl_ctx *c)
{
    return exclude(c, TL_MUTEX_BLOCK, "mutex");
}

static enum tl_status run_spin(struct tl_ctx *c)
{
    return exclude(c, TL_MUTEX_SPIN, "mutex.spin");
}

static const struct tl_check mutex_exclusion = {
    .abi = TL_ABI,
    .name = "mutex.exclusion",
    .group = "Mutex",
    .promise = "at most one thread is between lock and unlock, and sees what the last one wrote",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock; XBD 4.12 (memory synchronisation)",
    .method =
        "four threads on different PUs increment a plain counter under the mutex, with seeded "
        "delays between read and write and outside; a second counter tells who is inside",
    .meaning =
        "two holders at once are seen by the second counter or as a lost increment; with the "
        "delays inside, a lock that lets others pass now and then is caught in most rounds",
    .needs = "mutex",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(mutex_exclusion);

static const struct tl_check spin_exclusion = {
    .abi = TL_ABI,
    .name = "spin.exclusion",
    .group = "Mutex",
    .promise = "at most one thread is between lock and unlock of a spin lock, and sees what the "
               "last one wrote",
    .source = "POSIX.1-2017 XSH pthread_spin_lock; XBD 4.12 (memory synchronisation)",
    .method = "as mutex.exclusion, with a lock that waits by spinning",
    .meaning = "as mutex.exclusion; an owner that loses its PU makes the others burn theirs, which "
               "is no fault",
    .needs = "mutex",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_spin,
};
TL_CHECK(spin_exclusion);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound;
static _Atomic unsigned locks;
static _Thread_local bool skipped; /* M:1: shared by all, which is as wrong */

static int lock(struct tl_mutex *m)
{
    skipped = atomic_fetch_add(&locks, 1) % 50 == 49;
    return skipped ? 0 : sound->lock(m);
}

static int unlock(struct tl_mutex *m)
{
    if (!skipped)
        return sound->unlock(m);
    skipped = false;
    return 0;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->mutex;
    struct tl_mutex_ops *broken = TL_MUTATE(impl, mutex);
    broken->lock = lock;
    broken->unlock = unlock;
}

static const struct tl_mutant mutex_lets_pass = {
    .abi = TL_ABI,
    .name = "mutex-lets-pass",
    .fault = "one lock in fifty returns without having taken the mutex",
    .kills = "mutex.exclusion spin.exclusion",
    .of = "nptl clone green",
    .apply = apply,
};
TL_MUTANT_OF(mutex_lets_pass);

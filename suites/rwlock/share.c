/*
 * share.c - rwlock.readers-share, rwlock.writer-excludes, rwlock.try: who may be inside together.
 */
#include "../common/crowd.h"

#include <errno.h>
#include <string.h>

static struct tl_ctx *ctx;
static struct tl_rwlock lock;

/* ---- readers-share --------------------------------------------------------------------------- */

#define READERS 3

static _Atomic int inside, all_inside;

static void read_together(unsigned i)
{
    (void)i;
    if (!TL_CALL(ctx, ctx->impl->rwlock->rdlock(&lock)))
        return;
    if (atomic_fetch_add(&inside, 1) == READERS - 1)
        atomic_store(&all_inside, 1);
    tl_await(ctx, &all_inside, "all readers to be inside");
    TL_CALL(ctx, ctx->impl->rwlock->unlock(&lock));
}

static enum tl_status run_share(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->rwlock->init(&lock));
    crowd_run(c, READERS, read_together);
    TL_CALL(c, c->impl->rwlock->destroy(&lock));
    return tl_verdict(c);
}

static const struct tl_check readers_share = {
    .abi = TL_ABI,
    .name = "rwlock.readers-share",
    .group = "Read-write lock",
    .promise = "several readers hold the lock at the same time",
    .source = "POSIX.1-2017 XSH pthread_rwlock_rdlock",
    .method = "three readers lock and wait inside until all three are there",
    .meaning = "a lock that lets readers in one by one does not come to an end",
    .needs = "rwlock",
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 60,
    .run = run_share,
};
TL_CHECK(readers_share);

/* ---- writer-excludes ------------------------------------------------------------------------- */

#define CROWD 4
#define TURNS 300
#define FEW_TURNS 50
#define ENOUGH_NS 300000000u /* then fewer turns do: see mutex.exclusion */

static _Atomic int readers, writers;
static _Atomic long writes;
static long plain; /* protected by lock */
static uint64_t start_ns;

static void write_once(const struct tl_rwlock_ops *ops)
{
    if (!TL_CALL(ctx, ops->wrlock(&lock)))
        return;
    TL_EXPECT(ctx, atomic_fetch_add(&writers, 1) == 0, "two writers are inside");
    TL_EXPECT(ctx, atomic_load(&readers) == 0, "a writer found a reader inside");
    long seen = plain;
    tl_delay(ctx, "in the writer");
    plain = seen + 1;
    atomic_fetch_add(&writes, 1);
    atomic_fetch_sub(&writers, 1);
    TL_CALL(ctx, ops->unlock(&lock));
}

static void read_once(const struct tl_rwlock_ops *ops)
{
    if (!TL_CALL(ctx, ops->rdlock(&lock)))
        return;
    atomic_fetch_add(&readers, 1);
    TL_EXPECT(ctx, atomic_load(&writers) == 0, "a reader found a writer inside");
    long seen = plain;
    tl_delay(ctx, "in the reader");
    TL_EXPECT(ctx, plain == seen, "a reader saw a write while it was inside");
    atomic_fetch_sub(&readers, 1);
    TL_CALL(ctx, ops->unlock(&lock));
}

static void mix(unsigned i)
{
    uint64_t random = ctx->seed + i;

    for (int turn = 0; turn < TURNS && tl_verdict(ctx) == TL_OK; turn++) {
        if (turn >= FEW_TURNS && tl_now_ns() - start_ns > ENOUGH_NS)
            break;
        if (tl_random(&random) % 2)
            write_once(ctx->impl->rwlock);
        else
            read_once(ctx->impl->rwlock);
        tl_delay(ctx, "outside");
    }
}

static enum tl_status run_excludes(struct tl_ctx *c)
{
    ctx = c;
    start_ns = tl_now_ns();
    TL_CALL(c, c->impl->rwlock->init(&lock));
    crowd_run(c, CROWD, mix);
    TL_EXPECT(c, plain == atomic_load(&writes), "%ld of %ld increments are there", plain,
              atomic_load(&writes));
    TL_CALL(c, c->impl->rwlock->destroy(&lock));
    return tl_verdict(c);
}

static const struct tl_check writer_excludes = {
    .abi = TL_ABI,
    .name = "rwlock.writer-excludes",
    .group = "Read-write lock",
    .promise = "while a writer is inside, no other writer is, and no reader",
    .source = "POSIX.1-2017 XSH pthread_rwlock_wrlock; XBD 4.12 (memory synchronisation)",
    .method = "four threads read or write by lot a plain counter, with seeded delays; all who are "
              "inside are counted",
    .meaning = "whoever should not be inside is seen by the counts or by the counter; a race of a "
               "few instructions may take more rounds than these",
    .needs = "rwlock",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_excludes,
};
TL_CHECK(writer_excludes);

/* ---- try ------------------------------------------------------------------------------------- */

struct attempt {
    int read, write;
};

static void *attempt(void *arg)
{
    const struct tl_rwlock_ops *ops = ctx->impl->rwlock;
    struct attempt *a = arg;

    a->read = ops->tryrdlock(&lock);
    if (!a->read)
        TL_CALL(ctx, ops->unlock(&lock));
    a->write = ops->trywrlock(&lock);
    if (!a->write)
        TL_CALL(ctx, ops->unlock(&lock));
    return arg;
}

static void others_get(const char *when, int read, int write)
{
    struct attempt a = {-1, -1};
    struct tl_thread t;

    if (tl_start(ctx, 1, &t, attempt, &a))
        tl_finish(ctx, t);
    TL_EXPECT(ctx, a.read == read, "tryrdlock of a lock %s answered %d, right is %d", when, a.read,
              read);
    TL_EXPECT(ctx, a.write == write, "trywrlock of a lock %s answered %d, right is %d", when,
              a.write, write);
}

static enum tl_status run_try(struct tl_ctx *c)
{
    const struct tl_rwlock_ops *ops = c->impl->rwlock;

    ctx = c;
    TL_CALL(c, ops->init(&lock));
    others_get("that is free", 0, 0);
    TL_CALL(c, ops->rdlock(&lock));
    others_get("held for reading", 0, EBUSY);
    TL_CALL(c, ops->unlock(&lock));
    TL_CALL(c, ops->wrlock(&lock));
    others_get("held for writing", EBUSY, EBUSY);
    TL_CALL(c, ops->unlock(&lock));
    TL_CALL(c, ops->tryrdlock(&lock));
    others_get("taken by tryrdlock", 0, EBUSY);
    TL_CALL(c, ops->unlock(&lock));
    TL_CALL(c, ops->trywrlock(&lock));
    others_get("taken by trywrlock", EBUSY, EBUSY);
    TL_CALL(c, ops->unlock(&lock));
    TL_CALL(c, ops->destroy(&lock));
    return tl_verdict(c);
}

static const struct tl_check rwlock_try = {
    .abi = TL_ABI,
    .name = "rwlock.try",
    .group = "Read-write lock",
    .promise = "tryrdlock and trywrlock take the lock where they need not wait, and answer EBUSY "
               "otherwise",
    .source = "POSIX.1-2017 XSH pthread_rwlock_tryrdlock, pthread_rwlock_trywrlock; EBUSY",
    .method =
        "another thread tries both while the lock is free, read and written, taken either way",
    .meaning = "the answers are right when nobody races; what a waiting writer changes is asked by "
               "rwlock.policy-stated",
    .needs = "rwlock",
    .run = run_try,
};
TL_CHECK(rwlock_try);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_rwlock_ops *sound;
static _Atomic unsigned calls;

static int write_as_reader(struct tl_rwlock *l)
{
    return atomic_fetch_add(&calls, 1) % 20 == 19 ? sound->rdlock(l) : sound->wrlock(l);
}

static void apply_reader(struct tl_impl *impl)
{
    sound = impl->rwlock;
    TL_MUTATE(impl, rwlock)->wrlock = write_as_reader;
}

static void apply_alone(struct tl_impl *impl)
{
    sound = impl->rwlock;
    struct tl_rwlock_ops *broken = TL_MUTATE(impl, rwlock);
    broken->rdlock = sound->wrlock;
    broken->tryrdlock = sound->trywrlock;
}

static const struct tl_mutant rwlock_writer_as_reader = {
    .abi = TL_ABI,
    .name = "rwlock-writer-as-reader",
    .fault = "one wrlock in twenty takes the lock for reading",
    .kills = "rwlock.writer-excludes",
    .of = "nptl clone green",
    .apply = apply_reader,
};
TL_MUTANT_OF(rwlock_writer_as_reader);

static const struct tl_mutant rwlock_reader_alone = {
    .abi = TL_ABI,
    .name = "rwlock-reader-alone",
    .fault = "a reader takes the lock for itself",
    .kills = "rwlock.readers-share rwlock.try",
    .of = "nptl clone green",
    .apply = apply_alone,
};
TL_MUTANT_OF(rwlock_reader_alone);

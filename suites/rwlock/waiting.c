/*
 * waiting.c - rwlock.policy-stated, rwlock.readers-first, rwlock.timed: what happens to those who
 * cannot have the lock.
 */
#include "../common/clocks.h"
#include "check.h"

#include <errno.h>
#include <stdatomic.h>

static struct tl_ctx *ctx;
static struct tl_rwlock lock;
static bool writer_first; /* of that lock */
static _Atomic int entering;

/* ---- policy-stated --------------------------------------------------------------------------- */

#define PATIENCE_NS UINT64_C(8000000000)

static void *write_waiting(void *arg)
{
    atomic_store(&entering, 1);
    if (TL_CALL(ctx, ctx->impl->rwlock->wrlock(&lock)))
        TL_CALL(ctx, ctx->impl->rwlock->unlock(&lock));
    return arg;
}

/* Held for reading, and a writer waits or is about to. A reader that prefers the writer is refused
 * once that one waits; otherwise none ever is. */
static void *read_behind(void *arg)
{
    const struct tl_rwlock_ops *ops = ctx->impl->rwlock;
    uint64_t start = tl_now_ns();
    bool refused = false;

    for (int tries = 0; !refused && tl_verdict(ctx) == TL_OK && tl_now_ns() - start < PATIENCE_NS;
         tries++) {
        int err = ops->tryrdlock(&lock);

        refused = err == EBUSY;
        if (!err)
            TL_CALL(ctx, ops->unlock(&lock));
        else
            TL_EXPECT(ctx, refused, "tryrdlock answered %d", err);
        if (!writer_first && tries == 1000)
            break;
        ctx->impl->yield();
    }
    TL_EXPECT(ctx, refused == writer_first,
              refused ? "a reader is kept out by a waiting writer: not as it is said"
                      : "readers go past a waiting writer: not as it is said");
    return arg;
}

/* With a lock that is initialised. */
static void ask_policy(struct tl_ctx *c)
{
    const struct tl_rwlock_ops *ops = c->impl->rwlock;
    struct tl_thread writer, reader;

    tl_say(c, "%s",
           writer_first ? "a waiting writer goes before readers that come after it"
                        : "readers go past a waiting writer");
    atomic_store(&entering, 0);
    TL_CALL(c, ops->rdlock(&lock));
    if (tl_start(c, 1, &writer, write_waiting, NULL)) {
        bool made = tl_await(c, &entering, "the writer to be about to wait") &&
                    tl_start(c, 0, &reader, read_behind, NULL);
        if (made)
            tl_finish(c, reader);
        TL_CALL(c, ops->unlock(&lock));
        tl_finish(c, writer);
    }
    TL_CALL(c, ops->destroy(&lock));
}

static enum tl_status run_policy(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->rwlock->init(&lock));
    writer_first = c->impl->rwlock->writer_first;
    ask_policy(c);
    return tl_verdict(c);
}

static enum tl_status run_readers_first(struct tl_ctx *c)
{
    const struct tl_rwlock_ops *ops = c->impl->rwlock;

    ctx = c;
    TL_CALL(c, ops->init(&lock));
    if (ops->readers_first)
        TL_CALL(c, ops->readers_first(&lock));
    else if (ops->writer_first)
        return tl_refused(c, "rwlock.readers_first");
    writer_first = false;
    ask_policy(c);
    return tl_verdict(c);
}

static const struct tl_check policy_stated = {
    .abi = TL_ABI,
    .name = "rwlock.policy-stated",
    .group = "Read-write lock",
    .promise = "who goes first, a waiting writer or a reader that comes after it, is as the "
               "implementation says (tl_rwlock_ops.writer_first)",
    .source = "POSIX.1-2017 XSH pthread_rwlock_rdlock: implementation-defined without Thread "
              "Execution Scheduling; the implementation's README",
    .method = "one thread reads, a second waits to write, a third tries to read: until it is "
              "refused where writers go first, a thousand times where readers do",
    .meaning = "that the writer waits already cannot be seen from outside: readers first is shown "
               "if it does within the thousand tries, as it mostly will",
    .needs = "rwlock",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_policy,
};
TL_CHECK(policy_stated);

static const struct tl_check readers_first = {
    .abi = TL_ABI,
    .name = "rwlock.readers-first",
    .group = "Read-write lock",
    .promise = "a lock can be made for which readers go past a waiting writer, so that who reads "
               "already can come again",
    .source = "POSIX.1-2017 XSH pthread_rwlock_rdlock: a thread may hold several concurrent read "
              "locks; glibc PTHREAD_RWLOCK_PREFER_READER_NP",
    .method = "as rwlock.policy-stated, with a lock that was asked to be so; the writer gets it "
              "when nobody reads",
    .meaning = "as there",
    .needs = "rwlock",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_readers_first,
};
TL_CHECK(readers_first);

/* ---- timed ----------------------------------------------------------------------------------- */

#define WAIT_NS UINT64_C(10000000)

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
static bool held_for_writing;

static void in_vain(int (*take)(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns),
                    clockid_t clock)
{
    uint64_t deadline = clocks_now(clock) + WAIT_NS;

    TL_ANSWERS(ctx, take(&lock, clock, deadline), ETIMEDOUT);
    TL_EXPECT(ctx, clocks_now(clock) >= deadline, "clock %d: back before the deadline", clock);
    TL_ANSWERS(ctx, take(&lock, clock, deadline - 2 * WAIT_NS), ETIMEDOUT);
}

static void at_once(int (*take)(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns),
                    clockid_t clock)
{
    if (TL_CALL(ctx, take(&lock, clock, clocks_now(clock) - WAIT_NS)))
        TL_CALL(ctx, ctx->impl->rwlock->unlock(&lock));
}

static void *wait_in_vain(void *arg)
{
    const struct tl_rwlock_ops *ops = ctx->impl->rwlock;

    for (unsigned i = 0; i < 2; i++) {
        in_vain(ops->timedwrlock, clocks[i]);
        (held_for_writing ? in_vain : at_once)(ops->timedrdlock, clocks[i]);
    }
    return arg;
}

static enum tl_status run_timed(struct tl_ctx *c)
{
    const struct tl_rwlock_ops *ops = c->impl->rwlock;
    struct tl_thread t;

    ctx = c;
    TL_CALL(c, ops->init(&lock));
    for (int i = 0; i < 2 && tl_verdict(c) == TL_OK; i++) {
        held_for_writing = i;
        TL_CALL(c, i ? ops->wrlock(&lock) : ops->rdlock(&lock));
        if (tl_start(c, 1, &t, wait_in_vain, NULL))
            tl_finish(c, t);
        TL_CALL(c, ops->unlock(&lock));
        at_once(ops->timedrdlock, clocks[i]);
        at_once(ops->timedwrlock, clocks[i]);
    }
    TL_CALL(c, ops->destroy(&lock));
    return tl_verdict(c);
}

static const struct tl_check rwlock_timed = {
    .abi = TL_ABI,
    .name = "rwlock.timed",
    .group = "Read-write lock",
    .promise = "a timed lock answers ETIMEDOUT not before its deadline, by either clock, and takes "
               "what is free whatever the deadline",
    .source = "POSIX.1-2017 XSH pthread_rwlock_timedrdlock, pthread_rwlock_timedwrlock; glibc "
              "pthread_rwlock_clockrdlock",
    .method = "while one thread reads, then writes, another one waits 10 ms in vain, asks with a "
              "deadline that has passed, and reads beside the reader with such a one",
    .meaning = "early returns are seen; how late a return is makes no verdict",
    .needs = "rwlock.timedrdlock rwlock.timedwrlock",
    .run = run_timed,
};
TL_CHECK(rwlock_timed);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_rwlock_ops *sound;

static int write_early(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns)
{
    return sound->timedwrlock(l, clock, deadline_ns - WAIT_NS / 2);
}

static void apply_early(struct tl_impl *impl)
{
    sound = impl->rwlock;
    TL_MUTATE(impl, rwlock)->timedwrlock = write_early;
}

static void apply_policy(struct tl_impl *impl)
{
    struct tl_rwlock_ops *broken = TL_MUTATE(impl, rwlock);

    broken->writer_first = !broken->writer_first;
}

static int readers_as_they_were(struct tl_rwlock *l)
{
    (void)l;
    return 0;
}

static void apply_readers_last(struct tl_impl *impl)
{
    TL_MUTATE(impl, rwlock)->readers_first = readers_as_they_were;
}

static const struct tl_mutant rwlock_readers_last = {
    .abi = TL_ABI,
    .name = "rwlock-readers-last",
    .fault = "a lock that was to let readers go first lets writers",
    .kills = "rwlock.readers-first",
    .of = "clone green hybrid",
    .apply = apply_readers_last,
};
TL_MUTANT_OF(rwlock_readers_last);

static const struct tl_mutant rwlock_times_out_early = {
    .abi = TL_ABI,
    .name = "rwlock-times-out-early",
    .fault = "a timed writer gives up 5 ms before its deadline",
    .kills = "rwlock.timed",
    .of = "nptl clone green",
    .apply = apply_early,
};
TL_MUTANT_OF(rwlock_times_out_early);

static const struct tl_mutant rwlock_other_policy = {
    .abi = TL_ABI,
    .name = "rwlock-other-policy",
    .fault = "who goes first is the other way round than it is documented",
    .kills = "rwlock.policy-stated",
    .of = "nptl clone green",
    .apply = apply_policy,
};
TL_MUTANT_OF(rwlock_other_policy);

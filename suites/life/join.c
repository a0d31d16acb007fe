/*
 * join.c - join.after-exit, join.self, join.detached, detach.while-joined, join.sync-memory,
 * join.cancelled-joiner: what join answers to whom, and what is true when it returns.
 */
#include "check.h"

#include "../common/mutant.h"

#include <errno.h>
#include <stdatomic.h>

static struct tl_ctx *ctx;
static _Atomic int go, ended;

static void *at_once(void *arg)
{
    atomic_store(&ended, 1);
    return arg;
}

static void *when_told(void *arg)
{
    tl_await(ctx, &go, "the first thread to go on");
    return arg;
}

/* ---- after the end --------------------------------------------------------------------------- */

static enum tl_status run_after(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int i = 0; i < 20 && tl_verdict(c) == TL_OK; i++) {
        atomic_store(&ended, 0);
        if (!tl_start(c, (unsigned)i, &t, at_once, &ended))
            break;
        tl_await(c, &ended, "the thread to end");
        for (int k = 0; k < 10; k++)
            c->impl->yield();
        tl_delay(c, "between end and join");
        TL_EXPECT(c, tl_finish(c, t) == &ended, "the value of an ended thread is lost");
    }
    return tl_verdict(c);
}

static const struct tl_check join_after_exit = {
    .abi = TL_ABI,
    .name = "join.after-exit",
    .group = "Lifecycle",
    .promise = "a thread that has ended can still be joined, and its value is kept",
    .source = "POSIX.1-2017 XSH pthread_join; 2.9.2 (lifetime of a thread ID)",
    .method = "20 threads end at once; each is joined after it said so and ten yields more",
    .meaning = "by then most have ended wholly; one that has not is joined as in join.waits",
    .run = run_after,
};
TL_CHECK(join_after_exit);

/* ---- self ------------------------------------------------------------------------------------ */

static void *join_me(void *arg)
{
    TL_ANSWERS(ctx, ctx->impl->join(ctx->impl->self(), NULL), EDEADLK);
    return arg;
}

static enum tl_status run_self(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    if (tl_start(c, 0, &t, join_me, &go))
        TL_EXPECT(c, tl_finish(c, t) == &go,
                  "the thread's value is another after it joined itself");
    return tl_verdict(c);
}

static const struct tl_check join_self = {
    .abi = TL_ABI,
    .name = "join.self",
    .group = "Lifecycle",
    .promise = "a thread that joins itself is told EDEADLK, and nothing else happens",
    .source = "POSIX.1-2017 XSH pthread_join (may fail: EDEADLK); pthread_join(3)",
    .method = "a thread joins itself, and is then joined by its creator",
    .meaning = "no race: what it answers once, it always does",
    .run = run_self,
};
TL_CHECK(join_self);

/* ---- detached, twice ------------------------------------------------------------------------- */

static enum tl_status run_detached(struct tl_ctx *c)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;

    ctx = c;
    attr.detached = true;
    if (TL_CALL(c, c->impl->create(&t, &attr, when_told, NULL)))
        TL_ANSWERS(c, c->impl->join(t, NULL), EINVAL);
    if (tl_start(c, 1, &t, when_told, NULL)) {
        TL_CALL(c, c->impl->detach(t));
        TL_ANSWERS(c, c->impl->join(t, NULL), EINVAL);
        TL_ANSWERS(c, c->impl->detach(t), EINVAL);
    }
    atomic_store(&go, 1);
    return tl_verdict(c);
}

static const struct tl_check join_detached = {
    .abi = TL_ABI,
    .name = "join.detached",
    .group = "Lifecycle",
    .promise = "a detached thread that still runs cannot be joined or detached again: EINVAL",
    .source =
        "POSIX.1-2008 XSH pthread_join (EINVAL; undefined since Issue 7 TC2); pthread_join(3)",
    .method = "a thread created detached, and one detached later, are held while join and detach "
              "are asked",
    .meaning = "asked while both are alive, when no implementation can have forgotten them",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_detached,
};
TL_CHECK(join_detached);

static struct tl_thread target;
static _Atomic int joining;

static void *join_target(void *arg)
{
    atomic_store(&joining, 1);
    TL_CALL(ctx, ctx->impl->join(target, NULL));
    return arg;
}

static enum tl_status run_twice(struct tl_ctx *c)
{
    struct tl_thread joiner;
    int err;

    ctx = c;
    if (!tl_start(c, 0, &target, when_told, NULL) || !tl_start(c, 1, &joiner, join_target, NULL))
        return tl_verdict(c);
    tl_await(c, &joining, "the first joiner");
    for (int i = 0; i < 50; i++)
        c->impl->yield();
    c->impl->sleep ? (void)c->impl->sleep(5000000) : (void)0;
    err = c->impl->detach(target); /* somebody joins it: no longer ours to give away */
    TL_EXPECT(c, err == EINVAL || err == 0, "detach of a thread that is being joined answered %d",
              err);
    atomic_store(&go, 1);
    tl_finish(c, joiner);
    return tl_verdict(c);
}

static const struct tl_check join_twice = {
    .abi = TL_ABI,
    .name = "detach.while-joined",
    .group = "Lifecycle",
    .promise =
        "detaching a thread that is being joined answers EINVAL or 0, and the joiner gets its "
        "answer all the same",
    .source =
        "POSIX.1-2017 XSH pthread_join, pthread_detach (undefined; practice: no crash, no hang)",
    .method = "while one thread waits in join, another detaches the target, which then ends",
    .meaning = "a joiner left behind hangs; a freed block crashes",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_twice,
};
TL_CHECK(join_twice);

/* ---- memory ---------------------------------------------------------------------------------- */

#define WORDS 64

static long plain[WORDS]; /* synchronised by create and join alone */

static void *write_all(void *arg)
{
    for (int i = 0; i < WORDS; i++)
        plain[i] = plain[i] == (long)(intptr_t)arg - 1 ? (long)(intptr_t)arg : -1;
    return arg;
}

static enum tl_status run_memory(struct tl_ctx *c)
{
    struct tl_thread t;

    for (intptr_t n = 1; n <= 300 && tl_verdict(c) == TL_OK; n++) {
        tl_delay(c, "before create");
        if (tl_start(c, (unsigned)n, &t, write_all, (void *)n))
            tl_finish(c, t);
        for (int i = 0; i < WORDS; i++)
            TL_EXPECT(c, plain[i] == n, "word %d is %ld after thread %ld was joined", i, plain[i],
                      (long)n);
    }
    return tl_verdict(c);
}

static const struct tl_check join_sync_memory = {
    .abi = TL_ABI,
    .name = "join.sync-memory",
    .group = "Lifecycle",
    .promise =
        "a thread sees what its creator wrote before create, the joiner what the thread wrote",
    .source = "POSIX.1-2017 XBD 4.12",
    .method = "300 threads in turn, on alternating PUs, raise 64 plain words and find each as the "
              "last one left it",
    .meaning = "a join that returns before the last write is caught; x86 hides most missing "
               "barriers, so on it a pass says little about those",
    .run = run_memory,
};
TL_CHECK(join_sync_memory);

/* ---- a cancelled joiner ---------------------------------------------------------------------- */

static enum tl_status run_cancelled(struct tl_ctx *c)
{
    struct tl_thread joiner;

    ctx = c;
    for (int i = 0; i < 10 && tl_verdict(c) == TL_OK; i++) {
        atomic_store(&go, 0);
        atomic_store(&joining, 0);
        if (!tl_start(c, 0, &target, when_told, &go) || !tl_start(c, 1, &joiner, join_target, NULL))
            break;
        tl_await(c, &joining, "the joiner");
        tl_delay(c, "before cancel");
        TL_CALL(c, c->impl->cancel->cancel(joiner));
        TL_EXPECT(c, tl_finish(c, joiner) == TL_CANCELED, "the joiner was not cancelled");
        atomic_store(&go, 1);
        TL_EXPECT(c, tl_finish(c, target) == &go, "the target's value is lost");
    }
    return tl_verdict(c);
}

static const struct tl_check join_cancelled_joiner = {
    .abi = TL_ABI,
    .name = "join.cancelled-joiner",
    .group = "Lifecycle",
    .promise = "a target whose joiner was cancelled stays joinable",
    .source = "POSIX.1-2017 XSH pthread_join (if the caller is cancelled, the target shall not be "
              "detached)",
    .method = "a thread that waits in join is cancelled; the target is then let go and joined by "
              "another, ten times",
    .meaning = "a target that still believes in its joiner refuses the second, or loses its value",
    .needs = "cancel",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_cancelled,
};
TL_CHECK(join_cancelled_joiner);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int join_forgets(struct tl_thread t, void **value)
{
    int err = sound.join(t, value);

    if (!err && value && atomic_load(&ended))
        *value = NULL;
    return err;
}

static int join_lenient(struct tl_thread t, void **value)
{
    int err = sound.join(t, value);

    return err == EDEADLK || err == EINVAL ? 0 : err;
}

static int detach_busy(struct tl_thread t)
{
    (void)t;
    return EBUSY;
}

static int join_early(struct tl_thread t, void **value)
{
    static unsigned calls;

    if (++calls % 10)
        return sound.join(t, value);
    return sound.detach(t);
}

static int cancel_detaches(struct tl_thread t)
{
    int err = sound.cancel->cancel(t);
    void *value;

    if (!err) {
        atomic_store(&go,
                     1); /* whoever was waited for ends, and is joined on its joiner's behalf */
        sound.join(target, &value);
    }
    return err;
}

MUTANT_APPLY(apply_forgets, join, join_forgets)
MUTANT_APPLY(apply_lenient, join, join_lenient)
MUTANT_APPLY(apply_busy, detach, detach_busy)
MUTANT_APPLY(apply_early, join, join_early)

static void apply_cancel(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cancel)->cancel = cancel_detaches;
}

MUTANT(forgets, "join-forgets-ended", "the value of a thread that has ended is NULL",
       "join.after-exit", EVERYWHERE, apply_forgets);
MUTANT(lenient, "join-says-yes", "join of oneself and of a detached thread answers 0",
       "join.self join.detached", EVERYWHERE, apply_lenient);
MUTANT(busy, "detach-answers-ebusy", "detach answers EBUSY, which POSIX does not know",
       "join.detached detach.while-joined", EVERYWHERE, apply_busy);
MUTANT(early, "join-skips-tenth", "one join in ten does not wait", "join.sync-memory", "nptl clone",
       apply_early);
MUTANT(canceller, "cancel-takes-target", "cancelling a joiner takes its target along",
       "join.cancelled-joiner", EVERYWHERE, apply_cancel);

/*
 * recycle-state.c - recycle.destructors, recycle.sched, recycle.unbound: what a thread leaves to
 * the next, besides what recycle.clean and tls.initial-image (_Thread_local) ask.
 */
#include "check.h"

#include "../common/mutant.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#define ROUNDS 40

static struct tl_ctx *ctx;

/* One after the other, so that each has what the one before it has left. */
static void in_turn(void *(*entry)(void *))
{
    struct tl_thread t;

    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++)
        if (tl_start(ctx, 0, &t, entry, (void *)(intptr_t)(i + 1)))
            tl_finish(ctx, t);
}

/* ---- destructors ----------------------------------------------------------------------------- */

static struct tl_key key;
static _Atomic unsigned destroyed;

static void destructor(void *value)
{
    TL_EXPECT(ctx, value == (void *)(intptr_t)(atomic_load(&destroyed) + 1),
              "the destructor got %p, after %u others", value, atomic_load(&destroyed));
    atomic_fetch_add(&destroyed, 1);
}

static void *set_key(void *arg)
{
    unsigned before = atomic_load(&destroyed), wanted = (unsigned)(uintptr_t)arg - 1;

    TL_EXPECT(ctx, before == wanted, "%u threads have ended, %u destructors have run", wanted,
              before);
    TL_EXPECT(ctx, !ctx->impl->key->get(key), "a key has a value in a new thread");
    TL_CALL(ctx, ctx->impl->key->set(key, arg));
    return arg;
}

static enum tl_status run_destructors(struct tl_ctx *c)
{
    ctx = c;
    if (!TL_CALL(c, c->impl->key->create(&key, destructor)))
        return tl_verdict(c);
    in_turn(set_key);
    TL_EXPECT(c, destroyed == ROUNDS, "%d threads have ended, %u destructors have run", ROUNDS,
              destroyed);
    return tl_verdict(c);
}

static const struct tl_check recycle_destructors = {
    .abi = TL_ABI,
    .name = "recycle.destructors",
    .group = "Lifecycle",
    .promise = "an ended thread's destructors have run before another one uses what it has left",
    .source = "POSIX.1-2017 XSH pthread_key_create; Stein and Shah 1992, Implementing Lightweight "
              "Threads (ended threads are reused)",
    .method = "40 threads in turn set a key; each finds that the destructors of those before it "
              "have run, once each, and no value of theirs",
    .meaning = "with the parameters given; one thread at a time, no race",
    .needs = "key",
    .run = run_destructors,
};
TL_CHECK(recycle_destructors);

/* ---- scheduling ------------------------------------------------------------------------------ */

static struct tl_sched creators;

static void *look_and_raise(void *arg)
{
    const struct tl_sched higher = {SCHED_FIFO, 1 + (int)(uintptr_t)arg % 3};
    struct tl_sched mine;

    if (TL_CALL(ctx, ctx->impl->info->get_sched(ctx->impl->self(), &mine)))
        TL_EXPECT(ctx, mine.policy == creators.policy && mine.priority == creators.priority,
                  "a new thread has policy %d and priority %d, its creator %d and %d", mine.policy,
                  mine.priority, creators.policy, creators.priority);
    TL_CALL(ctx, ctx->impl->info->set_sched(ctx->impl->self(), &higher));
    return arg;
}

static enum tl_status run_sched(struct tl_ctx *c)
{
    struct tl_thread self = c->impl->self();
    int err;

    ctx = c;
    if (!TL_CALL(c, c->impl->info->get_sched(self, &creators)))
        return tl_verdict(c);
    err = c->impl->info->set_sched(self, &(struct tl_sched){SCHED_FIFO, 1});
    if (err == EPERM)
        return tl_unsupported(c, "SCHED_FIFO is not permitted: RLIMIT_RTPRIO or CAP_SYS_NICE");
    if (err == ENOTSUP)
        return tl_refused(c, "attr.sched");
    TL_CALL(c, err);
    TL_CALL(c, c->impl->info->set_sched(self, &creators));
    in_turn(look_and_raise);
    return tl_verdict(c);
}

static const struct tl_check recycle_sched = {
    .abi = TL_ABI,
    .name = "recycle.sched",
    .group = "Lifecycle",
    .promise = "a thread starts with its creator's scheduling, whoever used its kernel thread or "
               "control block before",
    .source = "POSIX.1-2017 XSH pthread_attr_setinheritsched (PTHREAD_INHERIT_SCHED, the default "
              "of this contract)",
    .method = "40 threads in turn look at policy and priority, and raise their own",
    .meaning = "with the parameters given; one thread at a time",
    .needs = "info.set_sched info.get_sched",
    .params = "policy=priority",
    .run = run_sched,
};
TL_CHECK(recycle_sched);

/* ---- bound ----------------------------------------------------------------------------------- */

static struct mine {
    struct tl_thread self;
    bool found, bound;
} mine;

static void find_self(const struct tl_thread_row *r, void *arg)
{
    struct mine *m = arg;

    if (r->thread.id == m->self.id) {
        m->found = true;
        m->bound = r->bound;
    }
}

static void *is_bound(void *arg)
{
    mine = (struct mine){.self = ctx->impl->self()};
    TL_CALL(ctx, ctx->impl->inspect->threads(find_self, &mine));
    TL_EXPECT(ctx, mine.found, "a thread is not in the table");
    return arg;
}

static enum tl_status run_unbound(struct tl_ctx *c)
{
    struct tl_attr attr = tl_worker_attr(c, 0);
    struct tl_thread t;
    int err;

    ctx = c;
    if (tl_trait(c, TL_ONE_TO_ONE))
        return tl_unsupported(c, "each thread is bound: it is a kernel thread");
    for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++) {
        attr.bound = i % 2 == 0;
        err = c->impl->create(&t, &attr, is_bound, &t);
        if (err == ENOTSUP)
            return tl_refused(c, "attr.bound");
        if (!TL_CALL(c, err))
            break;
        tl_finish(c, t);
        TL_EXPECT(c, mine.bound == attr.bound, "thread %d is %sbound, it was created %sbound", i,
                  mine.bound ? "" : "un", attr.bound ? "" : "un");
    }
    return tl_verdict(c);
}

static const struct tl_check recycle_unbound = {
    .abi = TL_ABI,
    .name = "recycle.unbound",
    .group = "Lifecycle",
    .promise = "a thread is bound if it was created so, whatever the one before it was",
    .source = "POSIX.1-2017 XSH pthread_attr_setscope; Stein and Shah 1992, Implementing "
              "Lightweight Threads (bound threads)",
    .method = "40 threads in turn, every other one bound, are looked up in the thread table",
    .meaning = "believes the table; that a bound thread has a kernel thread of its own is asked by "
               "bound.same-kernel-thread",
    .needs = "inspect.threads",
    .run = run_unbound,
};
TL_CHECK(recycle_unbound);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int key_create_bare(struct tl_key *k, void (*destroy)(void *))
{
    (void)destroy;
    return sound.key->create(k, NULL);
}

static void apply_bare(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, key)->create = key_create_bare;
}

static struct tl_sched last;
static bool any_last;

static int set_sched_noting(struct tl_thread t, const struct tl_sched *sched)
{
    last = *sched;
    any_last = true;
    return sound.info->set_sched(t, sched);
}

static int create_recycled(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg)
{
    struct tl_attr kept = *attr;

    if (any_last && !kept.sched)
        kept.sched = &last;
    return sound.create(t, &kept, entry, arg);
}

static void apply_sched(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, info)->set_sched = set_sched_noting;
    impl->create = create_recycled;
}

static int create_still_bound(struct tl_thread *t, const struct tl_attr *attr,
                              void *(*entry)(void *), void *arg)
{
    static bool any_bound;
    struct tl_attr kept = *attr;

    kept.bound = any_bound |= attr->bound;
    return sound.create(t, &kept, entry, arg);
}

static void apply_bound(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_still_bound;
}

MUTANT(bare, "keys-forget-destructors", "key.create drops the destructor", "recycle.destructors",
       EVERYWHERE " hybrid", apply_bare);
MUTANT(still_sched, "sched-is-recycled", "a thread starts with the scheduling that was set last",
       "recycle.sched", EVERYWHERE " hybrid", apply_sched);
MUTANT(still_bound, "bound-is-recycled", "behind a bound thread all others are bound, too",
       "recycle.unbound", "hybrid", apply_bound);

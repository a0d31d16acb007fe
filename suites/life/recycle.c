/*
 * recycle.c - recycle.clean, create.pending-empty, attr.edit-after-create: what a new thread starts
 * with, whoever used its stack or its kernel thread before.
 */
#include "check.h"

#include "../common/action.h"
#include "../common/mutant.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define ROUNDS 60

static struct tl_ctx *ctx;
static struct tl_key key;
static bool has_key;

/* ---- recycled -------------------------------------------------------------------------------- */

static void expect_fresh(void)
{
    const struct tl_impl *impl = ctx->impl;
    char name[32] = "";
    sigset_t mask;
    int state = TL_CANCEL_ENABLE;

    TL_EXPECT(ctx, errno == 0, "errno is %d in a new thread", errno);
    if (has_key)
        TL_EXPECT(ctx, !impl->key->get(key), "a key has a value in a new thread");
    if (impl->signal && impl->signal->mask && impl->traits & TL_ONE_TO_ONE) {
        TL_CALL(ctx, impl->signal->mask(SIG_BLOCK, NULL, &mask));
        TL_EXPECT(ctx, sigismember(&mask, SIGUSR1) == 0, "SIGUSR1 is blocked in a new thread");
    }
    if (impl->info && impl->info->get_name) {
        TL_CALL(ctx, impl->info->get_name(impl->self(), name, sizeof(name)));
        TL_EXPECT(ctx, strcmp(name, "dirty") != 0, "a new thread has the name of an old one");
    }
    if (impl->cancel) {
        TL_CALL(ctx, impl->cancel->set_state(TL_CANCEL_ENABLE, &state));
        TL_EXPECT(ctx, state == TL_CANCEL_ENABLE, "cancellation is disabled in a new thread");
    }
}

/* Leaves everything in a state that the next thread must not find. */
static void make_dirty(void)
{
    const struct tl_impl *impl = ctx->impl;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (impl->signal && impl->signal->mask && impl->traits & TL_ONE_TO_ONE)
        TL_CALL(ctx, impl->signal->mask(SIG_BLOCK, &set, NULL));
    if (has_key)
        TL_CALL(ctx, impl->key->set(key, &key));
    if (impl->info && impl->info->set_name)
        TL_CALL(ctx, impl->info->set_name(impl->self(), "dirty"));
    if (impl->cancel)
        TL_CALL(ctx, impl->cancel->set_state(TL_CANCEL_DISABLE, NULL));
    errno = 4711;
}

static void *look_and_dirty(void *arg)
{
    expect_fresh();
    make_dirty();
    return arg;
}

static enum tl_status run_recycle(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    has_key = c->impl->key && TL_CALL(c, c->impl->key->create(&key, NULL));
    for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++) {
        errno = 0; /* a thread is not promised errno 0: but not another's either */
        if (tl_start(c, (unsigned)i, &t, look_and_dirty, NULL))
            tl_finish(c, t);
    }
    return tl_verdict(c);
}

static const struct tl_check recycle_clean = {
    .abi = TL_ABI,
    .name = "recycle.clean",
    .group = "Lifecycle",
    .promise = "a thread that reuses what an ended one has left finds nothing of it: errno, keys, "
               "mask, name, cancel state",
    .source = "POSIX.1-2017 XSH pthread_create, pthread_key_create, 2.9.5 (a new thread is enabled "
              "and deferred)",
    .method = "60 threads in turn look at what they start with, and leave all of it changed; the "
              "mask only where each thread has one of its own",
    .meaning =
        "with the parameters given: each way of recycling has to be asked (--set recycle=...)",
    .run = run_recycle,
};
TL_CHECK(recycle_clean);

/* ---- pending --------------------------------------------------------------------------------- */

static void *look_pending(void *arg)
{
    sigset_t pending, set;

    TL_CALL(ctx, ctx->impl->signal->pending(&pending));
    TL_EXPECT(ctx, sigismember(&pending, SIGUSR1) == 0, "a signal is pending in a new thread");
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_BLOCK, NULL, &set));
    TL_EXPECT(ctx, sigismember(&set, SIGUSR1) == 1, "the creator's mask was not inherited");
    return arg;
}

static enum tl_status run_pending(struct tl_ctx *c)
{
    struct tl_thread t;
    sigset_t set;

    ctx = c;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    TL_CALL(c, c->impl->signal->mask(SIG_BLOCK, &set, NULL));
    TL_CALL(c, c->impl->signal->kill(c->impl->self(), SIGUSR1, NULL));
    if (tl_start(c, 1, &t, look_pending, NULL))
        tl_finish(c, t);
    tl_sigignore(c->impl, SIGUSR1);
    TL_CALL(c, c->impl->signal->mask(SIG_UNBLOCK, &set, NULL));
    return tl_verdict(c);
}

static const struct tl_check pending_empty = {
    .abi = TL_ABI,
    .name = "create.pending-empty",
    .group = "Lifecycle",
    .promise = "nothing that is pending for its creator is pending for a new thread",
    .source = "POSIX.1-2017 XSH pthread_create (the set of signals pending shall be empty)",
    .method = "a thread blocks a signal, sends it to itself, and creates one that asks what is "
              "pending",
    .meaning = "one create, no race",
    .needs = "signal.mask signal.kill signal.pending",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_pending,
};
TL_CHECK(pending_empty);

/* ---- attributes ------------------------------------------------------------------------------ */

static _Atomic int go;

static void *until_told(void *arg)
{
    tl_await(ctx, &go, "the first thread to go on");
    return arg;
}

static enum tl_status run_edit(struct tl_ctx *c)
{
    struct tl_attr attr = tl_worker_attr(c, 1);
    struct tl_thread t;

    ctx = c;
    attr.stack_size = 65536;
    if (!TL_CALL(c, c->impl->create(&t, &attr, until_told, &go)))
        return tl_verdict(c);
    attr.detached = true; /* too late */
    attr.stack_size = 1;
    atomic_store(&go, 1);
    TL_EXPECT(c, tl_finish(c, t) == &go, "the thread's value is lost");
    return tl_verdict(c);
}

static const struct tl_check edit_after_create = {
    .abi = TL_ABI,
    .name = "attr.edit-after-create",
    .group = "Lifecycle",
    .promise = "changing the attributes object after create changes nothing about the thread",
    .source = "POSIX.1-2017 XSH pthread_create (attr)",
    .method = "while a thread is held its attributes are changed to detached; it must be joinable",
    .meaning = "an implementation that keeps the pointer would find it detached at its end",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_edit,
};
TL_CHECK(edit_after_create);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;
static int last_errno;

struct started {
    void *(*entry)(void *);
    void *arg;
};
static struct started next_start;

static void *start_dirty(void *unused)
{
    struct started s = next_start;
    void *value;

    (void)unused;
    errno = last_errno;
    value = s.entry(s.arg);
    last_errno = errno;
    return value;
}

static int create_dirty(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                        void *arg)
{
    next_start = (struct started){entry, arg}; /* one at a time in this check */
    return sound.create(t, attr, start_dirty, NULL);
}

static void apply_dirty(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_dirty;
}

static sigset_t creators;

static int pending_process(sigset_t *set)
{
    int err = sound.signal->pending(set);

    if (sigismember(set, SIGUSR1))
        creators = *set;
    *set = creators;
    return err;
}

static int kill_noting(struct tl_thread t, int sig, const union sigval *value)
{
    sigaddset(&creators, sig);
    return sound.signal->kill(t, sig, value);
}

static void apply_pending(struct tl_impl *impl)
{
    sound = *impl;
    struct tl_signal_ops *broken = TL_MUTATE(impl, signal);
    broken->pending = pending_process;
    broken->kill = kill_noting;
}

static const struct tl_attr *kept;
static struct tl_thread kept_thread;

static int create_keeping(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    int err = sound.create(t, attr, entry, arg);

    kept = attr;
    kept_thread = *t;
    return err;
}

static int join_looking(struct tl_thread t, void **value)
{
    if (kept && kept_thread.id == t.id && kept->detached)
        return EINVAL;
    return sound.join(t, value);
}

static void apply_keeping(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_keeping;
    impl->join = join_looking;
}

MUTANT(dirty, "errno-is-recycled", "a thread starts with the errno of the one before",
       "recycle.clean", EVERYWHERE " hybrid", apply_dirty);
MUTANT(pending_shared, "create-inherits-pending",
       "a new thread finds pending what is pending for its creator", "create.pending-empty",
       "nptl clone", apply_pending);
MUTANT(keeping, "create-keeps-attributes", "the attributes are looked at again at the end",
       "attr.edit-after-create", EVERYWHERE " hybrid", apply_keeping);

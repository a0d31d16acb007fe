/*
 * caller-continues.c - fork.caller-continues, fork.child-mask-and-keys, fork.pending-cleared: what
 * the caller of fork finds in the child, when it is not the first thread.
 */
#include "forked.h"

#include "../common/action.h"

static struct tl_ctx *ctx;
static struct tl_key key;
static bool has_key;
static int local_value = 42;

static void child_self(struct tl_ctx *c, void *arg)
{
    const struct tl_thread *me = arg;

    TL_EXPECT(c, c->impl->self().id == me->id, "in the child the caller has another id");
    TL_EXPECT(c, errno == 4711, "errno is %d in the child, 4711 was set before", errno);
    TL_EXPECT(c, local_value == 43, "memory written before the fork is not there");
    TL_EXPECT(c, getpid() != getppid(), "the child is its own parent");
}

static void *fork_from_here(void *arg)
{
    struct tl_thread me = ctx->impl->self();
    pid_t parent = getpid();

    (void)arg;
    local_value = 43;
    errno = 4711;
    forked(ctx, child_self, &me);
    TL_EXPECT(ctx, getpid() == parent, "the parent has another process id after the fork");
    TL_EXPECT(ctx, ctx->impl->self().id == me.id, "in the parent the caller has another id");
    return NULL;
}

static void on_thread(struct tl_ctx *c, void *(*entry)(void *))
{
    struct tl_thread t;

    ctx = c;
    if (tl_start(c, 1, &t, entry, NULL))
        tl_finish(c, t);
}

static enum tl_status run_self(struct tl_ctx *c)
{
    on_thread(c, fork_from_here);
    return tl_verdict(c);
}

static const struct tl_check caller_continues = {
    .abi = TL_ABI,
    .name = "fork.caller-continues",
    .group = "Fork",
    .promise = "the caller goes on in the child with its id, its errno and the process's memory",
    .source = "POSIX.1-2017 XSH fork; 2.9.2 (thread IDs)",
    .method = "a thread that is not the first one forks; the child compares self, errno and a "
              "variable with what they were, the parent its own",
    .meaning = "the child's caller is the same thread to all who ask it; one fork, no race",
    .needs = "fork.fork",
    .run = run_self,
};
TL_CHECK(caller_continues);

/* ---- mask and keys --------------------------------------------------------------------------- */

static void child_mask(struct tl_ctx *c, void *arg)
{
    sigset_t now;

    (void)arg;
    TL_CALL(c, c->impl->signal->mask(SIG_BLOCK, NULL, &now));
    TL_EXPECT(c, sigismember(&now, SIGUSR1) == 1, "a signal that the caller had blocked is open");
    TL_EXPECT(c, sigismember(&now, SIGUSR2) == 0, "a signal that the caller had open is blocked");
    TL_EXPECT(c, !has_key || c->impl->key->get(key) == &local_value,
              "the value of a key is not the caller's");
}

static void *fork_with_mask(void *arg)
{
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_BLOCK, &set, NULL));
    if (has_key)
        TL_CALL(ctx, ctx->impl->key->set(key, &local_value));
    forked(ctx, child_mask, NULL);
    if (has_key)
        TL_CALL(ctx, ctx->impl->key->set(key, NULL));
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_UNBLOCK, &set, NULL));
    return NULL;
}

static enum tl_status run_mask(struct tl_ctx *c)
{
    has_key = c->impl->key && TL_CALL(c, c->impl->key->create(&key, NULL));
    on_thread(c, fork_with_mask);
    return tl_verdict(c);
}

static const struct tl_check child_mask_and_keys = {
    .abi = TL_ABI,
    .name = "fork.child-mask-and-keys",
    .group = "Fork",
    .promise = "the child's thread has the caller's signal mask and values of keys",
    .source = "POSIX.1-2017 XSH fork (the signal mask is inherited), 2.9.2",
    .method = "a thread blocks one signal, sets a key (where there are any) and forks; the child "
              "asks for both, and that another signal is open",
    .meaning = "one fork, no race: whatever the child finds, it will always find",
    .needs = "fork.fork signal.mask",
    .run = run_mask,
};
TL_CHECK(child_mask_and_keys);

/* ---- pending --------------------------------------------------------------------------------- */

static void child_pending(struct tl_ctx *c, void *arg)
{
    sigset_t pending;

    (void)arg;
    TL_CALL(c, c->impl->signal->pending(&pending));
    TL_EXPECT(c, sigismember(&pending, SIGUSR1) == 0, "a pending signal came along to the child");
}

static void *fork_with_pending(void *arg)
{
    sigset_t set, pending;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_BLOCK, &set, NULL));
    TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIGUSR1, NULL));
    forked(ctx, child_pending, NULL);
    TL_CALL(ctx, ctx->impl->signal->pending(&pending));
    TL_EXPECT(ctx, sigismember(&pending, SIGUSR1) == 1, "the parent's pending signal is gone");
    tl_sigignore(ctx->impl, SIGUSR1); /* which takes it away */
    TL_CALL(ctx, ctx->impl->signal->mask(SIG_UNBLOCK, &set, NULL));
    return NULL;
}

static enum tl_status run_pending(struct tl_ctx *c)
{
    on_thread(c, fork_with_pending);
    return tl_verdict(c);
}

static const struct tl_check pending_cleared = {
    .abi = TL_ABI,
    .name = "fork.pending-cleared",
    .group = "Fork",
    .promise = "no signal is pending in the child; in the parent what was pending stays so",
    .source = "POSIX.1-2017 XSH fork (the set of signals pending for the child is empty)",
    .method = "a thread blocks a signal, sends it to itself and forks; child and parent ask what "
              "is pending",
    .meaning = "one fork, no race",
    .needs = "fork.fork signal.kill signal.mask signal.pending",
    .run = run_pending,
};
TL_CHECK(pending_cleared);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_fork_ops *sound;
static const struct tl_signal_ops *sound_signal;
static struct tl_thread (*sound_self)(void);
static bool in_child;

static int fork_noting(pid_t *pid)
{
    int err = sound->fork(pid);

    in_child = in_child || (!err && *pid == 0);
    return err;
}

static struct tl_thread other_self(void)
{
    struct tl_thread t = sound_self();

    t.id += in_child;
    return t;
}

static void apply_self(struct tl_impl *impl)
{
    sound = impl->fork;
    sound_self = impl->self;
    impl->self = other_self;
    TL_MUTATE(impl, fork)->fork = fork_noting;
}

static const struct tl_mutant fork_renames = {
    .abi = TL_ABI,
    .name = "fork-renames-caller",
    .fault = "the caller has another id in the child",
    .kills = "fork.caller-continues",
    .of = "nptl clone green hybrid",
    .apply = apply_self,
};
TL_MUTANT_OF(fork_renames);

static int fork_opening(pid_t *pid)
{
    int err = sound->fork(pid);
    sigset_t none;

    sigemptyset(&none);
    if (!err && *pid == 0)
        sound_signal->mask(SIG_SETMASK, &none, NULL);
    return err;
}

static void apply_mask(struct tl_impl *impl)
{
    sound_signal = impl->signal;
    sound = impl->fork;
    TL_MUTATE(impl, fork)->fork = fork_opening;
}

static const struct tl_mutant fork_opens_mask = {
    .abi = TL_ABI,
    .name = "fork-opens-mask",
    .fault = "the child starts with no signal blocked",
    .kills = "fork.child-mask-and-keys",
    .of = "nptl clone green hybrid",
    .apply = apply_mask,
};
TL_MUTANT_OF(fork_opens_mask);

static int fork_with_signals(pid_t *pid)
{
    sigset_t pending;
    int err;

    sound_signal->pending(&pending);
    err = sound->fork(pid);
    if (!err && *pid == 0 && sigismember(&pending, SIGUSR1))
        raise(SIGUSR1);
    return err;
}

static void apply_pending(struct tl_impl *impl)
{
    sound_signal = impl->signal;
    sound = impl->fork;
    TL_MUTATE(impl, fork)->fork = fork_with_signals;
}

static const struct tl_mutant fork_copies_pending = {
    .abi = TL_ABI,
    .name = "fork-copies-pending",
    .fault = "what is pending for the parent is pending for the child, too",
    .kills = "fork.pending-cleared",
    .of = "nptl clone green hybrid",
    .apply = apply_pending,
};
TL_MUTANT_OF(fork_copies_pending);

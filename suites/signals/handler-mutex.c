/*
 * handler-mutex.c - handler.mutex-deadlock, handler.mutex-masked: a handler that needs the mutex
 * which its own thread holds waits for ever, and how a mask avoids that.
 */
#include "signals.h"

#define DEADLINE_MS 300
#define THREADS 3
#define TURNS 300

enum { NOWHERE, HOLDS, IN_HANDLER, GOT_IT, CAME_BACK };

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static _Atomic int *where; /* shared with the child: how far it came */
static _Atomic int refused;

/* ---- the deadlock ---------------------------------------------------------------------------- */

static void lock_again(int sig, siginfo_t *info, void *context)
{
    int err;

    (void)sig;
    (void)info;
    (void)context;
    atomic_store(where, IN_HANDLER);
    err = ctx->impl->mutex->lock(&mutex);
    if (err == 0)
        atomic_store(where, GOT_IT);
    atomic_store(&refused, err);
}

static void *hold(void *arg)
{
    signals_handle(ctx, SIGUSR1, lock_again, 0);
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    atomic_store(where, HOLDS);
    TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIGUSR1, NULL));
    if (atomic_load(where) == IN_HANDLER && atomic_load(&refused) == EDEADLK)
        atomic_store(where, CAME_BACK);
    return arg;
}

static enum tl_status outside(struct tl_ctx *c)
{
    struct tl_child end;
    int at;

    ctx = c;
    where = signals_share(ctx);
    if (!where)
        return TL_FAILED;
    for (uint64_t ms = DEADLINE_MS;; ms *= 4) { /* a slow machine: once more, with more time */
        atomic_store(where, NOWHERE);
        if (!signals_child(ctx, hold, ms, &end))
            return TL_FAILED;
        at = atomic_load(where);
        if (at >= IN_HANDLER || !end.hung || ms > 4000)
            break;
    }
    TL_EXPECT(ctx, at >= IN_HANDLER, "the handler did not run");
    TL_EXPECT(ctx, at != GOT_IT, "the handler got the mutex that its thread holds");
    TL_EXPECT(ctx, at == GOT_IT || end.hung || end.signal || at == CAME_BACK,
              "the handler came back without the mutex, and without EDEADLK");
    if (tl_verdict(ctx) == TL_OK)
        tl_say(ctx, "%s",
               end.hung     ? "it waits for ever"
               : end.signal ? "the implementation sees that nobody can go on, and ends the process"
                            : "lock answers EDEADLK");
    return tl_verdict(ctx);
}

static const struct tl_check mutex_deadlock = {
    .abi = TL_ABI,
    .name = "handler.mutex-deadlock",
    .group = "Signals",
    .promise = "a handler does not get a mutex that the thread it interrupted holds: it waits for "
               "ever, or is told",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock (relock of a normal mutex: deadlock; not "
              "async-signal-safe, 2.4.3)",
    .method = "in a child process a thread locks a mutex and sends itself a signal, whose handler "
              "locks it, too; the child must have reached that lock, and not come back from it "
              "after 300 ms (but by EDEADLK, or by its end)",
    .meaning = "a mutex that lets its owner in again is always seen; that the wait is for ever is "
               "concluded from 300 ms",
    .needs = "mutex signal.kill",
    .outside = outside,
};
TL_CHECK(mutex_deadlock);

/* ---- the cure -------------------------------------------------------------------------------- */

static long by_threads, by_handlers; /* protected by mutex */
static _Atomic int inside, doubled;

static void count_in_handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    if (atomic_fetch_add(&inside, 1) != 0)
        atomic_store(&doubled, 1);
    by_handlers++;
    atomic_fetch_sub(&inside, 1);
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

/* No thread gives up the PU to another one while it holds the mutex: of a model with one mask for
 * all threads nothing more is asked. */
static void *count_masked(void *arg)
{
    struct tl_thread self = ctx->impl->self();
    const struct tl_mutex_ops *ops = ctx->impl->mutex;

    for (int i = 0; i < TURNS && tl_verdict(ctx) == TL_OK; i++) {
        signals_mask(ctx, SIG_BLOCK, SIGUSR1);
        TL_CALL(ctx, ops->lock(&mutex));
        if (atomic_fetch_add(&inside, 1) != 0)
            atomic_store(&doubled, 1);
        TL_CALL(ctx, ctx->impl->signal->kill(self, SIGUSR1, NULL)); /* stays pending */
        by_threads++;
        atomic_fetch_sub(&inside, 1);
        TL_CALL(ctx, ops->unlock(&mutex));
        signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
        tl_delay(ctx, "between two critical sections");
    }
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    int made = 0;

    ctx = c;
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    if (!signals_handle(ctx, SIGUSR1, count_in_handler, SA_RESTART))
        return TL_FAILED;
    while (made < THREADS && tl_start(ctx, (unsigned)made, &t[made], count_masked, NULL))
        made++;
    while (made)
        tl_finish(ctx, t[--made]);
    TL_EXPECT(ctx, !atomic_load(&doubled), "a thread and a handler held the mutex at once");
    TL_EXPECT(ctx, by_threads == THREADS * TURNS && by_handlers == THREADS * TURNS,
              "%d turns, %ld counted by threads and %ld by handlers", THREADS * TURNS, by_threads,
              by_handlers);
    return tl_verdict(ctx);
}

static const struct tl_check mutex_masked = {
    .abi = TL_ABI,
    .name = "handler.mutex-masked",
    .group = "Signals",
    .promise = "a handler may use the mutex of the program where the threads block its signal "
               "while they hold that",
    .source = "POSIX.1-2017 XSH sigprocmask with 2.4.3 (unsafe functions, where no unsafe one was "
              "interrupted)",
    .method = "three threads, 300 times each: block, lock, send oneself the signal, unlock, open; "
              "the handler runs then, locks and counts",
    .meaning = "a signal that comes in spite of the mask deadlocks here, one that is lost spoils "
               "the count",
    .needs = "mutex signal.kill signal.mask",
    .run = run,
};
TL_CHECK(mutex_masked);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound_mutex;
static const struct tl_signal_ops *sound_signal;
static _Atomic uint64_t owner; /* id + 1; 0: nobody's */
static _Atomic int depth;

static int lock_recursive(struct tl_mutex *m)
{
    uint64_t me = ctx->impl->self().id + 1;
    int err;

    if (atomic_load(&owner) == me) {
        atomic_fetch_add(&depth, 1);
        return 0;
    }
    err = sound_mutex->lock(m);
    if (!err)
        atomic_store(&owner, me);
    return err;
}

static int unlock_recursive(struct tl_mutex *m)
{
    if (atomic_load(&depth) > 0) {
        atomic_fetch_sub(&depth, 1);
        return 0;
    }
    atomic_store(&owner, 0);
    return sound_mutex->unlock(m);
}

static void apply_recursive(struct tl_impl *impl)
{
    struct tl_mutex_ops *broken;

    sound_mutex = impl->mutex;
    broken = TL_MUTATE(impl, mutex);
    broken->lock = lock_recursive;
    broken->unlock = unlock_recursive;
}

static const struct tl_mutant mutex_lets_owner_in = {
    .abi = TL_ABI,
    .name = "mutex-lets-owner-in",
    .fault = "the thread that holds a normal mutex gets it again",
    .kills = "handler.mutex-deadlock",
    .of = "nptl clone green ucontext",
    .apply = apply_recursive,
};
TL_MUTANT_OF(mutex_lets_owner_in);

static int mask_leaking(int how, const sigset_t *set, sigset_t *old)
{
    static _Atomic unsigned calls;

    if (set && how == SIG_BLOCK && atomic_fetch_add(&calls, 1) % 64 == 63)
        return sound_signal->mask(how, NULL, old);
    return sound_signal->mask(how, set, old);
}

static void apply_leaking(struct tl_impl *impl)
{
    sound_signal = impl->signal;
    TL_MUTATE(impl, signal)->mask = mask_leaking;
}

static const struct tl_mutant mask_leaks = {
    .abi = TL_ABI,
    .name = "mask-leaks",
    .fault = "one call in 64 that blocks a signal does nothing",
    .kills = "handler.mutex-masked",
    .of = "nptl clone green ucontext",
    .apply = apply_leaking,
};
TL_MUTANT_OF(mask_leaks);

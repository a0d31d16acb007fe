/*
 * kill-blocked-thread.c - kill.blocked-thread: a thread that waits in a lock, a barrier, a join,
 * a condition variable or a semaphore handles a signal there, and goes on waiting.
 */
#include "signals.h"

#define ROUNDS 5

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static struct tl_cond cond;
static struct tl_sem sem;
static struct tl_barrier barrier;
static bool released; /* protected by mutex; what a waiter of cond waits for */
static _Atomic int entering, out, handled, elsewhere, let_end;
static _Atomic uint64_t waiter_id;
static struct tl_thread sibling;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    if (ctx->impl->self().id != atomic_load(&waiter_id))
        atomic_store(&elsewhere, 1);
    atomic_store(&handled, 1);
}

static void *end_when_let(void *arg)
{
    tl_await(ctx, &let_end, "leave to end");
    return arg;
}

/* One kind of wait: block waits, release ends the wait, both are told true by their caller. */
struct wait {
    const char *name;
    bool (*offered)(const struct tl_impl *impl);
    void (*prepare)(void); /* first thread, before the waiter is there */
    void (*block)(void);   /* the waiter */
    void (*release)(void); /* first thread */
};

static bool always(const struct tl_impl *impl)
{
    return impl->mutex;
}

static void mutex_take(void)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
}

static void mutex_give(void)
{
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

static void mutex_block(void)
{
    mutex_take();
    mutex_give();
}

static bool has_cond(const struct tl_impl *impl)
{
    return impl->mutex && impl->cond;
}

static void cond_prepare(void)
{
    released = false;
    TL_CALL(ctx, ctx->impl->cond->init(&cond));
}

static void cond_block(void)
{
    mutex_take();
    while (!released)
        if (!TL_CALL(ctx, ctx->impl->cond->wait(&cond, &mutex)))
            break;
    mutex_give();
}

static void cond_release(void)
{
    mutex_take();
    released = true;
    TL_CALL(ctx, ctx->impl->cond->signal(&cond));
    mutex_give();
}

static bool has_sem(const struct tl_impl *impl)
{
    return impl->sem;
}

static void sem_prepare(void)
{
    TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
}

static void sem_block(void)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&sem));
}

static void sem_release(void)
{
    TL_CALL(ctx, ctx->impl->sem->post(&sem));
}

static bool has_barrier(const struct tl_impl *impl)
{
    return impl->barrier;
}

static void barrier_prepare(void)
{
    TL_CALL(ctx, ctx->impl->barrier->init(&barrier, 2));
}

static void barrier_meet(void)
{
    int err = ctx->impl->barrier->wait(&barrier);

    TL_EXPECT(ctx, err == 0 || err == TL_BARRIER_SERIAL, "barrier.wait: %s", strerror(err));
}

static bool has_join(const struct tl_impl *impl)
{
    return impl->join;
}

static void join_prepare(void)
{
    atomic_store(&let_end, 0);
    tl_start(ctx, 0, &sibling, end_when_let, &let_end);
}

static void join_block(void)
{
    TL_EXPECT(ctx, tl_finish(ctx, sibling) == &let_end, "join gave another value");
}

static void join_release(void)
{
    atomic_store(&let_end, 1);
}

static const struct wait waits[] = {
    {"mutex.lock", always, mutex_take, mutex_block, mutex_give},
    {"cond.wait", has_cond, cond_prepare, cond_block, cond_release},
    {"sem.wait", has_sem, sem_prepare, sem_block, sem_release},
    {"barrier.wait", has_barrier, barrier_prepare, barrier_meet, barrier_meet},
    {"join", has_join, join_prepare, join_block, join_release},
};

static void *waiter(void *arg)
{
    const struct wait *w = arg;

    atomic_store(&waiter_id, ctx->impl->self().id);
    atomic_store(&entering, 1);
    w->block();
    atomic_store(&out, 1);
    return NULL;
}

/* Returns what kill answered. */
static int one_round(const struct wait *w)
{
    struct tl_thread t;
    int err;

    atomic_store(&entering, 0);
    atomic_store(&out, 0);
    atomic_store(&handled, 0);
    w->prepare();
    if (tl_verdict(ctx) != TL_OK || !tl_start(ctx, 1, &t, waiter, (void *)w))
        return 0;
    tl_await(ctx, &entering, "the waiter to run");
    signals_linger(ctx); /* now it is asleep, most likely */
    err = ctx->impl->signal->kill(t, SIGUSR1, NULL);
    if (!err) {
        tl_await(ctx, &handled, w->name);
        signals_linger(ctx);
        TL_EXPECT(ctx, !atomic_load(&out), "%s returned after a signal, before it was released",
                  w->name);
    }
    w->release();
    tl_finish(ctx, t);
    TL_EXPECT(ctx, !atomic_load(&elsewhere), "a signal for a thread in %s was handled by another",
              w->name);
    if (err && err != ENOTSUP)
        TL_CALL(ctx, err);
    return err;
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    if (!signals_handle(ctx, SIGUSR1, handler, SA_RESTART))
        return TL_FAILED;
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        if (!waits[i].offered(ctx->impl))
            continue;
        tl_step(ctx, waits[i].name);
        for (int n = 0; n < ROUNDS && tl_verdict(ctx) == TL_OK; n++)
            if (one_round(&waits[i]) == ENOTSUP && tl_verdict(ctx) == TL_OK)
                return tl_refused(ctx, "signal.kill");
    }
    return tl_verdict(ctx);
}

static const struct tl_check kill_blocked_thread = {
    .abi = TL_ABI,
    .name = "kill.blocked-thread",
    .group = "Signals",
    .promise = "a thread that waits in a lock, a condition variable, a semaphore, a barrier or a "
               "join handles a signal at once, and goes on waiting",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock, pthread_cond_wait, pthread_barrier_wait "
              "(resumes as if not interrupted); pthread_join (never EINTR)",
    .method = "a thread waits; a signal is sent to it, its handler has to run while what it waits "
              "for is still withheld, and the wait may end only when it is released; each wait "
              "that is offered, 5 times",
    .meaning = "a wait that blocks signals, or ends by one, is seen. That the thread was asleep "
               "when the signal came is likely, not certain",
    .needs = "mutex signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(kill_blocked_thread);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound_mutex;
static const struct tl_sem_ops *sound_sem;

static int lock_masked(struct tl_mutex *m)
{
    sigset_t all, old;
    int err;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    err = sound_mutex->lock(m);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return err;
}

static void apply_masked(struct tl_impl *impl)
{
    sound_mutex = impl->mutex;
    TL_MUTATE(impl, mutex)->lock = lock_masked;
}

static const struct tl_mutant lock_blocks_signals = {
    .abi = TL_ABI,
    .name = "lock-blocks-signals",
    .fault = "a thread that waits for a mutex has all signals blocked",
    .kills = "kill.blocked-thread",
    .of = "nptl clone",
    .apply = apply_masked,
};
TL_MUTANT_OF(lock_blocks_signals);

/* A wait that a handler ends, as that of the kernel's futex does. */
static int wait_ended(struct tl_sem *s)
{
    while (sound_sem->trywait(s) == EAGAIN) {
        if (atomic_load(&handled))
            return 0;
        ctx->impl->yield();
    }
    return 0;
}

static void apply_ended(struct tl_impl *impl)
{
    sound_sem = impl->sem;
    TL_MUTATE(impl, sem)->wait = wait_ended;
}

static const struct tl_mutant sem_ends_by_signal = {
    .abi = TL_ABI,
    .name = "sem-ends-by-signal",
    .fault = "a handler that ran while a thread waits for a semaphore ends the wait as if there "
             "had been a post",
    .kills = "kill.blocked-thread",
    .of = "nptl clone",
    .apply = apply_ended,
};
TL_MUTANT_OF(sem_ends_by_signal);

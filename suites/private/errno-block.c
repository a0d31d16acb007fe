/*
 * errno-block.c - errno.private-block: a thread finds its errno as it left it, after each call that
 * blocks: sleep, mutex, semaphore, condition variable, join, and the timed ones where offered.
 */
#include "private-errno.h"

#define THREADS 4
#define TURNS 30

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static struct tl_cond cond;
static struct tl_sem ring[THREADS], never;
static unsigned turn; /* protected by mutex: whose turn it is */

static void sleeps(unsigned i)
{
    for (int n = 0; n < 5; n++) {
        ctx->impl->sleep(500000);
        errno_kept(ctx, i, "after a sleep");
    }
}

static void locks(unsigned i)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;

    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        int err = ops->lock(&mutex);
        errno_kept(ctx, i, "after mutex lock");
        TL_EXPECT(ctx, !err, "lock answered %d", err);
        ctx->impl->yield(); /* so that the others wait */
        tl_delay(ctx, "while it holds the mutex");
        ops->unlock(&mutex);
        errno_kept(ctx, i, "after mutex unlock");
    }
}

/* A baton goes round. */
static void waits(unsigned i)
{
    const struct tl_sem_ops *ops = ctx->impl->sem;

    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        ops->wait(&ring[i]);
        errno_kept(ctx, i, "after sem wait");
        tl_delay(ctx, "with the baton");
        ops->post(&ring[(i + 1) % THREADS]);
        errno_kept(ctx, i, "after sem post");
    }
}

static void awaits(unsigned i)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;

    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        ops->lock(&mutex);
        while (turn != i) {
            int err = ctx->impl->cond->wait(&cond, &mutex);
            if (!errno_kept(ctx, i, "after cond wait") || err)
                break;
        }
        turn = (i + 1) % THREADS;
        ctx->impl->cond->broadcast(&cond);
        ops->unlock(&mutex);
        errno_kept(ctx, i, "after cond broadcast and mutex unlock");
    }
    ops->lock(&mutex); /* who fails lets the others go */
    turn = tl_verdict(ctx) == TL_OK ? turn : (i + 1) % THREADS;
    ctx->impl->cond->broadcast(&cond);
    ops->unlock(&mutex);
}

static void times_out(unsigned i)
{
    struct tl_mutex held; /* a condition of its own, too: one condition, one mutex (POSIX) */
    struct tl_cond own;
    int err = ctx->impl->sem->timedwait ? ctx->impl->sem->timedwait(&never, CLOCK_MONOTONIC, 1) : 0;

    errno_kept(ctx, i, "after sem timedwait");
    if (ctx->impl->cond->timedwait) {
        ctx->impl->mutex->init(&held, TL_MUTEX_BLOCK);
        ctx->impl->cond->init(&own);
        ctx->impl->mutex->lock(&held);
        errno_set(errno_of(i));
        err = ctx->impl->cond->timedwait(&own, &held, CLOCK_MONOTONIC, 1);
        errno_kept(ctx, i, "after cond timedwait");
        ctx->impl->mutex->unlock(&held);
        ctx->impl->cond->destroy(&own);
        ctx->impl->mutex->destroy(&held);
    }
    TL_EXPECT(ctx, !err || err == ETIMEDOUT, "a timed wait answered %d", err);
}

static void body(unsigned i)
{
    static void (*const blocks[])(unsigned i) = {sleeps, locks, waits, awaits, times_out};

    for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]) && crowd_meet(); b++) {
        errno_set(errno_of(i));
        blocks[b](i);
    }
}

/* Each joins the next, which has set errno by then, and goes on for a while. */
static void *joins(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    struct tl_thread t;

    errno_set(errno_of(i));
    for (int n = 0; n < 3; n++)
        ctx->impl->yield();
    if (i < THREADS && tl_start(ctx, i, &t, joins, (void *)(uintptr_t)(i + 1))) {
        errno_set(errno_of(i));
        int err = ctx->impl->join(t, NULL);
        errno_kept(ctx, i, "after join");
        TL_EXPECT(ctx, !err, "join answered %d", err);
    }
    return NULL;
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(ctx, ctx->impl->cond->init(&cond));
    TL_CALL(ctx, ctx->impl->sem->init(&never, 0));
    for (unsigned i = 0; i < THREADS; i++)
        TL_CALL(ctx, ctx->impl->sem->init(&ring[i], i == 0));
    crowd_run(ctx, THREADS, body);
    for (int n = 0; n < 10 && tl_verdict(ctx) == TL_OK; n++)
        joins(NULL);
    return tl_verdict(ctx);
}

static const struct tl_check errno_private_block = {
    .abi = TL_ABI,
    .name = "errno.private-block",
    .group = "TLS and errno",
    .promise = "a call that blocks leaves the caller's errno as it was, whoever ran meanwhile",
    .source = "POSIX.1-2017 XSH 2.3; XSH pthread_mutex_lock, pthread_cond_wait, pthread_join "
              "(errors are returned, not put into errno); harness/impl.h for sleep and semaphores",
    .method = "threads with an errno of their own sleep, contend for a mutex, hand a baton round "
              "by semaphores and by a condition variable, run into deadlines, and join each other "
              "in a chain; after each call errno is what it was",
    .meaning = "an errno that is not switched with the thread, and a wait that leaves the EAGAIN "
               "or EINTR of its own system call behind, are both seen; whether a call really "
               "blocked in a given round depends on the scheduler, most do",
    .needs = "mutex cond sem sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(errno_private_block);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound_mutex;
static const struct tl_cond_ops *sound_cond;
static const struct tl_sem_ops *sound_sem;
static int (*sound_join)(struct tl_thread t, void **value);
static int (*sound_sleep)(uint64_t ns);

static int lock_leaks(struct tl_mutex *m)
{
    return ERRNO_LEAKS(sound_mutex->lock(m));
}

static int cond_wait_leaks(struct tl_cond *c, struct tl_mutex *m)
{
    return ERRNO_LEAKS(sound_cond->wait(c, m));
}

static int sem_wait_leaks(struct tl_sem *s)
{
    return ERRNO_LEAKS(sound_sem->wait(s));
}

static int join_leaks(struct tl_thread t, void **value)
{
    return ERRNO_LEAKS(sound_join(t, value));
}

static int sleep_leaks(uint64_t ns)
{
    return ERRNO_LEAKS(sound_sleep(ns));
}

static int sem_wait_interrupted(struct tl_sem *s)
{
    static _Atomic unsigned calls;
    int err = sound_sem->wait(s);

    if (atomic_fetch_add(&calls, 1) % 20 == 19)
        errno_set(EINTR);
    return err;
}

static void apply_mutex(struct tl_impl *impl)
{
    sound_mutex = impl->mutex;
    TL_MUTATE(impl, mutex)->lock = lock_leaks;
}

static void apply_cond(struct tl_impl *impl)
{
    sound_cond = impl->cond;
    TL_MUTATE(impl, cond)->wait = cond_wait_leaks;
}

static void apply_sem(struct tl_impl *impl)
{
    sound_sem = impl->sem;
    TL_MUTATE(impl, sem)->wait = sem_wait_leaks;
}

static void apply_interrupted(struct tl_impl *impl)
{
    sound_sem = impl->sem;
    TL_MUTATE(impl, sem)->wait = sem_wait_interrupted;
}

static void apply_join(struct tl_impl *impl)
{
    sound_join = impl->join;
    impl->join = join_leaks;
}

static void apply_sleep(struct tl_impl *impl)
{
    sound_sleep = impl->sleep;
    impl->sleep = sleep_leaks;
}

#define LEAK(what, where)                                                \
    static const struct tl_mutant errno_leaks_in_##what = {              \
        .abi = TL_ABI,                                                   \
        .name = "errno-leaks-in-" #what,                                 \
        .fault = "errno is not kept with the thread while it is " where, \
        .kills = "errno.private-block",                                  \
        .of = "nptl clone green hybrid",                                 \
        .apply = apply_##what,                                           \
    };                                                                   \
    TL_MUTANT_OF(errno_leaks_in_##what)

LEAK(mutex, "in mutex lock");
LEAK(cond, "in cond wait");
LEAK(sem, "in sem wait");
LEAK(join, "in join");
LEAK(sleep, "asleep");

static const struct tl_mutant errno_of_interrupted_wait = {
    .abi = TL_ABI,
    .name = "errno-of-interrupted-wait",
    .fault = "one sem wait in twenty leaves the EINTR of its system call in errno",
    .kills = "errno.private-block errno.private-handler",
    .of = "nptl clone green hybrid",
    .apply = apply_interrupted,
};
TL_MUTANT_OF(errno_of_interrupted_wait);

/*
 * handler-posts.c - handler.posts-anywhere: a handler posts, whatever it has interrupted.
 */
#include "signals.h"

#include <sys/time.h>

#define THREADS 3
#define STORM 400
#define PERIOD_US 50
#define BURST 64 /* calls between two looks at the counts */

static struct tl_ctx *ctx;
static struct tl_sem work, ring[THREADS];
static struct tl_mutex lock;
static long locked;         /* protected by lock */
static _Atomic int claimed; /* handlers of several threads run at once: each has its own */
static _Atomic int posted, taken, over;

static void post_here(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    if (atomic_fetch_add(&claimed, 1) < STORM && ctx->impl->sem->post(&work) == 0)
        atomic_fetch_add(&posted, 1);
    else
        atomic_fetch_sub(&claimed, 1);
}

static void *take(void *arg)
{
    for (int i = 0; i < STORM && tl_verdict(ctx) == TL_OK; i++) {
        TL_CALL(ctx, ctx->impl->sem->wait(&work));
        atomic_fetch_add(&taken, 1);
    }
    atomic_store(&over, 1);
    return arg;
}

/* In the library nearly all the time. */
static void *busy(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    const struct tl_impl *impl = ctx->impl;
    long mine = 0;

    while (!atomic_load(&over) && tl_verdict(ctx) == TL_OK) {
        for (int i = 0; i < BURST; i++) {
            impl->sem->wait(&ring[me]);
            impl->mutex->lock(&lock);
            locked++;
            mine++;
            impl->mutex->unlock(&lock);
            impl->yield();
            impl->sem->post(&ring[(me + 1) % THREADS]);
        }
        tl_delay(ctx, "between two bursts of calls");
    }
    impl->sem->post(&ring[(me + 1) % THREADS]); /* for one that is behind */
    return (void *)mine;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct itimerval storm = {{0, PERIOD_US}, {0, PERIOD_US}}, calm = {{0, 0}, {0, 0}};
    struct tl_thread taker, t[THREADS];
    unsigned made = 0;
    long sum = 0;

    ctx = c;
    if (!signals_concurrent(ctx) || !signals_handle(ctx, SIGALRM, post_here, SA_RESTART))
        return TL_FAILED;
    TL_CALL(ctx, ctx->impl->mutex->init(&lock, TL_MUTEX_BLOCK));
    TL_CALL(ctx, ctx->impl->sem->init(&work, 0));
    for (unsigned i = 0; i < THREADS; i++)
        TL_CALL(ctx, ctx->impl->sem->init(&ring[i], 2 * BURST));
    if (!tl_start(ctx, 0, &taker, take, NULL))
        return tl_verdict(ctx);
    while (made < THREADS && tl_start(ctx, made, &t[made], busy, (void *)(uintptr_t)made))
        made++;
    TL_EXPECT(ctx, setitimer(ITIMER_REAL, &storm, NULL) == 0, "setitimer: %s", strerror(errno));
    tl_finish(ctx, taker);
    setitimer(ITIMER_REAL, &calm, NULL);
    for (unsigned i = 0; i < THREADS; i++) /* who waits while the others have stopped */
        for (int n = 0; n < 2 * BURST; n++)
            ctx->impl->sem->post(&ring[i]);
    while (made)
        sum += (long)tl_finish(ctx, t[--made]);
    TL_EXPECT(ctx, atomic_load(&taken) == atomic_load(&posted),
              "%d units were posted by handlers, %d were taken", atomic_load(&posted),
              atomic_load(&taken));
    TL_EXPECT(ctx, sum == locked, "%ld lock operations counted to %ld", sum, locked);
    return tl_verdict(ctx);
}

static const struct tl_check handler_posts = {
    .abi = TL_ABI,
    .name = "handler.posts-anywhere",
    .group = "Signals",
    .promise = "a handler may post a semaphore whatever it has interrupted, also the "
               "implementation's own code; the post wakes, and nothing else is spoilt",
    .source = "POSIX.1-2017 XSH 2.4.3 (async-signal-safe functions: sem_post)",
    .method = "three threads lock, yield, wait and post without a pause while a timer of 50 us "
              "sends signals, whose handler posts; another thread takes 400 of these posts",
    .meaning = "a lost post hangs; a queue that is spoilt loses a thread or ends in a crash. A "
               "window of one instruction needs more signals than these",
    .needs = "sem.post_in_handler mutex",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(handler_posts);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_sem_ops *sound;

static int post_sometimes(struct tl_sem *s)
{
    if (s == &work && atomic_load(&posted) % 64 == 63) {
        atomic_fetch_add(&posted, 1);
        return 0;
    }
    return sound->post(s);
}

static void apply_sometimes(struct tl_impl *impl)
{
    sound = impl->sem;
    TL_MUTATE(impl, sem)->post = post_sometimes;
}

static const struct tl_mutant handler_loses_posts = {
    .abi = TL_ABI,
    .name = "handler-loses-posts",
    .fault = "one post in 64 that a handler makes wakes nobody",
    .kills = "handler.posts-anywhere",
    .of = "nptl clone green",
    .apply = apply_sometimes,
};
TL_MUTANT_OF(handler_loses_posts);

#ifdef TL_INJECT
static const struct tl_mutant user_handlers_anywhere = {
    .abi = TL_ABI,
    .name = "user-handlers-anywhere",
    .fault = "handlers are run also where they have interrupted the library between two writes",
    .kills = "handler.posts-anywhere",
    .of = "green",
};
TL_MUTANT_OF(user_handlers_anywhere);
#endif

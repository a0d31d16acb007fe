/*
 * idle.c - idle.sleeps: who waits burns no CPU time.
 */
#include "check.h"

#include <errno.h>
#include <stdatomic.h>

#define WINDOW_NS 100000000u
#define WINDOWS 10
#define ENOUGH 10 /* thousandths of the elapsed time */

static struct tl_ctx *ctx;
static struct tl_mutex held, free_one; /* held: by the first thread, all the time */
static struct tl_cond cond;
static struct tl_sem sem;
static _Atomic int waiting, over;

static void *wait_sem(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    TL_CALL(ctx, ctx->impl->sem->wait(&sem));
    return arg;
}

static void *wait_mutex(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    if (TL_CALL(ctx, ctx->impl->mutex->lock(&held)))
        TL_CALL(ctx, ctx->impl->mutex->unlock(&held));
    return arg;
}

static void *wait_cond(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    TL_CALL(ctx, ctx->impl->mutex->lock(&free_one));
    while (!atomic_load(&over) && tl_verdict(ctx) == TL_OK)
        TL_CALL(ctx, ctx->impl->cond->wait(&cond, &free_one));
    TL_CALL(ctx, ctx->impl->mutex->unlock(&free_one));
    return arg;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time of the process while its first thread sleeps, in thousandths of the elapsed time. */
static uint64_t burnt(void)
{
    uint64_t cpu = cpu_ns(), wall = tl_now_ns();

    TL_CALL(ctx, ctx->impl->sleep(WINDOW_NS));
    return (cpu_ns() - cpu) * 1000 / (tl_now_ns() - wall + 1);
}

static enum tl_status run(struct tl_ctx *c)
{
    void *(*const entries[])(void *) = {wait_sem, wait_mutex, wait_cond};
    struct tl_thread t[3];
    unsigned made = 0;
    uint64_t least = UINT64_MAX;

    ctx = c;
    TL_CALL(c, c->impl->sem->init(&sem, 0));
    TL_CALL(c, c->impl->cond->init(&cond));
    TL_CALL(c, c->impl->mutex->init(&held, TL_MUTEX_BLOCK));
    TL_CALL(c, c->impl->mutex->init(&free_one, TL_MUTEX_BLOCK));
    TL_CALL(c, c->impl->mutex->lock(&held));
    while (made < 3 && tl_start(c, made, &t[made], entries[made], NULL))
        made++;
    while (atomic_load(&waiting) < (int)made && tl_verdict(c) == TL_OK)
        c->impl->yield();
    for (int i = 0; i < WINDOWS && least > ENOUGH && tl_verdict(c) == TL_OK; i++) {
        uint64_t now = burnt();

        least = now < least ? now : least;
    }
    TL_EXPECT(c, least <= ENOUGH,
              "the process used its CPUs for %lu of 1000 ns while all threads waited",
              (unsigned long)least);
    atomic_store(&over, 1);
    TL_CALL(c, c->impl->mutex->unlock(&held));
    TL_CALL(c, c->impl->sem->post(&sem));
    TL_CALL(c, c->impl->mutex->lock(&free_one));
    TL_CALL(c, c->impl->cond->broadcast(&cond));
    TL_CALL(c, c->impl->mutex->unlock(&free_one));
    while (made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check idle_sleeps = {
    .abi = TL_ABI,
    .name = "idle.sleeps",
    .group = "Scheduling",
    .promise = "while all threads wait, the process uses no CPU time",
    .source = "practice: a thread that blocks gives its PU to the kernel; POSIX.1-2017 XBD 3.47 "
              "(Blocked Process or Thread)",
    .method = "one thread waits for a semaphore, one for a mutex, one for a condition, the first "
              "sleeps 100 ms: of ten such windows one must cost less than a hundredth in CPU time",
    .meaning = "a wait that spins burns in each window, as much as the neighbours leave it. One "
               "that polls rarely, or yields to busy neighbours each time, is not seen",
    .needs = "sem mutex cond sleep",
    .flags = TL_CHECK_CONCURRENT | TL_CHECK_ALONE,
    .run = run,
};
TL_CHECK(idle_sleeps);

/* ---- mutant ---------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int poll_sem(struct tl_sem *s)
{
    int err;

    while ((err = sound.sem->trywait(s)) == EAGAIN)
        if (!(sound.traits & TL_PREEMPTIVE))
            sound.yield();
    return err;
}

static void apply(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, sem)->wait = poll_sem;
}

static const struct tl_mutant wait_polls = {
    .abi = TL_ABI,
    .name = "sem-wait-polls",
    .fault = "who waits for a semaphore tries again and again",
    .kills = "idle.sleeps",
    .of = "nptl clone green",
    .apply = apply,
};
TL_MUTANT_OF(wait_polls);

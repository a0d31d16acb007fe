/*
 * threads.c - checks whose threads wait for ever, or overflow a stack: what is told of them. For
 * test_threads.py.
 */
#include "check.h"

#include <string.h>

static struct tl_ctx *ctx;
static struct tl_mutex never_free;
static struct tl_sem never_posted;

static void *wait_for_mutex(void *arg)
{
    ctx->impl->mutex->lock(&never_free);
    return arg;
}

static void *wait_for_sem(void *arg)
{
    ctx->impl->sem->wait(&never_posted);
    return arg;
}

static void start(void *(*entry)(void *), const char *name)
{
    struct tl_thread t;

    if (tl_start(ctx, 0, &t, entry, NULL))
        TL_CALL(ctx, ctx->impl->info->set_name(t, name));
}

static enum tl_status stuck(struct tl_ctx *c)
{
    ctx = c;
    ctx->impl->mutex->init(&never_free, TL_MUTEX_BLOCK);
    ctx->impl->sem->init(&never_posted, 0);
    ctx->impl->mutex->lock(&never_free);
    start(wait_for_mutex, "locker-1");
    start(wait_for_mutex, "locker-2");
    start(wait_for_sem, "waiter");
    tl_step(ctx, "waiting for ever");
    for (;;)
        ctx->impl->sleep(1000000);
    return TL_OK;
}

static const struct tl_check threads_stuck = {
    .abi = TL_ABI,
    .name = "threads.stuck",
    .group = "Threads",
    .promise = "nobody waits for ever",
    .source = "test_threads.py",
    .method = "three threads do",
    .meaning = "nothing",
    .deadline_s = 30,
    .run = stuck,
};
TL_CHECK(threads_stuck);

static __attribute__((noinline)) int deeper(int n)
{
    volatile char frame[256];

    memset((char *)frame, n, sizeof(frame));
    return n < 0 ? frame[0] : deeper(n + 1) + frame[1];
}

static void *dive(void *arg)
{
    ctx->impl->info->set_name(ctx->impl->self(), "diver");
    return (void *)((uintptr_t)arg + (uintptr_t)deeper(0));
}

static enum tl_status overflow(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    if (tl_start(ctx, 0, &t, dive, NULL))
        tl_finish(ctx, t);
    return tl_verdict(ctx);
}

static const struct tl_check threads_overflow = {
    .abi = TL_ABI,
    .name = "threads.overflow",
    .group = "Threads",
    .promise = "a stack has no end",
    .source = "test_threads.py",
    .method = "a thread recurses without end",
    .meaning = "nothing",
    .deadline_s = 30,
    .run = overflow,
};
TL_CHECK(threads_overflow);

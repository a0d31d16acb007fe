/*
 * scope.h - for benchmarks: threads with a kernel thread of their own (bound) and others, and the
 * proof that they are what they are called.
 *
 * Bound does not mean pinned: which PU the kernel thread runs on is another question.
 */
#ifndef SUITES_SCOPE_H
#define SUITES_SCOPE_H

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

/* Of the first thread's kernel thread and of another's. Threads that end may give their number to
 * one that comes: compare those of living ones only. */
static inline pid_t scope_kernel_thread(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* What create's error for a bound thread says; error is not 0. */
static inline enum tl_status scope_failed(struct tl_ctx *ctx, bool bound, int error)
{
    if (bound && error == ENOTSUP)
        return tl_refused(ctx, "attr.bound");
    return tl_failed(ctx, "create%s: %s", bound ? " of a bound thread" : "", strerror(error));
}

static inline void *scope_tell(void *arg)
{
    *(pid_t *)arg = scope_kernel_thread();
    return arg;
}

/* Creates one thread: does it run on a kernel thread of its own if it is bound? The caller lives
 * meanwhile, so that the numbers can be compared. */
static inline enum tl_status scope_prove(struct tl_ctx *ctx, struct tl_attr attr)
{
    pid_t other = 0, mine;
    struct tl_thread t;
    int error = ctx->impl->create(&t, &attr, scope_tell, &other);

    if (error)
        return scope_failed(ctx, attr.bound, error);
    error = ctx->impl->join(t, NULL);
    if (error)
        return tl_failed(ctx, "join: %s", strerror(error));
    mine = scope_kernel_thread();
    if (other == 0)
        return tl_invalid(ctx, "a thread was joined that never ran");
    if (attr.bound && other == mine)
        return tl_invalid(ctx, "a bound thread ran on its creator's kernel thread %d", (int)mine);
    return TL_OK;
}

#endif

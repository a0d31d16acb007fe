/*
 * mutex.h - for the checks of mutexes: a mutex of some kind, and what a second thread gets to see.
 */
#ifndef SUITES_MUTEX_H
#define SUITES_MUTEX_H

#include "check.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* TL_OK; or what the check is to return: `why` names the kind, as tl_impl.why_not has it. */
static inline enum tl_status mutex_make(struct tl_ctx *ctx, struct tl_mutex *m,
                                        enum tl_mutex_kind kind, const char *why)
{
    int err = ctx->impl->mutex->init(m, kind);

    if (err == ENOTSUP)
        return tl_refused(ctx, why);
    return err ? tl_failed(ctx, "%s: init: %s", why, strerror(err)) : TL_OK;
}

/* One call of another thread, and what it answered. */
struct mutex_other {
    int (*call)(struct tl_mutex *m);
    struct tl_mutex *m;
    int answer;
};

static inline void *mutex_other_entry(void *arg)
{
    struct mutex_other *other = arg;

    other->answer = other->call(other->m);
    return arg;
}

/* What call(m) answers in another thread, which ends at once; -1: there was none (noted). */
static inline int mutex_elsewhere(struct tl_ctx *ctx, int (*call)(struct tl_mutex *m),
                                  struct tl_mutex *m)
{
    struct mutex_other other = {call, m, -1};
    struct tl_thread t;

    if (tl_start(ctx, 1, &t, mutex_other_entry, &other))
        tl_finish(ctx, t);
    return other.answer;
}

/* Gives others time to come to a call that was announced by a flag. Only the power of a check may
 * depend on it. */
static inline void mutex_linger(struct tl_ctx *ctx)
{
    for (int i = 0; i < 30; i++)
        ctx->impl->yield();
    if (ctx->impl->sleep)
        ctx->impl->sleep(2000000);
}

#endif

/*
 * forked.h - for checks of fork: a child that does something and is waited for without stopping the
 * other threads of its parent.
 */
#ifndef SUITES_FORK_FORKED_H
#define SUITES_FORK_FORKED_H

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Waits for the child and expects that it exits with `wanted`; what the child has noted is kept. */
static inline bool forked_wait(struct tl_ctx *ctx, pid_t pid, int wanted)
{
    int status = 0;
    pid_t got;

    while ((got = waitpid(pid, &status, WNOHANG)) == 0)
        ctx->impl->yield();
    return TL_EXPECT(ctx, got == pid, "waitpid of the child: %s",
                     got < 0 ? strerror(errno) : "another process") &&
           TL_EXPECT(ctx, WIFEXITED(status) && WEXITSTATUS(status) == wanted,
                     "the child ended with wait status %#x, not with exit status %d", status,
                     wanted);
}

/* Forks by the implementation; the child runs body(arg) and ends, with 0 unless it noted a failure.
 * False: something failed, noted. */
static inline bool forked(struct tl_ctx *ctx, void (*body)(struct tl_ctx *ctx, void *arg),
                          void *arg)
{
    pid_t pid = -1;

    if (!TL_CALL(ctx, ctx->impl->fork->fork(&pid)))
        return false;
    if (pid == 0) {
        body(ctx, arg);
        _exit(tl_verdict(ctx) == TL_OK ? 0 : 1);
    }
    return forked_wait(ctx, pid, 0);
}

/* Siblings that count for as long as they are let. */
#define FORKED_SIBLINGS 3

struct forked_siblings {
    struct tl_ctx *ctx;
    struct tl_thread thread[FORKED_SIBLINGS];
    unsigned made;
    _Atomic int go, stop, running;
    _Atomic unsigned long counted;
};

static inline void *forked_sibling(void *arg)
{
    struct forked_siblings *s = arg;

    tl_await(s->ctx, &s->go, "create to return"); /* never does where nobody else runs */
    atomic_fetch_add(&s->running, 1);
    while (!atomic_load(&s->stop) && tl_verdict(s->ctx) == TL_OK) {
        atomic_fetch_add(&s->counted, 1);
        s->ctx->impl->yield();
    }
    return NULL;
}

/* Starts them and waits until all count. False: noted. */
static inline bool forked_siblings_start(struct tl_ctx *ctx, struct forked_siblings *s)
{
    s->ctx = ctx;
    while (s->made < FORKED_SIBLINGS &&
           tl_start(ctx, s->made, &s->thread[s->made], forked_sibling, s))
        s->made++;
    atomic_store(&s->go, 1);
    while (atomic_load(&s->running) < (int)s->made && tl_verdict(ctx) == TL_OK)
        ctx->impl->yield();
    return s->made == FORKED_SIBLINGS && tl_verdict(ctx) == TL_OK;
}

static inline void forked_siblings_stop(struct forked_siblings *s)
{
    atomic_store(&s->stop, 1);
    while (s->made)
        tl_finish(s->ctx, s->thread[--s->made]);
}

#endif

/*
 * waiters.h - for checks: one thread in each kind of wait, found there by the implementation's own
 * thread table.
 */
#ifndef SUITES_INSPECT_WAITERS_H
#define SUITES_INSPECT_WAITERS_H

#include "check.h"

#include <stdatomic.h>
#include <string.h>

enum waiter { WAITS_MUTEX, WAITS_COND, WAITS_SEM, WAITS_JOIN, WAITS_SLEEP, WAITERS };

static const char *const waiter_words[WAITERS] = {"mutex", "cond", "sem", "join", "sleep"};

#define WAITERS_NEED "sleep mutex cond sem cancel inspect.threads"
#define WAITERS_SLEEP_NS UINT64_C(1000000000000) /* until it is cancelled */
#define WAITERS_PATIENCE_NS UINT64_C(20000000000)

/* Invariants: m is held by the first thread until release; join waits for sem. */
static struct {
    struct tl_ctx *ctx;
    struct tl_mutex m, of_cond;
    struct tl_cond cond;
    struct tl_sem sem;
    struct tl_thread t[WAITERS];
    _Atomic int born[WAITERS];
    bool told; /* of the condition, guarded by of_cond */
} waiters;

/* ---- the table ------------------------------------------------------------------------------- */

struct waiters_search {
    struct tl_thread thread;
    unsigned found;
    struct tl_thread_row row;
};

static void waiters_match(const struct tl_thread_row *r, void *arg)
{
    struct waiters_search *search = arg;

    if (r->thread.id != search->thread.id)
        return;
    search->found++;
    search->row = *r;
}

/* How many rows there are of a thread; the last one is in *row. */
static unsigned waiters_row(struct tl_thread thread, struct tl_thread_row *row)
{
    struct waiters_search search = {.thread = thread};

    TL_CALL(waiters.ctx, waiters.ctx->impl->inspect->threads(waiters_match, &search));
    *row = search.row;
    return search.found;
}

/* True: the table says so, or what a kernel says of any wait. */
static bool waiters_waits(unsigned i, struct tl_thread_row *row)
{
    return waiters_row(waiters.t[i], row) == 1 && row->state &&
           (!strcmp(row->state, waiter_words[i]) ||
            (tl_trait(waiters.ctx, TL_ONE_TO_ONE) && !strcmp(row->state, "sleeping")));
}

/* ---- the threads ----------------------------------------------------------------------------- */

static void *waiters_thread(void *arg)
{
    const struct tl_impl *impl = waiters.ctx->impl;
    unsigned i = (unsigned)(uintptr_t)arg;

    if (i == WAITS_COND)
        TL_CALL(waiters.ctx, impl->mutex->lock(&waiters.of_cond));
    atomic_store(&waiters.born[i], 1);
    switch ((enum waiter)i) {
    case WAITS_MUTEX:
        TL_CALL(waiters.ctx, impl->mutex->lock(&waiters.m));
        TL_CALL(waiters.ctx, impl->mutex->unlock(&waiters.m));
        break;
    case WAITS_COND:
        while (!waiters.told)
            if (!TL_CALL(waiters.ctx, impl->cond->wait(&waiters.cond, &waiters.of_cond)))
                break;
        TL_CALL(waiters.ctx, impl->mutex->unlock(&waiters.of_cond));
        break;
    case WAITS_SEM:
        TL_CALL(waiters.ctx, impl->sem->wait(&waiters.sem));
        break;
    case WAITS_JOIN:
        TL_CALL(waiters.ctx, impl->join(waiters.t[WAITS_SEM], NULL));
        break;
    default:
        TL_CALL(waiters.ctx, impl->sleep(WAITERS_SLEEP_NS));
    }
    return arg;
}

/* Starts them all, and waits until the table shows each in its wait: false, noted, if it does not.
 */
static bool waiters_begin(struct tl_ctx *ctx)
{
    const struct tl_impl *impl = ctx->impl;
    struct tl_thread_row row;

    waiters.ctx = ctx;
    waiters.told = false;
    TL_CALL(ctx, impl->mutex->init(&waiters.m, TL_MUTEX_BLOCK));
    TL_CALL(ctx, impl->mutex->init(&waiters.of_cond, TL_MUTEX_BLOCK));
    TL_CALL(ctx, impl->cond->init(&waiters.cond));
    TL_CALL(ctx, impl->sem->init(&waiters.sem, 0));
    TL_CALL(ctx, impl->mutex->lock(&waiters.m));
    for (unsigned i = 0; i < WAITERS; i++) {
        atomic_store(&waiters.born[i], 0);
        if (!tl_start(ctx, i, &waiters.t[i], waiters_thread, (void *)(uintptr_t)i) ||
            !tl_await(ctx, &waiters.born[i], "a thread that is about to wait"))
            return false;
    }
    for (unsigned i = 0; i < WAITERS; i++) {
        uint64_t until = tl_now_ns() + WAITERS_PATIENCE_NS;

        while (!waiters_waits(i, &row))
            if (tl_now_ns() < until)
                impl->yield();
            else
                return TL_EXPECT(ctx, false, "a thread waits (%s), and the table still says \"%s\"",
                                 waiter_words[i], row.state ? row.state : "nothing");
    }
    return tl_verdict(ctx) == TL_OK;
}

/* Lets them all go on, and joins them. */
static void waiters_end(void)
{
    const struct tl_impl *impl = waiters.ctx->impl;

    TL_CALL(waiters.ctx, impl->mutex->unlock(&waiters.m));
    TL_CALL(waiters.ctx, impl->mutex->lock(&waiters.of_cond));
    waiters.told = true;
    TL_CALL(waiters.ctx, impl->mutex->unlock(&waiters.of_cond));
    TL_CALL(waiters.ctx, impl->cond->signal(&waiters.cond));
    TL_CALL(waiters.ctx, impl->sem->post(&waiters.sem));
    TL_CALL(waiters.ctx, impl->cancel->cancel(waiters.t[WAITS_SLEEP]));
    for (unsigned i = 0; i < WAITERS; i++)
        if (i != WAITS_SEM) /* joined by one of them */
            tl_finish(waiters.ctx, waiters.t[i]);
}

#endif

/*
 * noticed.c - stall.noticed: when the kernel threads that run the threads all block in calls that
 * the library does not see, others are put in their place.
 */
#include "check.h"

#include "../common/wrap.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#define LWPS 2

struct blocker {
    struct tl_ctx *ctx;
    int pipe[2];
};

static _Atomic int at_line;

static void *block(void *arg)
{
    struct blocker *b = arg;
    char byte;

    atomic_fetch_add(&at_line, 1);
    while (atomic_load(&at_line) < LWPS)
        b->ctx->impl->yield();
    TL_EXPECT(b->ctx, read(b->pipe[0], &byte, 1) == 1, "read: error %d", errno);
    return NULL;
}

/* Ready all the time, but nobody is there to run it. */
static void *feed(void *arg)
{
    struct blocker *b = arg;

    while (atomic_load(&at_line) < LWPS)
        b->ctx->impl->yield();
    for (unsigned i = 0; i < 1000; i++)
        b->ctx->impl->yield();
    for (unsigned i = 0; i < LWPS; i++)
        TL_EXPECT(b->ctx, write(b[i].pipe[1], "x", 1) == 1, "write: error %d", errno);
    return NULL;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct blocker b[LWPS];
    struct tl_thread t[LWPS + 1];

    if (!TL_CALL(c, c->impl->concurrency->set(LWPS)))
        return tl_verdict(c);
    for (unsigned i = 0; i < LWPS; i++) {
        b[i].ctx = c;
        if (pipe(b[i].pipe))
            return tl_failed(c, "pipe: error %d", errno);
    }
    for (unsigned round = 0; round < 20; round++) {
        unsigned made = 0;

        atomic_store(&at_line, 0);
        while (made < LWPS && tl_start(c, made, &t[made], block, &b[made]))
            made++;
        if (made == LWPS && tl_start(c, 0, &t[made], feed, b))
            made++;
        if (made <= LWPS)
            return tl_verdict(c);
        tl_step(c, "waiting for a thread that is ready, while two others block in read");
        for (unsigned i = 0; i < made; i++)
            tl_finish(c, t[i]);
    }
    for (unsigned i = 0; i < LWPS; i++) {
        close(b[i].pipe[0]);
        close(b[i].pipe[1]);
    }
    return tl_verdict(c);
}

static const struct tl_check noticed = {
    .abi = TL_ABI,
    .name = "stall.noticed",
    .group = "Scheduling",
    .promise = "when all its kernel threads block, a ready thread runs on another one",
    .source = "Stein and Shah 1992, Implementing Lightweight Threads (SIGWAITING)",
    .method = "two kernel threads; two threads read pipes that a third one fills; 20 rounds. Where "
              "the implementation has a detector it is proc",
    .meaning = "without notice nobody could ever fill the pipes: no time is measured. That it is "
               "noticed soon is for the benchmark stall.detector",
    .needs = "concurrency",
    .traits = TL_PARALLEL,
    .params = "detector=proc",
    .run = run,
};
TL_CHECK(noticed);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void apply(struct tl_impl *impl)
{
    wrap_param(impl, "detector", "none");
}

static const struct tl_mutant blind = {
    .abi = TL_ABI,
    .name = "stall-unnoticed",
    .fault = "the detector is never started",
    .kills = "stall.noticed",
    .of = "hybrid",
    .apply = apply,
};
TL_MUTANT_OF(blind);

/*
 * replaced.c - sched.blocked-is-replaced: a kernel thread blocks while a thread is ready that only
 * it would have run.
 */
#include "../common/rounds.h"

#include <stdatomic.h>
#include <unistd.h>

#define FEW 5
#define MOST 50

static struct tl_ctx *ctx;
static struct tl_sem to_busy, to_ready, done;
static _Atomic int quit, spinning, ran;
static int pipe_of[2];

/* Keeps its kernel thread until the third has run. */
static void *busy(void *arg)
{
    for (;;) {
        if (!TL_CALL(ctx, ctx->impl->sem->wait(&to_busy)) || atomic_load(&quit))
            return arg;
        atomic_store(&spinning, 1);
        while (!atomic_load(&ran) && tl_verdict(ctx) == TL_OK)
            ;
        TL_CALL(ctx, ctx->impl->sem->post(&done));
    }
}

static void read_byte(void *arg)
{
    char byte;

    TL_EXPECT(ctx, read(pipe_of[0], &byte, 1) == 1, "nothing was read");
    (void)arg;
}

/* Makes the third ready, and blocks until that has run. */
static void *blocks(void *arg)
{
    const struct tl_impl *impl = ctx->impl;

    for (unsigned round = 0; rounds_more(ctx, round, FEW, MOST); round++) {
        atomic_store(&spinning, 0);
        atomic_store(&ran, 0);
        if (!TL_CALL(ctx, impl->sem->post(&to_busy)) || !tl_await(ctx, &spinning, "the busy one") ||
            !TL_CALL(ctx, impl->sem->post(&to_ready)))
            break;
        TL_CALL(ctx, impl->io->blocking(read_byte, NULL));
        TL_CALL(ctx, impl->sem->wait(&done));
    }
    atomic_store(&quit, 1);
    TL_CALL(ctx, impl->sem->post(&to_busy));
    TL_CALL(ctx, impl->sem->post(&to_ready));
    return arg;
}

static void *ready(void *arg)
{
    for (;;) {
        if (!TL_CALL(ctx, ctx->impl->sem->wait(&to_ready)) || atomic_load(&quit))
            return arg;
        TL_EXPECT(ctx, write(pipe_of[1], "", 1) == 1, "nothing was written");
        atomic_store(&ran, 1);
    }
}

static enum tl_status run(struct tl_ctx *c)
{
    static void *(*const entries[])(void *) = {ready, busy, blocks};
    const struct tl_impl *impl = c->impl;
    struct tl_thread t[3];
    unsigned made = 0;

    ctx = c;
    if (!TL_CALL(c, impl->sem->init(&to_busy, 0)) || !TL_CALL(c, impl->sem->init(&to_ready, 0)) ||
        !TL_CALL(c, impl->sem->init(&done, 0)) || !TL_CALL(c, impl->concurrency->set(2)) ||
        !TL_EXPECT(c, pipe(pipe_of) == 0, "there is no pipe"))
        return tl_verdict(c);
    tl_step(c, "two kernel threads: one is busy, one blocks");
    /* Anywhere: with a place they would wait for that one. */
    while (made < 3 && TL_CALL(c, impl->create(&t[made], NULL, entries[made], NULL)))
        made++;
    while (tl_verdict(c) == TL_OK && made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check blocked_is_replaced = {
    .abi = TL_ABI,
    .name = "sched.blocked-is-replaced",
    .group = "Scheduling",
    .promise = "while a kernel thread blocks in a call that the library knows of, another one runs "
               "who is ready",
    .source = "the implementation's own promise (impls/user/lwp.h); Powell et al. 1991, \"SunOS "
              "Multi-thread Architecture\" (a new LWP where all are blocked)",
    .method = "of two kernel threads one runs a thread that does not give it up until a third "
              "thread has run; the other one's makes that ready, and blocks in io.blocking until "
              "it has run; 5 times or more",
    .meaning = "a library that looks whether somebody is ready at the wrong moment, or not at all, "
               "hangs",
    .needs = "io.blocking concurrency sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(blocked_is_replaced);

/* ---- mutants --------------------------------------------------------------------------------- */

static int call_only(void (*f)(void *), void *arg)
{
    f(arg);
    return 0;
}

static void apply(struct tl_impl *impl)
{
    TL_MUTATE(impl, io)->blocking = call_only;
}

static const struct tl_mutant tells_nobody = {
    .abi = TL_ABI,
    .name = "blocking-tells-nobody",
    .fault = "io.blocking calls the function and nothing else",
    .kills = "sched.blocked-is-replaced",
    .of = "hybrid",
    .apply = apply,
};
TL_MUTANT_OF(tells_nobody);

#ifdef TL_INJECT
static const struct tl_mutant no_look = {
    .abi = TL_ABI,
    .name = "user-outside-no-look",
    .fault = "who says that its LWP is about to block does not look whether somebody is ready",
    .kills = "sched.blocked-is-replaced",
    .of = "hybrid",
};
TL_MUTANT_OF(no_look);
#endif

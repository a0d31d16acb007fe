/*
 * misbehave.c - a plugin of benchmarks that go wrong, each in one way: the driver's tests see that
 * every way ends in the status that it should. Axis `how`.
 */
#include "bench.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is(struct tl_ctx *ctx, const char *how)
{
    return strcmp(tl_axis(ctx, "how"), how) == 0;
}

/* Leaves the PU on which it was placed. False: there is no other. */
static bool wander(void)
{
    cpu_set_t others;
    memset(&others, 0xff, sizeof others); /* the kernel takes those that we may use */
    CPU_CLR(sched_getcpu(), &others);
    return sched_setaffinity(0, sizeof others, &others) == 0;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    volatile uint64_t sink = 0;
    if (is(ctx, "segv"))
        raise(SIGSEGV);
    if (is(ctx, "abort"))
        abort();
    if (is(ctx, "exit"))
        _exit(3);
    if (is(ctx, "hang"))
        for (;;)
            pause();
    if (is(ctx, "orphan") && fork() == 0)
        for (;;) /* it outlives the cell unless the driver kills the process group */
            pause();
    if (is(ctx, "fail"))
        return tl_failed(ctx, "create: pretended error");
    if (is(ctx, "unsupported"))
        return tl_unsupported(ctx, "pretended lack");
    if (is(ctx, "silent"))
        return TL_FAILED;
    if (is(ctx, "no-window"))
        return TL_OK;
    if (is(ctx, "wander") && !wander())
        return tl_unsupported(ctx, "there is one PU only");
    tl_begin(ctx);
    if (is(ctx, "constant")) /* the time does not grow with n */
        tl_spin_ns(500000);
    else
        for (uint64_t i = 0; i < n; i++)
            sink += i;
    tl_end(ctx, n);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    return is(ctx, "invalid") ? tl_invalid(ctx, "0 of 10 hand-overs were seen") : TL_OK;
}

static void expect(const struct tl_ctx *ctx, struct tl_expect *expected)
{
    if (strcmp(tl_axis(ctx, "how"), "lie") == 0)
        expected->switches = (struct tl_range){1, 1}; /* there are none */
}

static const struct tl_axis axes[] = {
    {"how",
     "ok,segv,abort,exit,hang,orphan,fail,unsupported,silent,no-window,constant,invalid,lie,wander",
     NULL, NULL, "what goes wrong"},
    {0},
};

static const struct tl_bench misbehave = {
    .abi = TL_ABI,
    .name = "test.misbehave",
    .version = 1,
    .title = "goes wrong on purpose",
    .op = "one addition",
    .flags = TL_NO_IMPL,
    .axes = axes,
    .max_n = 1000000000,
    .deadline_ns = UINT64_C(1500000000),
    .run = run,
    .verify = verify,
    .expect = expect,
};
TL_BENCH(misbehave);

/*
 * verdicts.c - checks that end in every way there is, mutants that are and are not caught, and a
 * benchmark that rests on a promise nobody keeps. For test_check.py.
 */
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum tl_status pass(struct tl_ctx *ctx)
{
    tl_say(ctx, "a line # for the reader");
    tl_say(ctx, "seed %llu", (unsigned long long)ctx->seed);
    return tl_verdict(ctx);
}

static enum tl_status fail(struct tl_ctx *ctx)
{
    TL_EXPECT(ctx, 1 + 1 == 3, "a \"reason\" with <signs> & #marks");
    TL_EXPECT(ctx, false, "a second one");
    return tl_verdict(ctx);
}

static enum tl_status wrong_error(struct tl_ctx *ctx)
{
    TL_ANSWERS(ctx, EINVAL, ESRCH);
    return tl_verdict(ctx);
}

static enum tl_status crash(struct tl_ctx *ctx)
{
    tl_step(ctx, "about to crash");
    raise(SIGSEGV);
    return tl_verdict(ctx);
}

static enum tl_status hang(struct tl_ctx *ctx)
{
    tl_step(ctx, "waiting for ever");
    for (;;)
        ctx->impl->yield();
    return TL_OK;
}

static enum tl_status unsupported(struct tl_ctx *ctx)
{
    return tl_refused(ctx, "cancel.async");
}

static enum tl_status invalid(struct tl_ctx *ctx)
{
    return tl_invalid(ctx, "the situation never came about");
}

static enum tl_status silent(struct tl_ctx *ctx)
{
    (void)ctx;
    return TL_FAILED;
}

static enum tl_status join_works(struct tl_ctx *ctx)
{
    TL_ANSWERS(ctx, ctx->impl->join(ctx->impl->self(), NULL), EDEADLK);
    return tl_verdict(ctx);
}

static int body(struct tl_ctx *ctx, void *how)
{
    (void)ctx;
    if (strcmp(how, "crash") == 0)
        abort();
    while (strcmp(how, "hang") == 0)
        ;
    return 5;
}

static enum tl_status children(struct tl_ctx *ctx)
{
    struct tl_child end;

    TL_EXPECT(ctx, tl_child(ctx, body, (void *)"exit", 0, &end) == 0 && end.status == 5, "exit");
    TL_EXPECT(ctx, tl_child(ctx, body, (void *)"crash", 0, &end) == 0 && end.signal == 6, "crash");
    TL_EXPECT(ctx, tl_child(ctx, body, (void *)"hang", 50, &end) == 0 && end.hung, "hang");
    return tl_verdict(ctx);
}

/* A member may be given twice: the last one counts. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define CHECK(symbol, title, member, function, ...)            \
    static const struct tl_check symbol = {.abi = TL_ABI,      \
                                           .name = title,      \
                                           .group = "Test",    \
                                           .promise = title,   \
                                           .source = "none",   \
                                           .method = "none",   \
                                           .meaning = "none",  \
                                           .member = function, \
                                           __VA_ARGS__};       \
    TL_CHECK(symbol)

CHECK(verdict_pass, "verdict.pass", run, pass);
CHECK(verdict_fail, "verdict.fail", run, fail);
CHECK(verdict_error, "verdict.error", run, wrong_error);
CHECK(verdict_crash, "verdict.crash", run, crash);
CHECK(verdict_hang, "verdict.hang", run, hang, .deadline_s = 1, .group = "Hang");
CHECK(verdict_unsupported, "verdict.unsupported", run, unsupported);
CHECK(verdict_needs, "verdict.needs", run, pass, .needs = "mutex concurrency");
CHECK(verdict_traits, "verdict.traits", run, pass, .traits = TL_PREEMPTIVE);
CHECK(verdict_pus, "verdict.pus", run, pass, .pus = 5000);
CHECK(verdict_invalid, "verdict.invalid", run, invalid);
CHECK(verdict_silent, "verdict.silent", run, silent);
CHECK(verdict_join, "verdict.join", run, join_works);
CHECK(verdict_children, "verdict.children", outside, children);
CHECK(verdict_fooled, "verdict.fooled", run, pass, .flags = TL_CHECK_CONCURRENT);

static int join_anything(struct tl_thread t, void **value)
{
    (void)t;
    (void)value;
    return 0;
}

static void break_join(struct tl_impl *impl)
{
    impl->join = join_anything;
}

static void break_nothing(struct tl_impl *impl)
{
    (void)impl;
}

/* A fault that ends a program at once, so that making it small takes no deadlines. */
static struct tl_sem_ops aborts;

static int abort_in_post(struct tl_sem *s)
{
    (void)s;
    abort();
}

static void break_post(struct tl_impl *impl)
{
    aborts = *impl->sem;
    aborts.post = abort_in_post;
    impl->sem = &aborts;
}

#define MUTANT(symbol, title, function, victims)                 \
    static const struct tl_mutant symbol = {                     \
        TL_ABI, title, "for a test", victims, "nptl", function}; \
    TL_MUTANT_OF(symbol)

MUTANT(verdict_killed, "verdict-killed", break_join, "verdict.join");
MUTANT(verdict_survives, "verdict-survives", break_nothing, "verdict.join");
MUTANT(verdict_not_sound, "verdict-not-sound", break_join, "verdict.fail");
MUTANT(post_aborts, "post-aborts", break_post, "torture.random");
MUTANT(verdict_not_offered, "verdict-not-offered", break_join, "verdict.needs");

static enum tl_status bench_run(struct tl_ctx *ctx, uint64_t n)
{
    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++)
        ctx->impl->yield();
    tl_end(ctx, n);
    return TL_OK;
}

static enum tl_status bench_verify(struct tl_ctx *ctx)
{
    (void)ctx;
    return TL_OK;
}

static const char *const rests_on[] = {"verdict.pass", "verdict.fail", "verdict.unknown", NULL};

static const struct tl_bench resting = {
    .abi = TL_ABI,
    .name = "verdict.bench",
    .version = 1,
    .title = "rests on what does not hold",
    .op = "one yield",
    .rests_on = rests_on,
    .run = bench_run,
    .verify = bench_verify,
};
TL_BENCH(resting);

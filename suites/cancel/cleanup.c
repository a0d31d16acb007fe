/*
 * cleanup.c - cancel.cleanup-order, cancel.in-cleanup, cancel.in-destructor: what a thread does on
 * its way out, and that nothing cancels it there.
 */
#include "victim.h"

#include "../common/mutant.h"

#include <string.h>

#define ROUNDS 20

static struct tl_ctx *ctx;
static struct tl_sem never;
static struct tl_key key;
static char order[16]; /* written by the victim until it has ended */

static void note(void *arg)
{
    strncat(order, arg, sizeof(order) - strlen(order) - 1);
}

static void wait_for_ever(void *arg)
{
    (void)arg;
    ctx->impl->sem->wait(&never);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void nothing(void *arg)
{
    (void)arg;
}

static void inner(void *arg)
{
    (void)arg;
    ctx->impl->protect(nothing, NULL, note, (void *)"-", false); /* popped, not executed */
    ctx->impl->protect(nothing, NULL, note, (void *)"0", true);
    ctx->impl->protect(wait_for_ever, NULL, note, (void *)"1", true);
    note((void *)"!");
}

static void middle(void *arg)
{
    (void)arg;
    ctx->impl->protect(inner, NULL, note, (void *)"2", false);
    note((void *)"!");
}

static void nest(void)
{
    TL_CALL(ctx, ctx->impl->key->set(key, "4"));
    ctx->impl->protect(middle, NULL, note, (void *)"3", false);
    note((void *)"!");
}

static bool prepare(struct tl_ctx *c, void (*destructor)(void *))
{
    ctx = c;
    return TL_CALL(ctx, ctx->impl->sem->init(&never, 0)) &&
           TL_CALL(ctx, ctx->impl->key->create(&key, destructor));
}

static enum tl_status run_order(struct tl_ctx *c)
{
    if (!prepare(c, note))
        return TL_FAILED;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        order[0] = '\0';
        if (!victim_start(ctx, nest))
            break;
        if (i % 2)
            settle(ctx);
        victim_cancel();
        if (victim_end(ctx, "sem.wait"))
            TL_EXPECT(ctx, strcmp(order, "01234") == 0, "'%s' ran, right is '01234'", order);
    }
    return tl_verdict(ctx);
}

static const struct tl_check cleanup_order = {
    .abi = TL_ABI,
    .name = "cancel.cleanup-order",
    .group = "Cancellation",
    .promise =
        "a thread that is cancelled runs its cleanup handlers, last in first out, each once, "
        "then the destructors of its keys",
    .source = "POSIX.1-2017 XSH pthread_cancel, pthread_cleanup_push, 2.9.5.3",
    .method = "a thread three handlers deep, with two more popped before and a key set, is "
              "cancelled in a wait, 20 times",
    .meaning = "order and number are the same each time; a handler that was popped must not run",
    .needs = "cancel protect sem key",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_order,
};
TL_CHECK(cleanup_order);

/* ---- a request that comes on the way out ----------------------------------------------------- */

static _Atomic int leaving, asked;

/* Calls points, while a request comes or is there. */
static void pass_points(void *done)
{
    atomic_store(&leaving, 1);
    if (!tl_await(ctx, &asked, "the request"))
        return;
    for (int i = 0; i < 3; i++) {
        ctx->impl->cancel->test();
        TL_CALL(ctx, ctx->impl->sleep(1000));
        ctx->impl->yield();
    }
    note(done);
}

/* The request comes while the victim ends. Returns its value. */
static void *end_while_asked(void (*body)(void), bool cancel_first)
{
    order[0] = '\0';
    atomic_store(&leaving, 0);
    atomic_store(&asked, 0);
    if (!victim_start(ctx, body))
        return NULL;
    if (cancel_first)
        victim_cancel();
    if (!tl_await(ctx, &leaving, "the thread to be on its way out"))
        return NULL;
    tl_delay(ctx, "before the request");
    victim_cancel();
    atomic_store(&asked, 1);
    return tl_finish(ctx, victim.thread);
}

static void wait_within(void)
{
    ctx->impl->protect(wait_for_ever, NULL, pass_points, (void *)"1", false);
}

static void exit_inside(void *arg)
{
    ctx->impl->exit(arg);
}

static void exit_within(void)
{
    ctx->impl->protect(exit_inside, order, pass_points, (void *)"1", false);
}

static enum tl_status run_cleanup(struct tl_ctx *c)
{
    if (!prepare(c, NULL))
        return TL_FAILED;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        bool exits = i % 2;
        void *value = end_while_asked(exits ? exit_within : wait_within, !exits);

        TL_EXPECT(ctx, strcmp(order, "1") == 0 && atomic_load(&victim.left) == 1,
                  "a handler did not run to its end, or the next one did not run");
        TL_EXPECT(ctx, value == (exits ? order : TL_CANCELED), "the value is %p after %s", value,
                  exits ? "exit" : "cancellation");
    }
    return tl_verdict(ctx);
}

static const struct tl_check in_cleanup = {
    .abi = TL_ABI,
    .name = "cancel.in-cleanup",
    .group = "Cancellation",
    .promise =
        "a request that comes while a thread runs its cleanup handlers changes nothing: they "
        "pass cancellation points, all run to their end, and the value stays",
    .source = "POSIX.1-2017 XSH 2.9.5.3 (once a request is acted upon, or the thread exits, "
              "cancelability is disabled until it has ended)",
    .method = "a handler that was started by cancellation, or by exit, passes test and sleep while "
              "a request is sent; 20 rounds",
    .meaning = "a handler that is cut short, run twice, or replaces the value of exit is seen",
    .needs = "cancel protect exit sem key sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_cleanup,
};
TL_CHECK(in_cleanup);

static void set_and_return(void)
{
    TL_CALL(ctx, ctx->impl->key->set(key, "1"));
}

static enum tl_status run_destructor(struct tl_ctx *c)
{
    if (!prepare(c, pass_points))
        return TL_FAILED;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        void *value = end_while_asked(set_and_return, false);

        TL_EXPECT(ctx, strcmp(order, "1") == 0, "the destructor did not run to its end");
        TL_EXPECT(ctx, value == &victim, "the thread had returned %p, its value is %p",
                  (void *)&victim, value);
    }
    return tl_verdict(ctx);
}

static const struct tl_check in_destructor = {
    .abi = TL_ABI,
    .name = "cancel.in-destructor",
    .group = "Cancellation",
    .promise = "a request that comes when a thread has returned and runs the destructors of its "
               "keys changes nothing: they run to their end, and the value stays",
    .source = "POSIX.1-2017 XSH pthread_create (a return is an implicit pthread_exit), 2.9.5.3 "
              "(then cancelability is disabled until the thread has ended)",
    .method = "the destructor of a thread that has returned passes test and sleep while a request "
              "is sent; 20 rounds",
    .meaning = "a destructor that is cut short, or a value that is lost, is seen",
    .needs = "cancel protect sem key sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_destructor,
};
TL_CHECK(in_destructor);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

/* Handlers of the victim that have not run yet, in the order in which they were pushed. */
static struct {
    void (*routine)(void *);
    void *arg;
} pushed[8];
static unsigned depth, oldest;

static void run_oldest(void *arg)
{
    (void)arg;
    if (oldest < depth) {
        oldest++;
        pushed[oldest - 1].routine(pushed[oldest - 1].arg);
    }
    if (oldest == depth)
        oldest = depth = 0;
}

/* Only those that note their order take part. */
static void protect_queue(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                          bool execute)
{
    if (routine != note || body == nothing) {
        sound.protect(body, body_arg, routine, arg, execute);
        return;
    }
    pushed[depth].routine = routine;
    pushed[depth++].arg = arg;
    sound.protect(body, body_arg, run_oldest, NULL, execute);
}

static void apply_queue(struct tl_impl *impl)
{
    sound = *impl;
    impl->protect = protect_queue;
}

static void test_ends_all(void)
{
    if (atomic_load(&leaving) && atomic_load(&asked))
        sound.exit(TL_CANCELED);
    sound.cancel->test();
}

static void apply_test(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, cancel)->test = test_ends_all;
}

#define ALL "nptl clone green"
MUTANT(cleanup_queue, "cleanup-first-in-first-out",
       "cleanup handlers run in the order in which they were pushed", "cancel.cleanup-order", ALL,
       apply_queue);
MUTANT(test_in_cleanup, "cancel-within-cleanup",
       "a thread that is ending acts on a request once more",
       "cancel.in-cleanup cancel.in-destructor", "clone green", apply_test);

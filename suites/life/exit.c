/*
 * exit.c - exit.from-depth, exit.process, crash.ends-all, run.waits-for-all: how a thread and a
 * process end.
 */
#include "check.h"

#include "../common/mutant.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tl_ctx *ctx;

/* ---- from depth ------------------------------------------------------------------------------ */

static char order[16];
static int after_exit;

static void note(void *arg)
{
    strcat(order, arg);
}

static __attribute__((noinline)) void inner(void *arg)
{
    ctx->impl->exit(arg);
    after_exit = 1;
}

static __attribute__((noinline)) void middle(void *arg)
{
    ctx->impl->protect(inner, arg, note, (void *)"b", false);
    after_exit = 1;
}

static void *deep(void *arg)
{
    ctx->impl->protect(middle, arg, note, (void *)"a", false);
    after_exit = 1;
    return NULL;
}

static enum tl_status run_depth(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    if (tl_start(c, 0, &t, deep, &after_exit))
        TL_EXPECT(c, tl_finish(c, t) == &after_exit, "the value is not that of exit");
    TL_EXPECT(c, strcmp(order, "ba") == 0, "cleanup handlers ran as '%s', right is 'ba'", order);
    TL_EXPECT(c, !after_exit, "the thread went on after exit");
    return tl_verdict(c);
}

static const struct tl_check exit_from_depth = {
    .abi = TL_ABI,
    .name = "exit.from-depth",
    .group = "Lifecycle",
    .promise =
        "exit ends the thread from any depth and runs its cleanup handlers, last in first out",
    .source = "POSIX.1-2017 XSH pthread_exit, pthread_cleanup_push",
    .method = "a thread exits three frames deep, with two cleanup handlers pushed",
    .meaning = "no race: order and value are the same each time",
    .needs = "exit protect",
    .run = run_depth,
};
TL_CHECK(exit_from_depth);

/* ---- the process ----------------------------------------------------------------------------- */

static _Atomic int in_thread;

static void *end_process(void *how)
{
    for (int i = 0; i < 20; i++)
        ctx->impl->yield();
    if (strcmp(how, "exit") == 0)
        exit(7);
    if (strcmp(how, "crash") == 0)
        raise(SIGSEGV);
    atomic_store(&in_thread, 1);
    return NULL;
}

static void *wait_for_ever(void *arg)
{
    for (;;) /* in the first thread, until the process ends */
        ctx->impl->yield();
    return arg;
}

static void *start_one(void *how)
{
    struct tl_thread t;

    if (tl_start(ctx, 1, &t, end_process, how))
        wait_for_ever(NULL);
    return NULL;
}

static int boot_and_end(struct tl_ctx *c, void *how)
{
    tl_boot(c, start_one, how, NULL);
    return 1;
}

static enum tl_status outside_exit(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    TL_CALL(c, tl_child(c, boot_and_end, (void *)"exit", 0, &end));
    TL_EXPECT(c, end.status == 7,
              "the process ended with status %d, signal %d%s; right is status 7", end.status,
              end.signal, end.hung ? ", or not at all" : "");
    return tl_verdict(c);
}

static const struct tl_check exit_process = {
    .abi = TL_ABI,
    .name = "exit.process",
    .group = "Lifecycle",
    .promise = "exit(3) from any thread ends the whole process with that status",
    .source = "POSIX.1-2017 XSH exit; XBD 3.397 (thread termination)",
    .method = "in a child process a thread calls exit(7) while the first one yields for ever",
    .meaning = "an exit that ends only the thread leaves a process that does not end",
    .outside = outside_exit,
};
TL_CHECK(exit_process);

static enum tl_status outside_crash(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    TL_CALL(c, tl_child(c, boot_and_end, (void *)"crash", 0, &end));
    TL_EXPECT(c, end.signal == SIGSEGV,
              "the process ended with status %d, signal %d%s; right is "
              "SIGSEGV",
              end.status, end.signal, end.hung ? ", or not at all" : "");
    return tl_verdict(c);
}

static const struct tl_check crash_ends_all = {
    .abi = TL_ABI,
    .name = "crash.ends-all",
    .group = "Lifecycle",
    .promise =
        "a signal whose action is to terminate ends the whole process, whichever thread it hits",
    .source = "POSIX.1-2017 XSH 2.4.1 (actions apply to the process); signal(7)",
    .method =
        "in a child process a thread sends itself SIGSEGV while the first one yields for ever",
    .meaning = "threads that are processes of their own would die alone",
    .outside = outside_crash,
};
TL_CHECK(crash_ends_all);

/* ---- run waits ------------------------------------------------------------------------------- */

#define LATE 8

static _Atomic int late;

static void *end_late(void *arg)
{
    for (int i = 0; i < 200; i++) {
        tl_delay(ctx, "a thread that outlives the first");
        ctx->impl->yield();
    }
    atomic_fetch_add(&late, 1);
    return arg;
}

static enum tl_status run_waits(struct tl_ctx *c)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;

    ctx = c;
    for (int i = 0; i < LATE; i++) {
        attr.detached = i % 2;
        TL_CALL(c, c->impl->create(&t, &attr, end_late, NULL));
    }
    return tl_verdict(c);
}

static enum tl_status after_waits(struct tl_ctx *c)
{
    TL_EXPECT(c, atomic_load(&late) == LATE, "run returned when %d of %d threads had ended",
              atomic_load(&late), LATE);
    return tl_verdict(c);
}

static const struct tl_check run_waits_for_all = {
    .abi = TL_ABI,
    .name = "run.waits-for-all",
    .group = "Lifecycle",
    .promise = "when the first thread has ended the others go on, and run returns after the last",
    .source = "impl.h, tl_impl.run; POSIX.1-2017 XSH pthread_exit (the process ends with its last "
              "thread)",
    .method = "the first thread leaves eight behind, half of them detached, that yield 200 times",
    .meaning = "a thread that is cut off is not counted",
    .run = run_waits,
    .after = after_waits,
};
TL_CHECK(run_waits_for_all);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

/* Runs the handlers, if any, in the wrong order: the outer one at once. */
static void protect_outer(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                          bool execute)
{
    static bool first = true;

    if (first) {
        first = false;
        routine(arg);
        body(body_arg);
        return;
    }
    sound.protect(body, body_arg, routine, arg, execute);
}

static void apply_outer(struct tl_impl *impl)
{
    sound = *impl;
    impl->protect = protect_outer;
}

/* Each thread is a process. */
static int create_process(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    (void)t;
    (void)attr;
    if (fork() == 0) {
        entry(arg);
        _exit(0);
    }
    return 0;
}

static void apply_process(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_process;
}

MUTANT(outer, "cleanup-outer-first", "the outermost cleanup handler runs first", "exit.from-depth",
       EVERYWHERE, apply_outer);
MUTANT(processes, "threads-die-alone", "each thread is a process, which ends alone",
       "exit.process crash.ends-all run.waits-for-all", EVERYWHERE, apply_process);

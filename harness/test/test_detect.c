/*
 * test_detect.c - each kind of detector of impls/common/detect.h, with plain threads for LWPs: who
 * blocks is reported and taken back; who spins, is preempted, or waits while it is hidden is not.
 */
#include "detect_lwps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* What LWPs do. */
static void spins(struct lwp *lwp)
{
    while (!lwp->quit)
        ;
}

static void spins_then_blocks(struct lwp *lwp)
{
    while (!lwp->rounds && !lwp->quit)
        swallow(lwp);
    spins(lwp);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void test_blocked(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    struct lwp *blocker = start(0, blocks);

    play(blocker);
    finish(blocker);
    stop_and_close();
}

static void test_both(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    struct lwp *a = start(0, blocks), *b = start(5, blocks);

    assert_true(reaches(&seen[0].blocked, 1));
    assert_true(reaches(&seen[5].blocked, 1));
    play(b);
    play(a);
    finish(a);
    finish(b);
    stop_and_close();
}

static void test_spinning(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    struct lwp *spinner = start(1, spins), *blocker = start(0, blocks);

    play(blocker);
    finish(blocker);
    assert_int_equal(seen[1].blocked, 0);
    finish(spinner);
    stop_and_close();
}

/* All on one CPU: each waits for the others most of the time. */
static void test_preempted(void **state)
{
    struct lwp *spinner[4], *blocker;
    cpu_set_t old, one;

    (void)state;
    if (!open_and_run())
        skip();
    assert_int_equal(sched_getaffinity(0, sizeof(old), &old), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &old) && !CPU_COUNT(&one))
            CPU_SET(cpu, &one);
    }
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    for (unsigned i = 0; i < 4; i++)
        spinner[i] = start(1 + i, spins);
    blocker = start(0, blocks);
    assert_int_equal(sched_setaffinity(0, sizeof(old), &old), 0);
    play(blocker);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(seen[1 + i].blocked, 0);
        finish(spinner[i]);
    }
    finish(blocker);
    stop_and_close();
}

/* The same wait is reported without the flag: see test_blocked. */
static void test_hidden(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    struct lwp *hidden = start(1, hides_and_blocks), *blocker = start(0, blocks);

    for (unsigned i = 0; i < 5; i++) {
        play(blocker);
        assert_int_equal(seen[1].blocked, 0);
        feed(hidden);
        assert_true(reaches(&hidden->rounds, i + 1));
    }
    finish(hidden);
    finish(blocker);
    assert_int_equal(seen[1].blocked, 0);
    stop_and_close();
}

/* All hidden, nothing is sampled: who shows itself and blocks must be seen all the same. */
static void shows_then_blocks(struct lwp *lwp)
{
    while (!lwp->quit) {
        detect_hide(&lwp->flag);
        swallow(lwp);
        detect_show(&lwp->flag);
        if (!lwp->quit)
            swallow(lwp);
    }
}

static void test_shown_again(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    struct lwp *lwp = start(0, shows_then_blocks);

    for (unsigned i = 0; i < ROUNDS; i++) {
        usleep(i * 500); /* the monitor may have gone to sleep, or not */
        feed(lwp);
        assert_true(reaches(&seen[0].blocked, i + 1));
        feed(lwp);
        assert_true(reaches(&lwp->rounds, 2 * i + 2));
        assert_true(reaches(&seen[0].unblocked, i + 1));
    }
    finish(lwp);
    stop_and_close();
}

static void test_runs_after_block(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    struct lwp *lwp = start(0, spins_then_blocks);

    assert_true(reaches(&seen[0].blocked, 1));
    feed(lwp);
    assert_true(reaches(&seen[0].unblocked, 1));
    finish(lwp);
    assert_int_equal(seen[0].blocked, 1);
    stop_and_close();
}

/* An LWP that another one has made, and numbers that are used again. */
static void creates(struct lwp *lwp)
{
    struct lwp *child = start(lwp->number + 1, blocks);

    play(child);
    finish(child);
}

static void test_created_by_lwp(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    for (unsigned i = 0; i < 3; i++) {
        memset(lwps, 0, sizeof(lwps));
        struct lwp *creator = start(0, creates);

        assert_int_equal(pthread_join(creator->thread, NULL), 0);
        close(creator->pipe[0]);
        close(creator->pipe[1]);
    }
    stop_and_close();
}

static void test_misuse(void **state)
{
    struct detect_flag flag = {0};

    (void)state;
    if (!open_and_run())
        skip();
    assert_int_equal(detect_run(detect, &calls), EBUSY);
    struct lwp *lwp = start(0, spins);

    assert_int_equal(detect_adopt(detect, DETECT_LWPS, &flag), EINVAL);
    assert_int_equal(detect_adopt(detect, 0, &flag), EINVAL);
    finish(lwp);
    stop_and_close();
}

/* The child frees its copy and watches anew; the parent's goes on. */
static void test_fork(void **state)
{
    int status;

    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message("ThreadSanitizer allows no threads in the child of a threaded process\n");
    skip();
#endif
    if (!open_and_run())
        skip();
    if (detect_may_fork(detect)) {
        assert_int_equal(kind, DETECT_SECCOMP);
        stop_and_close();
        skip();
    }
    struct lwp *blocker = start(0, blocks);
    pid_t pid = fork();

    if (pid == 0) {
        detect_forget(detect);
        if (!open_and_run())
            _exit(2);
        play(start(0, blocks));
        _exit(0);
    }
    assert_true(pid > 0);
    play(blocker);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    finish(blocker);
    stop_and_close();
}

/* The thread that runs on after the detector has gone can still make every call. Not the main one:
 * LeakSanitizer stops all threads at the end, and waits by a call that the monitor would let
 * through. */
static _Atomic bool closed;

static void *outlives(void *arg)
{
    struct lwp *lwp = arg;

    lwp->error = detect_adopt(detect, 0, &lwp->flag);
    if (!lwp->error)
        detect_leave(detect, 0, &lwp->flag);
    lwp->ready = true;
    while (!closed)
        sched_yield();
    swallow(lwp);
    return NULL;
}

static void test_outlived(void **state)
{
    struct lwp *lwp = &lwps[0];

    (void)state;
    if (!open_and_run())
        skip();
    closed = false;
    assert_int_equal(pipe(lwp->pipe), 0);
    assert_int_equal(pthread_create(&lwp->thread, NULL, outlives, lwp), 0);
    while (!lwp->ready)
        sched_yield();
    assert_int_equal(lwp->error, 0);
    stop_and_close();
    closed = true;
    finish(lwp);
    assert_int_equal(lwp->rounds, 1);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(detect_kind_of("proc"), DETECT_PROC);
    assert_int_equal(detect_kind_of("perf"), DETECT_PERF);
    assert_int_equal(detect_kind_of("seccomp"), DETECT_SECCOMP);
    assert_int_equal(detect_kind_of("jacket"), DETECT_KINDS);
}

static int run_kind(enum detect_kind which)
{
    static const char *const names[] = {"proc", "perf", "seccomp"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_both),           cmocka_unit_test(test_spinning),
        cmocka_unit_test(test_preempted),      cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_shown_again),    cmocka_unit_test(test_runs_after_block),
        cmocka_unit_test(test_created_by_lwp), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_fork),           cmocka_unit_test(test_outlived),
    };

    kind = which;
    return cmocka_run_group_tests_name(names[which], tests, NULL, NULL);
}

int main(void)
{
    int failed = 0;

    for (enum detect_kind k = 0; k < DETECT_KINDS; k++)
        failed += run_kind(k);
    return failed != 0;
}

/*
 * test_detect_wakeups.c - the monitor of impls/common/detect.h is woken by what an LWP does: also
 * by its first wait, after a child of fork has kept what belonged to its number, and when it was so
 * late that the kernel dropped some of it.
 */
#include "detect_lwps.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* No other switch than that of the first wait tells of it; an LWP that the monitor's thread made
 * has a timer slack as it. */
static void test_first_wait(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    slack_ns = 1000;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned before = seen[0].unblocked;

        memset(lwps, 0, sizeof(lwps));
        struct lwp *lwp = start(0, blocks);
        assert_true(reaches(&seen[0].blocked, before + 1));
        finish(lwp);
        assert_true(reaches(&seen[0].unblocked, before + 1));
    }
    slack_ns = 0;
    stop_and_close();
}

/* A child of fork keeps the descriptors of an LWP that has gone, while another one has its number.
 */
static void forks(struct lwp *lwp)
{
    lwp->child = fork();
    if (lwp->child)
        return;
    close(lwp->pipe[1]);
    swallow(lwp); /* until the test or its process has ended */
    _exit(0);
}

static bool first_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "r");
    bool read = file && fgets(line, size, file);

    if (file)
        fclose(file);
    return read;
}

/* The thread of this name; 0: none. */
static pid_t thread_called(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    char path[64], line[64] = "";
    struct dirent *entry;
    pid_t tid = 0;

    assert_non_null(tasks);
    while ((entry = readdir(tasks))) {
        snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
        if (first_line(path, line, sizeof(line)) && !strcmp(strtok(line, "\n"), name))
            tid = (pid_t)atoi(entry->d_name);
    }
    closedir(tasks);
    return tid;
}

/* Until it waits in the kernel. A monitor that is told again and again of what has gone never does.
 */
static bool rests(pid_t tid)
{
    const struct timespec pause = {0, 100000};
    char path[64], line[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
    for (unsigned i = 0; i < DEADLINE_S * 10000u; i++) {
        if (first_line(path, line, sizeof(line)) && strstr(line, ") S "))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void test_number_again(void **state)
{
    (void)state;
    if (!open_and_run())
        skip();
    if (detect_may_fork(detect)) {
        stop_and_close();
        skip();
    }
    assert_int_equal(pthread_join(start(0, forks)->thread, NULL), 0);
    struct lwp gone = lwps[0];

    assert_true(gone.child > 0);
    assert_true(rests(thread_called("detect")));
    memset(lwps, 0, sizeof(lwps));
    struct lwp *blocker = start(0, blocks);

    play(blocker);
    finish(blocker);
    feed(&gone);
    assert_int_equal(waitpid(gone.child, NULL, 0), gone.child);
    close(gone.pipe[0]);
    close(gone.pipe[1]);
    stop_and_close();
}

static void hides_after_block(struct lwp *lwp)
{
    swallow(lwp);
    hides_and_blocks(lwp);
}

/* The monitor is held in a call while an LWP leaves its CPU so often that what is told of that is
 * lost, and then again while the LWP is not on its CPU. Then it comes back and is hidden until the
 * monitor, told of that or not, has had time to see that there is nothing to do. */
static void switches_often(struct lwp *lwp)
{
    const struct timespec moment = {0, 1000};
    pid_t monitor = thread_called("detect");

    detect_hide(&lwp->flag);
    for (unsigned i = 0; i < 600; i++)
        nanosleep(&moment, NULL);
    lwp->rounds++;
    while (!lwp->quit) {
        swallow(lwp);
        for (unsigned i = 0; i < 30; i++)
            rests(monitor);
        detect_show(&lwp->flag);
        if (!lwp->quit)
            swallow(lwp);
        detect_hide(&lwp->flag);
    }
    detect_show(&lwp->flag);
}

static void test_records_lost(void **state)
{
    (void)state;
    if (kind == DETECT_SECCOMP) /* its LWPs wait for the monitor */
        skip();
    if (!open_and_run())
        skip();
    held = true;
    struct lwp *holder = start(0, hides_after_block);
    assert_true(reaches(&seen[0].blocked, 1));
    struct lwp *lwp = start(1, switches_often);

    assert_true(reaches(&lwp->rounds, 1));
    assert_true(rests(lwp->tid));
    held = false;
    feed(holder);
    assert_true(reaches(&seen[0].unblocked, 1));
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned before = seen[1].unblocked;

        feed(lwp);
        assert_true(reaches(&seen[1].blocked, before + 1));
        feed(lwp);
        assert_true(reaches(&lwp->rounds, 2 * i + 3));
        assert_true(reaches(&seen[1].unblocked, before + 1));
    }
    finish(lwp);
    finish(holder);
    stop_and_close();
}

static int run_kind(enum detect_kind which)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_wait),
        cmocka_unit_test(test_number_again),
        cmocka_unit_test(test_records_lost),
    };

    kind = which;
    return cmocka_run_group_tests_name(detect_name(which), tests, NULL, NULL);
}

int main(void)
{
    int failed = 0;

    for (enum detect_kind k = 0; k < DETECT_KINDS; k++)
        failed += run_kind(k);
    return failed != 0;
}

/*
 * test_baton.c - processes at a baton take turns, whoever dies is passed over, nobody waits for
 * ever. Each seat is a process; what they did stands in a shared page.
 */
#include "../baton.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define TURNS 200

struct diary {
    _Atomic int n, holding, broken; /* broken: two held it at once */
    char who[BATON_SEATS * TURNS];
    struct baton_report reports[BATON_SEATS];
};

static struct diary *diary;
static char path[64];
static int fd = -1;

static int set_up(void **state)
{
    (void)state;
    fd = memfd_create("baton", 0);
    diary = mmap(NULL, sizeof *diary, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || ftruncate(fd, BATON_BYTES) || diary == MAP_FAILED)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(diary, sizeof *diary);
    close(fd);
    return 0;
}

static void hold(int seat)
{
    if (atomic_fetch_add(&diary->holding, 1) != 0)
        atomic_store(&diary->broken, 1);
    int at = atomic_fetch_add(&diary->n, 1);
    if (at < (int)sizeof diary->who)
        diary->who[at] = (char)('a' + seat);
    atomic_fetch_sub(&diary->holding, 1);
}

/* A process that takes `turns` turns; dies while it holds the baton at turn `dies_at`, if any. */
static pid_t sit(int seat, int seats, int turns, int dies_at)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    if (baton_join(path, seat, seats))
        _exit(9);
    for (int i = 0; i < turns; i++) {
        baton_take();
        hold(seat);
        if (i == dies_at)
            raise(SIGKILL);
        baton_pass();
    }
    baton_leave(&diary->reports[seat]);
    _exit(0);
}

static int end_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_strictly_in_turn(void **state)
{
    (void)state;
    for (int seats = 2; seats <= BATON_SEATS; seats++) {
        pid_t pids[BATON_SEATS];
        atomic_store(&diary->n, 0);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(ftruncate(fd, BATON_BYTES), 0);
        for (int s = seats - 1; s >= 0; s--) /* the order of arrival does not matter */
            pids[s] = sit(s, seats, TURNS, -1);
        for (int s = 0; s < seats; s++)
            assert_int_equal(end_of(pids[s]), 0);
        assert_int_equal(diary->n, seats * TURNS);
        assert_int_equal(diary->broken, 0);
        for (int i = 0; i < diary->n; i++)
            assert_int_equal(diary->who[i], 'a' + i % seats);
        for (int s = 0; s < seats; s++) {
            assert_int_equal(diary->reports[s].seats, seats);
            assert_false(diary->reports[s].alone);
        }
    }
}

static void test_who_needs_fewer_turns_leaves(void **state)
{
    (void)state;
    pid_t a = sit(0, 3, 3, -1), b = sit(1, 3, TURNS, -1), c = sit(2, 3, 5, -1);
    assert_int_equal(end_of(a), 0);
    assert_int_equal(end_of(b), 0);
    assert_int_equal(end_of(c), 0);
    assert_int_equal(diary->n, TURNS + 8);
    assert_int_equal(diary->broken, 0);
    assert_memory_equal(diary->who, "abcabcabcbcbcbbb", 16);
}

static void test_who_dies_with_it_is_passed_over(void **state)
{
    (void)state;
    pid_t a = sit(0, 2, TURNS, -1), b = sit(1, 2, TURNS, 10);
    assert_int_equal(end_of(b), -SIGKILL); /* reaped, as its server would */
    assert_int_equal(end_of(a), 0);
    assert_int_equal(diary->n, TURNS + 11);
}

static void test_who_never_comes_is_not_waited_for(void **state)
{
    (void)state;
    pid_t a = sit(0, 2, 3, -1); /* takes 5 s */
    assert_int_equal(end_of(a), 0);
    assert_int_equal(diary->n, 3);
    assert_true(diary->reports[0].alone);
}

static void test_the_report_tells_the_cpu_time(void **state)
{
    (void)state;
    pid_t pids[2];
    for (int s = 0; s < 2; s++) {
        pids[s] = fork();
        if (pids[s])
            continue;
        if (baton_join(path, s, 2))
            _exit(9);
        for (int i = 0; i < 5; i++) {
            baton_take();
            if (s == 1)
                for (struct timespec t = {0, 0}; t.tv_nsec < 4000000 * (i + 1);)
                    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
            baton_pass();
        }
        baton_leave(&diary->reports[s]);
        _exit(0);
    }
    assert_int_equal(end_of(pids[0]), 0);
    assert_int_equal(end_of(pids[1]), 0);
    /* The first of its five turns may have come before the other one looked. */
    assert_true(diary->reports[0].partner_cpu_ns >= 8000000);
    assert_true(diary->reports[0].wait_ns >= diary->reports[0].partner_cpu_ns / 2);
    assert_true(diary->reports[1].partner_cpu_ns < diary->reports[0].partner_cpu_ns);
}

static void test_without_a_baton_nothing_waits(void **state)
{
    (void)state;
    struct baton_report report = {.seats = 7};
    baton_take();
    baton_pass();
    baton_leave(&report);
    assert_int_equal(report.seats, 0);
}

static void test_bad_seats_and_files(void **state)
{
    (void)state;
    assert_int_equal(baton_join(path, 2, 2), EINVAL);
    assert_int_equal(baton_join(path, -1, 2), EINVAL);
    assert_int_equal(baton_join(path, 0, BATON_SEATS + 1), EINVAL);
    assert_int_equal(baton_join("/nonexistent", 0, 2), ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_baton_nothing_waits),
        TEST(test_bad_seats_and_files),
        TEST(test_strictly_in_turn),
        TEST(test_who_needs_fewer_turns_leaves),
        TEST(test_who_dies_with_it_is_passed_over),
        TEST(test_who_never_comes_is_not_waited_for),
        TEST(test_the_report_tells_the_cpu_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

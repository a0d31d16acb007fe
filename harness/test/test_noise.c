/*
 * test_noise.c - noise.c on made-up files (exact), and on this machine (only what holds under any
 * load).
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_root.h"

#include "noise.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int leave_root(void **state)
{
    noise_set_root(NULL);
    return remove_root(state);
}

static void differences_are_exact(void **state)
{
    const int cpus[] = {1, 11};
    struct noise_snapshot before;
    struct noise noise;
    uint64_t tick = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);

    (void)state;
    put("proc/stat", "cpu  1 1 1 1 1 1 1 1 0 0\n"
                     "cpu1 100 0 50 9000 0 3 4 7 0 0\n"
                     "cpu11 10 10 10 9000 0 1 1 0 0 0\nintr 1\n");
    put("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5000\n"
                             "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n");
    put("proc/loadavg", "1.25 0.5 0.1 1/100 4242\n");
    put("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "2400000\n");
    put("sys/devices/system/cpu/cpu11/cpufreq/scaling_cur_freq", "1800000\n");
    noise_set_root(root);
    noise_begin(cpus, 2, &before);
    put("proc/stat", "cpu  1 1 1 1 1 1 1 1 0 0\n"
                     "cpu1 110 0 55 9000 0 5 5 9 0 0\n"
                     "cpu11 10 10 10 9000 0 1 2 1 0 0\nintr 1\n");
    put("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5678\n");
    noise_end(cpus, 2, &before, &noise);

    assert_true(noise.stat_known);
    assert_int_equal(noise.tick_ns, tick);
    assert_int_equal(noise.busy_ns, 19 * tick);
    assert_int_equal(noise.steal_ns, 3 * tick);
    assert_int_equal(noise.irq_ns, 2 * tick);
    assert_int_equal(noise.softirq_ns, 2 * tick);
    assert_true(noise.foreign_ns == (int64_t)(19 * tick) - (int64_t)noise.own_ns);
    assert_true(noise.psi_known);
    assert_int_equal(noise.psi_some_us, 678);
    assert_true(noise.frequency_known);
    assert_int_equal(noise.frequency_hz, 1800000000);
    assert_true(noise.load_known && noise.load1 == 1.25);
}

static void put_thread(int tid, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "proc/self/task/%d/sched", tid);
    put(path, text);
}

static void remove_threads(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s/proc/self/task", root);
    assert_int_equal(system(command), 0);
}

#define SCHED(n)                                                                 \
    "x (1, #threads: 1)\n----\nse.sum_exec_runtime   :   0.3\n"                  \
    "se.nr_migrations                             :                    " #n "\n" \
    "nr_switches : 99\nnuma_pages_migrated : 77\n"

static void migrations_are_those_in_between(void **state)
{
    const int cpus[] = {1};
    struct noise_snapshot before;
    struct noise noise;

    (void)state;
    remove_threads();
    put_thread(101, SCHED(5));
    put_thread(102, SCHED(9));
    put_thread(103, SCHED(8));
    noise_set_root(root);
    noise_begin(cpus, 1, &before);
    remove_threads(); /* 102 ends; 103 ends, and its number goes to another; 104 begins */
    put_thread(101, SCHED(7));
    put_thread(103, SCHED(1));
    put_thread(104, SCHED(30));
    noise_end(cpus, 1, &before, &noise);
    assert_true(noise.migrations_known);
    assert_int_equal(noise.migrations, 2 + 1 + 30);
}

/* Begins and ends with the fake threads as they are. */
static struct noise looked(void)
{
    const int cpus[] = {1};
    struct noise_snapshot before;
    struct noise noise;

    noise_set_root(root);
    noise_begin(cpus, 1, &before);
    noise_end(cpus, 1, &before, &noise);
    return noise;
}

static void unknown_migrations_have_reasons(void **state)
{
    struct noise noise;

    (void)state;
    remove_threads();
    put("proc/self/task/101/stat", "");
    noise = looked(); /* no such file: CONFIG_SCHED_DEBUG is not set */
    assert_false(noise.migrations_known);
    assert_non_null(strstr(noise.migrations_reason, "sched: No such file"));

    put_thread(102, SCHED(4)); /* one that is there is enough: the other has ended */
    assert_true(looked().migrations_known);

    put_thread(101, "");
    noise = looked();
    assert_false(noise.migrations_known);
    assert_non_null(strstr(noise.migrations_reason, "101/sched: no se.nr_migrations"));
    put_thread(101, "se.nr_migrations : many\n");
    assert_false(looked().migrations_known);
    put_thread(101, "numa_pages_migrated : 3\n");
    assert_false(looked().migrations_known);

    remove_threads();
    noise = looked();
    assert_false(noise.migrations_known);
    assert_non_null(strstr(noise.migrations_reason, "/proc/self/task: No such file"));
}

static void too_many_threads_are_not_read(void **state)
{
    struct noise noise;

    (void)state;
    remove_threads();
    for (int i = 0; i < NOISE_THREADS; i++)
        put_thread(100000 + i, SCHED(1)); /* 32 bytes each in the list: more than a piece */
    noise = looked();
    assert_true(noise.migrations_known && noise.migrations == 0);
    put_thread(99999, SCHED(1));
    noise = looked();
    assert_false(noise.migrations_known);
    assert_string_equal(noise.migrations_reason, "more than 64 threads");
}

static void a_missing_cpu_has_a_reason(void **state)
{
    const int cpus[] = {1, 2};
    struct noise_snapshot before;
    struct noise noise;

    (void)state;
    noise_set_root(root);
    noise_begin(cpus, 2, &before);
    noise_end(cpus, 2, &before, &noise);
    assert_false(noise.stat_known);
    assert_non_null(strstr(noise.stat_reason, "cpu2"));
    assert_false(noise.frequency_known);
    assert_non_null(strstr(noise.frequency_reason, "cpu2"));
    assert_true(noise.psi_known);
}

static void missing_files_have_reasons(void **state)
{
    const int cpus[] = {0};
    struct noise_snapshot before;
    struct noise noise;

    (void)state;
    noise_set_root("/nonexistent");
    noise_begin(cpus, 1, &before);
    noise_end(cpus, 1, &before, &noise);
    assert_false(noise.stat_known || noise.psi_known || noise.frequency_known || noise.load_known);
    assert_false(noise.migrations_known);
    assert_non_null(strstr(noise.migrations_reason, strerror(ENOENT)));
    assert_non_null(strstr(noise.stat_reason, strerror(ENOENT)));
    assert_non_null(strstr(noise.psi_reason, strerror(ENOENT)));
    assert_non_null(strstr(noise.frequency_reason, strerror(ENOENT)));
    assert_non_null(strstr(noise.load_reason, strerror(ENOENT)));
}

static void damaged_files_have_reasons(void **state)
{
    const int cpus[] = {0};
    struct noise_snapshot before;
    struct noise noise;

    (void)state;
    put("proc/stat", "cpu  1 2\ncpu0 1 2 3\n");
    put("proc/pressure/cpu", "");
    put("proc/loadavg", "many\n");
    put("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "<unknown>\n");
    noise_set_root(root);
    noise_begin(cpus, 1, &before);
    noise_end(cpus, 1, &before, &noise);
    assert_false(noise.stat_known || noise.psi_known || noise.frequency_known || noise.load_known);
    assert_true(noise.stat_reason[0] && noise.psi_reason[0] && noise.frequency_reason[0] &&
                noise.load_reason[0]);
}

static void this_machine(void **state)
{
    cpu_set_t allowed;
    int cpus[CPU_SETSIZE], n = 0;
    struct noise_snapshot before;
    struct noise noise;

    (void)state;
    noise_set_root(NULL);
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &allowed))
            cpus[n++] = i;
    noise_begin(cpus, n, &before);
    for (volatile int i = 0; i < 1000000; i++)
        ;
    noise_end(cpus, n, &before, &noise);
    assert_true(noise.wall_ns > 0 && noise.own_ns > 0);
    assert_true(noise.stat_known == !noise.stat_reason[0]);
    assert_true(noise.psi_known == !noise.psi_reason[0]);
    assert_true(noise.frequency_known == !noise.frequency_reason[0]);
    assert_true(noise.load_known == !noise.load_reason[0]);
    assert_true(noise.migrations_known == !noise.migrations_reason[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_are_exact),
        cmocka_unit_test(migrations_are_those_in_between),
        cmocka_unit_test(unknown_migrations_have_reasons),
        cmocka_unit_test(too_many_threads_are_not_read),
        cmocka_unit_test(a_missing_cpu_has_a_reason),
        cmocka_unit_test(missing_files_have_reasons),
        cmocka_unit_test(damaged_files_have_reasons),
        cmocka_unit_test(this_machine),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_root, leave_root);
}

/*
 * test_doctor.c - a machine made up of files on which nothing is to be found, and each single
 * defect on it: exactly its finding, with its remedy. What is not read from files (processor,
 * affinity, limits of this process) is set in the facts themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_root.h"

#include "doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CPU "/sys/devices/system/cpu/"
#define CLOCK "/sys/devices/system/clocksource/clocksource0/"
#define SECOND 1000000000u

struct file {
    const char *path, *text;
};

static const struct file good[] = {
    {"/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu\n"},
    {CPU "online", "0-3\n"},
    {CPU "smt/control", "off\n"},
    {CPU "smt/active", "0\n"},
    {CPU "isolated", "2-3\n"},
    {CPU "nohz_full", "2-3\n"},
    {CPU "cpu0/cpufreq/scaling_governor", "performance\n"},
    {CPU "cpu0/cpufreq/scaling_driver", "intel_pstate\n"},
    {CPU "cpu0/cpufreq/scaling_min_freq", "800000\n"},
    {CPU "cpu0/cpufreq/scaling_max_freq", "4000000\n"},
    {CPU "intel_pstate/no_turbo", "1\n"},
    {CPU "vulnerabilities/meltdown", "Not affected\n"},
    {CPU "vulnerabilities/spectre_v2", "Mitigation: Enhanced / Automatic IBRS; RSB filling\n"},
    {CLOCK "current_clocksource", "tsc\n"},
    {CLOCK "available_clocksource", "tsc hpet acpi_pm\n"},
    {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
    {"/sys/kernel/mm/ksm/run", "0\n"},
    {"/sys/devices/system/node/online", "0-1\n"},
    {"/proc/sys/kernel/randomize_va_space", "2\n"},
    {"/proc/sys/kernel/sched_rt_runtime_us", "950000\n"},
    {"/proc/sys/kernel/numa_balancing", "0\n"},
    {"/proc/sys/kernel/perf_event_paranoid", "2\n"},
    {"/proc/sys/kernel/pid_max", "4194304\n"},
    {"/proc/sys/kernel/threads-max", "500000\n"},
    {"/proc/sys/vm/max_map_count", "1048576\n"},
    {"/proc/meminfo", "MemTotal: 1024 kB\nSwapTotal: 2048 kB\nSwapFree: 2048 kB\n"},
    {"/proc/self/status", "Name:\tx\nTracerPid:\t0\nNoNewPrivs:\t0\nSeccomp:\t0\n"},
    {"/proc/1/comm", "init\n"},
    {"/proc/self/cgroup", "0::/a\n"},
    {"/sys/fs/cgroup/cgroup.controllers", "cpu pids\n"},
    {"/sys/fs/cgroup/a/cpu.max", "max 100000\n"},
    {"/sys/fs/cgroup/a/pids.max", "max\n"},
};

static const struct noise quiet = {
    .wall_ns = SECOND,
    .stat_known = true,
    .tick_ns = SECOND / 100,
    .psi_known = true,
    .load_known = true,
    .load1 = 0.1,
};

static struct noise noise;
static char pmu_reason[128];
static struct env env;
static struct doctor_finding findings[DOCTOR_MAX];
static int n;

static void take_away(const char *path)
{
    char full[512];

    snprintf(full, sizeof(full), "%s%s", root, path);
    assert_int_equal(unlink(full), 0);
}

/* text NULL: a number. */
static void fact(const char *group, const char *key, const char *text, int64_t number)
{
    struct env_fact *f = (struct env_fact *)env_find(&env, group, key);

    assert_non_null(f);
    free(f->text);
    f->text = text ? strdup(text) : NULL;
    f->type = text ? ENV_TEXT : ENV_NUMBER;
    f->number = number;
    f->known = true;
}

/* The files as they lie there, and a process that is allowed CPUs 2 and 3. */
static void collect(void)
{
    assert_int_equal(env_collect_at(&env, root), 0);
    fact("cpu", "hypervisor", "none", 0);
    fact("cpu", "allowed_list", "2-3", 0);
    fact("cpu", "count_allowed", NULL, 2);
    fact("cpu", "siblings_allowed", NULL, 0);
    fact("process", "policy", "other", 0);
    fact("process", "euid", NULL, 1000);
    fact("limits", "nproc_soft", "unlimited", 0);
}

static void judge(void)
{
    struct doctor_input in = {&env, &noise, 2, pmu_reason};

    n = doctor_judge(&in, findings);
    env_free(&env);
}

static int fresh(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        put(good[i].path, good[i].text);
    noise = quiet;
    pmu_reason[0] = '\0';
    return 0;
}

static const struct doctor_finding *find(const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(findings[i].name, name) == 0)
            return &findings[i];
    fail_msg("no finding %s", name);
    return NULL;
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* Only that one is not good; it stands first. */
static void assert_only(const char *name, enum doctor_state state)
{
    for (int i = 0; i < n; i++)
        if ((findings[i].state != DOCTOR_GOOD) != (strcmp(findings[i].name, name) == 0))
            fail_msg("%s is %s: %s", findings[i].name, doctor_state_name(findings[i].state),
                     findings[i].text);
    assert_string_equal(findings[0].name, name);
    assert_int_equal(findings[0].state, state);
    assert_string_not_equal(findings[0].text, "");
    if (state == DOCTOR_WARN) {
        assert_string_not_equal(findings[0].cost, "");
        assert_true(findings[0].remedy[0] || findings[0].command[0]);
        assert_int_equal(findings[0].cost[strlen(findings[0].cost) - 1], '.'); /* not cut */
    }
}

static void nothing_is_found_on_a_good_machine(void **state)
{
    (void)state;
    collect();
    judge();
    assert_true(n >= 20);
    for (int i = 0; i < n; i++) {
        if (findings[i].state != DOCTOR_GOOD)
            fail_msg("%s: %s", findings[i].name, findings[i].text);
        assert_string_not_equal(findings[i].text, "");
        assert_false(findings[i].cost[0] || findings[i].remedy[0] || findings[i].command[0]);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(findings[i].name, findings[k].name);
    }
}

/* One file that is otherwise: the finding, a part of its commands and of its undoing. */
static void each_file_gives_its_finding(void **state)
{
    static const struct {
        const char *name;
        struct file bad;
        const char *command, *undo;
    } cases[] = {
        {"governor",
         {CPU "cpu0/cpufreq/scaling_governor", "powersave\n"},
         "echo performance | sudo tee " CPU "cpu*/cpufreq/scaling_governor",
         "echo powersave | sudo tee " CPU "cpu*/cpufreq/scaling_governor"},
        {"boost",
         {CPU "intel_pstate/no_turbo", "0\n"},
         "echo 1 | sudo tee " CPU "intel_pstate/no_turbo",
         "echo 0 | sudo tee " CPU "intel_pstate/no_turbo"},
        {"smt",
         {CPU "smt/active", "1\n"},
         "echo off | sudo tee " CPU "smt/control",
         "echo on | sudo tee " CPU "smt/control"},
        {"isolation", {CPU "isolated", "3\n"}, "taskset -c 3 threadlab run", ""},
        {"isolation", {CPU "isolated", "\n"}, "taskset -c 1-3 threadlab run", ""},
        {"mitigations", {CPU "vulnerabilities/meltdown", "Mitigation: PTI\n"}, "", ""},
        {"mitigations",
         {CPU "vulnerabilities/mds", "Vulnerable: Clear CPU buffers attempted, no microcode\n"},
         "",
         ""},
        {"clock-source",
         {CLOCK "current_clocksource", "hpet\n"},
         "echo tsc | sudo tee " CLOCK "current_clocksource",
         "echo hpet | sudo tee " CLOCK "current_clocksource"},
        {"huge-pages",
         {"/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"},
         "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
         "echo always | sudo tee"},
        {"aslr",
         {"/proc/sys/kernel/randomize_va_space", "0\n"},
         "echo 2 | sudo tee /proc/sys/kernel/randomize_va_space",
         "echo 0 | sudo tee"},
        {"swap",
         {"/proc/meminfo", "SwapTotal: 4096 kB\nSwapFree: 2048 kB\n"},
         "sudo swapoff -a",
         "sudo swapon -a"},
        {"same-page-merging",
         {"/sys/kernel/mm/ksm/run", "1\n"},
         "echo 0 | sudo tee /sys/kernel/mm/ksm/run",
         "echo 1 | sudo tee /sys/kernel/mm/ksm/run"},
        {"numa-balancing",
         {"/proc/sys/kernel/numa_balancing", "1\n"},
         "echo 0 | sudo tee /proc/sys/kernel/numa_balancing",
         "echo 1 | sudo tee"},
        {"irqbalance",
         {"/proc/77/comm", "irqbalance\n"},
         "sudo systemctl stop irqbalance",
         "sudo systemctl start irqbalance"},
        {"audit", {"/proc/77/comm", "auditd\n"}, "auditctl -A task,never", "auditctl -d"},
        {"seccomp",
         {"/proc/self/status", "Name:\tx\nTracerPid:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n"},
         "",
         ""},
        {"tracer",
         {"/proc/self/status", "Name:\tx\nTracerPid:\t9\nNoNewPrivs:\t0\nSeccomp:\t0\n"},
         "ps -o pid,args -p 9",
         ""},
        {"quota", {"/sys/fs/cgroup/a/cpu.max", "150000 100000\n"}, "cpu.max", ""},
        {"thread-limit",
         {"/proc/sys/kernel/pid_max", "32768\n"},
         "sudo sysctl kernel.pid_max=4194304",
         "sudo sysctl kernel.pid_max=32768"},
        {"thread-limit", {"/sys/fs/cgroup/a/pids.max", "900\n"}, "pids.max", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool made = strncmp(cases[i].bad.path, "/proc/77", 8) == 0 ||
                    strcmp(cases[i].bad.path, CPU "vulnerabilities/mds") == 0;

        fresh(state);
        put(cases[i].bad.path, cases[i].bad.text);
        collect();
        judge();
        assert_only(cases[i].name, DOCTOR_WARN);
        assert_contains(findings[0].command, cases[i].command);
        assert_contains(findings[0].undo, cases[i].undo);
        if (made)
            take_away(cases[i].bad.path);
    }
}

static void each_fact_gives_its_finding(void **state)
{
    fresh(state);
    collect();
    fact("cpu", "hypervisor", "KVMKVMKVM", 0);
    judge();
    assert_only("hypervisor", DOCTOR_WARN);
    assert_contains(findings[0].remedy, "host decides");

    collect();
    fact("process", "policy", "fifo", 0);
    judge();
    assert_only("rt-throttling", DOCTOR_WARN);
    assert_string_equal(findings[0].command,
                        "echo -1 | sudo tee /proc/sys/kernel/sched_rt_runtime_us");
    assert_string_equal(findings[0].undo,
                        "echo 950000 | sudo tee /proc/sys/kernel/sched_rt_runtime_us");

    collect();
    fact("limits", "nproc_soft", NULL, 1000);
    judge();
    assert_only("thread-limit", DOCTOR_WARN);
    assert_contains(findings[0].cost, "488 threads");
    assert_contains(findings[0].command, "--nproc=unlimited");

    collect(); /* does not bind root */
    fact("limits", "nproc_soft", NULL, 1000);
    fact("process", "euid", NULL, 0);
    judge();
    assert_int_equal(find("thread-limit")->state, DOCTOR_GOOD);

    collect(); /* another driver, another file */
    fact("frequency", "driver", "acpi-cpufreq", 0);
    fact("frequency", "boost", NULL, 1);
    judge();
    assert_only("boost", DOCTOR_WARN);
    assert_string_equal(findings[0].command, "echo 0 | sudo tee " CPU "cpufreq/boost");
    assert_string_equal(findings[0].undo, "echo 1 | sudo tee " CPU "cpufreq/boost");

    collect();
    strcpy(pmu_reason, "perf_event_paranoid is 4: run as root");
    fact("kernel", "perf_event_paranoid", NULL, 4);
    judge();
    assert_only("counters", DOCTOR_WARN);
    assert_string_equal(findings[0].command, "sudo sysctl kernel.perf_event_paranoid=1");
    assert_string_equal(findings[0].undo, "sudo sysctl kernel.perf_event_paranoid=4");

    collect(); /* no PMU: the setting is not to blame */
    strcpy(pmu_reason, "the kernel offers no hardware PMU here");
    judge();
    assert_int_equal(find("counters")->state, DOCTOR_WARN);
    assert_string_equal(find("counters")->command, "");
}

/* Both sides of each threshold, in the second of noise. */
static void what_others_do_gives_its_finding(void **state)
{
    fresh(state);
    noise.foreign_ns = SECOND / 50; /* two ticks: within the error */
    noise.steal_ns = SECOND / 50;
    noise.psi_some_us = 9000;
    noise.load1 = 0.5;
    collect();
    judge();
    for (int i = 0; i < n; i++)
        assert_int_equal(findings[i].state, DOCTOR_GOOD);

    noise = quiet;
    noise.foreign_ns = SECOND / 10;
    collect();
    judge();
    assert_only("neighbours", DOCTOR_WARN);
    assert_contains(findings[0].text, "5.0%");

    noise = quiet;
    noise.steal_ns = SECOND / 10;
    collect();
    judge();
    assert_only("steal", DOCTOR_WARN);
    assert_contains(findings[0].remedy, "host decides");

    noise = quiet;
    noise.psi_some_us = 20000;
    collect();
    judge();
    assert_only("pressure", DOCTOR_WARN);

    noise = quiet;
    noise.load1 = 0.6;
    collect();
    judge();
    assert_only("load", DOCTOR_WARN);
}

static void what_cannot_be_read_is_unknown(void **state)
{
    static const struct {
        const char *name, *path;
    } cases[] = {
        {"governor", CPU "cpu0/cpufreq/scaling_governor"},
        {"boost", CPU "intel_pstate/no_turbo"},
        {"smt", CPU "smt/active"},
        {"isolation", CPU "isolated"},
        {"clock-source", CLOCK "current_clocksource"},
        {"huge-pages", "/sys/kernel/mm/transparent_hugepage/enabled"},
        {"aslr", "/proc/sys/kernel/randomize_va_space"},
        {"swap", "/proc/meminfo"},
        {"same-page-merging", "/sys/kernel/mm/ksm/run"},
        {"numa-balancing", "/proc/sys/kernel/numa_balancing"},
        {"thread-limit", "/proc/sys/kernel/pid_max"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fresh(state);
        take_away(cases[i].path);
        collect();
        judge();
        assert_only(cases[i].name, DOCTOR_UNKNOWN);
        assert_contains(findings[0].text, "No such file or directory");
        assert_string_equal(findings[0].command, "");
    }

    fresh(state);
    noise.stat_known = noise.psi_known = noise.load_known = false;
    strcpy(noise.stat_reason, "no stat");
    strcpy(noise.psi_reason, "no psi");
    strcpy(noise.load_reason, "no load");
    collect();
    judge();
    assert_int_equal(find("neighbours")->state, DOCTOR_UNKNOWN);
    assert_string_equal(find("neighbours")->text, "no stat");
    assert_int_equal(find("steal")->state, DOCTOR_UNKNOWN);
    assert_string_equal(find("pressure")->text, "no psi");
    assert_string_equal(find("load")->text, "no load");
}

/* Nothing at all to read: not one that rests on a file is good. */
static void nothing_read_is_never_good(void **state)
{
    fresh(state);
    memset(&noise, 0, sizeof(noise));
    strcpy(pmu_reason, "none");
    assert_int_equal(env_collect_at(&env, "/nonexistent"), 0);
    fact("process", "policy", "fifo", 0);
    fact("cpu", "hypervisor", "KVMKVMKVM", 0);
    judge();
    assert_true(n >= 20);
    for (int i = 0; i < n; i++)
        if (findings[i].state == DOCTOR_GOOD)
            fail_msg("%s is good: %s", findings[i].name, findings[i].text);
    assert_contains(find("governor")->remedy, "host decides");
}

/* A command of several lines is still one for the shell: a blank, a backslash, the next line. */
static void text_has_80_columns_and_whole_commands(void **state)
{
    char *text = NULL, *joined, *to;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    fresh(state);
    put(CPU "cpu0/cpufreq/scaling_governor", "powersave\n");
    put(CLOCK "current_clocksource", "hpet\n");
    put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    collect();
    judge();
    assert_non_null(out);
    doctor_print(out, findings, n);
    fclose(out);
    assert_contains(text, "\n3 of 24 spoil numbers; 0 unknown\n");
    assert_contains(text, " \\\n");
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 80);

    to = joined = calloc(1, size + 1);
    assert_non_null(joined);
    for (const char *from = text; *from; from++)
        if (strncmp(from, "\\\n", 2) == 0)
            from += 1 + strspn(from + 2, " ");
        else
            *to++ = *from;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(findings[i].state, DOCTOR_WARN);
        assert_contains(joined, findings[i].command);
        assert_contains(joined, findings[i].undo);
    }
    free(joined);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_found_on_a_good_machine, fresh),
        cmocka_unit_test(each_file_gives_its_finding),
        cmocka_unit_test(each_fact_gives_its_finding),
        cmocka_unit_test(what_others_do_gives_its_finding),
        cmocka_unit_test(what_cannot_be_read_is_unknown),
        cmocka_unit_test(nothing_read_is_never_good),
        cmocka_unit_test(text_has_80_columns_and_whole_commands),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_root, remove_root);
}

/*
 * test_env.c - facts from made-up files (exact), from nothing at all, and from this machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_root.h"

#include "env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_text(const struct env *env, const char *group, const char *key, const char *text)
{
    const struct env_fact *fact = env_find(env, group, key);

    assert_non_null(fact);
    assert_true(fact->known && fact->type == ENV_TEXT);
    assert_string_equal(fact->text, text);
}

static void assert_number(const struct env *env, const char *group, const char *key, int64_t number)
{
    const struct env_fact *fact = env_find(env, group, key);

    assert_non_null(fact);
    assert_true(fact->known && fact->type != ENV_TEXT);
    assert_true(fact->number == number);
}

static void assert_unknown(const struct env *env, const char *group, const char *key)
{
    const struct env_fact *fact = env_find(env, group, key);

    assert_non_null(fact);
    assert_false(fact->known);
    assert_string_not_equal(fact->reason, "");
}

/* Holds for every collection: sound facts, keys unique within their group. */
static void assert_sound(const struct env *env)
{
    assert_true(env->n > 50);
    for (size_t i = 0; i < env->n; i++) {
        const struct env_fact *fact = &env->facts[i];

        assert_true(fact->group[0] && fact->key[0]);
        assert_ptr_equal(env_find(env, fact->group, fact->key), fact);
        assert_true(fact->known == !fact->reason[0]);
        if (fact->known && fact->type == ENV_TEXT) {
            assert_non_null(fact->text);
            for (const char *c = fact->text; *c; c++)
                assert_in_range(*c, ' ', '~');
        }
    }
}

static void made_up_files(void **state)
{
    struct env env;

    (void)state;
    put("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\n"
                         "model\t\t: 17\nmodel name\t: Zen \xc2\xae 4\nstepping\t: 1\n"
                         "microcode\t: 0xa101144\nflags\t\t: fpu constant_tsc fsgsbase\n\n"
                         "processor\t: 1\nvendor_id\t: Other\n");
    put("/sys/devices/system/cpu/online", "0-3,8,10-11\n");
    put("/sys/devices/system/cpu/smt/control", "on\n");
    put("/sys/devices/system/cpu/smt/active", "1\n");
    put("/sys/devices/system/cpu/isolated", "\n");
    put("/sys/devices/system/cpu/nohz_full", "2-3\n");
    put("/sys/devices/system/cpu/cpu0/cache/index0/level", "3\n");
    put("/sys/devices/system/cpu/cpu0/cache/index0/type", "Unified\n");
    put("/sys/devices/system/cpu/cpu0/cache/index0/size", "32M\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    put("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "3700000\n");
    put("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
    put("/sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("/sys/kernel/debug/sched/preempt", "none voluntary (full)\n");
    put("/sys/kernel/sched_ext/state", "enabled\n");
    put("/sys/kernel/sched_ext/root/ops", "simple\n");
    put("/proc/meminfo", "MemTotal:        1024 kB\nSwapFree: 3 kB\nHugePages_Total:       7\n");
    put("/proc/sys/kernel/randomize_va_space", "2\n");
    put("/proc/sys/kernel/pid_max", "many\n");
    put("/sys/kernel/mm/ksm/run", "1\n");
    put("/proc/self/status", "Name:\tx\nTracerPid:\t7\nSeccomp:\t2\n");
    put("/proc/1/comm", "init\n");
    put("/proc/23/comm", "irqbalance\n");
    put("/sys/fs/cgroup/cpuset.cpus.isolated", "4-5\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/cgroup.controllers", "cpu pids\n");
    put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/b/pids.max", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "1048576\n");
    put("/sys/fs/cgroup/a/b/memory.max", "2097152\n");

    assert_int_equal(env_collect_at(&env, root), 0);
    assert_sound(&env);
    assert_text(&env, "cpu", "vendor", "AuthenticAMD");
    assert_text(&env, "cpu", "model", "Zen ?? 4");
    assert_number(&env, "cpu", "family", 25);
    assert_number(&env, "cpu", "model_number", 17);
    assert_text(&env, "cpu", "microcode", "0xa101144");
    assert_number(&env, "cpu", "constant_tsc", 1);
    assert_number(&env, "cpu", "nonstop_tsc", 0);
    assert_number(&env, "cpu", "count_online", 7);
    assert_number(&env, "cpu", "smt_active", 1);
    assert_number(&env, "cpu", "l3_bytes", 32 * 1024 * 1024);
    assert_unknown(&env, "cpu", "l2_bytes");
    assert_text(&env, "frequency", "governor", "mixed");
    assert_number(&env, "frequency", "max_hz", 3700000000);
    assert_number(&env, "frequency", "boost", 0);
    assert_text(&env, "mitigations", "meltdown", "Not affected");
    assert_text(&env, "kernel", "thp", "madvise");
    assert_text(&env, "kernel", "preempt_mode", "full");
    assert_text(&env, "kernel", "scheduler", "sched_ext: simple");
    assert_number(&env, "kernel", "aslr", 2);
    assert_number(&env, "memory", "total_bytes", 1024 * 1024);
    assert_number(&env, "memory", "hugepages", 7);
    assert_unknown(&env, "memory", "swap_total_bytes");
    assert_number(&env, "memory", "swap_free_bytes", 3 * 1024);
    assert_number(&env, "kernel", "ksm", 1);
    assert_number(&env, "kernel", "irqbalance", 1);
    assert_number(&env, "kernel", "auditd", 0);
    assert_number(&env, "process", "tracer_pid", 7);
    assert_number(&env, "process", "seccomp", 2);
    assert_text(&env, "isolation", "cpuset", "4-5");
    assert_unknown(&env, "cpu", "siblings_allowed");
    assert_text(&env, "isolation", "isolcpus", "none");
    assert_text(&env, "isolation", "nohz_full", "2-3");
    assert_unknown(&env, "limits", "pid_max");
    assert_number(&env, "limits", "cgroup_cpu_millis", 1500);
    assert_text(&env, "limits", "cgroup_pids", "unlimited");
    assert_number(&env, "limits", "cgroup_memory_bytes", 1048576);
    env_free(&env);

    /* The same limits in version 1's files, which win over version 2's line. */
    put("/proc/self/cgroup", "5:cpu,cpuacct:/c\n3:pids:/\n0::/a/b\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(env_collect_at(&env, root), 0);
    assert_number(&env, "limits", "cgroup_cpu_millis", 500);
    assert_unknown(&env, "limits", "cgroup_pids");
    env_free(&env);
}

/* Each CPU allowed here is put beside the first one. */
static void siblings_among_the_allowed(void **state)
{
    static int cpus[8192];
    char path[96], list[64];
    struct env env;
    int n;

    (void)state;
    assert_int_equal(env_collect_at(&env, root), 0);
    n = env_list_cpus(env_find(&env, "cpu", "allowed_list")->text, cpus, 8192);
    assert_in_range(n, 1, 8192);
    env_free(&env);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
                 cpus[i]);
        snprintf(list, sizeof(list), i ? "%d,%d\n" : "%d\n", cpus[0], cpus[i]);
        put(path, list);
    }
    assert_int_equal(env_collect_at(&env, root), 0);
    assert_number(&env, "cpu", "siblings_allowed", n - 1);
    env_free(&env);
}

static void lists_of_cpus(void **state)
{
    int cpus[4] = {-1, -1, -1, -1};

    (void)state;
    assert_int_equal(env_list_cpus("0-1,8", cpus, 4), 3);
    assert_true(cpus[0] == 0 && cpus[1] == 1 && cpus[2] == 8 && cpus[3] == -1);
    assert_int_equal(env_list_cpus("0-99", cpus, 4), 100);
    assert_int_equal(cpus[3], 3);
    assert_int_equal(env_list_cpus("", cpus, 4), 0);
    assert_int_equal(env_list_cpus("none", cpus, 4), 0);
    assert_int_equal(env_list_cpus("many", cpus, 4), -1);
    assert_int_equal(env_list_cpus("3-1", cpus, 4), -1);
    assert_int_equal(env_list_cpus("1;2", cpus, 4), -1);
}

static void no_files_at_all(void **state)
{
    struct env env;

    (void)state;
    assert_int_equal(env_collect_at(&env, "/nonexistent"), 0);
    assert_sound(&env);
    assert_unknown(&env, "cpu", "model");
    assert_unknown(&env, "mitigations", "all");
    assert_unknown(&env, "memory", "total_bytes");
    assert_unknown(&env, "limits", "cgroup_pids");
    assert_unknown(&env, "build", "sha256");
    env_free(&env);
    assert_null(env.facts);
}

static void this_machine(void **state)
{
    struct env env;
    char hex[65];

    (void)state;
    setenv("SLURM_JOB_ID", "4242", 1);
    assert_int_equal(env_collect(&env), 0);
    assert_sound(&env);
    assert_text(&env, "scheduler", "slurm_job_id", "4242");
    assert_true(env_find(&env, "cpu", "count_allowed")->number >= 1);
    assert_true(env_find(&env, "kernel", "release")->known);
    if (env_sha256("/proc/self/exe", hex) == 0)
        assert_text(&env, "build", "sha256", hex);
    assert_null(env_find(&env, "cpu", "nonsense"));
    env_free(&env);
}

/* The vectors of FIPS 180: "abc" and the empty message. */
static void sha256_is_the_standard_one(void **state)
{
    char path[64], hex[65];

    (void)state;
    put("/abc", "abc");
    put("/empty", "");
    snprintf(path, sizeof(path), "%s/abc", root);
    assert_int_equal(env_sha256(path, hex), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    snprintf(path, sizeof(path), "%s/empty", root);
    assert_int_equal(env_sha256(path, hex), 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    snprintf(path, sizeof(path), "%s/absent", root);
    assert_int_equal(env_sha256(path, hex), ENOENT);
    assert_int_equal(env_sha256(root, hex), EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_up_files), cmocka_unit_test(siblings_among_the_allowed),
        cmocka_unit_test(lists_of_cpus), cmocka_unit_test(no_files_at_all),
        cmocka_unit_test(this_machine),  cmocka_unit_test(sha256_is_the_standard_one),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_root, remove_root);
}

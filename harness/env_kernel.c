/*
 * env_kernel.c - facts about the kernel and this process' standing in it: groups kernel, memory,
 * isolation, process. Sources: proc(5); the kernel's Documentation/admin-guide/sysctl.
 */
#define _GNU_SOURCE /* SCHED_BATCH */
#include "env_read.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/"
#define THP "/sys/kernel/mm/transparent_hugepage/"

/* "thp=always [madvise] never": the choice alone. */
static void chosen_fact(struct env_reader *r, const char *group, const char *key, const char *path)
{
    char text[256], word[64];
    int error = env_slurp(r, path, text, sizeof(text));

    if (error)
        env_unknown(r, group, key, "%.80s: %s", path, strerror(error));
    else if (env_chosen(text, word, sizeof(word)))
        env_text(r, group, key, word);
    else
        env_text(r, group, key, text);
}

/* The value of "name=value" on the kernel's command line. */
static bool boot_option(const char *cmdline, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);

    for (const char *at = cmdline; (at = strstr(at, name)); at += length)
        if ((at == cmdline || at[-1] == ' ') && at[length] == '=') {
            snprintf(value, size, "%.*s", (int)strcspn(at + length + 1, " "), at + length + 1);
            return true;
        }
    return false;
}

/* CFS gave way to EEVDF in 6.6 under the same class; sched_ext may stand in for both. */
static void scheduler_facts(struct env_reader *r, const char *release)
{
    char state[64], ops[128];
    int major = 0, minor = 0;

    if (env_slurp(r, "/sys/kernel/sched_ext/state", state, sizeof(state)) == 0 &&
        strcmp(state, "enabled") == 0) {
        if (env_slurp(r, "/sys/kernel/sched_ext/root/ops", ops, sizeof(ops)))
            snprintf(ops, sizeof(ops), "unknown");
        snprintf(state, sizeof(state), "sched_ext: %.50s", ops);
        env_text(r, "kernel", "scheduler", state);
        return;
    }
    if (sscanf(release, "%d.%d", &major, &minor) != 2)
        env_unknown(r, "kernel", "scheduler", "release %.40s has no version", release);
    else
        env_text(r, "kernel", "scheduler",
                 major > 6 || (major == 6 && minor >= 6) ? "EEVDF" : "CFS");
}

/* `preempt` is what was compiled in, as uname says; `preempt_mode` what is in force. */
static void preempt_facts(struct env_reader *r, const char *version, const char *cmdline)
{
    static const char *const built[] = {"PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT"};
    char text[128], word[32];
    const char *found = "none or voluntary";

    for (size_t i = 0; i < sizeof(built) / sizeof(built[0]); i++)
        if (strstr(version, built[i])) {
            found = built[i];
            break;
        }
    env_text(r, "kernel", "preempt", found);

    if (env_slurp(r, "/sys/kernel/debug/sched/preempt", text, sizeof(text)) == 0 &&
        env_chosen(text, word, sizeof(word)))
        env_text(r, "kernel", "preempt_mode", word);
    else if (boot_option(cmdline, "preempt", word, sizeof(word)))
        env_text(r, "kernel", "preempt_mode", word);
    else if (strcmp(found, "PREEMPT_RT") == 0 || strcmp(found, "PREEMPT") == 0)
        env_text(r, "kernel", "preempt_mode", "full");
    else
        env_unknown(r, "kernel", "preempt_mode",
                    "needs debugfs (/sys/kernel/debug/sched/preempt) or preempt= at boot");
}

/* Daemons that move interrupts or make system calls dearer: do they run? */
static void daemon_facts(struct env_reader *r)
{
    static const char *const names[] = {"irqbalance", "auditd"};
    bool runs[2] = {false, false};
    char path[PATH_MAX], name[32];
    struct dirent *entry;
    DIR *proc = NULL;
    int error = env_slurp(r, "/proc/1/comm", name, sizeof(name)); /* hidepid= hides it */

    if (!error) {
        snprintf(path, sizeof(path), "%s/proc", r->root);
        proc = opendir(path);
        error = proc ? 0 : errno;
    }
    while (proc && (entry = readdir(proc))) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
        if (env_slurp(r, path, name, sizeof(name)))
            continue;
        for (int i = 0; i < 2; i++)
            runs[i] |= strcmp(name, names[i]) == 0;
    }
    if (proc)
        closedir(proc);
    for (int i = 0; i < 2; i++)
        if (error)
            env_unknown(r, "kernel", names[i], "processes cannot be seen: /proc/1/comm: %s",
                        strerror(error));
        else
            env_flag(r, "kernel", names[i], runs[i]);
}

static void kernel_facts(struct env_reader *r)
{
    struct utsname name;
    struct timespec tick;
    char cmdline[ENV_LINE], text[16];

    env_slurp(r, "/proc/cmdline", cmdline, sizeof(cmdline));
    if (uname(&name) == 0) {
        env_text(r, "kernel", "name", name.sysname);
        env_text(r, "kernel", "release", name.release);
        env_text(r, "kernel", "version", name.version);
        env_text(r, "kernel", "machine", name.machine);
        scheduler_facts(r, name.release);
        preempt_facts(r, name.version, cmdline);
    }
    env_file_text(r, "kernel", "cmdline", "/proc/cmdline");
    /* The coarse clock advances once per tick. */
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0 && tick.tv_nsec > 0)
        env_number(r, "kernel", "hz", (1000000000 + tick.tv_nsec / 2) / tick.tv_nsec);
    else
        env_unknown(r, "kernel", "hz", "CLOCK_MONOTONIC_COARSE has no resolution");
    env_file_text(r, "kernel", "clocksource", CLOCKSOURCE "current_clocksource");
    env_file_text(r, "kernel", "clocksources", CLOCKSOURCE "available_clocksource");
    env_file_number(r, "kernel", "aslr", "/proc/sys/kernel/randomize_va_space", 1);
    chosen_fact(r, "kernel", "thp", THP "enabled");
    chosen_fact(r, "kernel", "thp_defrag", THP "defrag");
    env_file_number(r, "kernel", "perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid", 1);
    env_file_number(r, "kernel", "sched_rt_runtime_us", "/proc/sys/kernel/sched_rt_runtime_us", 1);
    env_file_number(r, "kernel", "sched_autogroup", "/proc/sys/kernel/sched_autogroup_enabled", 1);
    env_file_number(r, "kernel", "numa_balancing", "/proc/sys/kernel/numa_balancing", 1);
    env_file_number(r, "kernel", "ksm", "/sys/kernel/mm/ksm/run", 1);
    daemon_facts(r);
    env_flag(r, "kernel", "psi", env_slurp(r, "/proc/pressure/cpu", text, sizeof(text)) == 0);
}

/* "MemTotal:       16384 kB", or a bare count. */
static void meminfo_fact(struct env_reader *r, const char *info, int error, const char *key,
                         const char *name)
{
    const char *at = strstr(info, name);
    char *unit;
    int64_t value;

    if (error || !at) {
        env_unknown(r, "memory", key, "/proc/meminfo: %s",
                    error ? strerror(error) : "no such line");
        return;
    }
    value = strtoll(at + strlen(name), &unit, 10);
    env_number(r, "memory", key, strncmp(unit, " kB", 3) == 0 ? value * 1024 : value);
}

static void memory_facts(struct env_reader *r)
{
    char info[8192];
    int error = env_slurp(r, "/proc/meminfo", info, sizeof(info));

    meminfo_fact(r, info, error, "total_bytes", "MemTotal:");
    meminfo_fact(r, info, error, "available_bytes", "MemAvailable:");
    meminfo_fact(r, info, error, "swap_total_bytes", "SwapTotal:");
    meminfo_fact(r, info, error, "swap_free_bytes", "SwapFree:");
    meminfo_fact(r, info, error, "hugepages", "HugePages_Total:");
    meminfo_fact(r, info, error, "hugepage_bytes", "Hugepagesize:");
    env_number(r, "memory", "page_bytes", sysconf(_SC_PAGESIZE));
    env_file_number(r, "memory", "overcommit", "/proc/sys/vm/overcommit_memory", 1);
    env_file_text(r, "memory", "numa_nodes", "/sys/devices/system/node/online");
}

/* The value of "Name:\tvalue" in /proc/self/status. */
static void status_fact(struct env_reader *r, const char *status, int error, const char *key,
                        const char *name)
{
    const char *at = strstr(status, name);

    if (error || !at)
        env_unknown(r, "process", key, "/proc/self/status: %s",
                    error ? strerror(error) : "no such line");
    else
        env_number(r, "process", key, strtoll(at + strlen(name), NULL, 10));
}

static void process_facts(struct env_reader *r)
{
    static const char *const policies[] = {
        [SCHED_OTHER] = "other", [SCHED_FIFO] = "fifo", [SCHED_RR] = "rr",
        [SCHED_BATCH] = "batch", [SCHED_IDLE] = "idle", [6] = "deadline"};
    size_t npolicies = sizeof(policies) / sizeof(policies[0]);
    int policy = sched_getscheduler(0), error;
    char status[8192];

    env_number(r, "process", "euid", geteuid());
    if (policy >= 0 && (size_t)policy < npolicies && policies[policy])
        env_text(r, "process", "policy", policies[policy]);
    else
        env_unknown(r, "process", "policy", "sched_getscheduler answers %d", policy);
    env_number(r, "process", "nice", getpriority(PRIO_PROCESS, 0));
    error = env_slurp(r, "/proc/self/status", status, sizeof(status));
    status_fact(r, status, error, "seccomp", "\nSeccomp:");
    status_fact(r, status, error, "tracer_pid", "\nTracerPid:");
    status_fact(r, status, error, "no_new_privs", "\nNoNewPrivs:");
}

void env_kernel_facts(struct env_reader *r)
{
    kernel_facts(r);
    memory_facts(r);
    env_file_list(r, "isolation", "isolcpus", "/sys/devices/system/cpu/isolated");
    env_file_list(r, "isolation", "nohz_full", "/sys/devices/system/cpu/nohz_full");
    env_file_list(r, "isolation", "cpuset", "/sys/fs/cgroup/cpuset.cpus.isolated");
    process_facts(r);
}

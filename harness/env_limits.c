/*
 * env_limits.c - what may stop a run with many threads: group limits. Sources: getrlimit(2),
 * proc(5), cgroups(7). A limit that is not set is the text "unlimited".
 */
#include "env_read.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void rlimit_facts(struct env_reader *r)
{
    static const struct {
        const char *soft, *hard;
        int resource;
    } limits[] = {
        {"nproc_soft", "nproc_hard", RLIMIT_NPROC},
        {"nofile_soft", "nofile_hard", RLIMIT_NOFILE},
        {"stack_bytes_soft", "stack_bytes_hard", RLIMIT_STACK},
        {"as_bytes_soft", "as_bytes_hard", RLIMIT_AS},
        {"data_bytes_soft", "data_bytes_hard", RLIMIT_DATA},
        {"memlock_bytes_soft", "memlock_bytes_hard", RLIMIT_MEMLOCK},
        {"sigpending_soft", "sigpending_hard", RLIMIT_SIGPENDING},
        {"rtprio_soft", "rtprio_hard", RLIMIT_RTPRIO},
        {"cpu_seconds_soft", "cpu_seconds_hard", RLIMIT_CPU},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit limit;
        const char *keys[2] = {limits[i].soft, limits[i].hard};

        if (getrlimit(limits[i].resource, &limit) != 0) {
            env_unknown(r, "limits", keys[0], "getrlimit: %s", strerror(errno));
            env_unknown(r, "limits", keys[1], "getrlimit: %s", strerror(errno));
            continue;
        }
        for (int k = 0; k < 2; k++) {
            rlim_t value = k ? limit.rlim_max : limit.rlim_cur;

            if (value == RLIM_INFINITY || value > INT64_MAX)
                env_text(r, "limits", keys[k], "unlimited");
            else
                env_number(r, "limits", keys[k], (int64_t)value);
        }
    }
}

/* Where this process' group of `controller` is: base is the mounted hierarchy, path below it. Lines
 * of /proc/self/cgroup: "4:cpu,cpuacct:/path" (version 1), "0::/path" (version 2). */
static bool find_cgroup(const struct env_reader *r, const char *controller, char *base, char *path,
                        size_t size, bool *version2)
{
    char text[8192], *line, *save = NULL;
    bool found = false;

    if (env_slurp(r, "/proc/self/cgroup", text, sizeof(text)))
        return false;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *where = names ? strchr(names + 1, ':') : NULL;
        char *name, *inner = NULL;

        if (!where)
            continue;
        *where++ = '\0';
        names++;
        if (!*names && !found) { /* version 2, unless a version 1 hierarchy has the controller */
            char probe[64];

            *version2 = true;
            snprintf(path, size, "%s", where);
            snprintf(base, size, "/sys/fs/cgroup");
            if (env_slurp(r, "/sys/fs/cgroup/cgroup.controllers", probe, sizeof(probe)))
                snprintf(base, size, "/sys/fs/cgroup/unified");
            found = true;
        }
        for (name = strtok_r(names, ",", &inner); name; name = strtok_r(NULL, ",", &inner))
            if (strcmp(name, controller) == 0) {
                *version2 = false;
                snprintf(path, size, "%s", where);
                snprintf(base, size, "/sys/fs/cgroup/%s", controller);
                return true;
            }
    }
    return found;
}

/* Reads base + path + "/" + file, then the same in each ancestor, and calls `each` for what was
 * found. */
static int walk_up(const struct env_reader *r, const char *base, const char *path, const char *file,
                   void (*each)(const char *text, const char *period, int64_t *best),
                   const char *period_file, int64_t *best)
{
    char at[1024], full[2200], text[64], period[64] = "";
    int seen = 0;

    snprintf(at, sizeof(at), "%s", strcmp(path, "/") ? path : "");
    for (;;) {
        char *slash;

        snprintf(full, sizeof(full), "%s%s/%s", base, at, file);
        if (env_slurp(r, full, text, sizeof(text)) == 0) {
            if (period_file) {
                snprintf(full, sizeof(full), "%s%s/%s", base, at, period_file);
                env_slurp(r, full, period, sizeof(period));
            }
            each(text, period, best);
            seen++;
        }
        slash = strrchr(at, '/');
        if (!slash)
            return seen;
        *slash = '\0';
    }
}

/* The smallest number; "max" is none. Version 1 writes a huge number for none. */
static void smallest(const char *text, const char *period, int64_t *best)
{
    char *end;
    long long value = strtoll(text, &end, 10);

    (void)period;
    if (end != text && value >= 0 && value < INT64_MAX / 2 && (*best < 0 || value < *best))
        *best = value;
}

/* "quota period" in version 2; two files in version 1. *best: CPUs in thousandths. */
static void smallest_quota(const char *text, const char *period, int64_t *best)
{
    char *end;
    long long quota = strtoll(text, &end, 10);
    long long length = strtoll(*end ? end : period, NULL, 10);

    if (end != text && quota > 0 && length > 0 && quota < LLONG_MAX / 1000 &&
        (*best < 0 || quota * 1000 / length < *best))
        *best = quota * 1000 / length;
}

static bool mounted(const struct env_reader *r, const char *base)
{
    char path[1100], text[16];

    snprintf(path, sizeof(path), "%s/cgroup.procs", base);
    return env_slurp(r, path, text, sizeof(text)) == 0;
}

static void cgroup_facts(struct env_reader *r)
{
    static const struct {
        const char *key, *controller, *file2, *file1, *period1;
        void (*each)(const char *text, const char *period, int64_t *best);
    } limits[] = {
        {"cgroup_cpu_millis", "cpu", "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us",
         smallest_quota},
        {"cgroup_pids", "pids", "pids.max", "pids.max", NULL, smallest},
        {"cgroup_memory_bytes", "memory", "memory.max", "memory.limit_in_bytes", NULL, smallest},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        char base[1024], path[1024];
        int64_t best = -1;
        bool version2 = false;
        int seen = 0;

        if (!find_cgroup(r, limits[i].controller, base, path, sizeof(base), &version2)) {
            env_unknown(r, "limits", limits[i].key, "/proc/self/cgroup names no group");
            continue;
        }
        seen = walk_up(r, base, path, version2 ? limits[i].file2 : limits[i].file1, limits[i].each,
                       version2 ? NULL : limits[i].period1, &best);
        if (best >= 0)
            env_number(r, "limits", limits[i].key, best);
        else if (seen || mounted(r, base))
            /* Also where no group on the way up has the file: the controller is off, or this is the
             * root group, which nothing limits. */
            env_text(r, "limits", limits[i].key, "unlimited");
        else
            env_unknown(r, "limits", limits[i].key, "no cgroup hierarchy at %.80s", base);
    }
}

void env_limits_facts(struct env_reader *r)
{
    rlimit_facts(r);
    env_file_number(r, "limits", "pid_max", "/proc/sys/kernel/pid_max", 1);
    env_file_number(r, "limits", "threads_max", "/proc/sys/kernel/threads-max", 1);
    env_file_number(r, "limits", "max_map_count", "/proc/sys/vm/max_map_count", 1);
    cgroup_facts(r);
}

/* kernel_limits.c - see kernel_limits.h. */
#include "kernel_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ROOM 512 /* tasks and mappings of everybody else, generously */

static void consider(struct plan_limits *limits, uint64_t value, const char *name, uint64_t shown)
{
    value = value > ROOM ? value - ROOM : 1;
    if (limits->kernel_threads && limits->kernel_threads <= value)
        return;
    limits->kernel_threads = value;
    snprintf(limits->which, sizeof limits->which, "%s=%llu", name, (unsigned long long)shown);
}

static uint64_t number_in(const char *path) /* 0: unreadable, or "max" */
{
    char text[32] = "";
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    if (!fgets(text, sizeof text, f))
        text[0] = '\0';
    fclose(f);
    return strtoull(text, NULL, 10);
}

/* The pids controller of the cgroup that the process is in: version 2, else version 1. */
static uint64_t cgroup_pids_max(void)
{
    char line[512], path[1100];
    uint64_t least = 0;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *folder = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!folder)
            continue;
        *folder++ = '\0';
        controllers++;
        bool v1 = strcmp(controllers, "pids") == 0;
        if (!v1 && *controllers)
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/pids.max", v1 ? "pids" : "", folder);
        uint64_t max = number_in(path);
        if (max && (!least || max < least))
            least = max;
    }
    if (f)
        fclose(f);
    return least;
}

void kernel_limits_threads(struct plan_limits *limits)
{
    struct rlimit nproc;
    uint64_t v;
    *limits = (struct plan_limits){0, ""};
    if ((v = number_in("/proc/sys/kernel/pid_max")))
        consider(limits, v, "kernel.pid_max", v);
    if ((v = number_in("/proc/sys/kernel/threads-max")))
        consider(limits, v, "kernel.threads-max", v);
    if ((v = number_in("/proc/sys/vm/max_map_count")))
        consider(limits, v / 2, "vm.max_map_count", v);
    if ((v = cgroup_pids_max()))
        consider(limits, v, "pids.max", v);
    if (geteuid() != 0 && getrlimit(RLIMIT_NPROC, &nproc) == 0 && nproc.rlim_cur != RLIM_INFINITY)
        consider(limits, nproc.rlim_cur, "RLIMIT_NPROC", nproc.rlim_cur);
}

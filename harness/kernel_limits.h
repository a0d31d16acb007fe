/* kernel_limits.h - how many kernel threads one process can have here, and which limit says so. */
#ifndef HARNESS_KERNEL_LIMITS_H
#define HARNESS_KERNEL_LIMITS_H

#include "plan.h"

/* Looks at kernel.pid_max, kernel.threads-max, vm.max_map_count (two mappings a thread where a
 * guard costs one), RLIMIT_NPROC (not for root) and the pids cgroup; leaves room for what runs
 * already. A limit that cannot be read is not counted. */
void kernel_limits_threads(struct plan_limits *limits);

#endif

/*
 * doctor_kernel.c - the doctor's rules about the kernel's settings, memory and limits. Sources, of
 * the kernel's Documentation: admin-guide/mm/transhuge.rst, admin-guide/mm/ksm.rst,
 * admin-guide/sysctl/kernel.rst, scheduler/sched-rt-group.rst, userspace-api/seccomp_filter.rst.
 */
#include "doctor_rules.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define THP "/sys/kernel/mm/transparent_hugepage/enabled"

/* The most threads of a cell of the preset `standard`, and the kernel's own room (the same as in
 * kernel_limits.c). */
#define STANDARD_THREADS 100000
#define ROOM 512

static void huge_pages(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "kernel", "thp");

    if (!fact)
        return;
    if (strcmp(fact->text, "always") != 0) {
        doctor_good(f, "transparent huge pages: %s", fact->text);
        return;
    }
    doctor_warn(f, "transparent huge pages: always");
    /* 2 MiB and 4 KiB are those of x86-64 and of aarch64 with small pages. */
    doctor_say(f->cost, "The first touch of a stack may clear 2 MiB instead of 4 KiB, 512 times as "
                        "much, or not, by how the mappings happen to lie; khugepaged merges pages "
                        "behind the back of a run. Hits create.* and fork.*.");
    doctor_say(f->command, "echo madvise | sudo tee " THP);
    doctor_say(f->undo, "echo always | sudo tee " THP);
}

/* Mytkowicz, Diwan, Hauswirth, Sweeney: Producing Wrong Data Without Doing Anything Obviously
 * Wrong, ASPLOS 2009: the layout alone biases by several per cent; randomised, it averages out. */
static void aslr(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "kernel", "aslr");

    if (!fact)
        return;
    if (fact->number) {
        doctor_good(f, "address space layout is random: each sample is a fresh process, so that "
                       "luck with the layout averages out, for a little more spread");
        return;
    }
    doctor_switch(in, f, "kernel", "aslr", "/proc/sys/kernel/randomize_va_space", 2);
    doctor_say(f->cost,
               "All samples share one layout of memory, lucky or not: the spread is a "
               "little smaller, but a bias of several per cent stays unseen and looks like "
               "a difference between two builds.");
}

static void rt_throttling(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *policy = doctor_fact(in, f, "process", "policy");

    if (!policy)
        return;
    if (strcmp(policy->text, "fifo") != 0 && strcmp(policy->text, "rr") != 0) {
        doctor_good(f, "the policy is %s: real-time throttling does not touch it", policy->text);
        return;
    }
    doctor_switch(in, f, "kernel", "sched_rt_runtime_us", "/proc/sys/kernel/sched_rt_runtime_us",
                  -1);
    doctor_say(f->cost, "Real-time threads stop for the rest of each period: by default 50 ms of "
                        "each second.");
    if (f->state == DOCTOR_WARN)
        doctor_say(f->remedy,
                   "With it off a real-time thread that never blocks keeps its CPU for good.");
}

static void swap(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *total = doctor_fact(in, f, "memory", "swap_total_bytes");
    const struct env_fact *rest = total ? doctor_fact(in, f, "memory", "swap_free_bytes") : NULL;
    int64_t used;

    if (!rest)
        return;
    used = total->number - rest->number;
    if (used <= 0) {
        doctor_good(f, total->number ? "no swap is in use" : "there is no swap");
        return;
    }
    doctor_warn(f, "%lld MiB of swap are in use", (long long)((used + 0xfffff) >> 20));
    doctor_say(f->cost,
               "A page that was swapped out comes back by a fault of 0.1 ms (SSD) to 10 ms "
               "(disk), a hundred thousand ops of other kinds: outliers, and a sign that "
               "memory was short.");
    doctor_say(f->remedy, "Needs that much free memory.");
    doctor_say(f->command, "sudo swapoff -a");
    doctor_say(f->undo, "sudo swapon -a");
}

static void same_pages(const struct doctor_input *in, struct doctor_finding *f)
{
    doctor_switch(in, f, "kernel", "ksm", "/sys/kernel/mm/ksm/run", 0);
    doctor_say(f->cost, "ksmd scans memory on some CPU, and the first write to a page that it has "
                        "merged is a fault and a copy.");
}

static void numa_balancing(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *nodes = doctor_known(in, "memory", "numa_nodes");

    if (nodes && strcmp(nodes->text, "0") == 0) {
        doctor_good(f, "one memory node: nothing to balance");
        return;
    }
    doctor_switch(in, f, "kernel", "numa_balancing", "/proc/sys/kernel/numa_balancing", 0);
    doctor_say(f->cost,
               "The kernel takes away access to pages to see who faults on them, and moves "
               "pages and threads between nodes: faults in the middle of a batch, and a "
               "placement that changes.");
}

static void irqbalance(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "kernel", "irqbalance");

    if (!fact)
        return;
    if (!fact->number) {
        doctor_good(f, "irqbalance does not run");
        return;
    }
    doctor_warn(f, "irqbalance runs");
    doctor_say(f->cost,
               "It moves interrupts to CPUs that look idle, every 10 s, also to those that "
               "are measured: a sample pays for somebody's network or disk, the next does "
               "not.");
    doctor_say(f->command, "sudo systemctl stop irqbalance");
    doctor_say(f->undo, "sudo systemctl start irqbalance");
}

static void audit(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "kernel", "auditd");

    if (!fact)
        return;
    if (!fact->number) {
        doctor_good(f, "auditd does not run");
        return;
    }
    doctor_warn(f, "auditd runs");
    /* Lutomirski, "audit: Only use the syscall slowpath when syscall audit rules exist",
     * linux-kernel, 3 February 2014. */
    doctor_say(f->cost, "While auditing is on, system calls take a slow path (60 ns instead of 40, "
                        "measured in 2014 without any rule) and are held against its rules. "
                        "`threadlab run --bench floor.syscall` before and after tells how much.");
    doctor_say(f->remedy, "Ask who needs it first; the rule keeps new processes out of it:");
    doctor_say(f->command, "sudo auditctl -A task,never");
    doctor_say(f->undo, "sudo auditctl -d task,never");
}

static void seccomp(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "process", "seccomp");

    if (!fact)
        return;
    if (!fact->number) {
        doctor_good(f, "no filter of system calls");
        return;
    }
    doctor_warn(f, "a seccomp filter looks at each system call");
    doctor_say(f->cost, "System calls are dearer by the filter (since Linux 5.11 least for those "
                        "that it always allows); user-level threads pay less of it. `threadlab run "
                        "--bench floor.syscall` inside and outside tells how much.");
    doctor_say(f->remedy, "Who started this process set it, as containers and services do, and it "
                          "cannot be taken off: start without (docker run --security-opt "
                          "seccomp=unconfined).");
}

static void tracer(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "process", "tracer_pid");

    if (!fact)
        return;
    if (!fact->number) {
        doctor_good(f, "nobody traces this process");
        return;
    }
    doctor_warn(f, "process %lld traces this one", (long long)fact->number);
    doctor_say(f->cost, "Under strace or a debugger each signal and thread, and with strace each "
                        "system call, stops and switches to the tracer and back, twice for a call: "
                        "numbers of a traced run are worthless.");
    doctor_say(f->remedy, "Run without it.");
    doctor_say(f->command, "ps -o pid,args -p %lld", (long long)fact->number);
}

/* Adds a line to commands. */
static __attribute__((format(printf, 3, 4))) void add_line(char *lines, size_t size,
                                                           const char *format, ...)
{
    size_t used = strlen(lines);
    va_list args;

    if (used && used < size - 1)
        lines[used++] = '\n';
    va_start(args, format);
    vsnprintf(lines + used, size - used, format, args);
    va_end(args);
}

/* The same limits as kernel_limits.c asks, here out of the facts. */
static void thread_limit(const struct doctor_input *in, struct doctor_finding *f)
{
    static const struct {
        const char *key, *name;
        int each;            /* of them a thread */
        int enough;          /* for sysctl; 0: */
        const char *command; /* this instead */
    } limits[] = {
        {"pid_max", "kernel.pid_max", 1, 4194304, NULL},
        {"threads_max", "kernel.threads-max", 1, 2 * STANDARD_THREADS, NULL},
        {"max_map_count", "vm.max_map_count", 2, 4 * STANDARD_THREADS, NULL},
        {"cgroup_pids", "pids.max of the cgroup", 1, 0,
         "echo max | sudo tee /sys/fs/cgroup$(grep ^0: /proc/self/cgroup | cut -d: -f3)/pids.max"},
        {"nproc_soft", "RLIMIT_NPROC", 1, 0, "sudo prlimit --pid $$ --nproc=unlimited"},
    };
    const struct env_fact *euid = doctor_known(in, "process", "euid");
    int64_t least = INT64_MAX;
    char list[200] = "";

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const struct env_fact *fact = doctor_fact(in, f, "limits", limits[i].key);
        int64_t threads;
        size_t used = strlen(list);

        if (!fact)
            return;
        if (fact->type == ENV_TEXT || /* unlimited */
            (strcmp(limits[i].key, "nproc_soft") == 0 && euid && euid->number == 0))
            continue;
        threads = fact->number / limits[i].each - ROOM;
        if (threads >= STANDARD_THREADS)
            continue;
        least = threads < least ? threads : least;
        snprintf(list + used, sizeof(list) - used, "%s%s=%lld", used ? ", " : "", limits[i].name,
                 (long long)fact->number);
        if (limits[i].command) {
            add_line(f->command, sizeof(f->command), "%s", limits[i].command);
            continue;
        }
        add_line(f->command, sizeof(f->command), "sudo sysctl %s=%d", limits[i].name,
                 limits[i].enough);
        add_line(f->undo, sizeof(f->undo), "sudo sysctl %s=%lld", limits[i].name,
                 (long long)fact->number);
    }
    if (!list[0]) {
        doctor_good(f, "limits leave room for %d kernel threads", STANDARD_THREADS);
        return;
    }
    doctor_warn(f, "too low for %d kernel threads: %s", STANDARD_THREADS, list);
    doctor_say(f->cost,
               "No number is wrong, but cells with more than %lld threads are unsupported where "
               "each is one of the kernel's: the comparison has holes there.",
               (long long)(least < 1 ? 1 : least));
}

const struct doctor_rule doctor_kernel_rules[] = {
    {"huge-pages", huge_pages},
    {"aslr", aslr},
    {"rt-throttling", rt_throttling},
    {"swap", swap},
    {"same-page-merging", same_pages},
    {"numa-balancing", numa_balancing},
    {"irqbalance", irqbalance},
    {"audit", audit},
    {"seccomp", seccomp},
    {"tracer", tracer},
    {"thread-limit", thread_limit},
    {NULL, NULL},
};

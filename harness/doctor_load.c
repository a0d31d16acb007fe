/*
 * doctor_load.c - the doctor's rules about who else wants the CPUs: now, by the hypervisor, by a
 * quota. Sources: proc(5); the kernel's Documentation/accounting/psi.rst and
 * Documentation/scheduler/sched-bwc.rst.
 */
#include "doctor_rules.h"

#include <stdio.h>
#include <string.h>

/* Thresholds, chosen so that an idle machine stays below: its ticks and daemons take well under 1%
 * of a CPU, and the counters are uncertain by a tick for each CPU. */
#define FOREIGN_SHARE 0.02
#define STEAL_SHARE 0.005
#define PRESSURE_SHARE 0.01
#define LOAD_SHARE 0.1 /* of the CPUs that are online */
#define LOAD_LEAST 0.5

/* More than `share` of the CPUs' time, beyond the error of counting in ticks. */
static bool exceeds(const struct doctor_input *in, double ns, double share)
{
    const struct noise *noise = in->noise;
    double limit = share * (double)noise->wall_ns * in->cpus;
    double error = 2.0 * (double)noise->tick_ns * in->cpus;

    return ns > (limit > error ? limit : error);
}

static double percent(const struct doctor_input *in, double ns)
{
    double whole = (double)in->noise->wall_ns * in->cpus;

    return whole > 0 ? 100 * ns / whole : 0;
}

static void neighbours(const struct doctor_input *in, struct doctor_finding *f)
{
    double foreign;

    if (!in->noise->stat_known) {
        doctor_unknown(f, "%s", in->noise->stat_reason);
        return;
    }
    foreign = in->noise->foreign_ns > 0 ? (double)in->noise->foreign_ns : 0;
    if (!exceeds(in, foreign, FOREIGN_SHARE)) {
        doctor_good(f, "others use %.1f%% of the %d CPUs allowed", percent(in, foreign), in->cpus);
        return;
    }
    doctor_warn(f, "others use %.1f%% of the %d CPUs allowed", percent(in, foreign), in->cpus);
    /* Measured with this harness on a virtual machine with 2 CPUs. */
    doctor_say(f->cost, "A thread that wakes on a busy CPU waits for its neighbour's time slice of "
                        "milliseconds; busy neighbours slowed hand-over between CPUs 2.2 to 2.8 "
                        "times. Samples keep the foreign CPU time that they saw.");
    doctor_say(f->remedy, "Look who it is; stop it or move it to other CPUs.");
    doctor_say(f->command, "ps -eo pcpu,psr,pid,comm --sort=-pcpu | head");
}

static void load(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *online = doctor_fact(in, f, "cpu", "count_online");
    double limit;

    if (!in->noise->load_known) {
        doctor_unknown(f, "%s", in->noise->load_reason);
        return;
    }
    if (!online)
        return;
    limit = LOAD_SHARE * (double)online->number;
    limit = limit < LOAD_LEAST ? LOAD_LEAST : limit;
    if (in->noise->load1 <= limit) {
        doctor_good(f, "load average over one minute: %.2f", in->noise->load1);
        return;
    }
    doctor_warn(f, "load average over one minute: %.2f on %lld CPUs", in->noise->load1,
                (long long)online->number);
    doctor_say(f->cost, "So many tasks were runnable or waited for a disk in the last minute: they "
                        "take CPUs, caches and the turbo clock from what is measured.");
    doctor_say(f->remedy, "End what runs, or wait until it is below %.1f.", limit);
    doctor_say(f->command, "uptime");
}

static void pressure(const struct doctor_input *in, struct doctor_finding *f)
{
    double share;

    if (!in->noise->psi_known) {
        doctor_unknown(f, "%s", in->noise->psi_reason);
        doctor_say(f->remedy,
                   "If the kernel was built with PSI, the kernel parameter psi=1 turns it on.");
        return;
    }
    share =
        in->noise->wall_ns ? (double)in->noise->psi_some_us * 1000 / (double)in->noise->wall_ns : 0;
    if (share <= PRESSURE_SHARE) {
        doctor_good(f, "some task waited for a CPU in %.1f%% of the time", 100 * share);
        return;
    }
    doctor_warn(f, "some task waited for a CPU in %.1f%% of the time", 100 * share);
    doctor_say(f->cost, "There are more runnable tasks than CPUs somewhere on the machine: what "
                        "blocks and wakes queues behind them, and tails grow by time slices.");
    doctor_say(f->remedy, "Look who it is; stop it.");
    doctor_say(f->command, "ps -eo stat,psr,pid,comm | grep ^R");
}

static void steal(const struct doctor_input *in, struct doctor_finding *f)
{
    double ns = (double)in->noise->steal_ns;

    if (!in->noise->stat_known) {
        doctor_unknown(f, "%s", in->noise->stat_reason);
        return;
    }
    if (!exceeds(in, ns, STEAL_SHARE)) {
        doctor_good(f, "the hypervisor took %.1f%% of the CPUs' time", percent(in, ns));
        return;
    }
    doctor_warn(f, "the hypervisor took %.1f%% of the CPUs' time", percent(in, ns));
    doctor_say(f->cost, "Everything timed meanwhile looks longer by what was taken, in gaps of "
                        "milliseconds; a thread stopped with a lock in its hand stops all that "
                        "wait for it. Samples keep the steal that they saw.");
    doctor_say(f->remedy, "Nothing can be done in the virtual machine: the host decides. Use a "
                          "dedicated instance or host, or pinned virtual CPUs, or measure when it "
                          "is quiet.");
}

static void quota(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "limits", "cgroup_cpu_millis"), *allowed;

    if (!fact)
        return;
    if (fact->type == ENV_TEXT) {
        doctor_good(f, "no cgroup quota of CPU time");
        return;
    }
    allowed = doctor_fact(in, f, "cpu", "count_allowed");
    if (!allowed)
        return;
    if (fact->number >= allowed->number * 1000) {
        doctor_good(f, "the cgroup quota allows all %lld CPUs", (long long)allowed->number);
        return;
    }
    doctor_warn(f, "a cgroup quota allows %.2f CPUs of %lld", (double)fact->number / 1000,
                (long long)allowed->number);
    /* sched-bwc.rst: the period is 100 ms by default. */
    doctor_say(f->cost, "When a period's quota is used up, all threads stop until the next period: "
                        "gaps of up to the period, 100 ms by default, in whatever runs then.");
    doctor_say(f->remedy, "As the owner of the group, or by the container's or batch system's "
                          "option (docker run --cpus, CPUQuota=). A limit further up the tree "
                          "counts, too.");
    doctor_say(f->command,
               "echo max | sudo tee /sys/fs/cgroup$(grep ^0: /proc/self/cgroup | cut -d: -f3)/"
               "cpu.max");
}

const struct doctor_rule doctor_load_rules[] = {
    {"neighbours", neighbours}, {"load", load},   {"pressure", pressure},
    {"steal", steal},           {"quota", quota}, {NULL, NULL},
};

/*
 * doctor_cpu.c - the doctor's rules about the processor: clock, siblings, isolation, mitigations,
 * virtualisation, counters. Sources, of the kernel's Documentation: admin-guide/pm/cpufreq.rst,
 * admin-guide/pm/intel_pstate.rst, admin-guide/hw-vuln, admin-guide/kernel-parameters.txt,
 * virt/guest-halt-polling.rst.
 */
#include "doctor_rules.h"

#include <stdio.h>
#include <string.h>

#define CPU "/sys/devices/system/cpu/"
#define HOST_DECIDES "Inside a virtual machine the host decides; ask who runs it."

static void governor(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "frequency", "governor");
    const struct env_fact *low = doctor_known(in, "frequency", "min_hz");
    const struct env_fact *high = doctor_known(in, "frequency", "max_hz");

    if (!fact) {
        if (doctor_virtual(in))
            doctor_say(f->remedy, HOST_DECIDES);
        return;
    }
    if (strcmp(fact->text, "performance") == 0) {
        doctor_good(f, "the frequency governor is performance");
        return;
    }
    doctor_warn(f, "the frequency governor is %s", fact->text);
    if (low && high && low->number > 0)
        doctor_say(f->cost,
                   "The clock follows the load, anywhere from %.1f to %.1f GHz: the same code "
                   "takes up to %.1f times as long until the governor has noticed it, and threads "
                   "that block often keep the clock low.",
                   (double)low->number / 1e9, (double)high->number / 1e9,
                   (double)high->number / (double)low->number);
    else
        doctor_say(f->cost, "The clock follows the load: the same code takes longer until the "
                            "governor has noticed it, and threads that block often keep it low.");
    doctor_say(f->command, "echo performance | sudo tee " CPU "cpu*/cpufreq/scaling_governor");
    if (strcmp(fact->text, "mixed") != 0)
        doctor_say(f->undo, "echo %.40s | sudo tee " CPU "cpu*/cpufreq/scaling_governor",
                   fact->text);
}

static void boost(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "frequency", "boost");
    const struct env_fact *driver = doctor_known(in, "frequency", "driver");
    bool intel;

    if (!fact) {
        if (doctor_virtual(in))
            doctor_say(f->remedy, HOST_DECIDES);
        return;
    }
    if (!fact->number) {
        doctor_good(f, "the turbo clock is off");
        return;
    }
    doctor_warn(f, "the turbo clock is on");
    /* Intel SDM vol. 3, Power and Thermal Management: opportunistic, by power, temperature and
     * active cores. */
    doctor_say(f->cost, "The clock depends on heat and on how many cores are awake: a benchmark of "
                        "two threads runs slower than one of a single thread for that alone, and "
                        "the order of the cells matters.");
    /* intel_pstate's passive mode calls itself intel_cpufreq. */
    intel = driver && strncmp(driver->text, "intel_", 6) == 0;
    doctor_say(f->command, "echo %d | sudo tee " CPU "%s", intel,
               intel ? "intel_pstate/no_turbo" : "cpufreq/boost");
    doctor_say(f->undo, "echo %d | sudo tee " CPU "%s", !intel,
               intel ? "intel_pstate/no_turbo" : "cpufreq/boost");
}

static void smt(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *active = doctor_fact(in, f, "cpu", "smt_active"), *shared;

    if (!active)
        return;
    if (!active->number) {
        if (doctor_virtual(in))
            doctor_good(f, "no sibling threads are shown (whether the host has some is not)");
        else
            doctor_good(f, "each core runs one hardware thread");
        return;
    }
    shared = doctor_fact(in, f, "cpu", "siblings_allowed");
    if (!shared)
        return;
    if (shared->number)
        doctor_warn(f, "%lld of the CPUs allowed share their core with another one of them",
                    (long long)shared->number);
    else
        doctor_warn(f, "the siblings of the CPUs allowed are left to others");
    /* Marr et al., Hyper-Threading Technology Architecture and Microarchitecture, Intel Technology
     * Journal 6(1), 2002: two threads do at most 1.3 times the work of one. */
    doctor_say(f->cost, "Two busy siblings do together up to about 1.3 times the work of one, so "
                        "each runs at two thirds of its speed or less: what runs beside a thread "
                        "decides its time.");
    doctor_say(f->remedy,
               "Turn it off, or keep to one CPU of each core with taskset or --place (`threadlab "
               "list topology` shows which) and keep others off its sibling.");
    doctor_say(f->command, "echo off | sudo tee " CPU "smt/control");
    doctor_say(f->undo, "echo on | sudo tee " CPU "smt/control");
}

static bool has(const char *list, int cpu)
{
    int cpus[1024], n = env_list_cpus(list, cpus, 1024);

    for (int i = 0; i < n && i < 1024; i++)
        if (cpus[i] == cpu)
            return true;
    return false;
}

static void isolation(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *allowed = doctor_fact(in, f, "cpu", "allowed_list");
    const struct env_fact *booted = doctor_fact(in, f, "isolation", "isolcpus");
    const struct env_fact *cpuset = doctor_known(in, "isolation", "cpuset");
    const struct env_fact *tickless = doctor_known(in, "isolation", "nohz_full");
    const struct env_fact *online = doctor_known(in, "cpu", "count_online");
    const char *ours;
    int cpus[1024], n, isolated = 0, ticking = 0;

    if (!allowed || !booted)
        return;
    n = env_list_cpus(allowed->text, cpus, 1024);
    for (int i = 0; i < n && i < 1024; i++) {
        isolated += has(booted->text, cpus[i]) || (cpuset && has(cpuset->text, cpus[i]));
        ticking += !tickless || !has(tickless->text, cpus[i]);
    }
    if (n > 0 && isolated == n) {
        doctor_good(f, "all CPUs allowed (%.60s) are isolated%s", allowed->text,
                    ticking ? "; the timer's tick remains (nohz_full= ends it)" : "");
        return;
    }
    doctor_warn(f, "%d of the %d CPUs allowed (%.60s) are isolated from other work", isolated, n,
                allowed->text);
    doctor_say(f->cost,
               "The scheduler puts daemons, kernel workers and interrupts on the CPUs that "
               "are measured: rare long samples (tails), and threads that are moved. "
               "How far p99 is from the median in `threadlab run --bench floor.syscall` "
               "tells how much.");
    ours = strcmp(booted->text, "none") != 0 ? booted->text : NULL;
    if (!ours && cpuset && strcmp(cpuset->text, "none") != 0)
        ours = cpuset->text;
    if (ours) {
        doctor_say(f->remedy, "CPUs %.80s are isolated: run on them.", ours);
        doctor_say(f->command, "taskset -c %.80s threadlab run", ours);
    } else if (!online || online->number < 2) {
        doctor_say(f->remedy, "With one CPU none can be spared: measure on a bigger machine.");
    } else {
        char rest[32];

        snprintf(rest, sizeof(rest), online->number > 2 ? "1-%lld" : "%lld",
                 (long long)online->number - 1);
        doctor_say(f->remedy,
                   "Boot with the kernel parameters \"isolcpus=managed_irq,domain,%s nohz_full=%s "
                   "irqaffinity=0\" (CPU 0 is left to others; leave its sibling out as well), then "
                   "run on the isolated ones. To undo: take the parameters away.",
                   rest, rest);
        doctor_say(f->command, "taskset -c %s threadlab run", rest);
    }
}

/* Those that make each entry to the kernel or each indirect call dearer; what works only at
 * particular places, or is free in hardware (Enhanced IBRS), is passed over. The words are those of
 * arch/x86/kernel/cpu/bugs.c and arch/arm64/kernel/proton-pack.c. */
static bool dear(const char *state)
{
    static const char *const words[] = {
        "PTI",          "Clear CPU buffers", "Retpoline",       "IBRS", "thunk",
        "BHI: SW loop", "Safe RET",          "IBPB: always-on", "BHB"};

    if (strncmp(state, "Mitigation:", 11) != 0 && !strstr(state, "attempted"))
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const char *at = strstr(state, words[i]);

        if (at && strcmp(words[i], "IBRS") == 0 &&
            (strstr(state, "Enhanced") || strstr(state, "Automatic")))
            continue;
        if (at)
            return true;
    }
    return false;
}

static void mitigations(const struct doctor_input *in, struct doctor_finding *f)
{
    char list[320] = "";
    size_t used = 0;
    int known = 0;

    for (size_t i = 0; i < in->env->n; i++) {
        const struct env_fact *fact = &in->env->facts[i];

        if (strcmp(fact->group, "mitigations") != 0)
            continue;
        if (!fact->known) {
            doctor_unknown(f, "mitigations.%s: %s", fact->key, fact->reason);
            return;
        }
        known++;
        if (dear(fact->text) && used < sizeof(list) - 48)
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%.40s", used ? ", " : "",
                                     fact->key);
    }
    if (!known) {
        doctor_unknown(f, "the kernel lists no vulnerabilities");
        return;
    }
    if (!list[0]) {
        doctor_good(f, "no mitigation makes each system call dearer");
        return;
    }
    doctor_warn(f, "active mitigations of: %s", list);
    /* Behrens, Belay, Kaashoek: Performance Evolution of Mitigating Transient Execution Attacks,
     * EuroSys 2022, the abstract: down by up to 10 times to about 3%. */
    doctor_say(f->cost,
               "Each system call, interrupt and context switch of the kernel pays for them "
               "(work full of system calls: some 30%% on processors of before 2018, 3%% on "
               "newer ones), user-level threads do not: ratios between the two hold for "
               "this setting only. `threadlab run --bench 'floor.s*'` before and after "
               "tells how much. It is right if your users have them, too.");
    doctor_say(f->remedy, "To ask what they cost, and only where nothing untrusted runs: boot with "
                          "the kernel parameter mitigations=off. To undo: take it away.");
}

static void hypervisor(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_fact(in, f, "cpu", "hypervisor");

    if (!fact)
        return;
    if (strcmp(fact->text, "none") == 0) {
        doctor_good(f, "no hypervisor");
        return;
    }
    doctor_warn(f, "this is a virtual machine (%.60s)", fact->text);
    doctor_say(f->cost, "Waking a thread on an idle CPU, timers and page faults may leave to the "
                        "host, so hand-over between CPUs is dearer than on metal and varies with "
                        "neighbours that are not seen. Compare within one machine and one run "
                        "only.");
    if (strncmp(fact->text, "KVM", 3) != 0) {
        doctor_say(f->remedy, "Run on metal; inside, the host decides.");
        return;
    }
    doctor_say(f->remedy,
               "Run on metal; inside, the host decides. Where the guest halts idle CPUs, "
               "polling first avoids exits and interrupts of a wake-up, at the cost of "
               "the host's CPU time:");
    doctor_say(f->command, "sudo modprobe cpuidle_haltpoll force=1");
    doctor_say(f->undo, "sudo modprobe -r cpuidle_haltpoll");
}

static void counters(const struct doctor_input *in, struct doctor_finding *f)
{
    const struct env_fact *fact = doctor_known(in, "kernel", "perf_event_paranoid");

    if (!in->pmu_reason[0]) {
        doctor_good(f, "instructions can be counted");
        return;
    }
    doctor_warn(f, "instructions cannot be counted: %.200s", in->pmu_reason);
    doctor_say(f->cost, "Times stay right, but instructions and cycles for each op are null: "
                        "nothing tells a slower clock from more work.");
    /* admin-guide/sysctl/kernel.rst: above 1 the kernel's side is closed to others than root, and
     * some distributions close everything with 3 and 4. The words are pmu_words.c's. */
    if (fact && strncmp(in->pmu_reason, "perf_event_paranoid is", 22) == 0) {
        doctor_say(f->command, "sudo sysctl kernel.perf_event_paranoid=1");
        doctor_say(f->undo, "sudo sysctl kernel.perf_event_paranoid=%lld", (long long)fact->number);
    }
    if (doctor_virtual(in))
        doctor_say(f->remedy, "Inside a virtual machine the host decides whether there is a PMU "
                              "(KVM: -cpu host,pmu=on).");
}

static void clock_source(const struct doctor_input *in, struct doctor_finding *f)
{
    /* Those that the vDSO reads without a system call. */
    static const char *const fast[] = {"tsc", "arch_sys_counter", "kvm-clock",
                                       "hyperv_clocksource_tsc_page", "timebase"};
    const struct env_fact *fact = doctor_fact(in, f, "kernel", "clocksource");
    const struct env_fact *others = doctor_known(in, "kernel", "clocksources");

    if (!fact)
        return;
    for (size_t i = 0; i < sizeof(fast) / sizeof(fast[0]); i++)
        if (strcmp(fact->text, fast[i]) == 0) {
            doctor_good(f, "the clock source is %s, read without a system call", fact->text);
            return;
        }
    doctor_warn(f, "the clock source is %.60s", fact->text);
    doctor_say(f->cost,
               "Each look at the clock is a system call and a slow register, a microsecond "
               "or so instead of some 20 ns: short ops drown in it. `threadlab run "
               "--bench floor.clock-gettime` tells how much.");
    if (others && (strncmp(others->text, "tsc", 3) == 0 || strstr(others->text, " tsc"))) {
        doctor_say(f->command, "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/"
                               "current_clocksource");
        doctor_say(f->undo,
                   "echo %.60s | sudo tee /sys/devices/system/clocksource/clocksource0/"
                   "current_clocksource",
                   fact->text);
    } else {
        doctor_say(f->remedy, "The kernel does not trust the TSC; it says why. If it is steady "
                              "after all, boot with the kernel parameter tsc=reliable.");
        doctor_say(f->command, "sudo dmesg | grep -i tsc");
    }
}

const struct doctor_rule doctor_cpu_rules[] = {
    {"governor", governor},
    {"boost", boost},
    {"smt", smt},
    {"isolation", isolation},
    {"mitigations", mitigations},
    {"hypervisor", hypervisor},
    {"counters", counters},
    {"clock-source", clock_source},
    {NULL, NULL},
};

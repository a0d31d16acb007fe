/*
 * env_cpu.c - facts about the processor: groups cpu, frequency, mitigations.
 * Sources: proc(5) for /proc/cpuinfo; the kernel's
 * Documentation/ABI/testing/sysfs-devices-system-cpu.
 */
#define _GNU_SOURCE /* sched_getaffinity, CPU_* */
#include "env_read.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define CPU "/sys/devices/system/cpu/"
#define CPUINFO "/proc/cpuinfo"

/* The value of the first "name<blanks>: value" line. */
static bool find_line(const char *info, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);

    for (const char *line = info; line; line = strchr(line, '\n')) {
        const char *colon;

        line += *line == '\n';
        if (strncmp(line, name, length) != 0)
            continue;
        colon = line + length + strspn(line + length, " \t");
        if (*colon != ':')
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(value, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        return true;
    }
    return false;
}

static bool has_flag(const char *flags, const char *flag)
{
    size_t length = strlen(flag);

    for (const char *at = flags; (at = strstr(at, flag)); at += length)
        if ((at == flags || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

static void cpuinfo_facts(struct env_reader *r)
{
    /* The second name is aarch64's. */
    static const struct {
        const char *key, *name, *other;
        bool number;
    } lines[] = {
        {"model", "model name", "Processor", false},
        {"vendor", "vendor_id", "CPU implementer", false},
        {"family", "cpu family", "CPU architecture", true},
        {"model_number", "model", "CPU part", true},
        {"stepping", "stepping", "CPU revision", true},
        {"microcode", "microcode", "microcode", false},
    };
    /* What clocks and context switches depend on. */
    static const char *const flags_of_interest[] = {
        "constant_tsc", "nonstop_tsc", "rdtscp", "fsgsbase", "pcid", "user_shstk", "waitpkg",
    };
    static char info[16384]; /* the first CPU's block */
    char value[ENV_LINE];
    int error = env_slurp(r, CPUINFO, info, sizeof(info));

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (error)
            env_unknown(r, "cpu", lines[i].key, CPUINFO ": %s", strerror(error));
        else if (!find_line(info, lines[i].name, value, sizeof(value)) &&
                 !find_line(info, lines[i].other, value, sizeof(value)))
            env_unknown(r, "cpu", lines[i].key, CPUINFO " has no line \"%s\"", lines[i].name);
        else if (lines[i].number)
            env_number(r, "cpu", lines[i].key, strtoll(value, NULL, 0));
        else
            env_text(r, "cpu", lines[i].key, value);
    }

    if (error || (!find_line(info, "flags", value, sizeof(value)) &&
                  !find_line(info, "Features", value, sizeof(value)))) {
        env_unknown(r, "cpu", "flags_sha256", CPUINFO ": %s",
                    error ? strerror(error) : "no line \"flags\"");
    } else {
        char hex[SHA256_DIGEST_STRING_LENGTH];

        env_text(r, "cpu", "flags_sha256", SHA256Data((const uint8_t *)value, strlen(value), hex));
        for (size_t i = 0; i < sizeof(flags_of_interest) / sizeof(flags_of_interest[0]); i++)
            env_flag(r, "cpu", flags_of_interest[i], has_flag(value, flags_of_interest[i]));
    }
}

static void hypervisor_fact(struct env_reader *r)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    char name[13];

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31)) {
        env_text(r, "cpu", "hypervisor", "none");
        return;
    }
    /* Leaf 40000000H: the hypervisor's signature, by convention of all of them. */
    __cpuid(0x40000000, a, b, c, d);
    memcpy(name, &b, 4);
    memcpy(name + 4, &c, 4);
    memcpy(name + 8, &d, 4);
    name[12] = '\0';
    env_text(r, "cpu", "hypervisor", name[0] ? name : "yes, without a signature");
#else
    env_file_text(r, "cpu", "hypervisor", "/sys/hypervisor/type");
#endif
}

int env_list_cpus(const char *list, int *cpus, int max)
{
    int n = 0;

    if (strcmp(list, "none") == 0)
        return 0;
    while (*list) {
        char *end;
        long from = strtol(list, &end, 10), to = from;

        if (end == list)
            return -1;
        if (*end == '-')
            to = strtol(end + 1, &end, 10);
        if (from < 0 || to < from || to > 1 << 20)
            return -1;
        for (long cpu = from; cpu <= to; cpu++, n++)
            if (n < max)
                cpus[n] = (int)cpu;
        list = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return -1;
    }
    return n;
}

/* How many of the allowed CPUs share their core with another one that is allowed. */
static void sibling_fact(struct env_reader *r, const char *allowed)
{
    enum { MAX = 8192 };
    static int cpus[MAX];
    static bool is_allowed[MAX];
    int n = env_list_cpus(allowed, cpus, MAX), shared = 0;

    memset(is_allowed, 0, sizeof(is_allowed));
    for (int i = 0; i < n; i++)
        is_allowed[cpus[i]] = true;
    for (int i = 0; i < n; i++) {
        char path[96], list[256];
        int siblings[16], error, found;
        bool another = false;

        snprintf(path, sizeof(path), CPU "cpu%d/topology/thread_siblings_list", cpus[i]);
        error = env_slurp(r, path, list, sizeof(list));
        found = error ? -1 : env_list_cpus(list, siblings, 16);
        if (found < 0) {
            env_unknown(r, "cpu", "siblings_allowed", "%.80s: %s", path,
                        error ? strerror(error) : "not a list");
            return;
        }
        for (int k = 0; k < found && k < 16; k++)
            another |= siblings[k] != cpus[i] && siblings[k] < MAX && is_allowed[siblings[k]];
        shared += another;
    }
    env_number(r, "cpu", "siblings_allowed", shared);
}

static void count_facts(struct env_reader *r)
{
    enum { MAX = 8192 };
    char list[ENV_LINE] = "";
    int error = env_slurp(r, CPU "online", list, sizeof(list)), n = 0;
    size_t used = 0, bytes = CPU_ALLOC_SIZE(MAX);
    cpu_set_t *set = CPU_ALLOC(MAX);

    if (error || env_list_cpus(list, NULL, 0) < 0)
        env_unknown(r, "cpu", "count_online", CPU "online: %s",
                    error ? strerror(error) : "not a list");
    else
        env_number(r, "cpu", "count_online", env_list_cpus(list, NULL, 0));

    if (!set || sched_getaffinity(0, bytes, set) != 0) {
        error = set ? errno : ENOMEM;
        env_unknown(r, "cpu", "count_allowed", "sched_getaffinity: %s", strerror(error));
        env_unknown(r, "cpu", "allowed_list", "sched_getaffinity: %s", strerror(error));
        env_unknown(r, "cpu", "siblings_allowed", "sched_getaffinity: %s", strerror(error));
        goto out;
    }
    list[0] = '\0';
    for (int i = 0; i < MAX; i++) {
        int last = i;

        if (!CPU_ISSET_S((size_t)i, bytes, set))
            continue;
        while (last + 1 < MAX && CPU_ISSET_S((size_t)last + 1, bytes, set))
            last++;
        if (used < sizeof(list) - 32)
            used += (size_t)sprintf(list + used, "%s%d", used ? "," : "", i);
        if (last > i && used < sizeof(list) - 32)
            used += (size_t)sprintf(list + used, "-%d", last);
        n += last - i + 1;
        i = last;
    }
    env_number(r, "cpu", "count_allowed", n);
    env_text(r, "cpu", "allowed_list", list);
    sibling_fact(r, list);
out:
    if (set)
        CPU_FREE(set);
}

/* The caches of cpu0: "size" is "32K". */
static void cache_facts(struct env_reader *r)
{
    static const struct {
        const char *key, *level, *type;
    } caches[] = {
        {"l1d_bytes", "1", "Data"},
        {"l1i_bytes", "1", "Instruction"},
        {"l2_bytes", "2", "Unified"},
        {"l3_bytes", "3", "Unified"},
    };

    for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
        bool found = false;

        for (int index = 0; index < 16 && !found; index++) {
            char path[128], level[16], type[32], size[32];
            char *unit;
            int64_t bytes;

            snprintf(path, sizeof(path), CPU "cpu0/cache/index%d/level", index);
            if (env_slurp(r, path, level, sizeof(level)))
                break;
            snprintf(path, sizeof(path), CPU "cpu0/cache/index%d/type", index);
            if (env_slurp(r, path, type, sizeof(type)) || strcmp(level, caches[i].level) != 0 ||
                strcmp(type, caches[i].type) != 0)
                continue;
            snprintf(path, sizeof(path), CPU "cpu0/cache/index%d/size", index);
            if (env_slurp(r, path, size, sizeof(size)))
                continue;
            bytes = strtoll(size, &unit, 10);
            bytes *= *unit == 'K' ? 1024 : *unit == 'M' ? 1024 * 1024 : 1;
            env_number(r, "cpu", caches[i].key, bytes);
            found = true;
        }
        if (!found)
            env_unknown(r, "cpu", caches[i].key, CPU "cpu0/cache has no such cache");
    }
}

static void frequency_facts(struct env_reader *r)
{
    char text[64], first[64], path[128];
    int error = env_slurp(r, CPU "cpu0/cpufreq/scaling_governor", first, sizeof(first));
    bool mixed = false;

    /* CPUs without the file (offline, or beyond the last) are passed over. */
    for (int i = 1; i < 1024 && !error; i++) {
        snprintf(path, sizeof(path), CPU "cpu%d/cpufreq/scaling_governor", i);
        mixed |= env_slurp(r, path, text, sizeof(text)) == 0 && strcmp(text, first) != 0;
    }
    if (error)
        env_unknown(r, "frequency", "governor", CPU "cpu0/cpufreq/scaling_governor: %s",
                    strerror(error));
    else
        env_text(r, "frequency", "governor", mixed ? "mixed" : first);
    env_file_text(r, "frequency", "driver", CPU "cpu0/cpufreq/scaling_driver");
    env_file_text(r, "frequency", "energy_preference",
                  CPU "cpu0/cpufreq/energy_performance_preference");
    env_file_number(r, "frequency", "min_hz", CPU "cpu0/cpufreq/scaling_min_freq", 1000);
    env_file_number(r, "frequency", "max_hz", CPU "cpu0/cpufreq/scaling_max_freq", 1000);
    if (env_slurp(r, CPU "cpufreq/boost", text, sizeof(text)) == 0)
        env_flag(r, "frequency", "boost", strcmp(text, "0") != 0);
    else if ((error = env_slurp(r, CPU "intel_pstate/no_turbo", text, sizeof(text))) == 0)
        env_flag(r, "frequency", "boost", strcmp(text, "0") == 0);
    else
        env_unknown(r, "frequency", "boost", "neither cpufreq/boost nor intel_pstate/no_turbo: %s",
                    strerror(error));
    env_file_text(r, "frequency", "idle_driver", CPU "cpuidle/current_driver");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void mitigation_facts(struct env_reader *r)
{
    char path[PATH_MAX];
    struct dirent **entries;
    int n;

    snprintf(path, sizeof(path), "%s" CPU "vulnerabilities", r->root);
    n = scandir(path, &entries, visible, by_name);
    if (n < 0) {
        env_unknown(r, "mitigations", "all", CPU "vulnerabilities: %s", strerror(errno));
        return;
    }
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), CPU "vulnerabilities/%s", entries[i]->d_name);
        env_file_text(r, "mitigations", entries[i]->d_name, path);
        free(entries[i]);
    }
    free(entries);
}

void env_cpu_facts(struct env_reader *r)
{
    char text[16];
    int error;

    cpuinfo_facts(r);
    hypervisor_fact(r);
    count_facts(r);
    env_file_text(r, "cpu", "smt", CPU "smt/control");
    error = env_slurp(r, CPU "smt/active", text, sizeof(text));
    if (error)
        env_unknown(r, "cpu", "smt_active", CPU "smt/active: %s", strerror(error));
    else
        env_flag(r, "cpu", "smt_active", strcmp(text, "1") == 0);
    cache_facts(r);
    frequency_facts(r);
    mitigation_facts(r);
}

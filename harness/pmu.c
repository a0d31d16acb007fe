/*
 * pmu.c - see pmu.h. The only file that includes libpfm4; tracepoints are in pmu_trace.c,
 * the words for what went wrong in pmu_words.c.
 *
 * libpfm4 turns a name into a perf_event_attr; perf_event_open(2) does the rest. An inherited event
 * cannot be read as a group (PERF_FORMAT_GROUP), so each is read alone, but events that belong
 * together are still opened as a group: the kernel then puts them on the PMU at the same time, and
 * one ioctl starts them all. Groups:
 *   - all software events and tracepoints: they need no hardware, so they never wait for it;
 *   - cycles and instructions of the same privilege: a pair every PMU has room for;
 *   - any other hardware event alone: a larger group might never fit.
 */
#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT */
#include "pmu.h"

#include "pmu_trace.h"
#include "pmu_words.h"

#include <perfmon/pfmlib_perf_event.h>

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum family { SOFTWARE, PAIR, ALONE };

struct event {
    struct pmu_count count; /* name, and reason once something failed */
    struct perf_event_attr attr;
    enum family family;
    int fd;     /* -1: not open */
    int leader; /* index of the group's leader; its own index if it leads */
};

/* Invariant: a leader is open, has a smaller index than its members, and leads itself. */
struct pmu_set {
    size_t n;
    bool started;
    struct event events[];
};

static const char *const defaults[] = {
    "task-clock", "context-switches", "cpu-migrations", "page-faults",    "raw_syscalls:sys_enter",
    "cycles:u",   "cycles:k",         "instructions:u", "instructions:k", NULL,
};

const char *const *pmu_default_events(void)
{
    return defaults;
}

static int library_init(void)
{
    static bool done;
    static int result;

    if (!done) {
        result = pfm_initialize();
        done = true;
    }
    return result;
}

const char *pmu_library_version(void)
{
    static char text[32];
    int version = pfm_get_version();
    void *symbol = dlsym(RTLD_DEFAULT, "pfm_initialize");
    char path[PATH_MAX];
    const char *at = NULL;
    Dl_info info;

    /* pfm_get_version has said 4.0 since 2009; the file's name tells the release. */
    if (symbol && dladdr(symbol, &info) && info.dli_fname && realpath(info.dli_fname, path))
        at = strstr(path, ".so.");
    if (at && isdigit((unsigned char)at[4]) && strchr(at + 4, '.'))
        snprintf(text, sizeof(text), "%.31s", at + 4);
    else
        snprintf(text, sizeof(text), "%d.%d (API)", PFM_MAJ_VERSION(version),
                 PFM_MIN_VERSION(version));
    return text;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Calls visit for the events of one PMU as they are written on the command line: perf's generic
 * ones by their short names in lower case, the others once per unit mask. */
static int visit_pmu(const pfm_pmu_info_t *pmu,
                     int (*visit)(const char *name, const char *help, void *arg), void *arg)
{
    bool generic = pmu->pmu == PFM_PMU_PERF_EVENT;
    int stop = 0;

    for (int i = pmu->first_event; i != -1 && !stop; i = pfm_get_event_next(i)) {
        pfm_event_info_t event = {.size = sizeof(event)};
        char name[PMU_NAME_SIZE];
        int masks = 0, n;

        if (pfm_get_event_info(i, PFM_OS_PERF_EVENT, &event) != PFM_SUCCESS)
            continue;
        if (generic && !event.equiv)
            continue; /* PERF_COUNT_...: each has a short name */
        for (int a = 0; a < event.nattrs && !generic && !stop; a++) {
            pfm_event_attr_info_t attr = {.size = sizeof(attr)};

            if (pfm_get_event_attr_info(i, a, PFM_OS_PERF_EVENT, &attr) != PFM_SUCCESS ||
                attr.type != PFM_ATTR_UMASK)
                continue;
            n = snprintf(name, sizeof(name), "%s:%s", event.name, attr.name);
            masks++;
            if (n < (int)sizeof(name))
                stop = visit(name, attr.desc ? attr.desc : event.desc, arg);
        }
        n = snprintf(name, sizeof(name), "%s", event.name);
        if (masks || n >= (int)sizeof(name))
            continue;
        for (char *c = name; *c && generic; c++)
            *c = (char)tolower((unsigned char)*c);
        stop = visit(name, generic ? event.equiv : event.desc, arg);
    }
    return stop;
}

static int open_event(struct perf_event_attr *attr, int group)
{
    return (int)syscall(SYS_perf_event_open, attr, 0, -1, group, PERF_FLAG_FD_CLOEXEC);
}

/* Does the kernel drive the PMU of the CPU? libpfm4 only looks at the CPU's model. */
static bool kernel_has_pmu(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_HW_CPU_CYCLES,
                                   .disabled = 1,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    int fd = open_event(&attr, -1);

    if (fd >= 0)
        close(fd);
    return fd >= 0 || (errno != ENOENT && errno != EOPNOTSUPP && errno != ENODEV);
}

static int visit_library(bool offered_only,
                         int (*visit)(const char *name, const char *help, void *arg), void *arg)
{
    bool core = !offered_only || kernel_has_pmu();
    int stop = 0;

    if (library_init() != PFM_SUCCESS)
        return 0;
    for (int p = PFM_PMU_NONE; p < PFM_PMU_MAX && !stop; p++) {
        pfm_pmu_info_t pmu = {.size = sizeof(pmu)};

        if (pfm_get_pmu_info((pfm_pmu_t)p, &pmu) != PFM_SUCCESS || !pmu.is_present)
            continue;
        /* Of perf_raw (rXXXX) there is nothing to list. Counters of a package cannot be counted for
         * a process. */
        if (pmu.pmu == PFM_PMU_PERF_EVENT || (pmu.type == PFM_PMU_TYPE_CORE && core))
            stop = visit_pmu(&pmu, visit, arg);
    }
    return stop;
}

int pmu_list(bool tracepoints, int (*visit)(const char *name, const char *help, void *arg),
             void *arg)
{
    int stop = visit_library(true, visit, arg);

    if (!stop && tracepoints)
        stop = pmu_trace_list(visit, arg);
    return stop;
}

/* All that can be meant; pmu_words compares. */
static int visit_all(int (*visit)(const char *name, const char *help, void *arg), void *arg)
{
    int stop = visit_library(false, visit, arg);

    return stop ? stop : pmu_trace_list(visit, arg);
}

static int library_error(const char *name, int error, char *reason, size_t size)
{
    const char *colon = strchr(name, ':');

    switch (error) {
    case PFM_ERR_NOTFOUND:
        pmu_words_unknown(name, visit_all, reason, size);
        return EINVAL;
    case PFM_ERR_ATTR:
    case PFM_ERR_ATTR_VAL:
    case PFM_ERR_ATTR_SET:
    case PFM_ERR_UMASK:
    case PFM_ERR_FEATCOMB:
        snprintf(reason, size, "%.63s: \"%.40s\" is not a modifier (u, k) or unit mask of it: %s",
                 name, colon ? colon + 1 : "", pfm_strerror(error));
        return EINVAL;
    default:
        snprintf(reason, size, "%.63s: libpfm4: %s", name, pfm_strerror(error));
        return error == PFM_ERR_NOMEM ? ENOMEM : ENOTSUP;
    }
}

/* Fills in attr and family. Returns 0, EINVAL (no such event) or why it cannot be known. */
static int resolve(const char *name, struct event *event, char *reason, size_t size)
{
    struct perf_event_attr *attr = &event->attr;
    pfm_perf_encode_arg_t arg = {.attr = attr, .size = sizeof(arg)};
    uint64_t id = 0;
    int error;

    memset(attr, 0, sizeof(*attr));
    attr->size = sizeof(*attr);
    for (const char *c = name; *c; c++)
        if (!isgraph((unsigned char)*c)) {
            snprintf(reason, size, "an event's name has no spaces or control characters");
            return EINVAL;
        }
    if (!name[0] || strlen(name) >= PMU_NAME_SIZE) {
        snprintf(reason, size, "an event's name has 1 to %d characters", PMU_NAME_SIZE - 1);
        return EINVAL;
    }

    error = library_init();
    if (error == PFM_SUCCESS)
        error = pfm_get_os_event_encoding(name, PFM_PLM0 | PFM_PLM3, PFM_OS_PERF_EVENT, &arg);
    if (error != PFM_SUCCESS && pmu_trace_form(name)) {
        int missing = pmu_trace_id(name, &id, reason, size);

        if (missing && missing != EINVAL && error == PFM_ERR_NOTFOUND)
            return missing;
        if (!missing) {
            memset(attr, 0, sizeof(*attr));
            attr->size = sizeof(*attr);
            attr->type = PERF_TYPE_TRACEPOINT;
            attr->config = id;
            error = PFM_SUCCESS;
        }
    }
    if (error != PFM_SUCCESS)
        return library_error(name, error, reason, size);

    if (attr->exclude_user && attr->exclude_kernel) {
        snprintf(reason, size, "%.63s excludes both user and kernel: it would count nothing", name);
        return EINVAL;
    }
    event->family = ALONE;
    if (attr->type == PERF_TYPE_SOFTWARE || attr->type == PERF_TYPE_TRACEPOINT)
        event->family = SOFTWARE;
    else if (attr->type == PERF_TYPE_HARDWARE && (attr->config == PERF_COUNT_HW_CPU_CYCLES ||
                                                  attr->config == PERF_COUNT_HW_INSTRUCTIONS))
        event->family = PAIR;

    if (attr->type == PERF_TYPE_SOFTWARE) {
        switch (attr->config) {
        case PERF_COUNT_SW_CPU_CLOCK:
        case PERF_COUNT_SW_TASK_CLOCK:
            /* They count time, in user and kernel alike, whatever is excluded. Asking for less
             * needs no privilege; asking for a part would get the whole. */
            if (attr->exclude_user || attr->exclude_kernel) {
                snprintf(reason, size, "%.63s: time cannot be split by privilege: no :u or :k",
                         name);
                return EINVAL;
            }
            attr->exclude_kernel = attr->exclude_hv = 1;
            break;
        case PERF_COUNT_SW_CONTEXT_SWITCHES:
        case PERF_COUNT_SW_CPU_MIGRATIONS:
        case PERF_COUNT_SW_CGROUP_SWITCHES:
            if (attr->exclude_kernel) {
                snprintf(reason, size,
                         "%.63s: it happens in the kernel, so :u would count nothing: drop the :u",
                         name);
                return EINVAL;
            }
            break;
        }
    }
    attr->disabled = 1;
    attr->inherit = 1;
    attr->read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    return 0;
}

static void open_error(const struct perf_event_attr *attr, int error, char *reason, size_t size)
{
    bool hardware = attr->type != PERF_TYPE_SOFTWARE && attr->type != PERF_TYPE_TRACEPOINT;

    pmu_words_refused(error,
                      &(struct pmu_asked){
                          .hardware = hardware,
                          .own_pmu = attr->type > PERF_TYPE_BREAKPOINT,
                          .kernel = !attr->exclude_kernel,
                          .pmu_present = hardware && kernel_has_pmu(),
                      },
                      reason, size);
}

int pmu_check(const char *name, char *reason, size_t size)
{
    struct event event = {.fd = -1};
    int error;

    if (size)
        reason[0] = '\0';
    error = resolve(name, &event, reason, size);
    if (error)
        return error;
    event.fd = open_event(&event.attr, -1);
    if (event.fd < 0) {
        error = errno;
        open_error(&event.attr, error, reason, size);
        /* The name is right: EINVAL is kept for one that is not. */
        return error == EINVAL ? ENOTSUP : error;
    }
    close(event.fd);
    return 0;
}

/* ---- sets ------------------------------------------------------------------------------------ */

/* The open leader that this event may join, or -1. */
static int find_leader(const struct pmu_set *set, size_t i)
{
    const struct event *event = &set->events[i];

    if (event->family == ALONE)
        return -1;
    for (size_t j = 0; j < i; j++) {
        const struct event *other = &set->events[j];

        if (other->fd < 0 || other->leader != (int)j || other->family != event->family)
            continue;
        if (event->family == SOFTWARE)
            return (int)j;
        if (other->attr.exclude_user == event->attr.exclude_user &&
            other->attr.exclude_kernel == event->attr.exclude_kernel &&
            other->attr.config != event->attr.config)
            return (int)j;
    }
    return -1;
}

_Static_assert(sizeof(struct perf_event_attr) <= sizeof(((struct pmu_code *)0)->attr),
               "room for what the kernel takes");

void pmu_encode(const char *name, struct pmu_code *code)
{
    struct event event = {.fd = -1};

    memset(code, 0, sizeof(*code));
    snprintf(code->event, sizeof(code->event), "%s", name);
    if (resolve(name, &event, code->reason, sizeof(code->reason)) == 0)
        code->reason[0] = '\0';
    code->family = (int)event.family;
    memcpy(code->attr, &event.attr, sizeof(event.attr));
}

struct pmu_set *pmu_open(const struct pmu_code *codes, size_t n)
{
    struct pmu_set *set = calloc(1, sizeof(*set) + n * sizeof(set->events[0]));

    if (!set)
        return NULL;
    set->n = n;
    for (size_t i = 0; i < n; i++) {
        struct event *event = &set->events[i];
        int leader;

        event->fd = -1;
        snprintf(event->count.event, sizeof(event->count.event), "%s", codes[i].event);
        snprintf(event->count.reason, sizeof(event->count.reason), "%s", codes[i].reason);
        if (codes[i].reason[0])
            continue;
        memcpy(&event->attr, codes[i].attr, sizeof(event->attr));
        event->family = (enum family)codes[i].family;
        leader = find_leader(set, i);
        event->leader = leader < 0 ? (int)i : leader;
        /* A member follows its leader. Opened disabled and enabled later, as PERF_IOC_FLAG_GROUP
         * would, it was seen to count nothing until the next context switch (Linux 6.18). */
        event->attr.disabled = leader < 0;
        event->fd = open_event(&event->attr, leader < 0 ? -1 : set->events[leader].fd);
        if (event->fd < 0 && leader >= 0) {
            event->leader = (int)i;
            event->attr.disabled = 1;
            event->fd = open_event(&event->attr, -1);
        }
        if (event->fd < 0)
            open_error(&event->attr, errno, event->count.reason, sizeof(event->count.reason));
        else
            event->count.reason[0] = '\0';
    }
    return set;
}

/* One ioctl per group, to its leader. The events of the hardware first, the software ones last, and
 * in the reverse order when stopping: so sys_enter sees one call of ours (the one that stops it).
 */
static void switch_groups(struct pmu_set *set, unsigned long request, bool software)
{
    for (size_t i = 0; i < set->n; i++) {
        struct event *event = &set->events[i];

        if (event->fd < 0 || event->leader != (int)i || (event->family == SOFTWARE) != software)
            continue;
        if (ioctl(event->fd, request, 0) != 0)
            snprintf(event->count.reason, sizeof(event->count.reason), "ioctl: %s",
                     strerror(errno));
    }
}

void pmu_start(struct pmu_set *set)
{
    set->started = true;
    switch_groups(set, PERF_EVENT_IOC_ENABLE, false);
    switch_groups(set, PERF_EVENT_IOC_ENABLE, true);
}

void pmu_stop(struct pmu_set *set)
{
    switch_groups(set, PERF_EVENT_IOC_DISABLE, true);
    switch_groups(set, PERF_EVENT_IOC_DISABLE, false);
}

/* struct read_format of perf_event_open(2) with both times asked for. */
struct reading {
    uint64_t value, enabled, running;
};

static void read_event(const struct pmu_set *set, struct event *event, struct pmu_count *out)
{
    struct reading reading;
    ssize_t got;

    *out = event->count;
    if (event->fd < 0)
        return;
    /* An ioctl that failed on the leader failed for the whole group. */
    if (!out->reason[0])
        memcpy(out->reason, set->events[event->leader].count.reason, sizeof(out->reason));
    if (out->reason[0])
        return;
    got = read(event->fd, &reading, sizeof(reading));
    if (got != (ssize_t)sizeof(reading))
        snprintf(out->reason, sizeof(out->reason), "read: %s",
                 got < 0 ? strerror(errno) : "short count (the group was never scheduled)");
    else if (!set->started)
        snprintf(out->reason, sizeof(out->reason), "counting was never started");
    else if (reading.running == 0)
        snprintf(out->reason, sizeof(out->reason),
                 "it never got a counter: others, or the NMI watchdog, hold them all");
    else {
        out->available = true;
        out->value = reading.value;
        out->enabled_ns = reading.enabled;
        out->running_ns = reading.running;
    }
}

void pmu_read(struct pmu_set *set, struct pmu_count *out)
{
    for (size_t i = 0; i < set->n; i++)
        read_event(set, &set->events[i], &out[i]);
}

void pmu_close(struct pmu_set *set)
{
    if (!set)
        return;
    for (size_t i = set->n; i-- > 0;)
        if (set->events[i].fd >= 0)
            close(set->events[i].fd);
    free(set);
}

/*
 * pmu.h - counting events of a cell. pmu.c is the only file that includes libpfm4.
 *
 * Every event is asked for by a libpfm4 name ("instructions:u", "cycles:k", "context-switches"), or
 * by a tracepoint's name ("raw_syscalls:sys_enter"). What cannot be counted says why, in the
 * kernel's words where it has any: never 0 for "could not count".
 *
 * Events are opened for the calling process with inherit, so threads and children created later
 * are counted. An inherited counter makes thread creation and context switches dearer: a set is
 * therefore opened for a counting pass of its own, never while a timed batch runs.
 */
#ifndef HARNESS_PMU_H
#define HARNESS_PMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PMU_MAX_EVENTS 32
#define PMU_NAME_SIZE 64
#define PMU_REASON_SIZE 160

struct pmu_count {
    char event[PMU_NAME_SIZE];
    char reason[PMU_REASON_SIZE];    /* why there is no value; "" if there is one */
    bool available;                  /* value, enabled_ns and running_ns mean something */
    uint64_t value;                  /* raw: not scaled for multiplexing */
    uint64_t enabled_ns, running_ns; /* running < enabled: the counter was multiplexed; a reader
                                      * that scales value by the quotient marks it as scaled */
};

/* Is that the name of an event? Returns 0; EINVAL: no, with the nearest names in one line in
 * `reason`; another error number: a valid name that this machine cannot count now (ENOENT: no PMU;
 * EACCES, EPERM: perf_event_paranoid; ...), with the kernel's reason and the remedy. */
int pmu_check(const char *name, char *reason, size_t size);

/* The events counted when the user names none: NULL-terminated, static. */
const char *const *pmu_default_events(void);

/* Calls visit for every event name that libpfm4 and the kernel know on this machine (the hardware
 * PMUs present, perf's generic ones, tracepoints only when asked for). Stops when visit returns
 * non-zero and returns that. */
int pmu_list(bool tracepoints, int (*visit)(const char *name, const char *help, void *arg),
             void *arg);

/* An event's name turned into what the kernel takes. Plain data: the driver encodes once and hands
 * it to its cells, because the first use of libpfm4 in a process takes 10 ms. */
struct pmu_code {
    char event[PMU_NAME_SIZE];
    char reason[PMU_REASON_SIZE];        /* why it could not be encoded; "" if it was */
    int family;                          /* pmu.c's: which events share a group */
    _Alignas(8) unsigned char attr[192]; /* struct perf_event_attr */
};

/* Fills in *code; a name that cannot be encoded has its reason there. */
void pmu_encode(const char *name, struct pmu_code *code);

/* Opens the events for the calling process and its future threads and children. Never fails as a
 * whole: an event that cannot be opened gets its reason. Returns NULL only when out of memory. */
struct pmu_set;
struct pmu_set *pmu_open(const struct pmu_code *codes, size_t n);
/* Counts add up over several pairs of start and stop. sys_enter sees one call of ours per pair. */
void pmu_start(struct pmu_set *set);
void pmu_stop(struct pmu_set *set);
/* Fills out[0..n-1], in the order of the names. */
void pmu_read(struct pmu_set *set, struct pmu_count *out);
void pmu_close(struct pmu_set *set); /* NULL: nothing to do */

/* The version of libpfm4 that is in use, "4.13". */
const char *pmu_library_version(void);

#endif

/*
 * pmu_words.h - what pmu.c says when it cannot count: the nearest names of an unknown event, and
 * the remedy for each error of perf_event_open(2). Each is one line that fits PMU_REASON_SIZE.
 */
#ifndef HARNESS_PMU_WORDS_H
#define HARNESS_PMU_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Calls visit for every name there is (as pmu_list does). */
typedef int pmu_each(int (*visit)(const char *name, const char *help, void *arg), void *arg);

/* "cyclse:u" -> unknown event "cyclse:u"; nearest: cycles:u, ... */
void pmu_words_unknown(const char *name, pmu_each *each, char *reason, size_t size);

/* What was asked of the kernel, as far as the words depend on it. */
struct pmu_asked {
    bool hardware;    /* neither a software event nor a tracepoint */
    bool own_pmu;     /* of a PMU with a number of its own: perhaps not of the CPU */
    bool kernel;      /* kernel mode is included */
    bool pmu_present; /* the kernel drives a PMU; for hardware events */
};
void pmu_words_refused(int error, const struct pmu_asked *asked, char *reason, size_t size);

#endif

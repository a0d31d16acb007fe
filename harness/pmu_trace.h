/*
 * pmu_trace.h - the kernel's tracepoints by name, read from tracefs (for pmu.c). libpfm4 finds them
 * only in debugfs, and only when it was mounted before the library was initialised.
 */
#ifndef HARNESS_PMU_TRACE_H
#define HARNESS_PMU_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Has it the form of a tracepoint's name, "system:event"? Modifiers (":u") have not. */
bool pmu_trace_form(const char *name);

/* Returns 0 with the number for perf_event_attr.config; EINVAL: there is no such tracepoint;
 * another error number: tracefs cannot be read, with the remedy in reason. */
int pmu_trace_id(const char *name, uint64_t *id, char *reason, size_t size);

/* Calls visit for each "system:event" until it returns non-zero, and returns that; 0 also where
 * tracefs cannot be read. */
int pmu_trace_list(int (*visit)(const char *name, const char *help, void *arg), void *arg);

#endif

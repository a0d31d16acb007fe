/*
 * check_gate.h - the verdict gates the number: before a run measures, it checks the properties that
 * its benchmarks rest on, in each implementation, with the very parameters that will be measured.
 */
#ifndef HARNESS_CHECK_GATE_H
#define HARNESS_CHECK_GATE_H

#include "check_plan.h"
#include "plan.h"

struct check_gate {
    struct check_plan plan; /* each property once for each implementation and set of parameters */
};

/* Collects what the plan's cells that can run rest on. Returns 0 or ENOMEM. check_plan_free(&gate->
 * plan) frees it. */
int check_gate_make(const struct plan *plan, const struct place_topology *topology,
                    struct check_gate *gate);

/* Calls each(property, arg) for every property that the cell rests on and that did not pass:
 * failed, crashed, hung, or not checked because no such check is linked in. What the implementation
 * does not offer is not held against it. Returns how many there are. each may be NULL. */
size_t check_gate_unsafe(const struct check_gate *gate, const struct cell_spec *spec,
                         void (*each)(const char *property, void *arg), void *arg);

#endif

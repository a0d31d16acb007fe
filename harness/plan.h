/*
 * plan.h - request x registry x topology -> the cells of a run, in the order to run them. Pure: no
 * process, no clock, no file.
 */
#ifndef HARNESS_PLAN_H
#define HARNESS_PLAN_H

#include "cell.h"
#include "cli.h"
#include "place.h"

struct plan {
    struct cell_spec *cells; /* sorted by key; keys are unique */
    size_t n;
    int rounds;
    uint64_t seed;
    uint64_t budget_ns;
};

/* What the kernel allows; a plan for threads beyond it says so instead of trying. */
struct plan_limits {
    uint64_t kernel_threads; /* alive at once in one process; 0: unknown, no limit assumed */
    char which[64];          /* the limit that is the lowest: "kernel.pid_max=32768" */
};

/* Makes the plan; plan_free frees it. Returns 0; EINVAL with one line in error (unknown name, value
 * out of the axis, malformed policy, nothing selected); ENOMEM. */
int plan_make(const struct request *request, const struct place_topology *topology,
              const struct plan_limits *limits, struct plan *plan, char *error, size_t size);
void plan_free(struct plan *plan);

/* The order of one round: order[0..n-1] are indexes into cells, shuffled by (seed, round) after
 * Fisher and Yates (Durstenfeld 1964). */
void plan_order(const struct plan *plan, int round, size_t *order);

/* "64k" -> 65536, "1M" -> 1048576; false: not an integer with an optional k, M, G. Negative and
 * overflowing ones are not. */
bool plan_integer(const char *text, int64_t *value);

#endif

/*
 * check_plan.h - implementations x properties -> what to check. Pure: no process, no file.
 */
#ifndef HARNESS_CHECK_PLAN_H
#define HARNESS_CHECK_PLAN_H

#include "cell.h"
#include "check.h"
#include "cli.h"

/* How a check of one implementation is to end; see expect.h. */
enum check_expect {
    EXPECT_PROMISED, /* nothing is known of it: what is supported has to pass */
    EXPECT_PASS,     /* and be supported */
    EXPECT_FAIL,     /* or crash, or hang */
    EXPECT_UNSUPPORTED,
    EXPECT_ANY /* depends on the machine */
};

/* One check of one implementation, and, once it was run, how it ended. */
struct check_case {
    const struct tl_check *check;
    const struct tl_impl *impl;
    const struct tl_mutant *mutant; /* NULL: sound */
    struct cell_value params[CELL_VALUES];
    int nparams;
    char refused[256]; /* not "": unsupported, known without running it, and why */
    bool excused;      /* the PUs, or values that were asked for, are why, whatever is expected */
    uint64_t seed;
    uint64_t deadline_ns;
    uint64_t
        not_after_ns; /* it does not begin later (CLOCK_MONOTONIC), and is not done; 0: always */
    uint64_t without[CELL_PARTS / 64]; /* parts of its program that are left out */
    enum check_expect expect;
    const char *expect_why; /* NULL: none was given */

    bool done;
    enum tl_status status;
    char reason[CELL_REASON];
    char signal[16];
    char *notes; /* malloc'd; NULL: it said nothing */
    uint64_t wall_ns;
};

struct check_plan {
    struct check_case *cases; /* by implementation, group and name */
    size_t n;
    struct place place; /* of all of them */
    uint64_t seed;
};

/* The case of one check: parameters (defaults, then the check's own, then `given`), refusal. given:
 * what the caller fixes, ngiven of them; a name that the implementation lacks is left out. */
void check_case_make(const struct tl_impl *impl, const struct tl_check *check,
                     const struct cell_value *given, int ngiven, unsigned pus, uint64_t seed,
                     struct check_case *c);

/* What each plan of `threadlab check` begins with: names of implementations, values that are given
 * (CELL_VALUES + 1 of them; request->nsets are filled), the place, of `pus` PUs at most. No cases
 * yet. Returns 0; EINVAL with one line in error; ENOMEM. */
int check_plan_begin(const struct request *request, const struct place_topology *topology, int pus,
                     struct check_plan *plan, struct cell_value *given, char *error, size_t size);

/* Makes the plan of `threadlab check`; check_plan_free frees it. Returns 0; EINVAL with one line in
 * error (unknown name, value that no implementation knows); ENOMEM. */
int check_plan_make(const struct request *request, const struct place_topology *topology,
                    struct check_plan *plan, char *error, size_t size);
void check_plan_free(struct check_plan *plan);
void check_plan_sort(struct check_plan *plan); /* by implementation, group and name */

/* Stands for the kernel in checks that are asked of it: its name is "-". */
extern const struct tl_impl check_kernel;

/* The implementation runs no two threads at once: the control, which must fail. */
bool check_is_control(const struct tl_impl *impl);

/* It ended as it is expected to: a sound one passes, or as the file of expectations has it; the
 * control fails what needs concurrency. */
bool check_as_expected(const struct check_case *c);

#endif

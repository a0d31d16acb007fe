/* check_print.h - results of checks for people and for CI: TAP 13, JUnit XML. */
#ifndef HARNESS_CHECK_PRINT_H
#define HARNESS_CHECK_PRINT_H

#include "check_plan.h"

/* "pass", "fail", "unsupported", "crashed", "hung", "invalid". Static. */
const char *check_verdict(enum tl_status status);

/* The plan line, one result, the closing comment with the counts. Results may come in any order;
 * `number` counts from 1. An expected failure is a TODO, what is unsupported a SKIP. request: what
 * the command that plays a failure again repeats of it. */
void check_tap_plan(const struct check_plan *plan);
void check_tap_result(const struct check_case *c, size_t number, const struct request *request);
void check_tap_notes(const struct check_case *c); /* what it said; of each result, too */
void check_tap_end(const struct check_plan *plan, uint64_t wall_ns);

/* Writes a JUnit file: a suite per implementation, a case per property. Returns 0 or an error
 * number; an existing file is replaced, as a whole or not at all. */
int check_junit(const struct check_plan *plan, const char *path);

#endif

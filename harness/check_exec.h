/* check_exec.h - runs checks, several at a time, each in a process of its own. */
#ifndef HARNESS_CHECK_EXEC_H
#define HARNESS_CHECK_EXEC_H

#include "check_plan.h"

/* Runs the n cases on `place`, `jobs` at a time, those that want to be alone after the others. Each
 * gets its status, reason and wall time. done(c, arg) is called in the driver as each ends, in any
 * order (NULL: not). plugins: of the request. Returns 0; EINTR with the signal in *stopped: the
 * others are not done; or the error of starting a process. */
int check_exec(struct check_case *cases, size_t n, const struct place *place, unsigned jobs,
               const struct cli_list *plugins, void (*done)(const struct check_case *c, void *arg),
               void *arg, int *stopped);

#endif

/*
 * program.h - programs that are compiled through the veneer (harness/veneer), as checks: each is a
 * property, its verdict is its exit status.
 *
 *     0 pass, 1 fail, 2 unresolved (invalid), 4 unsupported, 5 untested (unsupported), any other
 *     fail; a signal: crashed; killed at its deadline: hung
 *
 * The statuses are those of the Open POSIX Test Suite (posixtest.h, 2002). The last line that the
 * program wrote is the reason.
 */
#ifndef HARNESS_PROGRAM_H
#define HARNESS_PROGRAM_H

#include "check_plan.h"

#define PROGRAM_DEADLINE_S 60

struct programs;

/* Adds each source (*.c, *.cc) of a folder, one source, or one program that is compiled already.
 * ENODATA: none is in the folder. Returns 0, or an error number with one line in error. `programs`
 * is made by the first call. */
int programs_add(struct programs **programs, const char *path, char *error, size_t size);

/* Sources find headers in this folder, too; after programs_add. The same answers. */
int programs_include(struct programs *programs, const char *path, char *error, size_t size);

/* Implementations of the request that have a veneer x programs, in the same form as other checks:
 * verb_check runs, prints and records them. The values of parameters are those of PROGRAM_PARAMS,
 * of THREADLAB_PARAMS in the environment and of the request, the later ones first. The plan borrows
 * from `programs`. Answers as check_plan_make; EINVAL also where a program would run nowhere. */
int programs_plan(struct programs *programs, const struct request *request,
                  const struct place_topology *topology, struct check_plan *plan, char *error,
                  size_t size);

void programs_free(struct programs *programs);

#endif

/*
 * expect.h - the file of expected verdicts of one implementation, so that a change shows a new
 * failure and a new pass alike: impls/<name>/conformance.expected.
 *
 *     # VERDICT  PROPERTY  WHY
 *     fail         id.stale     a pthread_t is a pointer: it cannot tell
 *     unsupported  cancel.*     no cancellation
 *     any          limit.nproc  depends on the machine's limits
 *
 * VERDICT: pass, fail (which crashing and hanging are, too), unsupported, any. PROPERTY: a glob.
 * The last line that matches counts; what no line matches is to pass; in the control (null), what
 * needs concurrency is to fail.
 */
#ifndef HARNESS_EXPECT_H
#define HARNESS_EXPECT_H

#include "check_plan.h"

/* Sets the expectations of the plan's cases from DIR/<implementation>/FILE; an
 * implementation without such a file is left as it is. Returns 0; EINVAL with one line in error
 * (malformed line, a property that no check has); ENOMEM. */
int expect_read(const char *dir, const char *file, struct check_plan *plan, char *error,
                size_t size);

#endif

/* check_run.h - the child's side of a check: see check_run.c. */
#ifndef HARNESS_CHECK_RUN_H
#define HARNESS_CHECK_RUN_H

#include "cell.h"
#include "check.h"

/* Runs order->spec.bench, with order->mutant put into the implementation. Once in a process. */
enum tl_status check_run(struct tl_ctx *ctx, const struct tl_boot *boot,
                         const struct cell_order *order, struct cell_result *result);

/* In the driver: the parts of the program that the check plays for this seed, and what it does
 * without those that `without` names (CELL_PARTS bits). */
unsigned check_parts(const struct tl_check *check, const struct tl_impl *impl, uint64_t seed);
void check_print_program(const struct tl_check *check, const struct tl_impl *impl, uint64_t seed,
                         const uint64_t *without, void (*line)(const char *text, void *arg),
                         void *arg);

#endif

/* check_run.h - the child's side of a check: see check_run.c. */
#ifndef HARNESS_CHECK_RUN_H
#define HARNESS_CHECK_RUN_H

#include "cell.h"

/* Runs order->spec.bench, with order->mutant put into the implementation. Once in a process. */
enum tl_status check_run(struct tl_ctx *ctx, const struct tl_boot *boot,
                         const struct cell_order *order, struct cell_result *result);

#endif

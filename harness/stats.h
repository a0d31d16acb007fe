/*
 * stats.h - samples -> summary. Pure. The reports recompute everything from the record with scipy;
 * this is what the terminal needs.
 */
#ifndef HARNESS_STATS_H
#define HARNESS_STATS_H

#include "cell.h"

/* The value of a process: the least time per op among its batches, in ns. NAN without batches. */
double stats_process_value(const struct cell_batch *batches, int n);

/* Median of n >= 1 values; reorders them. */
double stats_median(double *values, size_t n);

/* The smallest of n >= 1 values that at least p of 100 do not exceed (nearest rank; with fewer than
 * 100 / (100 - p) values the largest); reorders them. 0 < p <= 100. */
double stats_percentile(double *values, size_t n, unsigned p);

/* Time per op of the batches of 2n over that of the batches of n, each the least of its kind: 1
 * when time grows in proportion to the work. NAN when there are not both kinds. */
double stats_linearity(const struct cell_batch *batches, int n);

#endif

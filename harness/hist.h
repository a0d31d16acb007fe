/*
 * hist.h - a distribution of times: log-linear buckets, after HdrHistogram (Gil Tene, 2012).
 *
 * Values below 64 ns have a bucket each; above, every power of two is cut into 32, so a bucket is
 * never wider than 1/32 of its lower bound. Values of 2^40 ns (18 minutes) and more share the last.
 * The struct holds no pointer: it lives in the page that a cell shares with the driver.
 */
#ifndef HARNESS_HIST_H
#define HARNESS_HIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HIST_EXACT 64
#define HIST_SUB 32
#define HIST_TOP 40 /* log2 of the first value that is out of range */
#define HIST_BUCKETS (HIST_EXACT + (HIST_TOP - 6) * HIST_SUB + 1)

/* Invariant: each count only grows while a window is open; max is the largest value recorded. */
struct tl_hist {
    char name[32];
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[HIST_BUCKETS];
};

unsigned hist_bucket(uint64_t ns);
/* The bucket's values are low <= v < high. */
void hist_bounds(unsigned bucket, uint64_t *low, uint64_t *high);
uint64_t hist_count(const struct tl_hist *hist);
/* Upper bound of the bucket that holds the q-quantile (0..1), at most the maximum; 0 if empty. */
uint64_t hist_quantile(const struct tl_hist *hist, double q);

/* Opens or closes the gate: tl_record counts only while it is open. */
void hist_gate(bool open);

#endif

/*
 * clock.h - the timer behind tl_now_ns, what one reading costs, how fine it is.
 *
 * The driver calls clock_calibrate once and hands the result to each cell, which calls clock_use:
 * all processes of a run share one conversion, and no cell pays for a calibration. Before either
 * call tl_now_ns works, by clock_gettime.
 *
 * The counter of the CPU (TSC on x86-64, CNTVCT_EL0 on aarch64) is used where it is invariant and
 * the kernel trusts it as well; otherwise clock_gettime(CLOCK_MONOTONIC), and `reason` says why.
 * Override: THREADLAB_CLOCK=clock_gettime, =tsc (x86-64) or =cntvct (aarch64) in the environment.
 */
#ifndef HARNESS_CLOCK_H
#define HARNESS_CLOCK_H

#include <stdint.h>

/* Plain data: it crosses from the driver to the cell in shared memory.
 * Invariant: ns = ticks * mult >> shift in 128 bits, mult > 0, shift < 64. */
struct clock_info {
    char source[24];      /* "tsc", "cntvct" or "clock_gettime" */
    char reason[120];     /* why not the counter, or that it was forced; "" otherwise */
    uint64_t hz;          /* of the counter; 1000000000 for clock_gettime */
    uint32_t mult, shift; /* ticks to ns */
    double cost_ns;       /* one tl_now_ns: the smallest mean of several batches */
    double resolution_ns; /* the smallest non-zero step between two readings in a row; it cannot be
                           * seen finer than one reading takes */
    double error_ppm;     /* spread (max - min) of the repeated calibrations; 0 for clock_gettime,
                           * which is not calibrated */
};

/* Chooses, calibrates (about 50 ms, asleep for most of it) and uses the clock. Returns 0; EINVAL:
 * THREADLAB_CLOCK has an unknown value; ENOTSUP: it names a counter that this architecture has not.
 * In both cases out->reason is one line for the user, and clock_gettime remains in use. */
int clock_calibrate(struct clock_info *out);

/* Makes tl_now_ns read this clock. Before the process has a second thread. */
void clock_use(const struct clock_info *info);

/* The conversion of tl_now_ns: never overflows for a result below 2^64, monotone in ticks. */
uint64_t clock_ticks_to_ns(const struct clock_info *info, uint64_t ticks);

/* The shortest window that is worth timing: 1,000 times the larger of cost and resolution, so that
 * the clock's own share stays below 0.1% at each end. */
uint64_t clock_min_sample_ns(const struct clock_info *info);

#endif

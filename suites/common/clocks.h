/*
 * clocks.h - the kernel's clocks, as one number; tl_now_ns reads none that a deadline is of.
 */
#ifndef SUITES_CLOCKS_H
#define SUITES_CLOCKS_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of that clock. */
static inline uint64_t clocks_now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif

/*
 * random.c - splitmix64: the stream behind every seeded choice, of the plan and of benchmarks.
 * Source: Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators", OOPSLA,
 * section 5. Any 64-bit state is a valid seed; the period is 2^64.
 */
#include "bench.h"

uint64_t tl_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

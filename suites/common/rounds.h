/*
 * rounds.h - for checks: as many rounds as there is time for. A yield beside a busy neighbour costs
 * a time slice, so that what takes milliseconds on an idle PU may take most of the deadline there.
 */
#ifndef SUITES_ROUNDS_H
#define SUITES_ROUNDS_H

#include "check.h"

#include <stdatomic.h>

#define ROUNDS_ENOUGH_NS UINT64_C(400000000)

/* True if a round of that number (from 0) should begin: at most `most`, at least `few`; between the
 * two until enough time has gone by since the first call. Any thread, not all threads the same
 * answer. */
static inline bool rounds_more(struct tl_ctx *ctx, unsigned round, unsigned few, unsigned most)
{
    static _Atomic uint64_t start;
    uint64_t none = 0, now = tl_now_ns();

    atomic_compare_exchange_strong(&start, &none, now);
    return tl_verdict(ctx) == TL_OK && round < most &&
           (round < few || now - atomic_load(&start) < ROUNDS_ENOUGH_NS);
}

#endif

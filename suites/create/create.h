/*
 * create.h - what the benchmarks of thread creation share: the thread that tells that it ran.
 *
 * Each thread has a word of its own to count in, so that counting costs no locked instruction; the
 * word's address is its argument and its return value, and verify compares both.
 */
#ifndef SUITES_CREATE_H
#define SUITES_CREATE_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/model.h"

static inline void *create_entry(void *arg)
{
    uint64_t *ran = arg;

    *ran += 1;
    return ran;
}

/* An error of create: EINVAL for the attributes is the implementation's right, the rest is not. */
static inline enum tl_status create_failed(struct tl_ctx *ctx, uint64_t number, int error)
{
    if (error == EINVAL && number == 0)
        return tl_unsupported(ctx, "create refuses these attributes: %s", strerror(error));
    return tl_failed(ctx, "create of thread %" PRIu64 ": %s", number + 1, strerror(error));
}

static inline void create_expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    model_expect_no_switches(ctx, expect);
}

#endif

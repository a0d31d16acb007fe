/*
 * settle.h - for checks: time for the other threads to get into a wait, or out of one.
 */
#ifndef SUITES_SETTLE_H
#define SUITES_SETTLE_H

#include "check.h"

#include <unistd.h>

/* Most likely they are there when it returns. No verdict on a sound implementation may rest on it.
 * A kernel's yield costs a time slice of every neighbour, a sleep does not. */
static inline void settle(struct tl_ctx *ctx)
{
    if (tl_trait(ctx, TL_BLOCKS_ALONE))
        usleep(1000);
    else if (tl_trait(ctx, TL_PARALLEL) && ctx->impl->sleep)
        ctx->impl->sleep(1000000); /* whoever yields alone on its kernel thread is back at once */
    else
        for (int i = 0; i < 20; i++)
            ctx->impl->yield();
}

#endif

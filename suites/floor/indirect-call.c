/*
 * floor.indirect-call - what the contract itself costs: a call through a const table of function
 * pointers that the compiler cannot see through, as every call of an implementation is.
 */
#include "loop.h"

struct table {
    uint64_t (*next)(uint64_t i);
};

static uint64_t next(uint64_t i)
{
    return i + 1;
}

static const struct table table = {.next = next};

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    const struct table *ops = &table;
    uint64_t right = 0;

    __asm__ volatile("" : "+r"(ops)); /* from here on the table could be any */
    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++)
        right = ops->next(right);
    tl_end(ctx, n);
    loop_done(ctx, n, right);
    return TL_OK;
}

static const struct tl_bench floor_indirect_call = {
    .abi = TL_ABI,
    .name = "floor.indirect-call",
    .version = 1,
    .title = "Call through the table of an implementation",
    .op = "one call of a function that adds one",
    .flags = TL_NO_IMPL,
    .setup = loop_setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
    .expect = loop_expect_user,
};
TL_BENCH(floor_indirect_call);

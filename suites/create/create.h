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

/* Threads that live one after the other. */
struct create_lives {
    struct tl_attr attr;
    uint64_t ran;      /* counted by the threads */
    uint64_t created;  /* by us, like the next */
    uint64_t returned; /* joins that brought the right value */
};

/* alive: threads that there are already, for the message. Inlined: one call frame less per op. */
static inline __attribute__((always_inline)) enum tl_status
create_lives_run(struct tl_ctx *ctx, struct create_lives *l, uint64_t n, uint64_t alive)
{
    const struct tl_impl *impl = ctx->impl;
    uint64_t done, returned = 0;
    int create_error = 0, join_error = 0;

    tl_begin(ctx);
    for (done = 0; done < n; done++) {
        struct tl_thread t;
        void *value = NULL;

        create_error = impl->create(&t, &l->attr, create_entry, &l->ran);
        if (create_error)
            break;
        join_error = impl->join(t, &value);
        if (join_error)
            break;
        returned += value == &l->ran;
    }
    tl_end(ctx, done ? done : 1);

    if (create_error)
        return create_failed(ctx, alive + l->created + done, create_error);
    if (join_error)
        return tl_failed(ctx, "join of thread %" PRIu64 ": %s", done + 1, strerror(join_error));
    l->created += done;
    l->returned += returned;
    tl_count(ctx, "threads", done);
    return TL_OK;
}

/* Metric reused: of the threads of this process that the library made, how many got a stack that
 * another had used. Only where the library counts; what the last windows changed is in it. */
static inline void create_reused(struct tl_ctx *ctx)
{
    enum { MOST = 64 };
    const struct tl_inspect_ops *inspect = ctx->impl->inspect;
    struct tl_counter all[MOST];
    uint64_t threads = 0, fresh = UINT64_MAX;
    unsigned n = inspect && inspect->counters ? inspect->counters(all, MOST) : 0;

    for (unsigned i = 0; i < n && i < MOST; i++) {
        if (!strcmp(all[i].name, "threads"))
            threads = all[i].value;
        if (!strcmp(all[i].name, "stacks-new"))
            fresh = all[i].value;
    }
    if (fresh <= threads && threads)
        tl_metric(ctx, "reused", 100 * (1 - (double)fresh / (double)threads), "%");
}

static inline enum tl_status create_lives_verify(struct tl_ctx *ctx, const struct create_lives *l)
{
    if (l->ran != l->created)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " threads ran", l->ran, l->created);
    if (l->returned != l->created)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " joins brought the thread's value",
                          l->returned, l->created);
    create_reused(ctx);
    return TL_OK;
}

static inline void create_expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    model_expect_no_switches(ctx, expect);
}

#endif

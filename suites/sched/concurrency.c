/*
 * concurrency.c - concurrency.set-get: how many kernel threads run the threads can be asked for.
 */
#include "check.h"

#include <errno.h>

static enum tl_status run(struct tl_ctx *c)
{
    const struct tl_concurrency_ops *ops = c->impl->concurrency;
    const unsigned wanted[] = {2, 3, 1, 2};

    for (unsigned i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (TL_CALL(c, ops->set(wanted[i])))
            TL_EXPECT(c, ops->get() == wanted[i], "%u kernel threads were asked for, get says %u",
                      wanted[i], ops->get());
    }
    TL_CALL(c, ops->set(0));
    return tl_verdict(c);
}

static const struct tl_check set_get = {
    .abi = TL_ABI,
    .name = "concurrency.set-get",
    .group = "Scheduling",
    .promise = "the concurrency that was set is the one that is told",
    .source = "POSIX.1-2017 XSH pthread_getconcurrency, pthread_setconcurrency",
    .method = "2, 3, 1 and 2 are set and asked for; then 0, which leaves it to the implementation",
    .meaning = "what is told is not yet what is done: that many kernel threads need not exist",
    .needs = "concurrency",
    .run = run,
};
TL_CHECK(set_get);

/* ---- mutant ---------------------------------------------------------------------------------- */

static int set_nothing(unsigned n)
{
    (void)n;
    return 0;
}

static unsigned get_nothing(void)
{
    return 0;
}

static const struct tl_concurrency_ops forgets = {.set = set_nothing, .get = get_nothing};

static void apply(struct tl_impl *impl)
{
    impl->concurrency = &forgets;
}

static const struct tl_mutant concurrency_forgotten = {
    .abi = TL_ABI,
    .name = "concurrency-forgotten",
    .fault = "the concurrency that is set is accepted and forgotten",
    .kills = "concurrency.set-get",
    .of = "hybrid",
    .apply = apply,
};
TL_MUTANT_OF(concurrency_forgotten);

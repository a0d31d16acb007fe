/*
 * errno-switch.c - errno.private: a thread finds its errno as it left it, whoever ran meanwhile.
 */
#include "../common/wrap.h"

#include "private-errno.h"

#define THREADS 5
#define TURNS 60

static struct tl_ctx *ctx;

static void body(unsigned i)
{
    errno_set(errno_of(i));
    for (int turn = 0; turn < TURNS && tl_verdict(ctx) == TL_OK; turn++) {
        crowd_step();
        if (!errno_kept(ctx, i, "after a yield"))
            break;
        tl_delay(ctx, "between two yields");
        if (!errno_kept(ctx, i, "after a delay"))
            break;
    }
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    crowd_run(ctx, THREADS, body);
    return tl_verdict(ctx);
}

static const struct tl_check errno_private = {
    .abi = TL_ABI,
    .name = "errno.private",
    .group = "TLS and errno",
    .promise = "errno is the thread's own: a switch to other threads and back leaves it alone",
    .source = "POSIX.1-2017 XSH 2.3 (errno shall not be affected by other threads)",
    .method = "five threads set errno to numbers of their own, and find them after each of 120 "
              "yields and seeded delays",
    .meaning = "an errno that belongs to the kernel thread or the process shows another thread's "
               "number after the first switch; one that leaks in a single path of the scheduler "
               "is seen only if a yield takes that path",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(errno_private);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void (*sound_yield)(void);

static void yield_leaks(void)
{
    if (wrap_once_in(3))
        ERRNO_LEAKS((sound_yield(), 0));
    else
        sound_yield();
}

static void apply(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_leaks;
}

static const struct tl_mutant errno_leaks_in_yield = {
    .abi = TL_ABI,
    .name = "errno-leaks-in-yield",
    .fault = "one yield in three does not keep errno with the thread",
    .kills = "errno.private errno.private-handler",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(errno_leaks_in_yield);

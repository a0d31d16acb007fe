/*
 * join-mutual.c - join.mutual: two threads that join each other.
 */
#include "check.h"

#include "../common/mutant.h"

#include <errno.h>
#include <stdatomic.h>

#define PATIENCE_MS 5000

static struct tl_ctx *ctx;
static struct tl_thread two[2];
static _Atomic int go, joining, answers[2];

static void *join_other(void *arg)
{
    int me = (int)(intptr_t)arg;

    tl_await(ctx, &go, "both threads to be there");
    if (me == 0) {
        atomic_store(&joining, 1);
    } else { /* not at the same moment: who looks while the other does may miss it */
        tl_await(ctx, &joining, "the other one to join");
        ctx->impl->sleep(30000000);
    }
    atomic_store(&answers[me], ctx->impl->join(two[!me], NULL) + 1);
    return NULL;
}

static void *first(void *arg)
{
    for (int i = 0; i < 2; i++)
        if (!tl_start(ctx, (unsigned)i, &two[i], join_other, (void *)(intptr_t)i))
            return arg;
    atomic_store(&go, 1);
    while (!(atomic_load(&answers[0]) && atomic_load(&answers[1])) && tl_verdict(ctx) == TL_OK)
        ctx->impl->yield();
    /* One is told, which ends it, and lets the other's join succeed. */
    TL_EXPECT(ctx,
              (answers[0] == EDEADLK + 1 && answers[1] == 1) ||
                  (answers[1] == EDEADLK + 1 && answers[0] == 1) ||
                  (answers[0] == EDEADLK + 1 && answers[1] == EDEADLK + 1),
              "the joins answered %d and %d", answers[0] - 1, answers[1] - 1);
    return arg;
}

static int boot(struct tl_ctx *c, void *arg)
{
    return tl_boot(c, first, arg, NULL);
}

static enum tl_status outside(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    TL_CALL(c, tl_child(c, boot, NULL, PATIENCE_MS, &end));
    if (end.hung && tl_verdict(c) == TL_OK)
        return tl_unsupported(c,
                              "it is not noticed: both sleep until one is cancelled, which POSIX "
                              "allows");
    TL_EXPECT(c, !end.signal, "the process ended by signal %d: %s", end.signal, end.words);
    return tl_verdict(c);
}

static const struct tl_check join_mutual = {
    .abi = TL_ABI,
    .name = "join.mutual",
    .group = "Lifecycle",
    .promise = "of two threads that join each other one is told EDEADLK",
    .source = "POSIX.1-2017 XSH pthread_join (may fail: EDEADLK); pthread_join(3)",
    .method = "in a child process two threads join each other; where both sleep for 5 s it counts "
              "as not offered",
    .meaning = "a wrong answer or a crash is seen; on a machine that stands still for 5 s a sound "
               "one may be taken for one that does not notice",
    .needs = "sleep",
    .flags = TL_CHECK_CONCURRENT,
    .outside = outside,
};
TL_CHECK(join_mutual);

/* ---- mutant ---------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int join_einval(struct tl_thread t, void **value)
{
    int err = sound.join(t, value);

    return err == EDEADLK ? EINVAL : err;
}

MUTANT_APPLY(apply, join, join_einval)
MUTANT(mutual_einval, "join-mutual-answers-einval", "who closes a ring of joiners is told EINVAL",
       "join.mutual", "nptl green", apply);

/*
 * last-wake.c - sched.no-lost-wake: threads wake one another while the kernel threads below them
 * go to sleep, or are needed elsewhere.
 *
 * With M:N the interesting waker is a bound thread: nobody else runs when it makes a thread ready,
 * so that a wake-up which is missed is not made up for by whoever looks next.
 */
#include "../common/mutant.h"
#include "../common/rounds.h"

#include <stdatomic.h>
#include <unistd.h>

#define FEW 60
#define MOST 1000
#define NAP_NS 20000

static struct tl_ctx *ctx;
static struct tl_sem to_bound, to_other, to_third;
static _Atomic int quit, third_ran;
static bool spins; /* the unbound one does not yield until the third thread has run */
static int pipe_of[2];

static void nap(unsigned round)
{
    if (round % 4 == 0)
        TL_CALL(ctx, ctx->impl->sleep(NAP_NS));
    else
        tl_delay(ctx, "before a post");
}

static void *bound(void *arg)
{
    const struct tl_impl *impl = ctx->impl;

    for (unsigned round = 0; rounds_more(ctx, round, FEW, MOST); round++) {
        nap(round);
        if (!TL_CALL(ctx, impl->sem->post(&to_other)) || !TL_CALL(ctx, impl->sem->wait(&to_bound)))
            break;
    }
    atomic_store(&quit, 1);
    TL_CALL(ctx, impl->sem->post(&to_other));
    return arg;
}

static void *other(void *arg)
{
    const struct tl_impl *impl = ctx->impl;

    for (unsigned round = 0;; round++) {
        if (!TL_CALL(ctx, impl->sem->wait(&to_other)) || atomic_load(&quit))
            break;
        nap(round + 1);
        atomic_store(&third_ran, 0);
        TL_CALL(ctx, impl->sem->post(&to_third));
        while (spins && !atomic_load(&third_ran) && tl_verdict(ctx) == TL_OK)
            ;
        TL_CALL(ctx, impl->sem->post(&to_bound));
    }
    TL_CALL(ctx, impl->sem->post(&to_third));
    return arg;
}

static void *third(void *arg)
{
    const struct tl_impl *impl = ctx->impl;

    for (;;) {
        if (!TL_CALL(ctx, impl->sem->wait(&to_third)))
            return arg;
        atomic_store(&third_ran, 1);
        if (atomic_load(&quit))
            return arg;
    }
}

/* Waits for the descriptor all the time: where the library waits for those there is another way to
 * sleep. */
static void *reader(void *arg)
{
    size_t n = 0;
    char byte;

    TL_CALL(ctx, ctx->impl->io->read(pipe_of[0], &byte, 1, &n));
    TL_EXPECT(ctx, n == 1, "nothing was read");
    return arg;
}

static bool start(struct tl_thread *t, void *(*entry)(void *), bool is_bound)
{
    struct tl_attr attr = TL_ATTR_INIT;

    attr.bound = is_bound;
    return TL_CALL(ctx, ctx->impl->create(t, &attr, entry, NULL));
}

static enum tl_status run(struct tl_ctx *c)
{
    const struct tl_impl *impl = c->impl;
    bool reads = impl->io && impl->io->read && tl_trait(c, TL_CONCURRENT);
    struct tl_thread t[4];
    unsigned made = 0;

    ctx = c;
    spins = impl->concurrency && impl->concurrency->lwps() > 1;
    if (!TL_CALL(c, impl->sem->init(&to_bound, 0)) || !TL_CALL(c, impl->sem->init(&to_other, 0)) ||
        !TL_CALL(c, impl->sem->init(&to_third, 0)) ||
        !TL_EXPECT(c, pipe(pipe_of) == 0, "there is no pipe"))
        return tl_verdict(c);
    tl_step(c, "three threads wake one another");
    made += start(&t[made], third, false);
    made += start(&t[made], other, false);
    if (reads)
        made += start(&t[made], reader, false);
    made += start(&t[made], bound, impl->concurrency != NULL);
    if (made < 3u + reads)
        return tl_verdict(c);
    tl_finish(c, t[--made]);
    if (reads)
        TL_EXPECT(c, write(pipe_of[1], "", 1) == 1, "nothing could be written");
    while (made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check no_lost_wake = {
    .abi = TL_ABI,
    .name = "sched.no-lost-wake",
    .group = "Scheduling",
    .promise = "whoever is made ready runs, also if all kernel threads are just going to sleep",
    .source = "the implementation's own promise (impls/user/lwp.h proves it); POSIX.1-2017 XSH "
              "sem_post: a thread that waits is unblocked",
    .method = "a thread that is bound, where there are such, and two that are not wake one another "
              "in a ring 60 times or more, all others asleep; every fourth time one sleeps for 20 "
              "us first; where that can be, the second waits for the third without yielding, and a "
              "fourth waits for a pipe",
    .meaning = "a wake-up that is lost, or a time that nobody keeps, hangs until the deadline. "
               "Whether a pass met the moments that matter is a matter of chance, which delays "
               "within the library (make CONFIG=inject) make better",
    .needs = "sem sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(no_lost_wake);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_sem_ops *sound;

static int post_sometimes(struct tl_sem *s)
{
    static _Atomic unsigned n;

    return atomic_fetch_add(&n, 1) == 50 ? 0 : sound->post(s);
}

static void apply(struct tl_impl *impl)
{
    sound = impl->sem;
    TL_MUTATE(impl, sem)->post = post_sometimes;
}

static const struct tl_mutant loses_post = {
    .abi = TL_ABI,
    .name = "sched-loses-wake",
    .fault = "one post in a process wakes nobody",
    .kills = "sched.no-lost-wake",
    .of = "nptl green",
    .apply = apply,
};
TL_MUTANT_OF(loses_post);

#ifdef TL_INJECT
MUTANT(looks_first, "user-sleep-looks-first",
       "an LWP looks for work before it says that it sleeps, and not after", "sched.no-lost-wake",
       "hybrid", NULL);
MUTANT(reset_late, "user-token-reset-late",
       "an LWP forgets who has woken it between saying that it sleeps and sleeping",
       "sched.no-lost-wake", "hybrid", NULL);
MUTANT(no_kick, "user-wake-no-kick",
       "an LWP that sleeps in the poller is woken as if it slept on its futex",
       "sched.no-lost-wake", "hybrid", NULL);
MUTANT(stays_blind, "user-lookout-stays-blind",
       "a slot is left to an LWP that looks after slots though it saw nobody run",
       "sched.no-lost-wake", "hybrid", NULL);
#endif

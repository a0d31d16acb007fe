/*
 * sem.c - sem.count, sem.try, sem.timed, sem.overflow, sem.post-in-handler, sem.post-then-free.
 */
#include "check.h"

#include "../common/action.h"
#include "../common/clocks.h"
#include "../common/mutant.h"
#include "../common/rounds.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#define WAITERS 4
#define TOKENS 250

static struct tl_ctx *ctx;
static struct tl_sem sem;
static _Atomic int taken;

/* ---- count ----------------------------------------------------------------------------------- */

static void *take(void *arg)
{
    for (int i = 0; i < TOKENS && tl_verdict(ctx) == TL_OK; i++) {
        TL_CALL(ctx, ctx->impl->sem->wait(&sem));
        atomic_fetch_add(&taken, 1);
        tl_delay(ctx, "between two waits");
    }
    return arg;
}

static enum tl_status run_count(struct tl_ctx *c)
{
    struct tl_thread t[WAITERS];
    int made = 0;

    ctx = c;
    TL_CALL(c, c->impl->sem->init(&sem, 3));
    while (made < WAITERS && tl_start(c, (unsigned)made, &t[made], take, NULL))
        made++;
    tl_step(c, "tokens are posted for those who wait");
    for (int i = 0; i < made * TOKENS - 3 && tl_verdict(c) == TL_OK; i++) {
        TL_CALL(c, c->impl->sem->post(&sem));
        tl_delay(c, "between two posts");
        TL_EXPECT(c, atomic_load(&taken) <= i + 4, "%d tokens were taken of %d",
                  atomic_load(&taken), i + 4);
    }
    while (made)
        tl_finish(c, t[--made]);
    TL_EXPECT(c, atomic_load(&taken) == WAITERS * TOKENS, "%d of %d tokens were taken",
              atomic_load(&taken), WAITERS * TOKENS);
    TL_ANSWERS(c, c->impl->sem->trywait(&sem), EAGAIN);
    TL_CALL(c, c->impl->sem->destroy(&sem));
    return tl_verdict(c);
}

static const struct tl_check sem_count = {
    .abi = TL_ABI,
    .name = "sem.count",
    .group = "Semaphore",
    .promise = "each post lets exactly one wait through",
    .source = "POSIX.1-2017 XSH sem_post, sem_wait",
    .method = "four threads take 250 tokens each, which a fifth posts with seeded delays; at no "
              "time may more be taken than posted, in the end all are",
    .meaning = "a lost post hangs; a doubled one is counted, or left over",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_count,
};
TL_CHECK(sem_count);

/* ---- try, overflow --------------------------------------------------------------------------- */

static enum tl_status run_try(struct tl_ctx *c)
{
    int value = -1;

    TL_CALL(c, c->impl->sem->init(&sem, 2));
    TL_CALL(c, c->impl->sem->trywait(&sem));
    TL_CALL(c, c->impl->sem->trywait(&sem));
    TL_ANSWERS(c, c->impl->sem->trywait(&sem), EAGAIN);
    TL_CALL(c, c->impl->sem->post(&sem));
    if (c->impl->sem->getvalue) {
        TL_CALL(c, c->impl->sem->getvalue(&sem, &value));
        TL_EXPECT(c, value == 1, "the value is %d after one post", value);
    }
    TL_CALL(c, c->impl->sem->trywait(&sem));
    TL_ANSWERS(c, c->impl->sem->trywait(&sem), EAGAIN);
    return tl_verdict(c);
}

static const struct tl_check sem_try = {
    .abi = TL_ABI,
    .name = "sem.try",
    .group = "Semaphore",
    .promise = "trywait takes a token if there is one, and answers EAGAIN otherwise",
    .source = "POSIX.1-2017 XSH sem_trywait, sem_getvalue",
    .method = "a semaphore of two is emptied, posted once, and emptied",
    .meaning = "no race: what it answers once, it always does",
    .needs = "sem",
    .run = run_try,
};
TL_CHECK(sem_try);

static enum tl_status run_overflow(struct tl_ctx *c)
{
    TL_CALL(c, c->impl->sem->init(&sem, INT_MAX));
    TL_ANSWERS(c, c->impl->sem->post(&sem), EOVERFLOW);
    TL_CALL(c, c->impl->sem->trywait(&sem));
    TL_CALL(c, c->impl->sem->post(&sem));
    TL_ANSWERS(c, c->impl->sem->init(&sem, (unsigned)INT_MAX + 1), EINVAL);
    return tl_verdict(c);
}

static const struct tl_check sem_overflow = {
    .abi = TL_ABI,
    .name = "sem.overflow",
    .group = "Semaphore",
    .promise = "a post beyond SEM_VALUE_MAX answers EOVERFLOW and changes nothing; a greater first "
               "value answers EINVAL",
    .source = "POSIX.1-2017 XSH sem_init; POSIX.1-2024 sem_post",
    .method = "a semaphore of INT_MAX is posted, taken once and posted again",
    .meaning = "no race: what it answers once, it always does",
    .needs = "sem",
    .run = run_overflow,
};
TL_CHECK(sem_overflow);

/* ---- timed ----------------------------------------------------------------------------------- */

static void time_out(struct tl_ctx *c, clockid_t clock)
{
    uint64_t deadline = clocks_now(clock) + 20000000;

    TL_ANSWERS(c, c->impl->sem->timedwait(&sem, clock, deadline), ETIMEDOUT);
    TL_EXPECT(c, clocks_now(clock) >= deadline, "timedwait ended before its deadline");
    TL_ANSWERS(c, c->impl->sem->timedwait(&sem, clock, 1), ETIMEDOUT);
    TL_CALL(c, c->impl->sem->post(&sem));
    TL_CALL(c, c->impl->sem->timedwait(&sem, clock, 1)); /* there is one: no need to wait */
}

static enum tl_status run_timed(struct tl_ctx *c)
{
    TL_CALL(c, c->impl->sem->init(&sem, 0));
    time_out(c, CLOCK_MONOTONIC);
    time_out(c, CLOCK_REALTIME);
    return tl_verdict(c);
}

static const struct tl_check sem_timed = {
    .abi = TL_ABI,
    .name = "sem.timed",
    .group = "Semaphore",
    .promise =
        "a timed wait ends with ETIMEDOUT, not before its deadline, on either clock; a token "
        "that is there is taken whatever the deadline",
    .source = "POSIX.1-2017 XSH sem_timedwait; POSIX.1-2024 sem_clockwait",
    .method = "waits of 20 ms and with a deadline that is past, on both clocks, with and without a "
              "token",
    .meaning = "how late it ends is not judged: a busy machine may be late",
    .needs = "sem.timedwait",
    .run = run_timed,
};
TL_CHECK(sem_timed);

/* ---- handler --------------------------------------------------------------------------------- */

static void post_here(int sig)
{
    (void)sig;
    ctx->impl->sem->post(&sem);
}

static void *wait_for_posts(void *arg)
{
    for (int i = 0; i < 50 && tl_verdict(ctx) == TL_OK; i++) {
        TL_CALL(ctx, ctx->impl->sem->wait(&sem));
        atomic_fetch_add(&taken, 1);
    }
    return arg;
}

static enum tl_status run_handler(struct tl_ctx *c)
{
    struct sigaction action = {.sa_handler = post_here, .sa_flags = SA_RESTART};
    struct tl_thread t;

    ctx = c;
    TL_CALL(c, c->impl->sem->init(&sem, 0));
    tl_sigaction(c->impl, SIGUSR1, &action, NULL);
    if (!tl_start(c, 1, &t, wait_for_posts, NULL))
        return tl_verdict(c);
    for (int i = 0; i < 50 && tl_verdict(c) == TL_OK; i++) {
        tl_delay(c, "before the handler");
        TL_CALL(c, c->impl->signal->kill(c->impl->self(), SIGUSR1, NULL));
    }
    tl_finish(c, t);
    TL_EXPECT(c, atomic_load(&taken) == 50, "%d of 50 posts arrived", atomic_load(&taken));
    return tl_verdict(c);
}

static const struct tl_check post_in_handler = {
    .abi = TL_ABI,
    .name = "sem.post-in-handler",
    .group = "Semaphore",
    .promise = "post may be called in a signal handler, and wakes a waiter from there",
    .source = "POSIX.1-2017 XSH 2.4.3 (async-signal-safe functions), sem_post",
    .method = "a thread sends itself 50 signals whose handler posts; another takes them",
    .meaning = "a post that is lost hangs; a handler in the middle of a post is left to chance",
    .needs = "sem.post_in_handler signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_handler,
};
TL_CHECK(post_in_handler);

/* ---- free ------------------------------------------------------------------------------------ */

static void *wait_and_free(void *arg)
{
    struct tl_sem *s = arg;

    if (TL_CALL(ctx, ctx->impl->sem->wait(s))) {
        TL_CALL(ctx, ctx->impl->sem->destroy(s));
        munmap(s, sizeof(*s)); /* a touch of it from now on crashes */
    }
    return NULL;
}

static enum tl_status run_free(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    tl_step(c, "the waiter unmaps the semaphore");
    for (unsigned i = 0; rounds_more(c, i, 10, 300); i++) {
        struct tl_sem *s =
            mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (s == MAP_FAILED)
            return tl_failed(c, "no memory");
        TL_CALL(c, c->impl->sem->init(s, 0));
        if (!tl_start(c, 1, &t, wait_and_free, s))
            break;
        tl_delay(c, "before post");
        TL_CALL(c, c->impl->sem->post(s));
        tl_finish(c, t);
    }
    return tl_verdict(c);
}

static const struct tl_check post_then_free = {
    .abi = TL_ABI,
    .name = "sem.post-then-free",
    .group = "Semaphore",
    .promise =
        "post does not touch the semaphore after it has let a waiter through, which may free it",
    .source = "POSIX.1-2017 XSH sem_destroy; glibc bug 12674",
    .method =
        "up to 300 times a waiter destroys and unmaps the semaphore as soon as its wait returns, "
        "while the poster is still in post",
    .meaning = "a late touch crashes when it comes late enough; seeded",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_free,
};
TL_CHECK(post_then_free);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_sem_ops *sound;
static struct tl_impl whole;
static _Atomic unsigned calls;

static int post_twice(struct tl_sem *s)
{
    if (atomic_fetch_add(&calls, 1) % 100 == 99)
        sound->post(s);
    return sound->post(s);
}

static int post_losing(struct tl_sem *s)
{
    return atomic_fetch_add(&calls, 1) % 20 == 19 ? 0 : sound->post(s);
}

static int trywait_ebusy(struct tl_sem *s)
{
    int err = sound->trywait(s);

    return err == EAGAIN ? EBUSY : err;
}

static int post_wrapping(struct tl_sem *s)
{
    int err = sound->post(s);

    return err == EOVERFLOW ? 0 : err;
}

static int timedwait_early(struct tl_sem *s, clockid_t clock, uint64_t deadline)
{
    return sound->timedwait(s, clock, deadline > 5000000 ? deadline - 5000000 : deadline);
}

static int post_touching(struct tl_sem *s)
{
    int err = sound->post(s);

    for (int i = 0; i < 20; i++)
        whole.yield();
    return err + (*(volatile unsigned char *)s & 0);
}

#define APPLY(function, member, broken)        \
    static void function(struct tl_impl *impl) \
    {                                          \
        whole = *impl;                         \
        sound = impl->sem;                     \
        TL_MUTATE(impl, sem)->member = broken; \
    }
APPLY(apply_twice, post, post_twice)
APPLY(apply_losing, post, post_losing)
APPLY(apply_ebusy, trywait, trywait_ebusy)
APPLY(apply_wrapping, post, post_wrapping)
APPLY(apply_early, timedwait, timedwait_early)
APPLY(apply_touching, post, post_touching)

MUTANT(twice, "sem-posts-twice", "one post in a hundred counts twice", "sem.count", EVERYWHERE,
       apply_twice);
MUTANT(losing, "sem-loses-some-posts", "one post in twenty is lost", "sem.count", EVERYWHERE,
       apply_losing);
MUTANT(losing_handler, "sem-loses-posts-of-handlers", "one post in twenty is lost",
       "sem.post-in-handler", EVERYWHERE, apply_losing);
MUTANT(ebusy, "sem-try-answers-ebusy", "trywait of an empty semaphore answers EBUSY", "sem.try",
       EVERYWHERE, apply_ebusy);
MUTANT(wrapping, "sem-hides-overflow", "a post beyond the greatest value answers 0", "sem.overflow",
       EVERYWHERE, apply_wrapping);
MUTANT(early, "sem-times-out-early", "a timed wait ends 5 ms before its deadline", "sem.timed",
       EVERYWHERE, apply_early);
MUTANT(touching, "sem-touched-after-post", "post reads the semaphore after it has let a waiter go",
       "sem.post-then-free", EVERYWHERE, apply_touching);

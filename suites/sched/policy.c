/*
 * policy.c - policy.fifo, policy.lifo, policy.priority: in which order threads run that have become
 * ready while another one ran.
 */
#include "../common/wrap.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define THREADS 5
#define ROUNDS 20

static struct tl_ctx *ctx;
static struct tl_sem ready, go[THREADS];
static _Atomic unsigned came;
static unsigned order[THREADS]; /* who came when; each is written once a round */

static void *wait_and_note(void *arg)
{
    const struct tl_sem_ops *sem = ctx->impl->sem;
    unsigned i = (unsigned)(uintptr_t)arg;

    TL_CALL(ctx, sem->post(&ready));
    if (TL_CALL(ctx, sem->wait(&go[i])))
        order[atomic_fetch_add(&came, 1)] = i;
    return arg;
}

/* How often the kernel thread of the caller has slept. */
static long sleeps(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

/* Starts the threads, all where the caller runs, lets them wait, wakes them in the order of
 * `posts` in one go, and gives up the PU. priority: of each, or NULL. False: a call has failed
 * (noted), or the caller, a kernel thread, slept while it woke them (a page was not there): then no
 * order follows. */
static bool play(const unsigned *posts, const int *priority)
{
    const struct tl_sem_ops *sem = ctx->impl->sem;
    struct tl_thread t[THREADS];
    unsigned made = 0;
    long slept;

    atomic_store(&came, 0);
    for (unsigned i = 0; i < THREADS; i++)
        order[i] = THREADS;
    TL_CALL(ctx, sem->init(&ready, 0));
    for (; made < THREADS; made++) {
        struct tl_sched sched = {SCHED_FIFO, priority ? priority[made] : 0};
        struct tl_attr attr = tl_worker_attr(ctx, 0);

        attr.sched = priority ? &sched : NULL;
        TL_CALL(ctx, sem->init(&go[made], 0));
        if (!TL_CALL(ctx,
                     ctx->impl->create(&t[made], &attr, wait_and_note, (void *)(uintptr_t)made)))
            break;
    }
    for (unsigned i = 0; i < made; i++)
        TL_CALL(ctx, sem->wait(&ready));
    slept = sleeps();
    for (unsigned i = 0; i < made; i++)
        TL_CALL(ctx, sem->post(&go[posts[i] % made]));
    slept = sleeps() - slept;
    for (unsigned i = 0; i < made; i++)
        tl_finish(ctx, t[i]);
    return tl_verdict(ctx) == TL_OK && (!slept || !tl_trait(ctx, TL_ONE_TO_ONE));
}

static void shuffle(unsigned *posts, uint64_t *stream)
{
    for (unsigned i = 0; i < THREADS; i++)
        posts[i] = i;
    for (unsigned i = THREADS - 1; i > 0; i--) {
        unsigned j = (unsigned)(tl_random(stream) % (i + 1)), other = posts[j];

        posts[j] = posts[i];
        posts[i] = other;
    }
}

static enum tl_status run_order(struct tl_ctx *c, bool latest_first)
{
    uint64_t stream = c->seed;
    unsigned posts[THREADS];

    ctx = c;
    if (tl_trait(c, TL_CONCURRENT) && !tl_impl_param(c, "policy"))
        return tl_unsupported(c, "the kernel schedules these threads: it has no policy that orders "
                                 "all of them by the moment at which they became ready");
    for (int round = 0; round < ROUNDS && tl_verdict(c) == TL_OK; round++) {
        shuffle(posts, &stream);
        if (!play(posts, NULL))
            continue;
        for (unsigned i = 0; i < THREADS; i++) {
            unsigned wanted = posts[latest_first ? THREADS - 1 - i : i];

            TL_EXPECT(c, order[i] == wanted, "round %d: thread %u came as number %u, not thread %u",
                      round, order[i], i, wanted);
        }
    }
    return tl_verdict(c);
}

static enum tl_status run_fifo(struct tl_ctx *c)
{
    return run_order(c, false);
}

static enum tl_status run_lifo(struct tl_ctx *c)
{
    return run_order(c, true);
}

static const struct tl_check policy_fifo = {
    .abi = TL_ABI,
    .name = "policy.fifo",
    .group = "Scheduling",
    .promise = "with policy=fifo threads run in the order in which they became ready",
    .source = "the implementation's parameter `policy` (README of impls/user)",
    .method = "twenty times, five threads that wait are woken in a random order by one that runs "
              "on, which then waits for them",
    .meaning = "any other order is seen; what has been ready before is not in the way here",
    .needs = "sem",
    .params = "policy=fifo,lwps=1,detector=jacket",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_fifo,
};
TL_CHECK(policy_fifo);

static const struct tl_check policy_lifo = {
    .abi = TL_ABI,
    .name = "policy.lifo",
    .group = "Scheduling",
    .promise = "with policy=lifo the thread that became ready last runs first",
    .source = "the implementation's parameter `policy` (README of impls/user)",
    .method = "as policy.fifo",
    .meaning = "as policy.fifo; who yields is an exception, and is not asked",
    .needs = "sem",
    .params = "policy=lifo,lwps=1,detector=jacket",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_lifo,
};
TL_CHECK(policy_lifo);

/* ---- priority -------------------------------------------------------------------------------- */

static enum tl_status run_priority(struct tl_ctx *c)
{
    const struct tl_sched high = {SCHED_FIFO, 20};
    const unsigned posts[THREADS] = {0, 1, 2, 3, 4}, wanted[THREADS] = {2, 4, 0, 3, 1};
    const int priority[THREADS] = {3, 1, 5, 2, 4};
    struct tl_sched old;
    struct tl_thread self = c->impl->self();
    int err, rounds = 0;

    ctx = c;
    TL_CALL(c, c->impl->info->get_sched(self, &old));
    err = c->impl->info->set_sched(self, &high); /* goes on while it wakes the others */
    if (err == EPERM)
        return tl_unsupported(c, "SCHED_FIFO is not permitted: RLIMIT_RTPRIO or CAP_SYS_NICE");
    if (err == ENOTSUP)
        return tl_refused(c, "attr.sched");
    TL_CALL(c, err);
    for (int round = 0; round < ROUNDS && tl_verdict(c) == TL_OK; round++) {
        if (!play(posts, priority))
            continue;
        rounds++;
        for (unsigned i = 0; i < THREADS; i++)
            TL_EXPECT(c, order[i] == wanted[i], "round %d: thread %u came as number %u, not %u",
                      round, order[i], i, wanted[i]);
    }
    TL_CALL(c, c->impl->info->set_sched(self, &old));
    if (tl_verdict(c) == TL_OK && !rounds)
        return tl_invalid(c, "in each round the thread that wakes the others slept meanwhile");
    return tl_verdict(c);
}

static const struct tl_check policy_priority = {
    .abi = TL_ABI,
    .name = "policy.priority",
    .group = "Scheduling",
    .promise = "of the threads that are ready on a PU, the one of the highest priority runs",
    .source = "POSIX.1-2017 XSH 2.8.4 (Process Scheduling), SCHED_FIFO; sched(7); the "
              "implementation's policy=priority",
    .method = "twenty times, five threads of different priorities on one PU are woken by one of a "
              "higher priority, not in their order, which then waits for them",
    .meaning = "any order but that of the priorities is seen; a priority that changes, and "
               "preemption, are not asked",
    .needs = "sem info.set_sched info.get_sched",
    .params = "policy=priority,lwps=1,detector=jacket",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_priority,
};
TL_CHECK(policy_priority);

/* ---- mutants --------------------------------------------------------------------------------- */

static void apply_lifo(struct tl_impl *impl)
{
    wrap_param(impl, "policy", "lifo");
}

static const struct tl_mutant fifo_is_lifo = {
    .abi = TL_ABI,
    .name = "policy-fifo-is-lifo",
    .fault = "who becomes ready goes to the head of the run queue, whatever the policy",
    .kills = "policy.fifo",
    .of = "green ucontext hybrid",
    .apply = apply_lifo,
};
TL_MUTANT_OF(fifo_is_lifo);

static void apply_fifo(struct tl_impl *impl)
{
    wrap_param(impl, "policy", "fifo");
}

static const struct tl_mutant lifo_is_fifo = {
    .abi = TL_ABI,
    .name = "policy-lifo-is-fifo",
    .fault = "who becomes ready goes to the end of the run queue, whatever the policy",
    .kills = "policy.lifo",
    .of = "green ucontext hybrid",
    .apply = apply_fifo,
};
TL_MUTANT_OF(lifo_is_fifo);

static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg);

static int create_without(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    struct tl_attr forgets = *attr;

    forgets.sched = NULL;
    return sound_create(t, &forgets, entry, arg);
}

static void apply_create(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_without;
}

static const struct tl_mutant forgets_priority = {
    .abi = TL_ABI,
    .name = "create-forgets-priority",
    .fault = "create takes the priority of the creator, not the one in the attributes",
    .kills = "policy.priority",
    .of = "nptl clone green hybrid",
    .apply = apply_create,
};
TL_MUTANT_OF(forgets_priority);

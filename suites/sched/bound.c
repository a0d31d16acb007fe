/*
 * bound.c - bound.same-kernel-thread, affinity.honoured: the kernel thread and the PU under a
 * thread.
 */
#include <sched.h>

#include "../common/crowd.h"
#include "../common/wrap.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define THREADS 4
#define TURNS 100

static struct tl_ctx *ctx;

/* ---- kernel thread --------------------------------------------------------------------------- */

static _Atomic int tid_of[THREADS];

static void stay(unsigned i)
{
    int first = (int)syscall(SYS_gettid);

    atomic_store(&tid_of[i], first);
    for (int k = 0; k < TURNS && tl_verdict(ctx) == TL_OK; k++) {
        crowd_step();
        int now = (int)syscall(SYS_gettid);
        TL_EXPECT(ctx, now == first, "thread %u runs on kernel thread %d, it was %d", i, now,
                  first);
    }
    crowd_meet();
}

static enum tl_status run_bound(struct tl_ctx *c)
{
    ctx = c;
    crowd_run_as(c, THREADS, stay, tl_trait(c, TL_PARALLEL) && !tl_trait(c, TL_ONE_TO_ONE));
    for (unsigned i = 0; i < THREADS && tl_trait(c, TL_PARALLEL); i++)
        for (unsigned j = 0; j < i; j++)
            TL_EXPECT(c, atomic_load(&tid_of[i]) != atomic_load(&tid_of[j]),
                      "threads %u and %u run on one kernel thread", i, j);
    return tl_verdict(c);
}

static const struct tl_check bound = {
    .abi = TL_ABI,
    .name = "bound.same-kernel-thread",
    .group = "Scheduling",
    .promise =
        "a thread stays on its kernel thread, which in a 1:1 implementation is its own; so does, "
        "in an M:N one, a thread that is bound",
    .source = "POSIX.1-2017 XSH pthread_attr_setscope (PTHREAD_SCOPE_SYSTEM); Powell et al. 1991, "
              "\"SunOS Multi-thread Architecture\" (bound threads)",
    .method = "four threads, which in an M:N implementation are created with attr.bound, take 100 "
              "turns and ask gettid(2) before and after each",
    .meaning = "a thread that moves while it yields is seen; moves while it is blocked elsewhere "
               "are not asked. With one kernel thread for all it cannot move",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_bound,
};
TL_CHECK(bound);

/* ---- PU -------------------------------------------------------------------------------------- */

static void is_on(const char *who, unsigned i, int cpu)
{
    int now = sched_getcpu();
    cpu_set_t may;

    TL_EXPECT(ctx, now == cpu, "%s %u runs on CPU %d, it was to run on CPU %d", who, i, now, cpu);
    if (TL_EXPECT(ctx, sched_getaffinity(0, sizeof(may), &may) == 0, "sched_getaffinity: %s",
                  strerror(errno)))
        TL_EXPECT(ctx, CPU_COUNT(&may) == 1 && CPU_ISSET(cpu, &may),
                  "%s %u may run on %d CPUs%s, it was to run on CPU %d only", who, i,
                  CPU_COUNT(&may), CPU_ISSET(cpu, &may) ? "" : ", others", cpu);
}

static int cpu_of(unsigned i)
{
    return ctx->cpus[i % ctx->nslots];
}

static void *child(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;

    is_on("the child of thread", i, cpu_of(i));
    return arg;
}

static void stay_there(unsigned i)
{
    struct tl_thread t;

    for (int k = 0; k < TURNS && tl_verdict(ctx) == TL_OK; k++) {
        is_on("thread", i, cpu_of(i));
        crowd_step();
    }
    /* No attributes: where its creator runs. */
    if (TL_CALL(ctx, ctx->impl->create(&t, NULL, child, (void *)(uintptr_t)i)))
        tl_finish(ctx, t);
}

static enum tl_status run_affinity(struct tl_ctx *c)
{
    ctx = c;
    for (int round = 0; round < 5 && tl_verdict(c) == TL_OK; round++)
        crowd_run(c, THREADS, stay_there);
    return tl_verdict(c);
}

static const struct tl_check affinity = {
    .abi = TL_ABI,
    .name = "affinity.honoured",
    .group = "Scheduling",
    .promise = "a thread runs on the PU of its slot, and its child, if not told otherwise, there",
    .source = "sched_setaffinity(2); slot in the contract of implementations (harness/impl.h)",
    .method = "five times, four threads on the slots in turn ask sched_getcpu(3) and "
              "sched_getaffinity(2) over 100 turns; then each creates one without attributes, "
              "which asks, too",
    .meaning = "it runs there and may run nowhere else; every benchmark of more than one PU rests "
               "on this. Whether these are the PUs that a policy promises is not asked here: "
               "--place chooses it, and scripts/lab topologies compares",
    .traits = TL_PARALLEL,
    .flags = TL_CHECK_CONCURRENT,
    .pus = 2,
    .run = run_affinity,
};
TL_CHECK(affinity);

/* ---- mutants --------------------------------------------------------------------------------- */

/* A thread that moves once: it runs on a context of its own (makecontext), first on its kernel
 * thread, after its third yield on a second one, while the first one waits. */
struct mover {
    ucontext_t inside, outside;
    void *(*entry)(void *);
    void *arg, *value;
    unsigned yields;
    bool ended, moved;
    char stack[256 * 1024];
};

static struct tl_impl sound;
static _Thread_local struct mover *mover; /* of the kernel thread that runs it now */

/* Not inlined: the kernel thread, and so mover, may be another one after a switch. */
static __attribute__((noinline)) struct mover **mover_here(void)
{
    __asm__ volatile("" ::: "memory");
    return &mover;
}

static void mover_main(void)
{
    struct mover *m = *mover_here();

    m->value = m->entry(m->arg);
    m->ended = true;
    setcontext(&m->outside);
}

static void *mover_second(void *arg)
{
    struct mover *m = arg;

    *mover_here() = m;
    swapcontext(&m->outside, &m->inside);
    *mover_here() = NULL;
    return NULL;
}

static void *mover_first(void *(*entry)(void *), void *arg)
{
    struct mover *m = calloc(1, sizeof(*m));
    struct tl_thread second;
    void *value;

    if (!m)
        return NULL;
    m->entry = entry;
    m->arg = arg;
    getcontext(&m->inside);
    m->inside.uc_stack.ss_sp = m->stack;
    m->inside.uc_stack.ss_size = sizeof(m->stack);
    makecontext(&m->inside, mover_main, 0);
    mover_second(m);
    while (!m->ended)
        if (!sound.create(&second, NULL, mover_second, m))
            sound.join(second, NULL);
    value = m->value;
    free(m);
    return value;
}

static void yield_and_move(void)
{
    struct mover *m = *mover_here();

    sound.yield();
    if (!m || m->moved || ++m->yields < 3)
        return;
    m->moved = true;
    swapcontext(&m->inside, &m->outside);
}

static void apply_mover(struct tl_impl *impl)
{
    sound = *impl;
    impl->yield = yield_and_move;
    wrap_entries(impl, mover_first);
}

static const struct tl_mutant moves = {
    .abi = TL_ABI,
    .name = "thread-changes-kernel-thread",
    .fault = "a thread that yields goes on on another kernel thread",
    .kills = "bound.same-kernel-thread",
    .of = "nptl clone",
    .apply = apply_mover,
};
TL_MUTANT_OF(moves);

static int create_unbound(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    struct tl_attr unbound = attr ? *attr : (struct tl_attr)TL_ATTR_INIT;

    unbound.bound = false;
    return sound.create(t, &unbound, entry, arg);
}

static void apply_unbound(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_unbound;
}

static const struct tl_mutant ignores_bound = {
    .abi = TL_ABI,
    .name = "create-ignores-bound",
    .fault = "a thread that is to be bound shares the kernel threads of the others",
    .kills = "bound.same-kernel-thread",
    .of = "hybrid",
    .apply = apply_unbound,
};
TL_MUTANT_OF(ignores_bound);

static int create_anywhere(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg)
{
    struct tl_attr anywhere = attr ? *attr : (struct tl_attr)TL_ATTR_INIT;

    if (wrap_once_in(4))
        anywhere.slot = TL_SLOT_INHERIT;
    return sound.create(t, &anywhere, entry, arg);
}

static void apply_anywhere(struct tl_impl *impl)
{
    sound = *impl;
    impl->create = create_anywhere;
}

static const struct tl_mutant ignores_slot = {
    .abi = TL_ABI,
    .name = "create-ignores-slot",
    .fault = "one create in four leaves the new thread where its creator runs",
    .kills = "affinity.honoured",
    .of = "nptl clone",
    .apply = apply_anywhere,
};
TL_MUTANT_OF(ignores_slot);

/*
 * random.c - torture.random, torture.preempted: a random program of threads does what it says,
 * whatever the order and whoever is interrupted.
 */
#include "program.h"

#include "../common/action.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNAL SIGUSR1

/* Invariants: edges are used by the threads of one hand-over; inside and entered belong to the
 * mutex of the same number. entered is read and written apart, not by one atomic step, so that
 * whoever is let in too early loses an increment; atomic because detached threads end unseen. */
static struct {
    struct tl_ctx *ctx;
    struct program program;
    struct tl_thread id[PROGRAM_THREADS];
    struct edge {
        struct tl_mutex mutex;
        struct tl_cond cond;
        struct tl_sem sem;
        struct tl_barrier barrier;
        bool set;
    } edges[PROGRAM_EDGES];
    struct tl_mutex mutex[PROGRAM_MUTEXES];
    _Atomic int inside[PROGRAM_MUTEXES];
    _Atomic unsigned entered[PROGRAM_MUTEXES];
    struct tl_sem never; /* posted */
    struct tl_key key;
    bool has_key;
    pid_t original;
    pid_t copy; /* that fork_all has made; 0: none */
    _Atomic unsigned ended, values, destroyed, to_itself, handled, cleaned, serial;
} w;

static void *thread(void *arg);

static void on_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&w.handled, 1);
}

static void destroy_value(void *value)
{
    (void)value;
    atomic_fetch_add(&w.destroyed, 1);
}

static void *value_of(unsigned t)
{
    return &w.id[t];
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void critical(unsigned m)
{
    const struct tl_mutex_ops *ops = w.ctx->impl->mutex;

    if (!TL_CALL(w.ctx, ops->lock(&w.mutex[m])))
        return;
    TL_EXPECT(w.ctx, atomic_fetch_add(&w.inside[m], 1) == 0, "two threads hold mutex %u", m);
    unsigned seen = atomic_load_explicit(&w.entered[m], memory_order_relaxed);
    tl_delay(w.ctx, "critical section");
    atomic_store_explicit(&w.entered[m], seen + 1, memory_order_relaxed);
    atomic_fetch_sub(&w.inside[m], 1);
    TL_CALL(w.ctx, ops->unlock(&w.mutex[m]));
}

static void signal_edge(struct edge *e)
{
    const struct tl_impl *impl = w.ctx->impl;

    TL_CALL(w.ctx, impl->mutex->lock(&e->mutex));
    e->set = true;
    tl_delay(w.ctx, "between set and signal");
    TL_CALL(w.ctx, impl->cond->signal(&e->cond));
    TL_CALL(w.ctx, impl->mutex->unlock(&e->mutex));
}

static void await_edge(struct edge *e)
{
    const struct tl_impl *impl = w.ctx->impl;

    TL_CALL(w.ctx, impl->mutex->lock(&e->mutex));
    while (!e->set && tl_verdict(w.ctx) == TL_OK)
        TL_CALL(w.ctx, impl->cond->wait(&e->cond, &e->mutex));
    TL_CALL(w.ctx, impl->mutex->unlock(&e->mutex));
}

static void meet(struct edge *e)
{
    int got = w.ctx->impl->barrier->wait(&e->barrier);

    if (got == TL_BARRIER_SERIAL)
        atomic_fetch_add(&w.serial, 1);
    else
        TL_EXPECT(w.ctx, got == 0, "barrier.wait answered %d", got);
}

static void give_value(void)
{
    const struct tl_key_ops *ops = w.ctx->impl->key;

    if (!ops->get(w.key))
        atomic_fetch_add(&w.values, 1);
    TL_CALL(w.ctx, ops->set(w.key, &w));
}

static void kill_self(void)
{
    unsigned before = atomic_load(&w.handled);

    atomic_fetch_add(&w.to_itself, 1);
    TL_CALL(w.ctx, w.ctx->impl->signal->kill(w.ctx->impl->self(), SIGNAL, NULL));
    TL_EXPECT(w.ctx, atomic_load(&w.handled) > before, "a signal to itself was not delivered");
}

/* The target may have ended, but is not joined: its id is still its own. */
static void kill_other(unsigned t)
{
    int err = w.ctx->impl->signal->kill(w.id[t], SIGNAL, NULL);

    TL_EXPECT(w.ctx, err == 0 || err == ESRCH || err == ENOTSUP,
              "a signal to a thread that is not joined answered %d", err);
}

static void *same(void *arg)
{
    return arg;
}

static _Noreturn void forked(void)
{
    struct tl_thread t;
    void *value = NULL;

    if (w.ctx->impl->create(&t, NULL, same, &w) || w.ctx->impl->join(t, &value) || value != &w)
        _exit(3);
    _exit(0);
}

static void fork_one(void)
{
    int status = 0, err;
    pid_t pid = -1;

    err = w.ctx->impl->fork->fork(&pid);
    if (err == ENOTSUP) /* some values of parameters refuse it */
        return;
    if (!TL_EXPECT(w.ctx, err == 0, "fork answered %d", err))
        return;
    if (pid == 0)
        forked();
    while (waitpid(pid, &status, WNOHANG) == 0) /* a plain wait may stop every thread */
        w.ctx->impl->yield();
    TL_EXPECT(w.ctx, WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "the child of a fork ended with status %#x", status);
}

/* The copy goes on with the program, as the original does, and is judged alike (after). */
static void fork_all(void)
{
    pid_t pid = -1;
    int err = w.ctx->impl->fork->fork_all(&pid);

    /* EAGAIN: not while a thread is held up in the kernel. */
    if (err == ENOTSUP || err == EAGAIN || !TL_EXPECT(w.ctx, err == 0, "fork_all answered %d", err))
        return;
    if (pid)
        w.copy = pid;
}

/* Its other threads may run before the one that has made it is back. */
static bool is_copy(void)
{
    return getpid() != w.original;
}

/* In after(). */
static void await_copy(void)
{
    int status = 0;

    tl_step(w.ctx, "waiting for the process that fork_all has made");
    if (w.copy && TL_EXPECT(w.ctx, waitpid(w.copy, &status, 0) == w.copy, "waitpid: %d", errno))
        TL_EXPECT(w.ctx, WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "the child of fork_all ended with status %#x", status);
}

static void clean(void *arg)
{
    (void)arg;
    atomic_fetch_add(&w.cleaned, 1);
}

static void block_for_ever(void *arg)
{
    (void)arg;
    TL_CALL(w.ctx, w.ctx->impl->cancel->set_state(TL_CANCEL_ENABLE, NULL));
    w.ctx->impl->sem->wait(&w.never);
    TL_EXPECT(w.ctx, false, "a wait ended that nobody ends");
}

static void block(void)
{
    if (w.ctx->impl->protect)
        w.ctx->impl->protect(block_for_ever, NULL, clean, NULL, false);
    else
        block_for_ever(NULL);
}

static void join(unsigned t)
{
    void *value = NULL, *right = w.program.threads[t].blocks ? TL_CANCELED : value_of(t);

    if (TL_CALL(w.ctx, w.ctx->impl->join(w.id[t], &value)))
        TL_EXPECT(w.ctx, value == right, "thread %u ended with another value than its own", t);
}

static void act(const struct op *op)
{
    const struct tl_impl *impl = w.ctx->impl;
    struct edge *edge = &w.edges[op->arg < PROGRAM_EDGES ? op->arg : 0];

    switch (op->kind) {
    case OP_CREATE:
        tl_start(w.ctx, op->arg, &w.id[op->arg], thread, value_of(op->arg));
        break;
    case OP_JOIN:
        join(op->arg);
        break;
    case OP_DETACH:
        TL_CALL(w.ctx, impl->detach(w.id[op->arg]));
        break;
    case OP_CRITICAL:
        critical(op->arg);
        break;
    case OP_POST:
        TL_CALL(w.ctx, impl->sem->post(&edge->sem));
        break;
    case OP_WAIT:
        TL_CALL(w.ctx, impl->sem->wait(&edge->sem));
        break;
    case OP_SIGNAL:
        signal_edge(edge);
        break;
    case OP_AWAIT:
        await_edge(edge);
        break;
    case OP_BARRIER:
        meet(edge);
        break;
    case OP_YIELD:
        impl->yield();
        break;
    case OP_SLEEP:
        TL_CALL(w.ctx, impl->sleep(op->arg * 1000));
        break;
    case OP_KEY:
        give_value();
        break;
    case OP_KILL_SELF:
        kill_self();
        break;
    case OP_KILL:
        kill_other(op->arg);
        break;
    case OP_FORK:
        fork_one();
        break;
    case OP_FORK_ALL:
        fork_all();
        break;
    case OP_BLOCK:
        block();
        break;
    case OP_CANCEL:
        TL_CALL(w.ctx, impl->cancel->cancel(w.id[op->arg]));
        break;
    default:
        break;
    }
}

/* Where errno is may change whenever a thread switches to another kernel thread, which the compiler
 * does not know (it takes __errno_location for a constant): asked anew, in functions of their own.
 */
static __attribute__((noinline)) void errno_set(int value)
{
    __asm__ volatile("");
    errno = value;
}

static __attribute__((noinline)) int errno_get(void)
{
    __asm__ volatile("");
    return errno;
}

/* In a copy of several kernel threads a thread that was interrupted before it wrote to its errno
 * writes to what is another's (impls/hybrid/README.md). */
static bool keeps_errno(enum op_kind kind)
{
    return kind != OP_FORK && kind != OP_FORK_ALL && !(is_copy() && tl_trait(w.ctx, TL_PARALLEL));
}

static void play(unsigned t)
{
    int mine = (int)t + 1000;

    for (unsigned i = 0; i < w.program.nops && tl_verdict(w.ctx) == TL_OK; i++) {
        if (w.program.ops[i].thread != t)
            continue;
        errno_set(mine);
        tl_delay(w.ctx, "between two steps");
        act(&w.program.ops[i]);
        if (keeps_errno(w.program.ops[i].kind))
            TL_EXPECT(w.ctx, errno_get() == mine, "errno of thread %u changed to %d", t,
                      errno_get());
    }
}

static void *thread(void *arg)
{
    unsigned t = (unsigned)((struct tl_thread *)arg - w.id);

    /* The request may come long before it blocks, when others still wait for what it will do. */
    if (w.program.threads[t].blocks)
        TL_CALL(w.ctx, w.ctx->impl->cancel->set_state(TL_CANCEL_DISABLE, NULL));
    play(t);
    atomic_fetch_add(&w.ended, 1);
    if (w.program.threads[t].exits && tl_verdict(w.ctx) == TL_OK)
        w.ctx->impl->exit(arg);
    return arg;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void prepare(void)
{
    const struct tl_impl *impl = w.ctx->impl;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    tl_sigaction(impl, SIGNAL, &action, NULL);
    for (unsigned m = 0; impl->mutex && m < PROGRAM_MUTEXES; m++)
        TL_CALL(w.ctx, impl->mutex->init(&w.mutex[m], m == 1 ? TL_MUTEX_ADAPTIVE : TL_MUTEX_BLOCK));
    for (unsigned i = 0; i < w.program.nedges; i++) {
        struct edge *e = &w.edges[i];

        if (impl->mutex)
            TL_CALL(w.ctx, impl->mutex->init(&e->mutex, TL_MUTEX_BLOCK));
        if (impl->cond)
            TL_CALL(w.ctx, impl->cond->init(&e->cond));
        if (impl->sem)
            TL_CALL(w.ctx, impl->sem->init(&e->sem, 0));
        if (impl->barrier && w.program.barrier_n[i])
            TL_CALL(w.ctx, impl->barrier->init(&e->barrier, w.program.barrier_n[i]));
    }
    if (impl->sem)
        TL_CALL(w.ctx, impl->sem->init(&w.never, 0));
    if (impl->key)
        w.has_key = TL_CALL(w.ctx, impl->key->create(&w.key, destroy_value));
}

static enum tl_status run(struct tl_ctx *ctx)
{
    const char *no_fork = program_no_fork(ctx->impl);

    w.ctx = ctx;
    w.original = getpid();
    if (no_fork)
        tl_say(ctx, "forks are left out: %s", no_fork);
    program_draw(ctx, &w.program);
    prepare();
    play(0);
    return tl_verdict(ctx);
}

/* How often the program as it stands does this. */
static unsigned count(enum op_kind kind, unsigned arg)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w.program.nops; i++)
        n += w.program.ops[i].kind == kind && (arg == ~0u || w.program.ops[i].arg == arg);
    return n;
}

static unsigned barriers(void)
{
    bool met[PROGRAM_EDGES] = {false};
    unsigned n = 0;

    for (unsigned i = 0; i < w.program.nops; i++)
        if (w.program.ops[i].kind == OP_BARRIER) {
            n += !met[w.program.ops[i].arg];
            met[w.program.ops[i].arg] = true;
        }
    return n;
}

static unsigned first_has_value(void)
{
    for (unsigned i = 0; i < w.program.nops; i++)
        if (w.program.ops[i].kind == OP_KEY && w.program.ops[i].thread == 0)
            return 1;
    return 0;
}

/* When run() has returned, so that the detached ones have ended, too. */
static enum tl_status after(struct tl_ctx *ctx)
{
    unsigned blocks = count(OP_BLOCK, ~0u), threads = count(OP_CREATE, ~0u);
    unsigned sent = count(OP_KILL, ~0u), values = atomic_load(&w.values);

    for (unsigned m = 0; m < PROGRAM_MUTEXES; m++)
        TL_EXPECT(ctx, w.entered[m] == count(OP_CRITICAL, m), "mutex %u: %u of %u increments", m,
                  w.entered[m], count(OP_CRITICAL, m));
    TL_EXPECT(ctx, w.ended == threads - blocks, "%u of %u threads ended by themselves", w.ended,
              threads - blocks);
    TL_EXPECT(ctx, !ctx->impl->protect || w.cleaned == blocks, "%u of %u cleanup handlers ran",
              w.cleaned, blocks);
    TL_EXPECT(ctx, w.serial == barriers(), "%u threads were the serial one of %u barriers",
              w.serial, barriers());
    TL_EXPECT(ctx, w.handled >= w.to_itself && w.handled <= w.to_itself + sent,
              "%u signals were handled, %u to %u sent", w.handled, w.to_itself, w.to_itself + sent);
    /* The first thread ends with run(), which need not run its destructors. */
    TL_EXPECT(ctx, w.destroyed == values || w.destroyed + first_has_value() == values,
              "%u destructors ran for %u values", w.destroyed, values);
    if (is_copy())
        _exit(tl_verdict(ctx) == TL_OK ? 0 : 3);
    await_copy();
    return tl_verdict(ctx);
}

/* ---- for those who make it small ------------------------------------------------------------- */

static unsigned parts(const struct tl_ctx *ctx)
{
    static struct program p;

    program_draw(ctx, &p);
    return p.nparts;
}

static void print(const struct tl_ctx *ctx, void (*line)(const char *text, void *arg), void *arg)
{
    static struct program p;

    program_draw(ctx, &p);
    program_print(&p, line, arg);
}

static const struct tl_check torture_random = {
    .abi = TL_ABI,
    .name = "torture.random",
    .group = "Torture",
    .promise = "a random program of threads does what it says, in whatever order it runs",
    .source = "all clauses that the other properties cite, together",
    .method =
        "up to 32 threads create, join, detach, lock, hand over by semaphore and condition "
        "variable, meet at barriers, send signals, fork, fork all, cancel, and set values of keys, "
        "as a seed has it; every effect is counted and compared with what the program implies",
    .meaning =
        "a lost wake-up hangs, a lost increment, value, destructor or signal is counted; one "
        "seed is one program: --torture tries thousands and makes a failing one small",
    .needs = "mutex",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
    .after = after,
    .parts = parts,
    .print = print,
};
TL_CHECK(torture_random);

static const struct tl_check torture_preempted = {
    .abi = TL_ABI,
    .name = "torture.preempted",
    .group = "Torture",
    .promise =
        "a random program of threads does what it says, wherever its threads are interrupted",
    .source = "all clauses that the other properties cite, together; Shiina, Iwasaki, Taura, "
              "Balaji 2021, \"Lightweight Preemptive User-Level Threads\"",
    .method = "as torture.random, with a tick every 100 us that takes the PU away where the "
              "implementation has such a mode",
    .meaning = "a library that is interrupted with its data half changed loses what torture.random "
               "counts, or crashes. Where there is no such mode, it is torture.random",
    .needs = "mutex",
    .prefers = "preempt=timer,quantum=100",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
    .after = after,
    .parts = parts,
    .print = print,
};
TL_CHECK(torture_preempted);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_sem_ops *sound;

static int post_sometimes(struct tl_sem *s)
{
    static _Atomic unsigned posts;

    return atomic_fetch_add(&posts, 1) % 2 ? sound->post(s) : 0;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->sem;
    TL_MUTATE(impl, sem)->post = post_sometimes;
}

static const struct tl_mutant sem_loses_posts = {
    .abi = TL_ABI,
    .name = "sem-loses-posts",
    .fault = "every other post is lost, the first among them",
    .kills = "torture.random torture.preempted",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(sem_loses_posts);

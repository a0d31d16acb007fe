/*
 * handler-each-instruction.c - handler.each-instruction: a signal comes behind each instruction of
 * the implementation's calls, one after the other.
 *
 * handler.during-switch and handler.posts-anywhere let a timer choose the moment. Here the trap
 * flag of the processor counts instructions: after the n-th of a call the handler of the trap sends
 * one signal to its own kernel thread, which meets it right there; then n + 1, until the call is
 * over before. What a call does may differ from time to time, so the sum of all is no proof; a call
 * into the C library with something half done is met, though, however short it is.
 */
#include "signals.h"

#include "../common/mutant.h"

#include <stddef.h>
#include <sys/syscall.h>

#define SHOTS 20 /* signals into each call, about: a long one is gone through in larger steps */
#define LONGEST 100000
#define TRAP_FLAG 0x100

#if defined(__x86_64__)

static struct tl_ctx *ctx;
static const struct tl_impl *impl;
static struct tl_thread partner;
static struct tl_mutex lock;
static struct tl_cond cond;
static struct tl_sem here, there, extra, never;
static struct tl_rwlock rwlock;
static int ends[2]; /* of a pipe */
static struct tl_key key;
static int turn;           /* protected by lock */
static _Atomic int ended;  /* the partner may go */
static _Atomic int armed;  /* the traps count; 0 afterwards, when each takes its flag away */
static _Atomic long count; /* instructions until the signal */
static _Atomic int shots, handled, aimed;

/* ---- traps ----------------------------------------------------------------------------------- */

static void on_trap(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    int saved = errno;

    (void)sig;
    (void)info;
    if (!atomic_load(&armed)) {
        uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    } else if (atomic_fetch_sub(&count, 1) == 1 && atomic_exchange(&armed, 0)) {
        uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        atomic_fetch_add(&shots, 1);
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    }
    errno = saved;
}

static inline __attribute__((always_inline)) void trap_begin(void)
{
    __asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" ::"i"(TRAP_FLAG) : "memory", "cc");
}

static inline __attribute__((always_inline)) void trap_end(void)
{
    __asm__ volatile("pushfq\n\tandq %0, (%%rsp)\n\tpopfq" ::"i"(~TRAP_FLAG) : "memory", "cc");
}

static void on_usr1(int sig, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)sig;
    (void)info;
    (void)context;
    errno = EDOM;
    impl->sem->post(&extra);
    errno = saved;
    atomic_fetch_add(&handled, 1);
}

static void on_usr2(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&aimed, 1);
}

/* Where errno is may change with each call: the kernel thread does. */
static __attribute__((noipa)) int get_errno(void)
{
    return errno;
}

static __attribute__((noipa)) void set_errno(int value)
{
    errno = value;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void do_yield(void)
{
    impl->yield();
}

static void do_lock(void)
{
    TL_CALL(ctx, impl->mutex->lock(&lock));
    TL_CALL(ctx, impl->mutex->unlock(&lock));
}

static void do_sem(void)
{
    TL_CALL(ctx, impl->sem->post(&there));
    TL_CALL(ctx, impl->sem->wait(&here));
}

static void do_cond(void)
{
    TL_CALL(ctx, impl->mutex->lock(&lock));
    turn = 1;
    TL_CALL(ctx, impl->cond->broadcast(&cond));
    while (turn && tl_verdict(ctx) == TL_OK)
        TL_CALL(ctx, impl->cond->wait(&cond, &lock));
    TL_CALL(ctx, impl->mutex->unlock(&lock));
}

static void do_key(void)
{
    TL_CALL(ctx, impl->key->set(key, &key));
    TL_EXPECT(ctx, impl->key->get(key) == &key, "the value of a key was changed");
}

static void do_kill(void)
{
    TL_CALL(ctx, signals_kill(ctx, partner, SIGUSR2, 0));
}

static void do_send(void)
{
    signals_send(ctx, SIGUSR2, NULL);
}

static void do_mask(void)
{
    signals_mask(ctx, SIG_BLOCK, SIGUSR1);
    signals_mask(ctx, SIG_UNBLOCK, SIGUSR1);
}

static void do_sleep(void)
{
    TL_CALL(ctx, impl->sleep(1000));
}

static void *nothing(void *arg)
{
    return arg;
}

static void *wait_for_ever(void *arg)
{
    TL_CALL(ctx, impl->sem->wait(&never));
    return arg;
}

static void do_create(void)
{
    struct tl_thread t;

    if (tl_start(ctx, 0, &t, nothing, NULL))
        tl_finish(ctx, t);
}

static void do_cancel(void)
{
    struct tl_thread t;

    if (tl_start(ctx, 0, &t, wait_for_ever, NULL)) {
        TL_CALL(ctx, impl->cancel->cancel(t));
        TL_EXPECT(ctx, tl_finish(ctx, t) == TL_CANCELED, "a thread that was cancelled has a value");
    }
}

static void do_timed(void)
{
    uint64_t past = 1;
    int err;

    TL_CALL(ctx, impl->mutex->lock(&lock));
    do
        err = impl->cond->timedwait(&cond, &lock, CLOCK_MONOTONIC, past);
    while (!err && tl_verdict(ctx) == TL_OK);
    TL_EXPECT(ctx, err == ETIMEDOUT, "timedwait: %s", strerror(err));
    TL_CALL(ctx, impl->mutex->unlock(&lock));
}

static void do_rwlock(void)
{
    TL_CALL(ctx, impl->rwlock->rdlock(&rwlock));
    TL_CALL(ctx, impl->rwlock->unlock(&rwlock));
    TL_CALL(ctx, impl->rwlock->wrlock(&rwlock));
    TL_CALL(ctx, impl->rwlock->unlock(&rwlock));
}

/* One that is blocked here is pending: the next wait takes it. */
static void do_sigwait(void)
{
    sigset_t set = signals_of(SIGUSR2);
    int sig = 0;

    signals_mask(ctx, SIG_BLOCK, SIGUSR2);
    TL_CALL(ctx, signals_kill(ctx, impl->self(), SIGUSR2, 0));
    TL_CALL(ctx, impl->signal->wait(&set, &sig));
    TL_EXPECT(ctx, sig == SIGUSR2, "sigwait took %d", sig);
    signals_mask(ctx, SIG_UNBLOCK, SIGUSR2);
}

static void do_pipe(void)
{
    char byte = 'x';
    size_t done = 0;

    TL_CALL(ctx, impl->io->write(ends[1], &byte, 1, &done));
    TL_CALL(ctx, impl->io->read(ends[0], &byte, 1, &done));
    TL_EXPECT(ctx, done == 1, "read answered %zu", done);
}

#define CALL(name, offered)                                 \
    {                                                       \
#name, do_##name, offsetof(struct tl_impl, offered) \
    }

/* needs: a member of struct tl_impl that is a pointer; NULL: it is not offered. */
static const struct call {
    const char *name;
    void (*make)(void);
    size_t needs;
} calls[] = {
    CALL(yield, yield),   CALL(lock, mutex),     CALL(sem, sem),       CALL(cond, cond),
    CALL(timed, cond),    CALL(key, key),        CALL(kill, signal),   CALL(send, signal),
    CALL(mask, signal),   CALL(sleep, sleep),    CALL(create, create), CALL(cancel, cancel),
    CALL(rwlock, rwlock), CALL(sigwait, signal), CALL(pipe, io),
};

static bool is_offered(const struct call *call)
{
    void *needed;

    memcpy(&needed, (const char *)impl + call->needs, sizeof(needed));
    return needed && (call->make != do_kill || impl->signal->kill) &&
           (call->make != do_sigwait || (impl->signal->kill && impl->signal->wait)) &&
           (call->make != do_timed || impl->cond->timedwait);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Answers each call that waits for an answer. */
static void *answer(void *arg)
{
    while (!atomic_load(&ended) && tl_verdict(ctx) == TL_OK) {
        if (impl->sem->trywait(&there) == 0)
            impl->sem->post(&here);
        impl->mutex->lock(&lock);
        if (turn) {
            turn = 0;
            if (impl->cond)
                impl->cond->broadcast(&cond);
        }
        impl->yield();
        impl->mutex->unlock(&lock);
        impl->yield();
    }
    return arg;
}

/* One call, with a signal after n instructions. False: it was over before, or something failed. */
static bool shoot(const struct call *call, long n)
{
    int before = atomic_load(&handled), sent = atomic_load(&aimed);
    bool sends = call->make == do_kill || call->make == do_send;

    set_errno(ERANGE);
    atomic_store(&count, n);
    atomic_store(&armed, 1);
    trap_begin();
    call->make();
    trap_end();
    while (sends && atomic_load(&aimed) == sent && tl_verdict(ctx) == TL_OK)
        impl->yield();
    TL_EXPECT(ctx, !sends || atomic_load(&aimed) == sent + 1, "%d handlers ran for one %s",
              atomic_load(&aimed) - sent, call->name);
    if (atomic_exchange(&armed, 0))
        return false;
    TL_EXPECT(ctx, get_errno() == ERANGE, "%s with a signal after %ld instructions left errno %d",
              call->name, n, get_errno());
    while (atomic_load(&handled) == before && tl_verdict(ctx) == TL_OK)
        impl->yield();
    TL_EXPECT(ctx, atomic_load(&handled) == before + 1, "%d handlers ran for %d signals",
              atomic_load(&handled), before + 1);
    TL_CALL(ctx, impl->sem->trywait(&extra));
    return tl_verdict(ctx) == TL_OK;
}

static void go_through(const struct call *call)
{
    uint64_t random = ctx->seed;
    long length = 1, step, first;

    while (length < LONGEST && shoot(call, length))
        length *= 2;
    step = length / SHOTS + 1;
    first = 1 + (long)(tl_random(&random) % (uint64_t)step);
    for (long n = first; shoot(call, n); n += step)
        ;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART};

    ctx = c;
    impl = ctx->impl;
    if (tl_trait(ctx, TL_ONE_TO_ONE))
        return tl_unsupported(ctx, "the C library blocks all signals in calls of its own, and a "
                                   "trap that is blocked ends the process");
    if (!signals_concurrent(ctx) || !signals_handle(ctx, SIGUSR1, on_usr1, SA_RESTART) ||
        !signals_handle(ctx, SIGUSR2, on_usr2, SA_RESTART))
        return TL_FAILED;
    sigfillset(&trap.sa_mask);
    TL_EXPECT(ctx, sigaction(SIGTRAP, &trap, NULL) == 0, "sigaction: %s", strerror(errno));
    TL_CALL(ctx, impl->mutex->init(&lock, TL_MUTEX_BLOCK));
    TL_CALL(ctx, impl->sem->init(&here, 0));
    TL_CALL(ctx, impl->sem->init(&there, 0));
    TL_CALL(ctx, impl->sem->init(&extra, 0));
    TL_CALL(ctx, impl->sem->init(&never, 0));
    TL_EXPECT(ctx, pipe(ends) == 0, "pipe: %s", strerror(errno));
    if (impl->rwlock)
        TL_CALL(ctx, impl->rwlock->init(&rwlock));
    if (impl->cond)
        TL_CALL(ctx, impl->cond->init(&cond));
    if (impl->key)
        TL_CALL(ctx, impl->key->create(&key, NULL));
    if (!tl_start(ctx, 0, &partner, answer, NULL))
        return tl_verdict(ctx);
    for (int i = 0; i < 1000; i++)
        impl->yield(); /* all kernel threads that it wants are there: see the reason above */
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (is_offered(&calls[i]) && tl_verdict(ctx) == TL_OK)
            go_through(&calls[i]);
    atomic_store(&ended, 1);
    tl_finish(ctx, partner);
    tl_say(ctx, "%d signals", atomic_load(&shots));
    return tl_verdict(ctx);
}

#else

static enum tl_status run(struct tl_ctx *ctx)
{
    return tl_unsupported(ctx, "this processor has no trap flag that a program may set");
}

#endif

static const struct tl_check each_instruction = {
    .abi = TL_ABI,
    .name = "handler.each-instruction",
    .group = "Signals",
    .promise = "a signal may come behind any instruction of a call: its handler runs once and may "
               "post, and the call does what it is to do",
    .source = "POSIX.1-2017 XSH 2.4.3 (signal actions; async-signal-safe functions: sem_post)",
    .method = "what waits and wakes, keys, kill, masks, sleep, create, cancel and a pipe, each "
              "again and again: the trap flag counts the instructions until a signal to the own "
              "kernel thread, some 20 places in each call, other ones with another seed",
    .meaning = "a handler that runs where the implementation has called another library with its "
               "data half changed, or a lock held, hangs, spoils or loses something; builds with "
               "faults look at the locks, too",
    .needs = "sem.post_in_handler mutex signal.mask",
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 180,
    .run = run,
};
TL_CHECK(each_instruction);

/* ---- mutants --------------------------------------------------------------------------------- */

#ifdef TL_INJECT
MUTANT(calls_out, "user-lock-kept-outside",
       "kill calls the C library while it holds the lock of the receiver",
       "handler.each-instruction", "hybrid", NULL);
MUTANT(told_on_leaving, "user-signal-told-on-leaving",
       "a thread that gives up the PU counts as told of a signal, as if it went on",
       "handler.each-instruction", "hybrid", NULL);
MUTANT(anywhere_stepped, "user-handlers-anywhere-stepped",
       "handlers are run also where they have interrupted the library between two writes",
       "handler.each-instruction", "green ucontext", NULL);
#endif

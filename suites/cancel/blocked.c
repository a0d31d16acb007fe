/*
 * blocked.c - cancel.blocked-read, -sleep, -cond-wait, -join, -sem-wait, -sigwait: a request
 * reaches a thread that is asleep in a call, and takes nothing with it that was meant for others.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

#include "../common/mutant.h"
#include "../common/wrap.h"

#define ROUNDS 40
#define FOR_EVER_NS UINT64_C(3600000000000)

static struct tl_ctx *ctx;

/* One call that waits, as the victim makes it. Nobody ends the wait. after: what has to be true
 * when the victim is gone. */
struct wait {
    const char *name;
    bool (*before)(void); /* first thread. False: noted */
    void (*block)(void);  /* the victim */
    void (*after)(void);  /* first thread */
};

static bool nothing_before(void)
{
    return true;
}

static void nothing_after(void)
{
}

/* ---- read ------------------------------------------------------------------------------------ */

static int ends[2];

static int read_byte(char *byte)
{
    size_t done = 0;
    ssize_t n;

    if (ctx->impl->io)
        return ctx->impl->io->read(ends[0], byte, 1, &done);
    n = read(ends[0], byte, 1);
    return n < 0 ? errno : 0;
}

static bool read_before(void)
{
    return TL_EXPECT(ctx, pipe(ends) == 0, "pipe: %s", strerror(errno));
}

static void read_block(void)
{
    char byte;

    read_byte(&byte);
}

static void read_after(void)
{
    char byte = 'x', got = 0;

    TL_EXPECT(ctx, write(ends[1], &byte, 1) == 1, "write: %s", strerror(errno));
    TL_CALL(ctx, read_byte(&got));
    TL_EXPECT(ctx, got == 'x', "the byte that was written after is not there");
    close(ends[0]);
    close(ends[1]);
}

/* ---- sleep ----------------------------------------------------------------------------------- */

static void sleep_block(void)
{
    ctx->impl->sleep(FOR_EVER_NS);
}

/* ---- condition variable ---------------------------------------------------------------------- */

static struct tl_mutex mutex;
static struct tl_cond cond;

static void unlock(void *arg)
{
    (void)arg;
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

static void cond_wait(void *arg)
{
    (void)arg;
    for (int err = 0; !err;)
        err = ctx->impl->cond->wait(&cond, &mutex);
}

static bool cond_before(void)
{
    return TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK)) &&
           TL_CALL(ctx, ctx->impl->cond->init(&cond));
}

static void cond_block(void)
{
    TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
    ctx->impl->protect(cond_wait, NULL, unlock, NULL, true);
}

static void cond_after(void)
{
    if (TL_CALL(ctx, ctx->impl->mutex->trylock(&mutex)))
        TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    TL_CALL(ctx, ctx->impl->cond->destroy(&cond));
    TL_CALL(ctx, ctx->impl->mutex->destroy(&mutex));
}

/* ---- join ------------------------------------------------------------------------------------ */

static struct tl_thread joined;
static _Atomic int may_end;

static void *end_when_let(void *arg)
{
    tl_await(ctx, &may_end, "leave to end");
    return arg;
}

static bool join_before(void)
{
    atomic_store(&may_end, 0);
    return tl_start(ctx, 0, &joined, end_when_let, &joined);
}

static void join_block(void)
{
    ctx->impl->join(joined, NULL);
}

static void join_after(void)
{
    atomic_store(&may_end, 1);
    TL_EXPECT(ctx, tl_finish(ctx, joined) == &joined, "the one it joined has lost its value");
}

/* ---- semaphore ------------------------------------------------------------------------------- */

static struct tl_sem sem;

static bool sem_before(void)
{
    return TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
}

static void sem_block(void)
{
    ctx->impl->sem->wait(&sem);
}

static void sem_after(void)
{
    TL_CALL(ctx, ctx->impl->sem->post(&sem));
    TL_CALL(ctx, ctx->impl->sem->trywait(&sem));
    TL_CALL(ctx, ctx->impl->sem->destroy(&sem));
}

/* ---- sigwait --------------------------------------------------------------------------------- */

static sigset_t one_signal;

static bool sigwait_before(void)
{
    sigemptyset(&one_signal);
    sigaddset(&one_signal, SIGUSR1);
    return TL_CALL(ctx, ctx->impl->signal->mask(SIG_BLOCK, &one_signal, NULL)); /* inherited */
}

static void sigwait_block(void)
{
    int sig;

    ctx->impl->signal->wait(&one_signal, &sig);
}

/* ---- the checks ------------------------------------------------------------------------------ */

static enum tl_status cancel_in(struct tl_ctx *c, const struct wait *w)
{
    ctx = c;
    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        if (!w->before() || !victim_start(ctx, w->block))
            break;
        if (i % 2)
            settle(ctx); /* it is asleep, most likely */
        else
            tl_delay(ctx, "before cancel");
        victim_cancel();
        if (victim_end(ctx, w->name))
            w->after();
    }
    return tl_verdict(ctx);
}

static const struct wait waits[] = {
    {"read", read_before, read_block, read_after},
    {"sleep", nothing_before, sleep_block, nothing_after},
    {"cond.wait", cond_before, cond_block, cond_after},
    {"join", join_before, join_block, join_after},
    {"sem.wait", sem_before, sem_block, sem_after},
    {"sigwait", sigwait_before, sigwait_block, nothing_after},
};

static enum tl_status run_read(struct tl_ctx *c)
{
    /* A plain read stops everybody where the kernel knows one thread; a jacket may not. */
    if (tl_trait(c, TL_CONCURRENT) && !tl_trait(c, TL_BLOCKS_ALONE) && !c->impl->io)
        return tl_refused(c, "io");
    return cancel_in(c, &waits[0]);
}

#define RUN(name, i)                             \
    static enum tl_status name(struct tl_ctx *c) \
    {                                            \
        return cancel_in(c, &waits[i]);          \
    }
RUN(run_sleep, 1)
RUN(run_cond, 2)
RUN(run_join, 3)
RUN(run_sem, 4)
RUN(run_sigwait, 5)

#define CHECK(symbol, property, what, wanted, function)                                            \
    static const struct tl_check symbol = {                                                        \
        .abi = TL_ABI,                                                                             \
        .name = property,                                                                          \
        .group = "Cancellation",                                                                   \
        .promise = "a thread that waits in " what " can be cancelled there, and runs its "         \
                   "cleanup handlers",                                                             \
        .source = "POSIX.1-2017 XSH 2.9.5.2 (cancellation points that shall occur)",               \
        .method = "a thread calls it, where nobody ends the wait, and is cancelled: half of 40 "   \
                  "seeded rounds when it most likely sleeps, half when it is about to call; then " \
                  "what it waited for has to be usable by others",                                 \
        .meaning = "a request that does not wake the thread, or slips between its last look and "  \
                   "its sleep, leaves it there for ever; the window of the race is met by chance", \
        .needs = wanted,                                                                           \
        .flags = TL_CHECK_CONCURRENT,                                                              \
        .run = function,                                                                           \
    };                                                                                             \
    TL_CHECK(symbol)
CHECK(blocked_read, "cancel.blocked-read", "read", "cancel protect", run_read);
CHECK(blocked_sleep, "cancel.blocked-sleep", "sleep", "cancel protect sleep", run_sleep);
CHECK(blocked_cond, "cancel.blocked-cond-wait", "a condition variable", "cancel protect mutex cond",
      run_cond);
CHECK(blocked_join, "cancel.blocked-join", "join", "cancel protect", run_join);
CHECK(blocked_sem, "cancel.blocked-sem-wait", "a semaphore", "cancel protect sem", run_sem);
CHECK(blocked_sigwait, "cancel.blocked-sigwait", "sigwait",
      "cancel protect signal.mask signal.wait", run_sigwait);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_cancel_ops *sound;

static int cancel_sometimes(struct tl_thread t)
{
    return wrap_once_in(8) ? 0 : sound->cancel(t);
}

static void apply(struct tl_impl *impl)
{
    sound = impl->cancel;
    TL_MUTATE(impl, cancel)->cancel = cancel_sometimes;
}

MUTANT(cancel_lost, "cancel-is-lost", "one request in eight does not wake the thread that waits",
       "cancel.blocked-read cancel.blocked-sleep cancel.blocked-cond-wait cancel.blocked-join "
       "cancel.blocked-sem-wait cancel.blocked-sigwait",
       "nptl clone green", apply);

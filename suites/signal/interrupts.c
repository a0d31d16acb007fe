/*
 * signal.interrupts - data that threads and a signal handler share, protected in two ways: the
 * userland analogue of S. Kleiman, J. Eykholt 1995, "Interrupts as Threads" (ACM SIGOPS Operating
 * Systems Review 29(2)).
 *   variant=mask     each lock operation is made with the signal blocked, so that the handler may
 *                    take the lock itself;
 *   variant=thread   lock operations leave the mask alone; the handler only posts to a thread that
 *                    was made before, which takes the lock.
 * The paper: 40 more SPARC instructions for each interrupt, 12 less for each mutex operation, so
 * 3.33 mutex operations an interrupt make up for it. Here: what either costs in both variants is
 * measured in the same process, and `break-even` is the number of lock operations an interrupt from
 * which variant=thread is the cheaper one (`claimed`: 40 / 12). An interrupt is a signal of the
 * kernel to the running thread; in variant=thread it has happened when the thread has done its
 * part, so two switches are in it, as in the paper's case of an interrupt that blocks.
 */
#include "signal.h"

#define BATCHES 15
#define LOCKS 1000     /* in a batch */
#define INTERRUPTS 100 /* in a batch */

struct state {
    struct tl_ctx *ctx;
    struct tl_mutex lock;
    struct tl_sem work;
    struct tl_thread thread;
    unsigned sems;
    bool created, threaded; /* threaded: variant=thread is what happens now */
    unsigned locks;         /* for each interrupt */
    sigset_t set;
    uint64_t shared; /* protected by lock: one for each lock operation and interrupt */
    uint64_t locked, interrupted;
    _Atomic uint64_t served;
    _Atomic bool stop;
};

static struct state *the_state;

static void serve(struct state *st)
{
    st->ctx->impl->mutex->lock(&st->lock);
    st->shared++;
    st->ctx->impl->mutex->unlock(&st->lock);
    /* Release: pairs with the acquire in interrupt(). */
    atomic_fetch_add_explicit(&st->served, 1, memory_order_release);
}

static void handler(int number)
{
    struct state *st = the_state;

    (void)number;
    if (st->threaded)
        st->ctx->impl->sem->post(&st->work);
    else
        serve(st);
}

static void *handler_thread(void *arg)
{
    struct state *st = arg;

    for (;;) {
        if (st->ctx->impl->sem->wait(&st->work) || atomic_load(&st->stop))
            return NULL;
        serve(st);
    }
}

static inline void lock_once(struct state *st)
{
    const struct tl_impl *impl = st->ctx->impl;

    if (!st->threaded)
        impl->signal->mask(SIG_BLOCK, &st->set, NULL);
    impl->mutex->lock(&st->lock);
    st->shared++;
    impl->mutex->unlock(&st->lock);
    if (!st->threaded)
        impl->signal->mask(SIG_UNBLOCK, &st->set, NULL);
    st->locked++;
}

/* False: not served within SIG_PATIENCE_NS. */
static bool interrupt(struct state *st)
{
    uint64_t deadline = 0;

    st->interrupted++;
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR1);
    for (unsigned tries = 1;
         atomic_load_explicit(&st->served, memory_order_acquire) != st->interrupted; tries++) {
        st->ctx->impl->yield();
        if (tries % 4096 == 0) {
            uint64_t now = tl_now_ns();

            deadline = deadline ? deadline : now + SIG_PATIENCE_NS;
            if (now > deadline)
                return false;
        }
    }
    return true;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART};
    const struct tl_impl *impl = ctx->impl;
    struct tl_attr attr = tl_worker_attr(ctx, 0);
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = the_state = st;
    st->ctx = ctx;
    st->locks = (unsigned)tl_axis_int(ctx, "locks");
    sigemptyset(&st->set);
    sigaddset(&st->set, SIGUSR1);
    if (!tl_trait(ctx, TL_CONCURRENT))
        return tl_unsupported(ctx, "the handler's thread would run inside create, to its end");
    if (!impl->sem->post_in_handler)
        return tl_unsupported(ctx, "sem.post is not for handlers: %s",
                              impl->why_not && impl->why_not("sem.post_in_handler")
                                  ? impl->why_not("sem.post_in_handler")
                                  : "it says so");
    error = tl_sigaction(impl, SIGUSR1, &act, NULL);
    error = error ? error : impl->mutex->init(&st->lock, TL_MUTEX_BLOCK);
    error = error ? error : impl->sem->init(&st->work, 0);
    st->sems = !error;
    /* It has the signal blocked, so that the other one is interrupted. */
    error = error ? error : impl->signal->mask(SIG_BLOCK, &st->set, NULL);
    error = error ? error : impl->create(&st->thread, &attr, handler_thread, st);
    st->created = !error;
    impl->signal->mask(SIG_UNBLOCK, &st->set, NULL);
    st->threaded = strcmp(tl_axis(ctx, "variant"), "thread") == 0;
    return error ? tl_failed(ctx, "sigaction, init, mask or create: %s", strerror(error)) : TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    bool served = true;
    uint64_t i;

    tl_begin(ctx);
    for (i = 0; i < n && served; i++) {
        for (unsigned l = 0; l < st->locks; l++)
            lock_once(st);
        served = interrupt(st);
    }
    tl_end(ctx, i);
    tl_count(ctx, "interrupts", i);
    return served ? TL_OK : tl_invalid(ctx, "an interrupt was not served within 2 s");
}

/* Of the fastest batch, in ns for one. Negative: an interrupt was not served. */
static double fastest(struct state *st, bool threaded, bool interrupts)
{
    uint64_t best = UINT64_MAX;
    int n = interrupts ? INTERRUPTS : LOCKS;
    bool served = true;

    st->threaded = threaded;
    for (int i = 0; i < BATCHES; i++) {
        uint64_t begin = tl_now_ns(), took;

        for (int k = 0; k < n && served; k++)
            if (interrupts)
                served = interrupt(st);
            else
                lock_once(st);
        took = tl_now_ns() - begin;
        best = took < best ? took : best;
    }
    return served ? (double)best / n : -1;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    double lock_mask = fastest(st, false, false), lock_thread = fastest(st, true, false),
           interrupt_mask = fastest(st, false, true), interrupt_thread = fastest(st, true, true);

    if (interrupt_mask < 0 || interrupt_thread < 0)
        return tl_invalid(ctx, "an interrupt was not served within 2 s");
    if (st->shared != st->locked + st->interrupted)
        return tl_invalid(
            ctx, "%" PRIu64 " lock operations and %" PRIu64 " interrupts counted to %" PRIu64,
            st->locked, st->interrupted, st->shared);
    tl_metric(ctx, "lock-mask", lock_mask, "ns");
    tl_metric(ctx, "lock-thread", lock_thread, "ns");
    tl_metric(ctx, "interrupt-mask", interrupt_mask, "ns");
    tl_metric(ctx, "interrupt-thread", interrupt_thread, "ns");
    if (lock_mask > lock_thread)
        tl_metric(ctx, "break-even",
                  interrupt_thread > interrupt_mask
                      ? (interrupt_thread - interrupt_mask) / (lock_mask - lock_thread)
                      : 0,
                  "locks/interrupt");
    tl_metric(ctx, "claimed", 40.0 / 12.0, "locks/interrupt");
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    tl_sigignore(ctx->impl, SIGUSR1);
    if (st && st->created) {
        atomic_store(&st->stop, true);
        ctx->impl->sem->post(&st->work);
        ctx->impl->join(st->thread, NULL);
    }
    if (st && st->sems)
        ctx->impl->sem->destroy(&st->work);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"variant", "mask,thread", NULL, NULL, "how the handler gets at what the threads share"},
    {"locks", "3", "1,3,10,100", NULL, "lock operations for each interrupt"},
    {0},
};

static const char *const rests_on[] = {"mask.per-thread", "sem.post-in-handler", "mutex.exclusion",
                                       "mask.inherited", NULL};

static const struct tl_bench signal_interrupts = {
    .abi = TL_ABI,
    .name = "signal.interrupts",
    .version = 1,
    .title = "Interrupts: masked locks or a thread",
    .op = "one interrupt and its lock operations",
    .needs = TL_NEED_SIGNAL | TL_NEED_SEM | TL_NEED_MUTEX,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(signal_interrupts);

/*
 * signal.mask-change - a thread blocks a signal and opens it again. Where the library keeps the
 * masks of its threads itself that is a store (D. Stein, D. Shah 1992, "Implementing Lightweight
 * Threads", on signals); where each thread is the kernel's it is a system call.
 *
 * The price of the first is paid at deliveries. So beside the change these are measured, in the
 * same process: a signal to the process until its handler has returned, by way of the
 * implementation, and both without it (sigprocmask, sigaction, as a 1:1 library has them).
 * `break-even` is how many changes for each delivery make up for the dearer delivery; 0: it is not
 * dearer. It is not given where a change is not cheaper than the kernel's by a tenth.
 */
#include "signal.h"

#define BATCHES 15
#define CHANGES 1000   /* in a batch */
#define DELIVERIES 200 /* in a batch */

struct state {
    struct tl_ctx *ctx;
    sigset_t set;
    uint64_t changes, wrong; /* wrong: changes after which the mask was another one */
};

static volatile uint64_t handled;

static void count(int number)
{
    (void)number;
    handled++;
}

/* The masks of the threads are the library's. */
static bool keeps_masks(const struct tl_ctx *ctx)
{
    const struct tl_impl *impl = ctx->impl;

    return impl->signal && impl->signal->action &&
           !(impl->why_not && impl->why_not("signal.mask-user"));
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = calloc(1, sizeof(*st));
    struct sigaction act = {.sa_handler = count, .sa_flags = SA_RESTART};
    int error;

    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = st;
    st->ctx = ctx;
    sigemptyset(&st->set);
    sigaddset(&st->set, SIGUSR1);
    error = tl_sigaction(ctx->impl, SIGUSR1, &act, NULL);
    if (error)
        return tl_failed(ctx, "sigaction: %s", strerror(error));
    if (sigaction(SIGUSR2, &act, NULL)) /* for the comparison: never blocked by the library */
        return tl_failed(ctx, "sigaction: %s", strerror(errno));
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_signal_ops *ops = ctx->impl->signal;
    sigset_t now;
    int error = 0;
    uint64_t i;

    tl_begin(ctx);
    for (i = 0; i + 2 <= n + 1 && !error; i += 2) {
        error = ops->mask(SIG_BLOCK, &st->set, NULL);
        error |= ops->mask(SIG_UNBLOCK, &st->set, NULL);
    }
    tl_end(ctx, i);
    st->changes += i;
    tl_count(ctx, "changes", i);
    for (int how = SIG_BLOCK; how <= SIG_UNBLOCK; how++) {
        ops->mask(how, &st->set, NULL);
        sigemptyset(&now);
        ops->mask(SIG_BLOCK, NULL, &now);
        st->wrong += (sigismember(&now, SIGUSR1) == 1) != (how == SIG_BLOCK);
    }
    return error ? tl_failed(ctx, "signal.mask: %s", strerror(error)) : TL_OK;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static void change_here(struct state *st)
{
    for (int i = 0; i < CHANGES / 2; i++) {
        st->ctx->impl->signal->mask(SIG_BLOCK, &st->set, NULL);
        st->ctx->impl->signal->mask(SIG_UNBLOCK, &st->set, NULL);
    }
}

static void change_in_kernel(struct state *st)
{
    sigset_t set;

    (void)st;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    for (int i = 0; i < CHANGES / 2; i++) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
}

static void deliver(int number)
{
    for (int i = 0; i < DELIVERIES; i++) {
        uint64_t before = handled;

        kill(getpid(), number);
        while (handled == before) /* another kernel thread's, perhaps */
            __asm__ volatile("" ::: "memory");
    }
}

static void deliver_here(struct state *st)
{
    (void)st;
    deliver(SIGUSR1);
}

static void deliver_in_kernel(struct state *st)
{
    (void)st;
    deliver(SIGUSR2);
}

/* Of the fastest batch: what disturbs only makes it slower. In ns for one. */
static double fastest(struct state *st, void (*batch)(struct state *), double n)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < BATCHES; i++) {
        uint64_t begin = tl_now_ns(), took;

        batch(st);
        took = tl_now_ns() - begin;
        best = took < best ? took : best;
    }
    return (double)best / n;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    double change = fastest(st, change_here, CHANGES),
           change_kernel = fastest(st, change_in_kernel, CHANGES),
           delivery = fastest(st, deliver_here, DELIVERIES),
           delivery_kernel = fastest(st, deliver_in_kernel, DELIVERIES);

    if (st->wrong)
        return tl_invalid(ctx, "the mask is not what it was set to, %" PRIu64 " times", st->wrong);
    if (handled != 2 * BATCHES * DELIVERIES)
        return tl_invalid(ctx, "%d signals sent, %" PRIu64 " handled", 2 * BATCHES * DELIVERIES,
                          handled);
    tl_metric(ctx, "change", change, "ns");
    tl_metric(ctx, "change-kernel", change_kernel, "ns");
    tl_metric(ctx, "delivery", delivery, "ns");
    tl_metric(ctx, "delivery-kernel", delivery_kernel, "ns");
    if (change < 0.9 * change_kernel)
        tl_metric(ctx, "break-even",
                  delivery > delivery_kernel
                      ? (delivery - delivery_kernel) / (change_kernel - change)
                      : 0,
                  "changes");
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    tl_sigignore(ctx->impl, SIGUSR1);
    signal(SIGUSR2, SIG_IGN);
    free(ctx->state);
    ctx->state = NULL;
}

static void expect(const struct tl_ctx *ctx, struct tl_expect *e)
{
    if (keeps_masks(ctx)) {
        e->syscalls = (struct tl_range){0, 0.01};
        e->why = "a change of a mask that the library keeps is a store";
    } else if (tl_trait(ctx, TL_ONE_TO_ONE)) {
        e->syscalls = (struct tl_range){1, 1.01};
        e->why = "a change of a kernel thread's mask is one system call";
    }
}

static const char *const rests_on[] = {"mask.per-thread", "mask.no-syscall", "mask.case1", NULL};

static const struct tl_bench signal_mask_change = {
    .abi = TL_ABI,
    .name = "signal.mask-change",
    .version = 1,
    .title = "Change of the signal mask",
    .op = "one signal blocked or opened by the calling thread, in turn",
    .needs = TL_NEED_SIGNAL,
    .workers = 1,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(signal_mask_change);

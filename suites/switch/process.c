/*
 * switch.process - for comparison: two processes hand a token back and forth. ipc=futex: a word in
 * shared memory and futex(2), not private; ipc=pipe: one byte through a pipe each way.
 *
 * `ball` is the number of the last hand-over: odd ones come from the parent, even ones from the
 * child. Each side counts those that it received in turn.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#include "../common/model.h"
#include "../common/partner.h"

/* In the shared page. For ipc=futex, a side waits on ball until it is no longer its own number. */
struct shared {
    _Atomic uint32_t ball;
    _Atomic uint32_t gone; /* the child has ended; also ball changes then */
    _Alignas(64) uint64_t child_counts;
};

struct state {
    struct shared *shared;
    struct partner child;
    bool by_pipe;
    int there[2], back[2]; /* pipes; -1: closed */
    uint64_t asked, seen;
    uint32_t ball;
};

static struct shared *on_end_shared; /* for the signal handler */

/* A jump of half the range: no ball that anybody waits with. */
static void child_ended(void)
{
    atomic_store(&on_end_shared->gone, 1);
    atomic_fetch_add(&on_end_shared->ball, 0x80000000u);
}

static void futex_hand_over(struct shared *sh, uint32_t ball)
{
    atomic_store_explicit(&sh->ball, ball, memory_order_release);
    syscall(SYS_futex, &sh->ball, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Until the ball is no longer `mine`; whose it is then, the caller sees. */
static uint32_t futex_receive(struct shared *sh, uint32_t mine)
{
    uint32_t ball;

    while ((ball = atomic_load_explicit(&sh->ball, memory_order_acquire)) == mine)
        syscall(SYS_futex, &sh->ball, FUTEX_WAIT, mine, NULL, NULL, 0);
    return ball;
}

static bool pipe_write(int fd)
{
    ssize_t got;

    do
        got = write(fd, "x", 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static bool pipe_read(int fd)
{
    char byte;
    ssize_t got;

    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static void serve(void *arg)
{
    struct state *st = arg;
    struct shared *sh = st->shared;

    close(st->there[1]); /* so that the parent's end is an end of file */
    close(st->back[0]);
    for (uint32_t ball = 1;; ball += 2) {
        if (st->by_pipe ? !pipe_read(st->there[0]) : futex_receive(sh, ball - 1) != ball)
            return;
        sh->child_counts += atomic_load_explicit(&sh->ball, memory_order_acquire) == ball;
        if (st->by_pipe) {
            atomic_store_explicit(&sh->ball, ball + 1, memory_order_release);
            if (!pipe_write(st->back[1]))
                return;
        } else {
            futex_hand_over(sh, ball + 1);
        }
    }
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = calloc(1, sizeof(*st));
    enum tl_status status;

    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = st;
    st->there[0] = st->there[1] = st->back[0] = st->back[1] = -1;
    st->by_pipe = strcmp(tl_axis(ctx, "ipc"), "pipe") == 0;
    st->shared = partner_shared(sizeof(*st->shared));
    if (!st->shared)
        return tl_failed(ctx, "mmap: %s", strerror(errno));
    if (pipe2(st->there, O_CLOEXEC) || pipe2(st->back, O_CLOEXEC))
        return tl_failed(ctx, "pipe2: %s", strerror(errno));
    signal(SIGPIPE, SIG_IGN); /* a dead partner: EPIPE instead */
    on_end_shared = st->shared;
    status = partner_start(&st->child, ctx, 1, serve, st, child_ended);
    close(st->there[0]);
    close(st->back[1]);
    st->there[0] = st->back[1] = -1;
    return status;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    struct shared *sh = st->shared;
    uint64_t rounds = (n + 1) / 2, seen = 0, i;
    uint32_t ball = st->ball;

    tl_begin(ctx);
    for (i = 0; i < rounds && !atomic_load_explicit(&sh->gone, memory_order_relaxed); i++) {
        ball++;
        if (st->by_pipe) {
            atomic_store_explicit(&sh->ball, ball, memory_order_release);
            if (!pipe_write(st->there[1]) || !pipe_read(st->back[0]))
                break;
            seen += atomic_load_explicit(&sh->ball, memory_order_acquire) == ball + 1;
        } else {
            futex_hand_over(sh, ball);
            seen += futex_receive(sh, ball) == ball + 1;
        }
        ball++;
    }
    tl_end(ctx, 2 * (i ? i : 1));

    if (i < rounds || atomic_load(&sh->gone))
        return tl_failed(ctx, "the other process ended, or a pipe failed");
    st->ball = ball;
    st->asked += 2 * rounds;
    st->seen += seen;
    tl_count(ctx, "handovers", 2 * rounds);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    uint64_t seen = st->seen + st->shared->child_counts;

    if (seen != st->asked)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " hand-overs seen", seen, st->asked);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    partner_stop(&st->child);
    for (int i = 0; i < 2; i++) {
        if (st->there[i] >= 0)
            close(st->there[i]);
        if (st->back[i] >= 0)
            close(st->back[i]);
    }
    if (st->shared)
        munmap(st->shared, sizeof(*st->shared));
    free(st);
    ctx->state = NULL;
}

/* Half of the switches are the child's, which not every way of counting sees. */
static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    if (model_same_pu(ctx)) {
        expect->switches = (struct tl_range){0.4, 2.2};
        expect->why = "on one PU each hand-over is a switch; half of them are the child's";
    }
}

static const struct tl_axis axes[] = {
    {"ipc", "futex,pipe", NULL, NULL, "what hands over: a word and futex(2), or two pipes"},
    {0},
};

static const struct tl_bench switch_process = {
    .abi = TL_ABI,
    .name = "switch.process",
    .version = 1,
    .title = "Ping-pong between two processes",
    .op = "one hand-over: wake by one process until the other is back from its wait",
    .flags = TL_NO_IMPL,
    .workers = 2,
    .axes = axes,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(switch_process);

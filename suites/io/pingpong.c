/*
 * io.pingpong - two threads hand a byte back and forth through two pipes or a pair of sockets.
 *
 * The byte counts the hand-overs, and each side checks that it gets the next one: a byte that is
 * lost or read twice is seen. With jackets each hand-over is a write, a read that would block, and
 * what tells the library that it no longer would.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include "../common/io.h"

/* fd[0]: the first thread's ends, to read and to write; fd[1]: the partner's. */
struct state {
    struct tl_ctx *ctx;
    int fd[2][2];
    struct tl_thread partner;
    bool created;
    uint64_t rounds, wrong; /* of the first thread */
    uint64_t partner_rounds, partner_wrong;
    _Atomic int error; /* of the partner */
};

/* One byte in. *next: what it has to be. EPIPE: there will be no more. */
static int catch_byte(struct state *st, int side, uint8_t next, uint64_t *wrong)
{
    uint8_t byte = 0;
    size_t done = 0;
    int error = io_read(st->ctx, st->fd[side][0], &byte, 1, &done);

    if (error || done != 1)
        return error ? error : EPIPE;
    *wrong += byte != next;
    return 0;
}

static int throw_byte(struct state *st, int side, uint8_t byte)
{
    size_t done = 0;
    int error = io_write(st->ctx, st->fd[side][1], &byte, 1, &done);

    return error ? error : done == 1 ? 0 : EIO;
}

/* Until the other side is closed. */
static void *partner(void *arg)
{
    struct state *st = arg;
    int error;

    for (;;) {
        error = catch_byte(st, 1, (uint8_t)(2 * st->partner_rounds), &st->partner_wrong);
        if (error)
            break;
        st->partner_rounds++;
        error = throw_byte(st, 1, (uint8_t)(2 * st->partner_rounds - 1));
        if (error)
            break;
    }
    if (error != EPIPE) {
        atomic_store(&st->error, error);
        close(st->fd[1][1]); /* nobody is to wait for us */
        st->fd[1][1] = -1;
    }
    return st;
}

static int make_pipes(struct state *st)
{
    int there[2], back[2];

    if (pipe2(there, O_CLOEXEC))
        return errno;
    st->fd[1][0] = there[0];
    st->fd[0][1] = there[1];
    if (pipe2(back, O_CLOEXEC))
        return errno;
    st->fd[0][0] = back[0];
    st->fd[1][1] = back[1];
    return 0;
}

static int make_sockets(struct state *st)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return errno;
    for (int side = 0; side < 2; side++) {
        st->fd[side][0] = pair[side];
        st->fd[side][1] = dup(pair[side]);
        if (st->fd[side][1] < 0)
            return errno;
    }
    return 0;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct tl_attr attr = tl_worker_attr(ctx, 1);
    struct state *st;
    int error;

    if (!tl_trait(ctx, TL_CONCURRENT))
        return tl_unsupported(ctx, "no second thread runs beside the first");
    if (!io_offered(ctx, read) || !io_offered(ctx, write))
        return tl_unsupported(ctx, "no jackets: a read that waits would stop the partner, too");
    st = calloc(1, sizeof(*st));
    if (!st)
        return tl_failed(ctx, "calloc: %s", strerror(ENOMEM));
    ctx->state = st;
    st->ctx = ctx;
    memset(st->fd, -1, sizeof(st->fd));
    error = strcmp(tl_axis(ctx, "via"), "pipe") ? make_sockets(st) : make_pipes(st);
    if (error)
        return tl_failed(ctx, "%s: %s", tl_axis(ctx, "via"), strerror(error));
    error = ctx->impl->create(&st->partner, &attr, partner, st);
    if (error)
        return tl_failed(ctx, "create: %s", strerror(error));
    st->created = true;
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    uint64_t i;
    int error = 0;

    tl_begin(ctx);
    for (i = 0; i < n; i++) {
        error = throw_byte(st, 0, (uint8_t)(2 * st->rounds));
        if (error)
            break;
        st->rounds++;
        error = catch_byte(st, 0, (uint8_t)(2 * st->rounds - 1), &st->wrong);
        if (error)
            break;
    }
    tl_end(ctx, i ? i : 1);
    if (error == EPIPE && atomic_load(&st->error))
        error = atomic_load(&st->error);
    if (error)
        return tl_failed(ctx, "after %" PRIu64 " round trips: %s", i, strerror(error));
    tl_count(ctx, "round-trips", i);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (st->wrong || st->partner_wrong || st->partner_rounds != st->rounds)
        return tl_invalid(
            ctx, "%" PRIu64 " round trips here, %" PRIu64 " there, %" PRIu64 " bytes were another",
            st->rounds, st->partner_rounds, st->wrong + st->partner_wrong);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    if (st->fd[0][1] >= 0) {
        shutdown(st->fd[0][1], SHUT_WR); /* of a pipe: closing it is enough */
        close(st->fd[0][1]);
    }
    if (st->created)
        ctx->impl->join(st->partner, NULL);
    for (int side = 0; side < 2; side++)
        for (int way = side ? 1 : 0; way >= 0; way--)
            if (st->fd[side][way] >= 0)
                close(st->fd[side][way]);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"via", "pipe,socketpair", NULL, NULL, "what the byte goes through"},
    {0},
};

static const char *const rests_on[] = {"create.runs", "io.read-blocks-alone", NULL};

static const struct tl_bench io_pingpong = {
    .abi = TL_ABI,
    .name = "io.pingpong",
    .version = 1,
    .title = "A byte back and forth between two threads",
    .op = "one round trip: two writes and two reads, each of which waits for the other side",
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(io_pingpong);

/*
 * lock.uncontended - one thread takes a free lock and gives it back.
 *
 * That the lock locks at all is asked after the clock: a second attempt must find it taken.
 */
#include "lock.h"

struct state {
    bool made;
    struct tl_mutex mutex;
    _Alignas(64) volatile uint64_t counter; /* guarded by mutex */
    uint64_t ops;
};

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    enum tl_status status;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    status = lock_init(ctx, &st->mutex);
    st->made = status == TL_OK;
    return status;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_mutex_ops *mutex = ctx->impl->mutex;
    uint64_t i;
    int error = 0;

    tl_begin(ctx);
    for (i = 0; i < n; i++) {
        error = mutex->lock(&st->mutex);
        if (error)
            break;
        st->counter++;
        error = mutex->unlock(&st->mutex);
        if (error)
            break;
    }
    tl_end(ctx, i ? i : 1);

    if (error)
        return tl_failed(ctx, "mutex: %s", strerror(error));
    st->ops += n;
    tl_count(ctx, "acquisitions", n);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    const struct tl_mutex_ops *mutex = ctx->impl->mutex;
    int error = mutex->lock(&st->mutex), second = error ? error : mutex->trylock(&st->mutex);

    if (!error)
        error = mutex->unlock(&st->mutex);
    if (error)
        return tl_failed(ctx, "mutex: %s", strerror(error));
    if (second != EBUSY)
        return tl_invalid(ctx, "trylock of a lock that is held answered %d (%s), not EBUSY", second,
                          second ? strerror(second) : "taken");
    if (st->counter != st->ops)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " critical sections ran", st->counter,
                          st->ops);
    return TL_OK;
}

static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st)
        return;
    if (st->made)
        ctx->impl->mutex->destroy(&st->mutex);
    free(st);
    ctx->state = NULL;
}

static void expect(const struct tl_ctx *ctx, struct tl_expect *expect)
{
    (void)ctx;
    expect->switches = (struct tl_range){0, 0.01};
    expect->why = "nobody waits for a free lock";
}

static const struct tl_axis axes[] = {
    {"kind", "block,spin,adaptive", NULL, NULL, "how it would wait"},
    {0},
};

static const char *const rests_on[] = {"mutex.exclusion", "mutex.trylock", NULL};

static const struct tl_bench lock_uncontended = {
    .abi = TL_ABI,
    .name = "lock.uncontended",
    .version = 1,
    .title = "Lock and unlock a free mutex",
    .op = "one lock, a counter incremented, and the unlock",
    .needs = TL_NEED_MUTEX,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = expect,
};
TL_BENCH(lock_uncontended);

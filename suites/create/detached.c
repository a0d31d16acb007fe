/*
 * create.detached - threads that nobody joins: they free themselves. The creator lets a bounded
 * number be on the way, and waits until the last one of them says that all have run; the wait is
 * part of the window. What a thread does after its last statement (freeing itself) is outside of
 * anybody's sight, but its cost falls into the following threads.
 */
#include <errno.h>
#include <stdatomic.h>

#include "create.h"

struct state {
    struct tl_attr attr;
    const struct tl_sem_ops *sem;
    unsigned group;                     /* threads on the way at most */
    bool made;                          /* done is initialised */
    uint64_t created;                   /* in all */
    uint64_t early;                     /* waits that returned before their group had run */
    _Atomic int post_error;             /* of the thread that said it */
    struct tl_sem done;                 /* one post per group, by the last of its threads */
    _Alignas(64) _Atomic uint64_t last; /* number of the group's last thread to run */
    _Alignas(64) _Atomic uint64_t ran;
};

/* After its count, only the last thread of a group touches the state, and the creator waits for
 * that one's post: its last touch. The locked add is about 20 cycles of the op; parallel and
 * preemptive threads need it. */
static void *entry(void *arg)
{
    struct state *st = arg;
    uint64_t last = atomic_load_explicit(&st->last, memory_order_relaxed);

    if (atomic_fetch_add(&st->ran, 1) + 1 == last) {
        int error = st->sem->post(&st->done);

        if (error)
            atomic_store(&st->post_error, error);
    }
    return NULL;
}

static enum tl_status setup(struct tl_ctx *ctx)
{
    struct state *st = aligned_alloc(_Alignof(struct state), sizeof(*st));
    int error;

    if (!st)
        return tl_failed(ctx, "aligned_alloc: %s", strerror(ENOMEM));
    memset(st, 0, sizeof(*st));
    ctx->state = st;
    st->attr = (struct tl_attr)TL_ATTR_INIT;
    st->attr.stack_size = 65536;
    st->attr.detached = true;
    st->sem = ctx->impl->sem;
    st->group = (unsigned)tl_axis_int(ctx, "threads");
    error = st->sem->init(&st->done, 0);
    if (error)
        return tl_failed(ctx, "sem.init: %s", strerror(error));
    st->made = true;
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    struct state *st = ctx->state;
    const struct tl_impl *impl = ctx->impl;
    uint64_t done = 0, early = 0;
    int create_error = 0, wait_error = 0;

    tl_begin(ctx);
    while (done < n) {
        uint64_t group = n - done < st->group ? n - done : st->group;

        atomic_store_explicit(&st->last, st->created + done + group, memory_order_relaxed);
        for (uint64_t i = 0; i < group && !create_error; i++) {
            struct tl_thread t;

            create_error = impl->create(&t, &st->attr, entry, st);
        }
        if (create_error)
            break;
        wait_error = impl->sem->wait(&st->done);
        if (wait_error)
            break;
        early += atomic_load_explicit(&st->ran, memory_order_relaxed) !=
                 atomic_load_explicit(&st->last, memory_order_relaxed);
        done += group;
    }
    tl_end(ctx, done ? done : 1);

    if (create_error)
        return create_failed(ctx, st->created + done, create_error);
    if (wait_error == EDEADLK)
        return tl_invalid(ctx, "%" PRIu64 " threads ran of the first %" PRIu64,
                          atomic_load(&st->ran), atomic_load(&st->last));
    if (wait_error)
        return tl_failed(ctx, "sem.wait: %s", strerror(wait_error));
    st->created += done;
    st->early += early;
    tl_count(ctx, "threads", done);
    return TL_OK;
}

static enum tl_status verify(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;
    uint64_t ran = atomic_load(&st->ran);
    int error = atomic_load(&st->post_error);

    if (error)
        return tl_failed(ctx, "sem.post: %s", strerror(error));
    if (ran != st->created)
        return tl_invalid(ctx, "%" PRIu64 " of %" PRIu64 " threads ran", ran, st->created);
    if (st->early)
        return tl_invalid(ctx, "%" PRIu64 " waits returned before all threads had run", st->early);
    return TL_OK;
}

/* After a failed create, threads of that group may still be on the way: the state is theirs. */
static void teardown(struct tl_ctx *ctx)
{
    struct state *st = ctx->state;

    if (!st || atomic_load(&st->ran) != st->created)
        return;
    if (st->made)
        st->sem->destroy(&st->done);
    free(st);
    ctx->state = NULL;
}

static const struct tl_axis axes[] = {
    {"threads", "64", "64", "1,64,1000", "detached threads on the way at once, at most"},
    {0},
};

static const char *const rests_on[] = {
    "create.runs", "create.arg", "detach.releases", "sem.count", NULL,
};

static const struct tl_bench create_detached = {
    .abi = TL_ABI,
    .name = "create.detached",
    .version = 1,
    .title = "Create detached threads",
    .op = "one detached thread created and run to its end",
    .needs = TL_NEED_SEM,
    .workers = 1,
    .axes = axes,
    .vary = "recycle,cache",
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
    .expect = create_expect,
};
TL_BENCH(create_detached);

/*
 * attributes.c - misuse.null, misuse.sizes, misuse.values: what create, join and init are given may
 * be nothing, or nonsense.
 */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

static struct tl_ctx *ctx;
static _Atomic int ran;

static void *entry(void *arg)
{
    atomic_fetch_add(&ran, 1);
    return arg;
}

/* ---- misuse.null ----------------------------------------------------------------------------- */

static enum tl_status run_null(struct tl_ctx *c)
{
    struct tl_thread t;
    struct tl_attr detached = TL_ATTR_INIT;
    int wanted = 0;
    void *value;

    ctx = c;
    for (int n = 0; n < 50 && tl_verdict(ctx) == TL_OK; n++) {
        TL_CALL(ctx, ctx->impl->create(&t, NULL, entry, ctx));
        value = tl_finish(ctx, t);
        TL_EXPECT(ctx, value == ctx, "a thread with default attributes returned %p", value);
        TL_CALL(ctx, ctx->impl->create(&t, NULL, entry, NULL));
        TL_CALL(ctx, ctx->impl->join(t, NULL));
        wanted += 2;
    }
    detached.detached = true;
    TL_CALL(ctx, ctx->impl->create(&t, &detached, entry, NULL));
    for (int n = 0; n < 1000000 && atomic_load(&ran) == wanted; n++)
        ctx->impl->yield();
    TL_EXPECT(ctx, atomic_load(&ran) == wanted + 1, "%d of %d threads ran", atomic_load(&ran),
              wanted + 1);
    if (ctx->impl->mutex && ctx->impl->sem) {
        struct tl_mutex mutex;
        struct tl_sem sem;
        TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
        TL_CALL(ctx, ctx->impl->mutex->destroy(&mutex));
        TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
        TL_CALL(ctx, ctx->impl->sem->destroy(&sem));
    }
    return tl_verdict(ctx);
}

static const struct tl_check misuse_null = {
    .abi = TL_ABI,
    .name = "misuse.null",
    .group = "Errors and misuse",
    .promise = "NULL attributes are the defaults, and NULL for a joiner's value is no value",
    .source = "POSIX.1-2017 XSH pthread_create, pthread_join",
    .method = "50 threads are created with NULL attributes and joined for their value, 50 without "
              "it; one is detached by its attributes and not asked for anything",
    .meaning = "whoever follows the pointer crashes",
    .run = run_null,
};
TL_CHECK(misuse_null);

/* ---- misuse.sizes ---------------------------------------------------------------------------- */

/* What is no size at all has to be refused: EINVAL, or an error of memory. */
static void refuses(size_t stack, size_t guard)
{
    struct tl_attr attr = tl_worker_attr(ctx, 1);
    struct tl_thread t;
    int err;

    attr.stack_size = stack;
    attr.guard_size = guard;
    err = ctx->impl->create(&t, &attr, entry, NULL);
    TL_EXPECT(ctx, err == EINVAL || err == ENOMEM || err == EAGAIN,
              "create with a stack of %#zx and a guard of %#zx bytes answered %d", stack, guard,
              err);
    if (!err)
        tl_finish(ctx, t);
}

static enum tl_status run_sizes(struct tl_ctx *c)
{
    static const size_t huge[] = {
        SIZE_MAX,     SIZE_MAX - 1,    SIZE_MAX - 4095,          SIZE_MAX - 65536,
        SIZE_MAX / 2, (size_t)1 << 63, ((size_t)1 << 63) + 4096, (size_t)1 << 56};
    struct tl_thread t;
    int before;

    ctx = c;
    for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++) {
        refuses(huge[i], 0);
        refuses(0, huge[i]);
        refuses(huge[i], huge[i]);
    }
    if (tl_trait(ctx, TL_PARALLEL)) {
        static const int slots[] = {-2, INT_MIN, INT_MAX};
        for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
            struct tl_attr attr = {.slot = slots[i]};
            TL_ANSWERS(ctx, ctx->impl->create(&t, &attr, entry, NULL), EINVAL);
        }
        TL_ANSWERS(ctx,
                   ctx->impl->create(&t, &(struct tl_attr){.slot = (int)ctx->nslots}, entry, NULL),
                   EINVAL);
    }
    before = atomic_load(&ran);
    for (int n = 0; n < 20 && tl_start(ctx, (unsigned)n, &t, entry, NULL); n++)
        tl_finish(ctx, t);
    TL_EXPECT(ctx, atomic_load(&ran) == before + 20, "%d of 20 threads ran afterwards",
              atomic_load(&ran) - before);
    TL_EXPECT(ctx, before == 0, "%d threads ran that were refused", before);
    return tl_verdict(ctx);
}

static const struct tl_check misuse_sizes = {
    .abi = TL_ABI,
    .name = "misuse.sizes",
    .group = "Errors and misuse",
    .promise = "a stack or guard that no address space holds, and a place that there is not, are "
               "errors, after which threads can be created as before",
    .source = "POSIX.1-2017 XSH pthread_attr_setstacksize, pthread_attr_setguardsize (EINVAL), "
              "pthread_create (EAGAIN); harness/impl.h",
    .method = "stacks and guards of 2^56 bytes to SIZE_MAX, alone and together, and slots beyond "
              "the placement; then twenty ordinary threads",
    .meaning = "a sum that wraps around makes a small stack of a huge one: create succeeds and "
               "the thread crashes",
    .flags = TL_CHECK_CONCURRENT, /* a thread that is a call has no stack that could be refused */
    .run = run_sizes,
};
TL_CHECK(misuse_sizes);

/* ---- misuse.values --------------------------------------------------------------------------- */

static enum tl_status run_values(struct tl_ctx *c)
{
    struct tl_mutex mutex;
    struct tl_cond cond;
    struct tl_sem sem;
    int err, value;

    ctx = c;
    for (int kind = TL_MUTEX_KINDS; kind < TL_MUTEX_KINDS + 3; kind++) {
        err = ctx->impl->mutex->init(&mutex, (enum tl_mutex_kind)kind);
        TL_EXPECT(ctx, err == EINVAL || err == ENOTSUP, "a mutex of kind %d: init answered %d",
                  kind, err);
    }
    TL_ANSWERS(ctx, ctx->impl->sem->init(&sem, (unsigned)INT_MAX + 1), EINVAL);
    TL_ANSWERS(ctx, ctx->impl->sem->init(&sem, UINT_MAX), EINVAL);
    TL_CALL(ctx, ctx->impl->sem->init(&sem, INT_MAX));
    if (ctx->impl->sem->getvalue && TL_CALL(ctx, ctx->impl->sem->getvalue(&sem, &value)))
        TL_EXPECT(ctx, value == INT_MAX, "a semaphore of %d counts %d", INT_MAX, value);
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(ctx, ctx->impl->cond->init(&cond));
    if (ctx->impl->cond->timedwait) {
        TL_CALL(ctx, ctx->impl->mutex->lock(&mutex));
        TL_ANSWERS(ctx, ctx->impl->cond->timedwait(&cond, &mutex, CLOCK_PROCESS_CPUTIME_ID, 1),
                   EINVAL);
        TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex)); /* the caller still holds it */
    }
    if (ctx->impl->sem->timedwait) {
        TL_CALL(ctx, ctx->impl->sem->init(&sem, 0));
        TL_ANSWERS(ctx, ctx->impl->sem->timedwait(&sem, CLOCK_PROCESS_CPUTIME_ID, 1), EINVAL);
    }
    if (ctx->impl->barrier) {
        struct tl_barrier barrier;
        TL_ANSWERS(ctx, ctx->impl->barrier->init(&barrier, 0), EINVAL);
    }
    if (ctx->impl->cancel) {
        TL_ANSWERS(ctx, ctx->impl->cancel->set_state(99, NULL), EINVAL);
        TL_ANSWERS(ctx, ctx->impl->cancel->set_type(99, NULL), EINVAL);
    }
    return tl_verdict(ctx);
}

static const struct tl_check misuse_values = {
    .abi = TL_ABI,
    .name = "misuse.values",
    .group = "Errors and misuse",
    .promise = "values that name nothing are EINVAL: kinds, counts, clocks, states",
    .source = "POSIX.1-2017 XSH pthread_mutexattr_settype, sem_init, pthread_cond_clockwait, "
              "pthread_barrier_init, pthread_setcancelstate (EINVAL); harness/impl.h",
    .method = "unknown mutex kinds, semaphores beyond SEM_VALUE_MAX, a clock that nothing can wait "
              "by, a barrier of none, unknown cancel states and types, each where it is offered",
    .meaning = "what is taken without a look works until it is used",
    .needs = "mutex cond sem",
    .run = run_values,
};
TL_CHECK(misuse_values);

/* ---- mutants --------------------------------------------------------------------------------- */

static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                           void *arg);
static const struct tl_sem_ops *sound_sem;

static int create_follows(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                          void *arg)
{
    const volatile struct tl_attr *followed = attr;
    struct tl_attr copy = *attr;

    copy.detached = followed->detached;
    return sound_create(t, &copy, f, arg);
}

static void apply_follows(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_follows;
}

static const struct tl_mutant null_followed = {
    .abi = TL_ABI,
    .name = "null-attributes-followed",
    .fault = "create reads its attributes without asking whether there are any",
    .kills = "misuse.null",
    .of = "nptl clone green",
    .apply = apply_follows,
};
TL_MUTANT_OF(null_followed);

/* (size + page - 1) & -page is 0 for the largest ones: the default. */
static int create_wraps(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                        void *arg)
{
    struct tl_attr rounded = attr ? *attr : (struct tl_attr)TL_ATTR_INIT;

    rounded.stack_size = (rounded.stack_size + 4095) & ~(size_t)4095;
    rounded.guard_size = (rounded.guard_size + 4095) & ~(size_t)4095;
    return sound_create(t, &rounded, f, arg);
}

static void apply_wraps(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_wraps;
}

static const struct tl_mutant size_wraps = {
    .abi = TL_ABI,
    .name = "size-wraps",
    .fault = "rounding a size up to pages wraps around, so that the largest is the default",
    .kills = "misuse.sizes",
    .of = "nptl clone green",
    .apply = apply_wraps,
};
TL_MUTANT_OF(size_wraps);

static int init_clamps(struct tl_sem *s, unsigned count)
{
    return sound_sem->init(s, count > INT_MAX ? INT_MAX : count);
}

static void apply_clamps(struct tl_impl *impl)
{
    sound_sem = impl->sem;
    TL_MUTATE(impl, sem)->init = init_clamps;
}

static const struct tl_mutant count_clamped = {
    .abi = TL_ABI,
    .name = "sem-count-clamped",
    .fault = "a semaphore beyond SEM_VALUE_MAX gets that value in silence",
    .kills = "misuse.values",
    .of = "nptl clone green",
    .apply = apply_clamps,
};
TL_MUTANT_OF(count_clamped);

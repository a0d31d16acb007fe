/*
 * size.c - stack.size, stack.min: a thread may use as much stack as it asked for.
 */
#include "check.h"

#include <alloca.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB ((size_t)1024)
/* What an implementation may take of the stack for itself: descriptor, static TLS, first frames,
 * the frame of `deep`. */
#define ALLOWANCE (16 * KIB)

static struct tl_ctx *ctx;

/* Touches all of the stack from here to `bytes` below, from the top down, as code does. */
static __attribute__((noinline)) void deep(size_t bytes)
{
    uintptr_t end = (uintptr_t)__builtin_frame_address(0) - bytes;
    volatile char *frame;

    do {
        frame = alloca(KIB); /* takes some bytes more */
        frame[0] = 1;
        frame[KIB - 1] = 1;
    } while ((uintptr_t)frame > end + 2 * KIB);
}

/* ---- stack.size ------------------------------------------------------------------------------ */

static const size_t sizes[] = {64 * KIB, 100 * KIB, 256 * KIB, 1024 * KIB + 4 * KIB, 8192 * KIB};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* Shared with the child, which may die: the size that it tries, and how many are done. */
struct progress {
    _Atomic size_t size;
    _Atomic unsigned done;
};
static struct progress *progress;

static void *use(void *arg)
{
    size_t size = *(const size_t *)arg;

    deep(size - ALLOWANCE);
    return arg;
}

static void *first(void *arg)
{
    struct tl_attr attr;
    struct tl_thread t;
    void *value;

    for (unsigned i = 0; i < 2 * SIZES && tl_verdict(ctx) == TL_OK; i++) {
        const size_t *size = &sizes[i % SIZES]; /* the second time on stacks that were used */

        atomic_store(&progress->size, *size);
        attr = tl_worker_attr(ctx, 1);
        attr.stack_size = *size;
        if (!TL_CALL(ctx, ctx->impl->create(&t, &attr, use, (void *)(uintptr_t)size)) ||
            !TL_CALL(ctx, ctx->impl->join(t, &value)))
            break;
        TL_EXPECT(ctx, value == size, "the thread did not return");
        atomic_fetch_add(&progress->done, 1);
    }
    return arg;
}

static int child(struct tl_ctx *c, void *arg)
{
    ctx = c;
    return tl_boot(c, first, arg, NULL);
}

static enum tl_status outside_size(struct tl_ctx *c)
{
    struct tl_child end;
    int err;

    ctx = c;
    progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED)
        return tl_invalid(ctx, "no shared memory");
    err = tl_child(ctx, child, NULL, 0, &end);
    if (err)
        return tl_invalid(ctx, "fork: %s", strerror(err));
    TL_EXPECT(ctx, !end.signal && !end.hung && !end.status,
              "a thread with a stack of %zu bytes ended by signal %d (exit status %d) when it used "
              "all but %zu of them",
              atomic_load(&progress->size), end.signal, end.status, ALLOWANCE);
    TL_EXPECT(ctx, atomic_load(&progress->done) == 2 * SIZES, "%u of %zu threads ran",
              atomic_load(&progress->done), 2 * SIZES);
    return tl_verdict(ctx);
}

static const struct tl_check stack_size = {
    .abi = TL_ABI,
    .name = "stack.size",
    .group = "Stacks",
    .promise = "a thread can use the stack that its attributes ask for, but for 16 KiB at most",
    .source = "POSIX.1-2017 XSH pthread_attr_setstacksize (the minimum allocated); harness/impl.h "
              "(usable bytes)",
    .method = "threads with stacks of 64 KiB to 8 MiB, one size not a power of two, touch all but "
              "16 KiB of theirs from the top down, in a child process",
    .meaning = "a size that is ignored or halved ends the child by a fault. The 16 KiB are what "
               "glibc, for one, keeps there: descriptor and static TLS",
    .outside = outside_size,
};
TL_CHECK(stack_size);

/* ---- stack.min ------------------------------------------------------------------------------- */

static _Atomic int ran;

static void *light(void *arg)
{
    volatile char frame[512] = {0};

    frame[511] = 1;
    atomic_fetch_add(&ran, 1);
    ctx->impl->yield();
    return frame[511] ? arg : NULL;
}

static enum tl_status run_min(struct tl_ctx *c)
{
    static const size_t small[] = {1, 15, 16, 64, 511, 1000, 4095};
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;
    void *value;
    int err, wanted = 0;

    ctx = c;
    for (int n = 0; n < 20 && tl_verdict(ctx) == TL_OK; n++) {
        attr = tl_worker_attr(ctx, 1);
        attr.stack_size = (size_t)PTHREAD_STACK_MIN + (size_t)(n % 3) * 24; /* any multiple of 8 */
        if (!TL_CALL(ctx, ctx->impl->create(&t, &attr, light, &attr)))
            break;
        wanted++;
        value = tl_finish(ctx, t);
        TL_EXPECT(ctx, value == &attr, "a thread on a stack of %zu bytes returned %p",
                  attr.stack_size, value);
    }
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]) && tl_verdict(ctx) == TL_OK; i++) {
        attr.stack_size = small[i];
        err = ctx->impl->create(&t, &attr, light, &attr);
        TL_EXPECT(ctx, !err || err == EINVAL, "create with a stack of %zu bytes answered %d",
                  small[i], err);
        if (!err) {
            wanted++;
            tl_finish(ctx, t);
        }
    }
    TL_EXPECT(ctx, atomic_load(&ran) == wanted, "%d of %d threads ran", atomic_load(&ran), wanted);
    return tl_verdict(ctx);
}

static const struct tl_check stack_min = {
    .abi = TL_ABI,
    .name = "stack.min",
    .group = "Stacks",
    .promise =
        "the smallest stack that the system names (PTHREAD_STACK_MIN) is enough for a thread "
        "that does little; a smaller one works or is EINVAL",
    .source = "POSIX.1-2017 XBD limits.h (PTHREAD_STACK_MIN); XSH pthread_attr_setstacksize "
              "(EINVAL)",
    .method = "threads with a frame of 512 bytes that yield once, on stacks of PTHREAD_STACK_MIN "
              "and some bytes more, then of 1 to 4095 bytes",
    .meaning = "an implementation whose own data does not fit crashes, or says so; how small is "
               "small enough is left to it",
    .run = run_min,
};
TL_CHECK(stack_min);

/* ---- mutants --------------------------------------------------------------------------------- */

static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg);

static int create_half(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                       void *arg)
{
    struct tl_attr half = *attr;

    half.stack_size /= 2;
    return sound_create(t, &half, entry, arg);
}

/* The guard is taken from the usable bytes, and one guard is as large as a small stack. */
static int create_guard_inside(struct tl_thread *t, const struct tl_attr *attr,
                               void *(*entry)(void *), void *arg)
{
    if (attr && attr->stack_size && attr->stack_size < 64 * KIB)
        return EINVAL;
    return sound_create(t, attr, entry, arg);
}

static void apply_half(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_half;
}

static void apply_guard_inside(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_guard_inside;
}

static const struct tl_mutant stack_halved = {
    .abi = TL_ABI,
    .name = "stack-halved",
    .fault = "a thread gets half the stack that it asked for",
    .kills = "stack.size",
    .of = "nptl clone green hybrid",
    .apply = apply_half,
};
TL_MUTANT_OF(stack_halved);

static const struct tl_mutant stack_min_refused = {
    .abi = TL_ABI,
    .name = "stack-min-refused",
    .fault = "stacks below 64 KiB are refused, since a guard of that size is taken out of them",
    .kills = "stack.min",
    .of = "nptl clone green hybrid",
    .apply = apply_guard_inside,
};
TL_MUTANT_OF(stack_min_refused);

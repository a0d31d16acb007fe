/*
 * guard-size.c - guard.size: the guard is as large as the attributes say.
 */
#include "probe.h"

#include <stdatomic.h>

#define THREADS 6
#define KIB ((size_t)1024)
#define STACK (256 * KIB)

static struct tl_ctx *ctx;
static const size_t guards[] = {0, 1, 4 * KIB, 20 * KIB, 64 * KIB, 1024 * KIB};
#define GUARDS (sizeof(guards) / sizeof(guards[0]))
static _Atomic unsigned ready;
static _Atomic int go;

static void *owner(void *arg)
{
    const size_t *guard = arg;
    size_t wanted = *guard ? *guard : 1; /* the default: one page */
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), low, gap;

    /* With stacks above and below: what lies under a guard can be read, mostly. */
    if (atomic_fetch_add(&ready, 1) == THREADS - 1)
        atomic_store(&go, 1);
    if (!tl_await(ctx, &go, "the other threads"))
        return arg;
    low = probe_low(here, 64 * STACK);
    TL_EXPECT(ctx, here - low <= 4 * STACK, "the stack of %zu bytes goes on for %ju below", STACK,
              (uintmax_t)(here - low));
    gap = probe_gap(low, wanted + probe_page());
    TL_EXPECT(ctx, gap >= wanted,
              "a guard of %zu bytes was asked for (0: the default), %ju below "
              "the stack cannot be read",
              *guard, (uintmax_t)gap);
    if (ctx->impl->info && ctx->impl->info->stack) {
        void *info_low;
        size_t size, info_guard;
        if (TL_CALL(ctx, ctx->impl->info->stack(ctx->impl->self(), &info_low, &size, &info_guard)))
            TL_EXPECT(ctx, info_guard >= wanted,
                      "info.stack tells a guard of %zu bytes, %zu were "
                      "asked for",
                      info_guard, *guard);
    }
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];

    ctx = c;
    if (!probe_works())
        return tl_invalid(ctx, "process_vm_readv does not work here");
    for (size_t g = 0; g < GUARDS && tl_verdict(ctx) == TL_OK; g++) {
        unsigned made = 0;

        atomic_store(&ready, 0);
        atomic_store(&go, 0);
        for (; made < THREADS; made++) {
            struct tl_attr attr = tl_worker_attr(ctx, made);
            attr.stack_size = STACK;
            attr.guard_size = guards[g];
            if (!TL_CALL(ctx,
                         ctx->impl->create(&t[made], &attr, owner, (void *)(uintptr_t)&guards[g])))
                break;
        }
        while (made)
            tl_finish(ctx, t[--made]);
    }
    return tl_verdict(ctx);
}

static const struct tl_check guard_size = {
    .abi = TL_ABI,
    .name = "guard.size",
    .group = "Stacks",
    .promise = "below each stack at least as many bytes fault as its attributes ask for, a page by "
               "default",
    .source = "POSIX.1-2017 XSH pthread_attr_setguardsize (rounded up to pages; default one page)",
    .method = "six threads at a time, with guards of 0 (the default), 1 byte to 1 MiB, let the "
              "kernel copy from below their frame: the first address that it refuses ends the "
              "stack, and from there on it refuses at least the guard",
    .meaning = "a guard that is left out, or always one page, is seen where another stack lies "
               "below; an unmapped gap below protects as well and passes",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(guard_size);

/* ---- mutant ---------------------------------------------------------------------------------- */

static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg);

static int create_one_page(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg)
{
    struct tl_attr small = *attr;

    small.guard_size = 0;
    return sound_create(t, &small, entry, arg);
}

static void apply(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_one_page;
}

static const struct tl_mutant guard_one_page = {
    .abi = TL_ABI,
    .name = "guard-one-page",
    .fault = "each guard is one page, whatever size was asked for",
    .kills = "guard.size",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(guard_one_page);

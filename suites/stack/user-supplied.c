/*
 * user-supplied.c - stack.user-supplied: a thread runs on the memory that its creator gives it.
 */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE ((size_t)256 * 1024)
#define MARGIN ((size_t)64 * 1024) /* on each side, filled with PATTERN */
#define PATTERN 0xa5
#define THREADS 3

static struct tl_ctx *ctx;
static unsigned char *block[THREADS]; /* MARGIN, the stack, MARGIN */

static void *user(void *arg)
{
    unsigned char *stack = (unsigned char *)arg + MARGIN;
    volatile unsigned char frame[SIZE / 2];
    uintptr_t at = (uintptr_t)&frame[0];

    TL_EXPECT(ctx, at >= (uintptr_t)stack && at + sizeof(frame) <= (uintptr_t)stack + SIZE,
              "a local is at %p, outside of the stack %p to %p", (void *)at, (void *)stack,
              (void *)(stack + SIZE));
    for (size_t i = 0; i < sizeof(frame); i += 512)
        frame[i] = 1;
    ctx->impl->yield();
    return arg;
}

static void check_margins(const unsigned char *b)
{
    for (size_t i = 0; i < MARGIN; i++)
        if (!TL_EXPECT(ctx, b[i] == PATTERN, "the byte %zu below the stack was written",
                       MARGIN - i) ||
            !TL_EXPECT(ctx, b[MARGIN + SIZE + i] == PATTERN,
                       "the byte %zu above the stack was "
                       "written",
                       i))
            return;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    int made = 0, err = 0;

    ctx = c;
    for (int i = 0; i < THREADS; i++) {
        block[i] = mmap(NULL, 2 * MARGIN + SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block[i] == MAP_FAILED)
            return tl_invalid(ctx, "no memory");
        memset(block[i], PATTERN, 2 * MARGIN + SIZE);
    }
    for (int round = 0; round < 10 && tl_verdict(ctx) == TL_OK; round++) {
        for (made = 0; made < THREADS && !err; made += !err) {
            struct tl_attr attr = tl_worker_attr(ctx, (unsigned)made);
            attr.stack = block[made] + MARGIN;
            attr.stack_size = SIZE;
            err = ctx->impl->create(&t[made], &attr, user, block[made]);
        }
        for (int i = 0; i < made; i++)
            TL_EXPECT(ctx, tl_finish(ctx, t[i]) == block[i], "thread %d did not return", i);
        if (err == ENOTSUP)
            return tl_refused(ctx, "attr.stack");
        TL_EXPECT(ctx, !err, "create answered %s", strerror(err));
        for (int i = 0; i < made; i++) {
            check_margins(block[i]);
            memset(block[i] + MARGIN, PATTERN, SIZE); /* it is the creator's again */
        }
    }
    for (int i = 0; i < THREADS; i++)
        TL_EXPECT(ctx, munmap(block[i], 2 * MARGIN + SIZE) == 0, "the stack cannot be unmapped");
    return tl_verdict(ctx);
}

static const struct tl_check stack_user_supplied = {
    .abi = TL_ABI,
    .name = "stack.user-supplied",
    .group = "Stacks",
    .promise = "a thread runs on the caller's memory where its attributes say so, writes nothing "
               "beside it, and leaves it to the caller when it is joined",
    .source = "POSIX.1-2017 XSH pthread_attr_setstack, 2.9.8 (use of application-managed thread "
              "stacks)",
    .method = "three threads at a time, ten times, use half of 256 KiB each; 64 KiB on both sides "
              "keep their pattern; after join all is overwritten and used for the next thread",
    .meaning = "a stack that is ignored, exceeded, still in use after join or unmapped by the "
               "implementation is seen, the last two as a crash",
    .run = run,
};
TL_CHECK(stack_user_supplied);

/* ---- mutants --------------------------------------------------------------------------------- */

static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                           void *arg);

static int create_ignores(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    struct tl_attr own = *attr;

    own.stack = NULL;
    return sound_create(t, &own, entry, arg);
}

static int create_beyond(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                         void *arg)
{
    int err = sound_create(t, attr, entry, arg);

    if (!err && attr->stack)
        ((char *)attr->stack)[attr->stack_size] = 0;
    return err;
}

static void apply_ignores(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_ignores;
}

static void apply_beyond(struct tl_impl *impl)
{
    sound_create = impl->create;
    impl->create = create_beyond;
}

static const struct tl_mutant user_stack_ignored = {
    .abi = TL_ABI,
    .name = "user-stack-ignored",
    .fault = "a stack that the caller supplies is not used",
    .kills = "stack.user-supplied",
    .of = "nptl clone",
    .apply = apply_ignores,
};
TL_MUTANT_OF(user_stack_ignored);

static const struct tl_mutant user_stack_off_by_one = {
    .abi = TL_ABI,
    .name = "user-stack-off-by-one",
    .fault = "the byte after the caller's stack is written",
    .kills = "stack.user-supplied",
    .of = "nptl clone",
    .apply = apply_beyond,
};
TL_MUTANT_OF(user_stack_off_by_one);

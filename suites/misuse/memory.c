/*
 * memory.c - memory.create, memory.boot: each request for memory or for a kernel thread fails in
 * turn, and is answered by an error, with nothing lost.
 */
#include "../common/address-space.h"
#include "starve.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define POINTS 64 /* more than any implementation has; each is a child process */
/* So many that the least leak (32 bytes of malloc's, or one stack) is more than what malloc keeps
 * at hand now and then (up to 640 bytes were seen). */
#define TRIES 104
#define WARM 4 /* tries before memory is looked at */
/* What is made once, when it is needed (a kernel thread), makes it grow in one of them at most. */
#define PERIODS 3
#define STACK ((size_t)3 * 1024 * 1024 + 8192) /* of no other thread: nothing is kept for it */

/* How the requests fail, and whether malloc, too, has to ask for each page. */
struct mode {
    const char *name;
    bool all, hog;
    int tries;
};

/* What the child tells, in shared memory. */
struct told {
    _Atomic int refused; /* seccomp: the error */
    _Atomic unsigned injected;
    _Atomic int answer, ran; /* of boot */
};

static struct tl_ctx *ctx;
static struct told *told;
static struct mode mode;
static unsigned point;

/* ---- all that malloc has ready is used up ---------------------------------------------------- */

struct chunk {
    struct chunk *next;
};
static struct chunk *hogged;

static void hog_size(size_t size)
{
    for (struct chunk *c; (c = malloc(size)); hogged = c)
        c->next = hogged;
}

static void hog(void)
{
    starve_arm(1, true);
    for (size_t size = 65536; size > 1032; size /= 2)
        hog_size(size);
    for (size_t size = 1032; size > 16; size -= 16)
        hog_size(size);
    starve_disarm();
}

static void release(void)
{
    for (struct chunk *c; (c = hogged); free(c))
        hogged = c->next;
}

/* ---- memory.create --------------------------------------------------------------------------- */

static void *entry(void *arg)
{
    return arg;
}

/* One create with the n-th request failing. */
static void try_create(void)
{
    struct tl_attr attr = tl_worker_attr(ctx, 1);
    struct tl_thread t;
    unsigned failed;
    int err;

    attr.stack_size = STACK;
    if (mode.hog)
        hog();
    starve_arm(point, mode.all);
    err = ctx->impl->create(&t, &attr, entry, &attr);
    failed = starve_disarm();
    release();
    atomic_fetch_add(&told->injected, failed);
    if (!err)
        TL_EXPECT(ctx, tl_finish(ctx, t) == &attr, "the thread did not run (%s, request %u)",
                  mode.name, point);
    else if (TL_EXPECT(ctx, failed, "create answered %s, though nothing had failed", strerror(err)))
        TL_EXPECT(ctx, err == EAGAIN || err == ENOMEM,
                  "create answered %s when request %u failed (%s)", strerror(err), point,
                  mode.name);
}

/* TRIES - WARM of them. True: memory grew; noted, if it is the last. */
static bool period(bool last)
{
    size_t before = space_mapped(), heap_before = mallinfo2().uordblks, after, heap_after;
    bool more_mapped, more_heap;

    for (int n = WARM; n < mode.tries && tl_verdict(ctx) == TL_OK; n++)
        try_create();
    heap_after = mallinfo2().uordblks;
    after = space_mapped();
    more_mapped = after > before + 2 * STACK;
    more_heap = heap_after > heap_before + 16 * (size_t)(mode.tries - WARM);
    if (last) {
        TL_EXPECT(ctx, !more_mapped,
                  "%zu KiB are mapped after %d creates with request %u failing, %zu before (%s)",
                  after / 1024, mode.tries - WARM, point, before / 1024, mode.name);
        TL_EXPECT(ctx, !more_heap,
                  "%zu bytes are allocated after %d creates with request %u failing, %zu before "
                  "(%s)",
                  heap_after, mode.tries - WARM, point, heap_before, mode.name);
    }
    return more_mapped || more_heap;
}

static void *creates(void *arg)
{
    struct tl_attr small = tl_worker_attr(ctx, 1);
    struct tl_thread t;

    /* What the first create does for all; its stack is too small to serve the others. */
    small.stack_size = STACK / 16;
    if (TL_CALL(ctx, ctx->impl->create(&t, &small, entry, NULL)))
        tl_finish(ctx, t);
    for (int n = 0; n < mode.tries && n < WARM && tl_verdict(ctx) == TL_OK; n++)
        try_create();
    for (int n = 1; mode.tries > WARM && tl_verdict(ctx) == TL_OK; n++)
        if (!period(n == PERIODS) || n == PERIODS)
            break;
    for (unsigned n = 0; n < 3 && tl_start(ctx, n, &t, entry, NULL); n++)
        tl_finish(ctx, t);
    return arg;
}

static int create_child(struct tl_ctx *c, void *arg)
{
    int err = starve_begin();

    atomic_store(&told->refused, err);
    return err ? 0 : tl_boot(c, creates, arg, NULL);
}

/* ---- memory.boot ----------------------------------------------------------------------------- */

static void *booted(void *arg)
{
    atomic_fetch_add(&told->injected, starve_disarm());
    atomic_store(&told->ran, 1);
    return arg;
}

static int boot_child(struct tl_ctx *c, void *arg)
{
    int err = starve_begin();
    sigset_t blocked, after;

    atomic_store(&told->refused, err);
    if (err)
        return 0;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    if (mode.hog)
        hog();
    starve_arm(point, mode.all);
    err = tl_boot(c, booted, arg, NULL);
    if (!atomic_load(&told->ran))
        atomic_fetch_add(&told->injected, starve_disarm());
    release();
    sigprocmask(SIG_BLOCK, NULL, &after);
    TL_EXPECT(c, sigismember(&after, SIGUSR1) == 1,
              "run answered %s, and its caller's signal mask is another one (%s, request %u)",
              err ? strerror(err) : "0", mode.name, point);
    atomic_store(&told->answer, err);
    return 0;
}

/* ---- both ------------------------------------------------------------------------------------ */

static enum tl_status each_point(int (*child)(struct tl_ctx *c, void *arg),
                                 void (*judge)(const struct tl_child *end))
{
    struct tl_child end;
    int err;

    for (point = 1; point <= POINTS && tl_verdict(ctx) == TL_OK; point++) {
        memset(told, 0, sizeof(*told));
        err = tl_child(ctx, child, NULL, 0, &end);
        if (err)
            return tl_invalid(ctx, "fork: %s", strerror(err));
        err = atomic_load(&told->refused);
        if (err)
            return tl_unsupported(ctx, "seccomp notifications are not allowed here: %s",
                                  strerror(err));
        TL_EXPECT(ctx, !end.signal && !end.hung,
                  "the process %s (signal %d) when request %u failed (%s)",
                  end.hung ? "hung" : "died", end.signal, point, mode.name);
        judge(&end);
        if (!atomic_load(&told->injected))
            return tl_verdict(ctx); /* it has no request of that number */
    }
    TL_EXPECT(ctx, point <= POINTS, "more than %d requests were made", POINTS);
    return tl_verdict(ctx);
}

static enum tl_status each_mode(struct tl_ctx *c, int (*child)(struct tl_ctx *c, void *arg),
                                void (*judge)(const struct tl_child *end))
{
    static const struct mode modes[] = {
        {"once", false, false, TRIES},
        {"from then on", true, false, TRIES},
        {"once, malloc has nothing left", false, true, 2},
        {"from then on, malloc has nothing left", true, true, 2},
    };
    enum tl_status status = TL_OK;

    ctx = c;
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED)
        return tl_invalid(ctx, "no shared memory");
    for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]) && status == TL_OK; m++) {
        mode = modes[m];
        status = each_point(child, judge);
    }
    return status;
}

static void judge_create(const struct tl_child *end)
{
    TL_EXPECT(ctx, end->status == 0, "the child ended with status %d", end->status);
}

static enum tl_status outside_create(struct tl_ctx *c)
{
    return each_mode(c, create_child, judge_create);
}

static void judge_boot(const struct tl_child *end)
{
    int answer = atomic_load(&told->answer), ran = atomic_load(&told->ran);

    TL_EXPECT(ctx, end->status == 0, "the child ended with status %d", end->status);
    TL_EXPECT(ctx, ran == !answer, "run answered %s, and entry %s, when request %u failed (%s)",
              answer ? strerror(answer) : "0", ran ? "ran" : "did not run", point, mode.name);
    TL_EXPECT(ctx, !answer || atomic_load(&told->injected),
              "run answered %s, though nothing failed", strerror(answer));
}

static enum tl_status outside_boot(struct tl_ctx *c)
{
    return each_mode(c, boot_child, judge_boot);
}

static const struct tl_check memory_create = {
    .abi = TL_ABI,
    .name = "memory.create",
    .group = "Errors and misuse",
    .promise = "when memory or kernel threads run out at any point of a create, it answers EAGAIN "
               "or ENOMEM, loses nothing, and the implementation remains usable",
    .source = "POSIX.1-2017 XSH pthread_create (EAGAIN); harness/impl.h (ENOMEM, usable)",
    .method =
        "in child processes, the first, second ... mmap, mremap, brk, mprotect, madvise, "
        "clone that a create makes fails by a seccomp filter, once or from then on, with "
        "malloc's store used up or not; create answers, what is mapped and allocated does "
        "not grow over 100 tries, three times in a row, and threads can be created afterwards",
    .meaning = "each path of an error is walked. A create that gets over a failure (another kind "
               "of guard, fewer at a time) keeps its promise as well. Failures of the kernel's own "
               "calls within a system call are not simulated",
    .outside = outside_create,
};
TL_CHECK(memory_create);

static const struct tl_check memory_boot = {
    .abi = TL_ABI,
    .name = "memory.boot",
    .group = "Errors and misuse",
    .promise = "when memory runs out at any point of the start, run answers an error and entry "
               "does not run, or all goes well",
    .source = "harness/impl.h (run)",
    .method = "as memory.create, with the requests of run before the first thread's entry; its "
              "caller's signal mask is the same afterwards",
    .meaning = "a start that goes on with a null pointer, or reports success without the first "
               "thread, is seen; the process's memory is not looked at, since it ends then",
    .outside = outside_boot,
};
TL_CHECK(memory_boot);

/* ---- mutants --------------------------------------------------------------------------------- */

static int (*sound_create)(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                           void *arg);
static int (*sound_run)(const struct tl_boot *boot, void *(*f)(void *), void *arg, void **value);

static int create_leaks(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                        void *arg)
{
    void *block = malloc(48);
    int err = block ? sound_create(t, attr, f, arg) : EAGAIN;

    if (!err)
        free(block);
    return err;
}

static int create_leaks_stack(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                              void *arg)
{
    void *stack = mmap(NULL, STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int err = stack == MAP_FAILED ? EAGAIN : sound_create(t, attr, f, arg);

    if (!err)
        munmap(stack, STACK);
    return err;
}

static int create_unchecked(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                            void *arg)
{
    int *block = malloc(48);

    *(volatile int *)block = 0;
    free(block);
    return sound_create(t, attr, f, arg);
}

static int create_says_done(struct tl_thread *t, const struct tl_attr *attr, void *(*f)(void *),
                            void *arg)
{
    int err = sound_create(t, attr, f, arg);

    return err == EAGAIN || err == ENOMEM ? 0 : err;
}

static int run_says_done(const struct tl_boot *boot, void *(*f)(void *), void *arg, void **value)
{
    void *block = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return block == MAP_FAILED ? 0 : sound_run(boot, f, arg, value);
}

static void apply_run(struct tl_impl *impl)
{
    sound_run = impl->run;
    impl->run = run_says_done;
}

static const struct tl_mutant boot_says_done = {
    .abi = TL_ABI,
    .name = "boot-says-done",
    .fault = "run answers 0 when its first mmap fails, without having run entry",
    .kills = "memory.boot",
    .of = "nptl clone green",
    .apply = apply_run,
};
TL_MUTANT_OF(boot_says_done);

static int run_forgets_mask(const struct tl_boot *boot, void *(*f)(void *), void *arg, void **value)
{
    int err = sound_run(boot, f, arg, value);
    sigset_t none;

    sigemptyset(&none);
    if (err)
        sigprocmask(SIG_SETMASK, &none, NULL);
    return err;
}

static void apply_forgets_mask(struct tl_impl *impl)
{
    sound_run = impl->run;
    impl->run = run_forgets_mask;
}

static const struct tl_mutant boot_forgets_mask = {
    .abi = TL_ABI,
    .name = "boot-forgets-mask",
    .fault = "run, where it answers an error, leaves its caller with no signal blocked",
    .kills = "memory.boot",
    .of = "clone green hybrid",
    .apply = apply_forgets_mask,
};
TL_MUTANT_OF(boot_forgets_mask);

#define BROKEN_CREATE(symbol, label, words)           \
    static void apply_##symbol(struct tl_impl *impl)  \
    {                                                 \
        sound_create = impl->create;                  \
        impl->create = symbol;                        \
    }                                                 \
    static const struct tl_mutant symbol##_mutant = { \
        .abi = TL_ABI,                                \
        .name = label,                                \
        .fault = words,                               \
        .kills = "memory.create",                     \
        .of = "nptl clone green",                     \
        .apply = apply_##symbol,                      \
    };                                                \
    TL_MUTANT_OF(symbol##_mutant)

BROKEN_CREATE(create_leaks, "create-leaks", "a create that fails forgets a block of 48 bytes");
BROKEN_CREATE(create_leaks_stack, "create-leaks-stack", "a create that fails forgets its stack");
BROKEN_CREATE(create_unchecked, "create-unchecked", "create does not look whether malloc failed");
BROKEN_CREATE(create_says_done, "create-says-done", "create answers 0 when a limit was hit");

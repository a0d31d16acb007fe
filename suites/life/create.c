/*
 * create.c - create.runs, create.arg, join.value, return.equals-exit, create.many: a thread runs
 * its function once, with its argument, and hands over its value.
 */
#include "check.h"

#include "../common/mutant.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MANY 10000
#define WIDE(i)                                                                      \
    ((void *)(UINTPTR_MAX / 3 - (uintptr_t)(i)*0x100000001u)) /* bits in both halves \
                                                               */

static struct tl_ctx *ctx;
static _Atomic int runs;
static void *_Atomic got;

static void *count_run(void *arg)
{
    atomic_fetch_add(&runs, 1);
    atomic_store(&got, arg);
    return arg;
}

static enum tl_status run_runs(struct tl_ctx *c)
{
    struct tl_thread t;

    for (int i = 0; i < 200 && tl_verdict(c) == TL_OK; i++) {
        tl_delay(c, "before create");
        if (tl_start(c, (unsigned)i, &t, count_run, NULL))
            tl_finish(c, t);
        TL_EXPECT(c, atomic_load(&runs) == i + 1, "%d threads were created, %d ran", i + 1,
                  atomic_load(&runs));
    }
    return tl_verdict(c);
}

static const struct tl_check create_runs = {
    .abi = TL_ABI,
    .name = "create.runs",
    .group = "Lifecycle",
    .promise = "a thread that was created runs its function, once",
    .source = "POSIX.1-2017 XSH pthread_create",
    .method = "200 threads count themselves; each is joined before the next",
    .meaning = "a function that is not run, or run twice, is counted; the race of several creators "
               "is torture.random's",
    .run = run_runs,
};
TL_CHECK(create_runs);

static enum tl_status run_arg(struct tl_ctx *c)
{
    struct tl_thread t;

    for (int i = 0; i < 100 && tl_verdict(c) == TL_OK; i++) {
        if (tl_start(c, (unsigned)i, &t, count_run, WIDE(i)))
            tl_finish(c, t);
        TL_EXPECT(c, atomic_load(&got) == WIDE(i), "the argument arrived as %p, it was %p",
                  atomic_load(&got), WIDE(i));
    }
    return tl_verdict(c);
}

static const struct tl_check create_arg = {
    .abi = TL_ABI,
    .name = "create.arg",
    .group = "Lifecycle",
    .promise = "the argument of create arrives with all its bits",
    .source = "POSIX.1-2017 XSH pthread_create",
    .method = "100 threads get pointers with bits set in both halves",
    .meaning = "an argument that is cut, or another thread's, is seen each time",
    .run = run_arg,
};
TL_CHECK(create_arg);

static enum tl_status run_value(struct tl_ctx *c)
{
    struct tl_thread t;
    void *value;

    for (int i = 0; i < 100 && tl_verdict(c) == TL_OK; i++)
        if (tl_start(c, (unsigned)i, &t, count_run, WIDE(i))) {
            value = tl_finish(c, t);
            TL_EXPECT(c, value == WIDE(i), "the value arrived as %p, it was %p", value, WIDE(i));
        }
    if (tl_start(c, 0, &t, count_run, NULL))
        TL_CALL(c, c->impl->join(t, NULL)); /* nobody wants it */
    return tl_verdict(c);
}

static const struct tl_check join_value = {
    .abi = TL_ABI,
    .name = "join.value",
    .group = "Lifecycle",
    .promise =
        "join hands over the thread's value with all its bits, or none where nobody wants it",
    .source = "POSIX.1-2017 XSH pthread_join",
    .method = "100 threads return pointers with bits set in both halves; one is joined without",
    .meaning = "a value that is cut, or another thread's, is seen each time",
    .run = run_value,
};
TL_CHECK(join_value);

static void *exit_with(void *arg)
{
    ctx->impl->exit(arg);
    return NULL;
}

static enum tl_status run_exit(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int i = 0; i < 100 && tl_verdict(c) == TL_OK; i++)
        if (tl_start(c, (unsigned)i, &t, exit_with, WIDE(i)))
            TL_EXPECT(c, tl_finish(c, t) == WIDE(i), "exit and return give other values");
    return tl_verdict(c);
}

static const struct tl_check return_equals_exit = {
    .abi = TL_ABI,
    .name = "return.equals-exit",
    .group = "Lifecycle",
    .promise = "returning from the thread's function is exit with that value",
    .source = "POSIX.1-2017 XSH pthread_create, pthread_exit",
    .method = "100 threads end by exit, with values whose bits are set in both halves",
    .meaning = "join.value for exit",
    .needs = "exit",
    .run = run_exit,
};
TL_CHECK(return_equals_exit);

/* ---- many ------------------------------------------------------------------------------------ */

static struct tl_sem gate;
static _Atomic int through;

static void *stand(void *arg)
{
    TL_CALL(ctx, ctx->impl->sem->wait(&gate));
    atomic_fetch_add(&through, 1);
    return arg;
}

static enum tl_status run_many(struct tl_ctx *c)
{
    struct tl_thread *t = calloc(MANY, sizeof(*t));
    struct tl_attr attr = TL_ATTR_INIT;
    int made = 0, err = 0;

    if (!t)
        return tl_failed(c, "no memory");
    ctx = c;
    attr.stack_size = 65536;
    TL_CALL(c, c->impl->sem->init(&gate, 0));
    while (made < MANY && !(err = c->impl->create(&t[made], &attr, stand, NULL)))
        made++;
    TL_EXPECT(c, !err || err == EAGAIN || err == ENOMEM, "create answered %d after %d threads", err,
              made);
    TL_EXPECT(c, atomic_load(&through) == 0, "%d threads passed a closed semaphore",
              atomic_load(&through));
    for (int i = 0; i < made; i++)
        TL_CALL(c, c->impl->sem->post(&gate));
    for (int i = 0; i < made; i++)
        tl_finish(c, t[i]);
    TL_EXPECT(c, atomic_load(&through) == made, "%d of %d threads went on", atomic_load(&through),
              made);
    free(t);
    if (err && tl_verdict(c) == TL_OK)
        return tl_unsupported(c, "a limit of this machine ends it after %d threads: error %d", made,
                              err);
    return tl_verdict(c);
}

static const struct tl_check create_many = {
    .abi = TL_ABI,
    .name = "create.many",
    .group = "Lifecycle",
    .promise = "10,000 threads can be alive at once",
    .source = "practice: Drepper and Molnar 2002, \"The Native POSIX Thread Library for Linux\", "
              "section 8 (100,000 threads)",
    .method = "10,000 threads with stacks of 64 KiB block in a semaphore, are let go and joined; "
              "where the machine's limit comes first, the number is the reason",
    .meaning = "all of them were there, asleep, at the same time, and all came back",
    .needs = "sem",
    .flags = TL_CHECK_CONCURRENT | TL_CHECK_ALONE,
    .deadline_s = 180,
    .run = run_many,
};
TL_CHECK(create_many);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;
static unsigned calls;

static void *lost(void *arg)
{
    return arg;
}

static int create_nothing(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    return sound.create(t, attr, ++calls % 50 ? entry : lost, arg);
}

static int create_int(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                      void *arg)
{
    return sound.create(t, attr, entry, (void *)(uintptr_t)(unsigned)(uintptr_t)arg);
}

static int join_int(struct tl_thread t, void **value)
{
    int err = sound.join(t, value);

    if (!err && value)
        *value = (void *)(uintptr_t)(unsigned)(uintptr_t)*value;
    return err;
}

static int join_other(struct tl_thread t, void **value)
{
    static void *last;
    int err = sound.join(t, value);

    if (!err && value) {
        void *own = *value;

        *value = last ? last : own;
        last = own;
    }
    return err;
}

static int create_few(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                      void *arg)
{
    return ++calls > 5000 ? EIO : sound.create(t, attr, entry, arg);
}

MUTANT_APPLY(apply_nothing, create, create_nothing)
MUTANT_APPLY(apply_create_int, create, create_int)
MUTANT_APPLY(apply_join_int, join, join_int)
MUTANT_APPLY(apply_join_other, join, join_other)
MUTANT_APPLY(apply_few, create, create_few)

MUTANT(thread_lost, "create-loses-function", "one thread in fifty does not run its function",
       "create.runs", EVERYWHERE, apply_nothing);
MUTANT(arg_cut, "create-cuts-argument", "the argument is kept in an unsigned int", "create.arg",
       EVERYWHERE, apply_create_int);
MUTANT(value_cut, "join-cuts-value", "the value is kept in an unsigned int",
       "join.value return.equals-exit", EVERYWHERE, apply_join_int);
MUTANT(value_other, "join-gives-last-value", "join gives the value of the thread joined before",
       "join.value return.equals-exit", EVERYWHERE, apply_join_other);
MUTANT(few, "create-ends-at-5000", "beyond 5,000 threads create answers EIO", "create.many",
       EVERYWHERE, apply_few);

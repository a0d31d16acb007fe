/*
 * tls.c - tls.private, tls.initial-image, tls.follows: _Thread_local variables of the program.
 *
 * In implementations that have a choice it is asked of the mode that promises it (tls=full).
 */
#include "../common/crowd.h"
#include "../common/opaque.h"
#include "../common/wrap.h"

#define THREADS 5
#define TURNS 60
#define TAG 0x5a5a1234u
#define ALIGN 64

/* Initialised, zero, and aligned to more than a word. Small: every thread of every benchmark of
 * this program carries them. */
static _Thread_local unsigned tag = TAG;
static _Thread_local unsigned zero[4];
static _Thread_local _Alignas(ALIGN) unsigned aligned = TAG;

static struct tl_ctx *ctx;

/* Where a variable lives, asked anew: not what the compiler kept from before a switch. */
static OPAQUE unsigned *tag_now(void)
{
    return &tag;
}

static OPAQUE unsigned *aligned_now(void)
{
    return &aligned;
}

static OPAQUE unsigned *zero_now(void)
{
    return zero;
}

static bool is_initial(unsigned i, const char *when)
{
    unsigned z = zero_now()[0] | zero_now()[1] | zero_now()[2] | zero_now()[3];

    return TL_EXPECT(ctx, *tag_now() == TAG, "thread %u %s: %#x is in a variable, initially %#x", i,
                     when, *tag_now(), TAG) &&
           TL_EXPECT(ctx, !z, "thread %u %s: %#x is in a variable, initially 0", i, when, z) &&
           TL_EXPECT(ctx, *aligned_now() == TAG,
                     "thread %u %s: %#x is in a variable, initially %#x", i, when, *aligned_now(),
                     TAG) &&
           TL_EXPECT(ctx, (uintptr_t)aligned_now() % ALIGN == 0,
                     "thread %u %s: a variable aligned to %d is at %p", i, when, ALIGN,
                     (void *)aligned_now());
}

static void spoil(unsigned i)
{
    *tag_now() = i;
    *aligned_now() = ~i;
    for (int z = 0; z < 4; z++)
        zero_now()[z] = i + 1;
}

static bool is_own(unsigned i, const char *when)
{
    return TL_EXPECT(ctx, *tag_now() == i && *aligned_now() == ~i && zero_now()[3] == i + 1,
                     "thread %u %s: its variables are %#x, %#x, %#x, it wrote %#x, %#x, %#x", i,
                     when, *tag_now(), *aligned_now(), zero_now()[3], i, ~i, i + 1);
}

/* ---- tls.private ----------------------------------------------------------------------------- */

static unsigned *where[THREADS];

static void private_body(unsigned i)
{
    spoil(i);
    where[i] = tag_now();
    if (!crowd_meet())
        return;
    for (unsigned other = 0; other < i; other++)
        TL_EXPECT(ctx, where[other] != where[i], "threads %u and %u have the variable at %p both",
                  other, i, (void *)where[i]);
    for (int turn = 0; turn < TURNS && tl_verdict(ctx) == TL_OK; turn++) {
        tl_delay(ctx, "with thread-local variables");
        if (!is_own(i, "after a delay"))
            break;
        crowd_step();
        if (!is_own(i, "after a yield"))
            break;
    }
}

static enum tl_status run_private(struct tl_ctx *c)
{
    ctx = c;
    crowd_run(ctx, THREADS, private_body);
    return tl_verdict(ctx);
}

static const struct tl_check tls_private = {
    .abi = TL_ABI,
    .name = "tls.private",
    .group = "TLS and errno",
    .promise = "each thread has its own _Thread_local variables, at addresses of its own",
    .source = "C11 6.2.4 p4 (thread storage duration)",
    .method = "five threads write numbers of their own into three such variables, and find them "
              "after each of 60 yields and seeded delays",
    .meaning = "variables that belong to the kernel thread, or are left behind in a switch, show "
               "another thread's number; variables of shared objects are tls.dlopen's",
    .params = "tls=full",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_private,
};
TL_CHECK(tls_private);

/* ---- tls.initial-image ----------------------------------------------------------------------- */

static void initial_body(unsigned i)
{
    is_initial(i, "at its start");
    spoil(i);
    crowd_meet(); /* so that all are alive when the last one looks */
}

static enum tl_status run_initial(struct tl_ctx *c)
{
    ctx = c;
    spoil(99);
    for (int round = 0; round < 20 && tl_verdict(ctx) == TL_OK; round++)
        crowd_run(ctx, THREADS, initial_body);
    is_own(99, "(the first one) after the others");
    return tl_verdict(ctx);
}

static const struct tl_check tls_initial_image = {
    .abi = TL_ABI,
    .name = "tls.initial-image",
    .group = "TLS and errno",
    .promise = "a new thread finds its _Thread_local variables at their initial values, aligned, "
               "whatever the threads before it wrote",
    .source = "C11 6.2.4 p4, 6.7.9 p10; 6.7.5 (alignment)",
    .method = "five threads at a time look at an initialised, a zero and an aligned variable when "
              "they start, then overwrite them and end; 20 generations",
    .meaning = "a TLS block that is handed on to the next thread as it was, or copied from the "
               "creator, is seen",
    .params = "tls=full",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_initial,
};
TL_CHECK(tls_initial_image);

/* ---- tls.follows ----------------------------------------------------------------------------- */

static struct tl_sem ring[THREADS];
static struct tl_mutex mutex;

static bool has_stayed(const unsigned *at, unsigned i, const char *when)
{
    /* Both ways to the variable: as the compiler keeps it, and asked anew. */
    return TL_EXPECT(ctx, tag_now() == at && &tag == at,
                     "thread %u %s: its variable is at %p, was at %p", i, when, (void *)tag_now(),
                     (const void *)at) &&
           is_own(i, when);
}

static void follows_body(unsigned i)
{
    const struct tl_impl *impl = ctx->impl;
    unsigned *at = tag_now();

    spoil(i);
    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        impl->sem->wait(&ring[i]);
        has_stayed(at, i, "after sem wait");
        impl->sem->post(&ring[(i + 1) % THREADS]);
        impl->mutex->lock(&mutex);
        has_stayed(at, i, "after mutex lock");
        tl_delay(ctx, "while it holds the mutex");
        impl->mutex->unlock(&mutex);
        impl->yield();
        has_stayed(at, i, "after a yield");
        if (n % 15 == 0)
            impl->sleep(100000);
        has_stayed(at, i, "after a sleep");
    }
    impl->sem->post(&ring[(i + 1) % THREADS]);
}

static enum tl_status run_follows(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(ctx, ctx->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    for (unsigned i = 0; i < THREADS; i++)
        TL_CALL(ctx, ctx->impl->sem->init(&ring[i], i == 0));
    crowd_run(ctx, THREADS, follows_body);
    return tl_verdict(ctx);
}

static const struct tl_check tls_follows = {
    .abi = TL_ABI,
    .name = "tls.follows",
    .group = "TLS and errno",
    .promise = "a thread's _Thread_local variables keep their address and follow it from kernel "
               "thread to kernel thread",
    .source = "C11 6.2.4 p4 (one object for the whole life of the thread); 6.2.4 p2 (an object "
              "has a constant address)",
    .method = "five threads block on semaphores, contend for a mutex, yield and sleep 60 times; "
              "after each the variable is where it was, both by an address that the compiler may "
              "have kept and by one that is asked anew, and holds what the thread wrote",
    .meaning = "a thread that goes on elsewhere with the kernel thread's variables is seen. Where "
               "a thread never changes its kernel thread this says no more than tls.private",
    .needs = "sem mutex sleep",
    .params = "tls=full",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_follows,
};
TL_CHECK(tls_follows);

/* ---- mutants --------------------------------------------------------------------------------- */

static void apply_errno_only(struct tl_impl *impl)
{
    wrap_param(impl, "tls", "errno");
}

static const struct tl_mutant tls_not_switched = {
    .abi = TL_ABI,
    .name = "tls-not-switched",
    .fault = "tls=full does not switch the TLS register: the kernel thread's block serves all",
    .kills = "tls.private tls.initial-image tls.follows tls.dlopen tls.large",
    .of = "green ucontext hybrid",
    .apply = apply_errno_only,
};
TL_MUTANT_OF(tls_not_switched);

static void (*sound_yield)(void);
static _Atomic unsigned last_tag;

static void yield_mixes(void)
{
    atomic_store(&last_tag, *tag_now());
    sound_yield();
    if (wrap_once_in(16))
        *tag_now() = atomic_load(&last_tag);
}

static void apply_mixes(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_mixes;
}

static const struct tl_mutant tls_mixed_up = {
    .abi = TL_ABI,
    .name = "tls-mixed-up",
    .fault = "after one yield in sixteen a thread goes on with the variables of another",
    .kills = "tls.private tls.follows",
    .of = "nptl clone green hybrid",
    .apply = apply_mixes,
};
TL_MUTANT_OF(tls_mixed_up);

static _Atomic unsigned left_behind = TAG;

static void *inherit(void *(*entry)(void *), void *arg)
{
    *tag_now() = atomic_load(&left_behind);
    void *value = entry(arg);
    atomic_store(&left_behind, *tag_now());
    return value;
}

static void apply_inherit(struct tl_impl *impl)
{
    wrap_entries(impl, inherit);
}

static const struct tl_mutant tls_handed_on = {
    .abi = TL_ABI,
    .name = "tls-handed-on",
    .fault = "a new thread gets the TLS block of an ended one as it was left",
    .kills = "tls.initial-image",
    .of = "nptl clone green hybrid",
    .apply = apply_inherit,
};
TL_MUTANT_OF(tls_handed_on);

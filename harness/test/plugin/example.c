/*
 * example.c - a plugin: one implementation and one benchmark built outside the tree.
 *
 *     gcc -shared -fPIC -I$PREFIX/include/threadlab example.c -o example.so -pthread
 *     threadlab run --plugin ./example.so --impl example --bench example.self
 *
 * The implementation is glibc's threads under another name, as thin as it can be.
 */
#include "bench.h"
#include "impl.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

static int example_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    int e = boot->pin(boot, 0);
    if (e)
        return e;
    void *result = entry(arg);
    if (value)
        *value = result;
    return 0;
}

static int example_create(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    pthread_t thread;
    if (attr && attr->slot != TL_SLOT_INHERIT)
        return ENOTSUP; /* it would have to pin itself first */
    int e = pthread_create(&thread, NULL, entry, arg);
    t->id = (uint64_t)thread;
    return e;
}

static int example_join(struct tl_thread t, void **value)
{
    return pthread_join((pthread_t)t.id, value);
}

static int example_detach(struct tl_thread t)
{
    return pthread_detach((pthread_t)t.id);
}

static void example_yield(void)
{
    sched_yield();
}

static struct tl_thread example_self(void)
{
    return (struct tl_thread){(uint64_t)pthread_self()};
}

static const struct tl_impl example = {
    .abi = TL_ABI,
    .name = "example",
    .model = "1:1",
    .summary = "glibc threads, as a plugin",
    .traits = TL_CONCURRENT | TL_PREEMPTIVE | TL_BLOCKS_ALONE | TL_ONE_TO_ONE,
    .run = example_run,
    .create = example_create,
    .join = example_join,
    .detach = example_detach,
    .yield = example_yield,
    .self = example_self,
};
TL_IMPL(example);

static uint64_t calls, sum;

static enum tl_status self_run(struct tl_ctx *ctx, uint64_t n)
{
    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++)
        sum += ctx->impl->self().id;
    tl_end(ctx, n);
    calls += n;
    return TL_OK;
}

static enum tl_status self_verify(struct tl_ctx *ctx)
{
    if (sum != calls * ctx->impl->self().id)
        return tl_invalid(ctx, "self() changed its answer");
    return TL_OK;
}

static const struct tl_bench example_self_bench = {
    .abi = TL_ABI,
    .name = "example.self",
    .version = 1,
    .title = "asking who one is",
    .op = "one call of self()",
    .run = self_run,
    .verify = self_verify,
};
TL_BENCH(example_self_bench);

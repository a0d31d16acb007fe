/*
 * malloc.c - preempt.malloc, preempt.malloc-long: threads that are interrupted at any point of
 * malloc and free do not corrupt the heap, and do not wait for one another forever.
 */
#include "../common/opaque.h"
#include "busy.h"

#define THREADS 8
#define TURNS 200
#define LONG_THREADS 9
#define LONG_NS UINT64_C(10000000000)
#define LONG_PUS 2
#define BLOCKS 64
#define LARGE 70000

struct block {
    unsigned char *at;
    size_t size;
    unsigned char fill;
};

static OPAQUE bool is_filled(const struct block *b)
{
    for (size_t k = 0; k < b->size; k++)
        if (b->at[k] != b->fill)
            return false;
    return true;
}

/* Mostly small ones, from the lists that the C library keeps for each thread; some from the heap.
 */
static size_t any_size(uint64_t r)
{
    return r % 64 == 0 ? LARGE + r / 64 % 4096 : r % 4 == 0 ? 600 + r / 64 % 3000 : r / 64 % 500;
}

static void step(unsigned i, struct block *b, uint64_t r)
{
    size_t size = any_size(r >> 16);
    void *at;

    TL_EXPECT(busy.ctx, is_filled(b), "thread %u: a block of %zu bytes was overwritten", i,
              b->size);
    if (b->at && r % 3) {
        free(b->at);
        *b = (struct block){NULL, 0, 0};
        return;
    }
    at = b->at || r % 5 ? realloc(b->at, size + 1) : calloc(1, size + 1);
    if (!TL_EXPECT(busy.ctx, at != NULL, "thread %u: out of memory", i))
        return;
    *b = (struct block){at, size + 1, (unsigned char)(r >> 8)};
    memset(at, b->fill, b->size);
}

static void body(unsigned i)
{
    struct block blocks[BLOCKS] = {{NULL, 0, 0}};
    uint64_t random = busy.ctx->seed * BUSY_MAX + i;

    while (busy_turn(i))
        for (int k = 0; k < 20; k++) {
            uint64_t r = tl_random(&random);

            step(i, &blocks[r >> 58 & (BLOCKS - 1)], r);
        }
    for (int k = 0; k < BLOCKS; k++)
        free(blocks[k].at);
}

static enum tl_status run(struct tl_ctx *ctx)
{
    return busy_run(ctx, THREADS, TURNS, body);
}

static enum tl_status run_long(struct tl_ctx *ctx)
{
    return busy_run_for(ctx, LONG_THREADS, TURNS, LONG_NS, LONG_PUS, body);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "preempt.malloc",
    .group = "Preemption",
    .promise = "a thread that is interrupted inside malloc disturbs nobody else's malloc",
    .source =
        "POSIX.1-2017 XSH 2.9.1 (malloc and free are thread-safe); Powell et al. 1991, \"SunOS "
        "Multi-thread Architecture\", on libraries that are made safe for threads",
    .method = "eight threads on one PU allocate, fill, look at and free blocks of random sizes, "
              "without yielding, until each was interrupted 200 times (10 by a kernel's time "
              "slices)",
    .meaning = "the C library's heap knows kernel threads only: where a user-level thread is "
               "replaced inside, the next one enters it half changed, or waits for a lock that "
               "itself holds",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run,
};
TL_CHECK(check);

static const struct tl_check check_long = {
    .abi = TL_ABI,
    .name = "preempt.malloc-long",
    .group = "Preemption",
    .promise = "a thread that is interrupted inside malloc disturbs nobody else's malloc, on any "
               "PU, for as long as one looks",
    .source = "as preempt.malloc",
    .method = "as preempt.malloc, by nine threads on two PUs (one, if there is one), for ten "
              "seconds; one second where the threads are the kernel's",
    .meaning = "with several kernel threads a heap's lock is held by one that another waits for "
               "in the kernel, where no user-level scheduler sees it: a holder that is put behind "
               "others stops them all. What happens more rarely than once in some 10^5 "
               "interruptions is not seen",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run_long,
};
TL_CHECK(check_long);

MUTANT(anywhere, "preempt-anywhere", "threads are also replaced inside the C library",
       "preempt.malloc preempt.malloc-long", BUSY_OF, NULL);

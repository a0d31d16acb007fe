/*
 * destroy-before-unlock.c - cond.destroy-before-unlock: what a broadcast has let go waits for the
 * mutex, no longer for the condition variable.
 */
#include "../common/crowd.h"
#include "../common/mutant.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 60
#define WAITERS 3

static struct tl_ctx *ctx;
static struct tl_mutex mutex;
static struct tl_cond *cond[ROUNDS]; /* each in a page of its own, so that none comes back */
static size_t page;

/* Protected by mutex. */
static int waiting[ROUNDS];
static bool opened[ROUNDS];

static _Atomic int all_wait[ROUNDS];

/* Thread 0: as soon as all wait. They cannot have left when the object goes. */
static void let_go(int r)
{
    const struct tl_cond_ops *ops = ctx->impl->cond;

    if (!tl_await(ctx, &all_wait[r], "all to wait") ||
        !TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)))
        return;
    opened[r] = true;
    TL_CALL(ctx, ops->broadcast(cond[r]));
    tl_delay(ctx, "between broadcast and destroy");
    TL_CALL(ctx, ops->destroy(cond[r]));
    munmap(cond[r], page);
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

static void wait_once(int r)
{
    if (!TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)))
        return;
    if (++waiting[r] == WAITERS)
        atomic_store(&all_wait[r], 1);
    while (!opened[r])
        if (!TL_CALL(ctx, ctx->impl->cond->wait(cond[r], &mutex)))
            break;
    TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
}

static void meet(unsigned i)
{
    for (int r = 0; r < ROUNDS && crowd_meet(); r++)
        if (i == 0)
            let_go(r);
        else
            wait_once(r);
}

static enum tl_status run(struct tl_ctx *c)
{
    char *pages;

    ctx = c;
    page = (size_t)sysconf(_SC_PAGESIZE);
    pages = mmap(NULL, ROUNDS * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return tl_invalid(c, "mmap: %s", strerror(errno));
    TL_CALL(c, c->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    for (int r = 0; r < ROUNDS; r++) {
        cond[r] = (struct tl_cond *)(pages + r * page);
        TL_CALL(c, c->impl->cond->init(cond[r]));
    }
    crowd_run(c, WAITERS + 1, meet);
    return tl_verdict(c);
}

static const struct tl_check cond_destroy_before_unlock = {
    .abi = TL_ABI,
    .name = "cond.destroy-before-unlock",
    .group = "Condition variable",
    .promise = "after a broadcast the condition variable can be destroyed and its memory freed "
               "also by who still holds the mutex that the waiters want",
    .source = "POSIX.1-2017 XSH pthread_cond_destroy (safe where no threads are blocked on it; "
              "immediately after all are awakened), pthread_cond_broadcast (those that are "
              "unblocked contend for the mutex)",
    .method = "three threads wait; another one broadcasts, destroys the object and unmaps its page "
              "before it unlocks the mutex, 60 times",
    .meaning = "none of the waiters can have left by then: each later touch is a fault, and a "
               "destroy that waits until they have the mutex waits for ever",
    .needs = "mutex cond",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(cond_destroy_before_unlock);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_cond_ops *sound;

static int wait_looking_back(struct tl_cond *c, struct tl_mutex *m)
{
    int err = sound->wait(c, m);

    return err ? err : *(volatile unsigned char *)&c->opaque[TL_COND_SIZE - 1];
}

static void apply(struct tl_impl *impl)
{
    sound = impl->cond;
    TL_MUTATE(impl, cond)->wait = wait_looking_back;
}

/* Not of clone: its destroy waits for the waiters, for ever. */
MUTANT(looks, "cond-looks-when-locked", "a waiter looks at the object once it has the mutex again",
       "cond.destroy-before-unlock", "nptl green", apply);

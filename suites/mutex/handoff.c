/*
 * handoff.c - mutex.handoff-progress, mutex.unlock-then-free: what happens around an unlock, to
 * those who wait and to the memory.
 */
#include "../common/crowd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct tl_ctx *ctx;

/* ---- handoff-progress ------------------------------------------------------------------------ */

#define CROWD 4
#define TURNS 100

static struct tl_mutex mutex;
static _Atomic int served; /* threads that have had their turns */
static long total, worst;  /* protected by mutex: turns of all; the most between two of one */

/* Goes on until the last one has had its turns. */
static void take_turns(unsigned i)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;
    long last = 0;
    uint64_t start = tl_now_ns();
    bool in_time = true;

    (void)i;
    for (int turn = 1; in_time && atomic_load(&served) < CROWD && tl_verdict(ctx) == TL_OK;
         turn++) {
        if (!TL_CALL(ctx, ops->lock(&mutex)))
            return;
        long others = total++ - last;
        worst = turn > 1 && others > worst ? others : worst;
        last = total;
        TL_CALL(ctx, ops->unlock(&mutex));
        if (turn == TURNS)
            atomic_fetch_add(&served, 1);
        ctx->impl->yield();
        in_time = tl_now_ns() - start < UINT64_C(30000000000);
    }
    TL_EXPECT(ctx, in_time, "of %d threads %d have had their turns in 30 s, %ld turns in all",
              CROWD, atomic_load(&served), total);
}

static enum tl_status run_progress(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    crowd_run(c, CROWD, take_turns);
    tl_say(c, "%ld turns in all, at most %ld of others between two of one", total, worst);
    return tl_verdict(c);
}

static const struct tl_check handoff_progress = {
    .abi = TL_ABI,
    .name = "mutex.handoff-progress",
    .group = "Mutex",
    .promise = "who waits for a mutex gets it although others take it again and again",
    .source = "practice; POSIX.1-2017 XSH pthread_mutex_unlock leaves to the scheduling policy who "
              "gets the mutex",
    .method = "four threads take a mutex, and yield after each turn, until each has had a hundred "
              "turns; the longest wait in turns of others is said beside the verdict",
    .meaning =
        "a waiter that is passed over for ever is seen as seconds without progress; how fair "
        "the mutex is stays a number, not a verdict",
    .needs = "mutex",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_progress,
};
TL_CHECK(handoff_progress);

/* ---- unlock-then-free ------------------------------------------------------------------------ */

#define ROUNDS 200

/* On a page of its own. Whoever gives back the last reference unmaps it. */
struct object {
    struct tl_mutex mutex;
    int references; /* protected by mutex */
};

static struct object *objects[ROUNDS];

static void drop_reference(unsigned i)
{
    const struct tl_mutex_ops *ops = ctx->impl->mutex;

    (void)i;
    for (int r = 0; r < ROUNDS && crowd_meet(); r++) {
        struct object *o = objects[r];

        tl_delay(ctx, "before the lock");
        TL_CALL(ctx, ops->lock(&o->mutex));
        bool last = --o->references == 0;
        TL_CALL(ctx, ops->unlock(&o->mutex));
        if (last)
            munmap(o, (size_t)sysconf(_SC_PAGESIZE));
    }
}

static enum tl_status run_free(struct tl_ctx *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *pages =
        mmap(NULL, ROUNDS * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ctx = c;
    if (pages == MAP_FAILED)
        return tl_invalid(c, "mmap: %s", strerror(errno));
    for (size_t r = 0; r < ROUNDS; r++) {
        objects[r] = (struct object *)(pages + r * page);
        TL_CALL(c, c->impl->mutex->init(&objects[r]->mutex, TL_MUTEX_BLOCK));
        objects[r]->references = 2;
    }
    crowd_run(c, 2, drop_reference);
    return tl_verdict(c);
}

static const struct tl_check unlock_then_free = {
    .abi = TL_ABI,
    .name = "mutex.unlock-then-free",
    .group = "Mutex",
    .promise = "unlock does not touch the mutex once another thread can have it: that one may free "
               "its memory",
    .source =
        "POSIX.1-2017 XSH pthread_mutex_destroy, rationale (reference counts); glibc bug 13690",
    .method = "in 200 rounds two threads drop their reference to an object under its mutex, which "
              "lies on a page of its own; whoever drops the last one unmaps the page",
    .meaning =
        "a late touch is a crash; a window of a few instructions inside unlock is hit by luck "
        "only, a wake-up of an address that is gone is harmless and not seen",
    .needs = "mutex",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_free,
};
TL_CHECK(unlock_then_free);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *sound;
static struct tl_impl saved;
static _Atomic unsigned unlocks;
static _Atomic uint64_t victim; /* id of the first that ever locked, plus 1 */

static int lock_unfair(struct tl_mutex *m)
{
    uint64_t self = sound->self().id + 1, first = 0;

    if (atomic_compare_exchange_strong(&victim, &first, self))
        first = self;
    while (first == self && tl_verdict(ctx) == TL_OK)
        sound->yield();
    return sound->mutex->lock(m);
}

/* The first of the two who unlock takes its time before it looks. */
static int unlock_touches(struct tl_mutex *m)
{
    unsigned mine = m == &mutex ? 1 : atomic_fetch_add(&unlocks, 1);
    int err = sound->mutex->unlock(m);

    if (mine % 2 == 0) {
        for (int i = 0; i < 50 && atomic_load(&unlocks) == mine + 1; i++)
            sound->yield();
        for (int i = 0; i < 10; i++)
            sound->yield();
        (void)*(volatile unsigned char *)m->opaque;
    }
    return err;
}

static void apply_unfair(struct tl_impl *impl)
{
    saved = *impl;
    sound = &saved;
    TL_MUTATE(impl, mutex)->lock = lock_unfair;
}

static void apply_touches(struct tl_impl *impl)
{
    saved = *impl;
    sound = &saved;
    TL_MUTATE(impl, mutex)->unlock = unlock_touches;
}

static const struct tl_mutant mutex_unfair = {
    .abi = TL_ABI,
    .name = "mutex-unfair",
    .fault = "one thread gives way to all others, for ever",
    .kills = "mutex.handoff-progress",
    .of = "nptl clone green",
    .apply = apply_unfair,
};
TL_MUTANT_OF(mutex_unfair);

static const struct tl_mutant unlock_reads_late = {
    .abi = TL_ABI,
    .name = "mutex-unlock-reads-late",
    .fault = "unlock looks once more whether anybody waits after it has freed the mutex",
    .kills = "mutex.unlock-then-free",
    .of = "nptl clone green",
    .apply = apply_touches,
};
TL_MUTANT_OF(unlock_reads_late);

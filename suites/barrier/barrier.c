/*
 * barrier.c - barrier.exactly-n, barrier.serial-once, barrier.reuse, barrier.destroy-after-wait:
 * n threads meet, again and again.
 */
#include "../common/crowd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CROWD 4
#define ROUNDS 100

static struct tl_ctx *ctx;
static struct tl_barrier barrier;

/* False: noted. */
static bool wait_at(struct tl_barrier *b, bool *serial)
{
    int err = ctx->impl->barrier->wait(b);

    *serial = err == TL_BARRIER_SERIAL;
    return TL_EXPECT(ctx, err == 0 || *serial, "barrier.wait: %s", strerror(err));
}

/* ---- exactly-n, serial-once, reuse ----------------------------------------------------------- */

static _Atomic int arrived[ROUNDS], left[ROUNDS], serials[ROUNDS];

/* Whoever is released in round r: all have come to it, and nobody has left the next one. */
static void meet(unsigned i)
{
    bool serial;

    (void)i;
    for (int r = 0; r < ROUNDS && tl_verdict(ctx) == TL_OK; r++) {
        tl_delay(ctx, "before the barrier");
        atomic_fetch_add(&arrived[r], 1);
        if (!wait_at(&barrier, &serial))
            return;
        TL_EXPECT(ctx, atomic_load(&arrived[r]) == CROWD, "round %d: %d of %d had come", r,
                  atomic_load(&arrived[r]), CROWD);
        TL_EXPECT(ctx, r + 1 == ROUNDS || atomic_load(&left[r + 1]) == 0,
                  "round %d: a thread has left the next round already", r);
        atomic_fetch_add(&serials[r], serial);
        atomic_fetch_add(&left[r], 1);
    }
}

static enum tl_status run_reuse(struct tl_ctx *c)
{
    ctx = c;
    TL_CALL(c, c->impl->barrier->init(&barrier, CROWD));
    crowd_run(c, CROWD, meet);
    TL_CALL(c, c->impl->barrier->destroy(&barrier));
    return tl_verdict(c);
}

static enum tl_status run_serial(struct tl_ctx *c)
{
    run_reuse(c);
    for (int r = 0; r < ROUNDS && tl_verdict(c) == TL_OK; r++)
        TL_EXPECT(c, atomic_load(&serials[r]) == 1, "round %d: %d threads were the serial one", r,
                  atomic_load(&serials[r]));
    return tl_verdict(c);
}

static const struct tl_check barrier_reuse = {
    .abi = TL_ABI,
    .name = "barrier.reuse",
    .group = "Barrier",
    .promise = "a barrier is ready for the next round as soon as it has released one",
    .source = "POSIX.1-2017 XSH pthread_barrier_wait: reset to the state of the last init",
    .method = "four threads meet a hundred times at one barrier, back to back, with seeded delays; "
              "each release is compared with who has come and who has left",
    .meaning = "a fast thread that laps a slow one is seen; races are played, not exhausted",
    .needs = "barrier",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_reuse,
};
TL_CHECK(barrier_reuse);

static const struct tl_check barrier_serial_once = {
    .abi = TL_ABI,
    .name = "barrier.serial-once",
    .group = "Barrier",
    .promise = "in each round exactly one of the threads is told that it is the serial one",
    .source = "POSIX.1-2017 XSH pthread_barrier_wait: PTHREAD_BARRIER_SERIAL_THREAD to one thread",
    .method = "as barrier.reuse; the serial threads of each of the hundred rounds are counted",
    .meaning = "none and two are seen; which one it is, is not promised",
    .needs = "barrier",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_serial,
};
TL_CHECK(barrier_serial_once);

static _Atomic int waiting, enough, passed;
static int n;

static void *come(void *arg)
{
    bool serial;

    if (atomic_fetch_add(&waiting, 1) == n - 2)
        atomic_store(&enough, 1);
    wait_at(&barrier, &serial);
    atomic_fetch_add(&passed, 1);
    return arg;
}

/* n - 1 threads wait; then the first thread comes as well. */
static void meet_n(void)
{
    struct tl_thread t[CROWD];
    int made = 0, early;
    bool serial;

    atomic_store(&waiting, 0);
    atomic_store(&enough, 0);
    atomic_store(&passed, 0);
    TL_CALL(ctx, ctx->impl->barrier->init(&barrier, (unsigned)n));
    while (made < n - 1 && tl_start(ctx, (unsigned)made, &t[made], come, NULL))
        made++;
    if (made > 0 && tl_await(ctx, &enough, "the others to come to the barrier"))
        for (int i = 0; i < 50; i++)
            ctx->impl->yield();
    early = atomic_load(&passed);
    wait_at(&barrier, &serial);
    while (made)
        tl_finish(ctx, t[--made]);
    TL_EXPECT(ctx, early == 0, "%d threads passed a barrier of %d before the last one came", early,
              n);
    TL_CALL(ctx, ctx->impl->barrier->destroy(&barrier));
}

static enum tl_status run_exactly(struct tl_ctx *c)
{
    ctx = c;
    TL_ANSWERS(c, c->impl->barrier->init(&barrier, 0), EINVAL);
    for (int i = 0; i < 20 && tl_verdict(c) == TL_OK; i++) {
        n = 1 + i % (CROWD + 1);
        meet_n();
    }
    return tl_verdict(c);
}

static const struct tl_check barrier_exactly_n = {
    .abi = TL_ABI,
    .name = "barrier.exactly-n",
    .group = "Barrier",
    .promise = "a barrier of n releases its threads when the n-th comes, not before; n is not 0",
    .source = "POSIX.1-2017 XSH pthread_barrier_init (EINVAL), pthread_barrier_wait",
    .method = "for n from 1 to 5: n - 1 threads say that they are about to wait and get time to do "
              "so; none may have passed before the first thread comes, all must after",
    .meaning = "too few and too many are seen, too many by a hang; that the n - 1 really waited "
               "before the last one came is likely, not sure",
    .needs = "barrier",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_exactly,
};
TL_CHECK(barrier_exactly_n);

/* ---- destroy-after-wait ---------------------------------------------------------------------- */

static struct tl_barrier *fresh[ROUNDS]; /* each on pages of its own */

static void meet_and_destroy(unsigned i)
{
    bool serial;

    (void)i;
    for (int r = 0; r < ROUNDS && tl_verdict(ctx) == TL_OK; r++) {
        tl_delay(ctx, "before the barrier");
        if (!wait_at(fresh[r], &serial))
            return;
        if (serial) {
            TL_CALL(ctx, ctx->impl->barrier->destroy(fresh[r]));
            munmap(fresh[r], (size_t)sysconf(_SC_PAGESIZE));
        }
    }
}

static enum tl_status run_destroy(struct tl_ctx *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *pages =
        mmap(NULL, ROUNDS * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ctx = c;
    if (pages == MAP_FAILED)
        return tl_invalid(c, "mmap: %s", strerror(errno));
    for (size_t r = 0; r < ROUNDS; r++) {
        fresh[r] = (struct tl_barrier *)(pages + r * page);
        TL_CALL(c, c->impl->barrier->init(fresh[r], CROWD));
    }
    crowd_run(c, CROWD, meet_and_destroy);
    return tl_verdict(c);
}

static const struct tl_check barrier_destroy_after_wait = {
    .abi = TL_ABI,
    .name = "barrier.destroy-after-wait",
    .group = "Barrier",
    .promise = "the thread that comes out of a barrier may destroy it and free its memory at once, "
               "while the others still leave",
    .source = "POSIX.1-2017 XSH pthread_barrier_destroy, rationale; glibc "
              "nptl/pthread_barrier_destroy.c",
    .method = "four threads meet at a hundred barriers in a row, each on a page of its own, which "
              "the serial thread destroys and unmaps",
    .meaning =
        "a thread that touches the barrier after another one's wait has returned dies; seeded "
        "delays before, none inside: a window that is never hit stays unseen",
    .needs = "barrier",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_destroy,
};
TL_CHECK(barrier_destroy_after_wait);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_impl *sound;
static struct tl_impl saved;
static _Atomic unsigned calls;
static unsigned size;

static int init_noting(struct tl_barrier *b, unsigned count)
{
    size = count;
    atomic_store(&calls, 0);
    return sound->barrier->init(b, count);
}

static int wait_for_fewer(struct tl_barrier *b)
{
    unsigned mine = atomic_fetch_add(&calls, 1);
    unsigned wanted = (mine / size + 1) * size - (size > 1);

    (void)b;
    while (atomic_load(&calls) < wanted)
        sound->yield();
    return mine % size == size - 1 ? TL_BARRIER_SERIAL : 0;
}

static int wait_nobody_serial(struct tl_barrier *b)
{
    int err = sound->barrier->wait(b);

    return err == TL_BARRIER_SERIAL ? 0 : err;
}

static int wait_stays_open(struct tl_barrier *b)
{
    return atomic_fetch_add(&calls, 1) < size ? sound->barrier->wait(b) : 0;
}

static int wait_touches(struct tl_barrier *b)
{
    int err = sound->barrier->wait(b);

    if (err == 0) {
        sound->yield();
        (void)*(volatile unsigned char *)b->opaque;
    }
    return err;
}

static void apply_wait(struct tl_impl *impl, int (*wait)(struct tl_barrier *b))
{
    saved = *impl;
    sound = &saved;
    struct tl_barrier_ops *broken = TL_MUTATE(impl, barrier);
    broken->init = init_noting;
    broken->wait = wait;
}

static void apply_fewer(struct tl_impl *impl)
{
    apply_wait(impl, wait_for_fewer);
}

static void apply_nobody(struct tl_impl *impl)
{
    apply_wait(impl, wait_nobody_serial);
}

static void apply_open(struct tl_impl *impl)
{
    apply_wait(impl, wait_stays_open);
}

static void apply_touches(struct tl_impl *impl)
{
    apply_wait(impl, wait_touches);
}

static const struct tl_mutant barrier_of_fewer = {
    .abi = TL_ABI,
    .name = "barrier-of-fewer",
    .fault = "a barrier of n opens when n - 1 have come",
    .kills = "barrier.exactly-n",
    .of = "nptl clone green",
    .apply = apply_fewer,
};
TL_MUTANT_OF(barrier_of_fewer);

static const struct tl_mutant barrier_nobody_serial = {
    .abi = TL_ABI,
    .name = "barrier-nobody-serial",
    .fault = "wait answers 0 to all",
    .kills = "barrier.serial-once",
    .of = "nptl clone green",
    .apply = apply_nobody,
};
TL_MUTANT_OF(barrier_nobody_serial);

static const struct tl_mutant barrier_stays_open = {
    .abi = TL_ABI,
    .name = "barrier-stays-open",
    .fault = "after its first round a barrier lets everybody pass",
    .kills = "barrier.reuse",
    .of = "nptl clone green",
    .apply = apply_open,
};
TL_MUTANT_OF(barrier_stays_open);

static const struct tl_mutant barrier_touches_late = {
    .abi = TL_ABI,
    .name = "barrier-touches-late",
    .fault = "a released thread reads the barrier once more although another one has returned",
    .kills = "barrier.destroy-after-wait",
    .of = "nptl clone green",
    .apply = apply_touches,
};
TL_MUTANT_OF(barrier_touches_late);

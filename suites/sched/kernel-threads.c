/*
 * kernel-threads.c - concurrency.adds, concurrency.retires: the kernel threads that a concurrency
 * stands for come when they are needed, and go.
 */
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../common/crowd.h"
#include "../common/mutant.h"

#define BLOCKED 3
#define PATIENCE_S 3 /* no neighbour uses it up; three of it are less than the deadline */

static struct tl_ctx *ctx;

static int kernel_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;

    if (!dir)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* ---- adds ------------------------------------------------------------------------------------ */

static int ends[2];
static _Atomic int blocking, all_block, ran;

/* By the plain call: a jacket would give the kernel thread to others. */
static void *block(void *arg)
{
    ssize_t got;
    char byte;

    if (atomic_fetch_add(&blocking, 1) + 1 == BLOCKED)
        atomic_store(&all_block, 1);
    do /* no SA_RESTART resumes a read with a limit: signal(7) */
        got = read(ends[0], &byte, 1);
    while (got < 0 && errno == EINTR);
    TL_EXPECT(ctx, got == 1, "nobody wrote while %d threads were blocked in read: %s", BLOCKED,
              strerror(errno));
    return arg;
}

static void *work(void *arg)
{
    atomic_store(&ran, 1);
    return arg;
}

static enum tl_status run_adds(struct tl_ctx *c)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    struct tl_thread t[BLOCKED + 1];
    int made = 0, kernel = 0;

    ctx = c;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
        setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
        return tl_failed(c, "socketpair: %s", strerror(errno));
    TL_CALL(c, c->impl->concurrency->set(BLOCKED + 1));
    while (made < BLOCKED && tl_start(c, 0, &t[made], block, NULL))
        made++;
    if (made == BLOCKED && tl_await(c, &all_block, "all threads to come to read") &&
        tl_start(c, 0, &t[made], work, NULL)) {
        made++;
        if (tl_await(c, &ran, "a thread that is ready, while others are blocked in read"))
            kernel = kernel_threads();
        TL_EXPECT(c, kernel > BLOCKED, "%d threads are blocked and one runs, on %d kernel threads",
                  BLOCKED, kernel);
    }
    TL_EXPECT(c, write(ends[1], "123", BLOCKED) == BLOCKED, "write: %s", strerror(errno));
    while (made)
        tl_finish(c, t[--made]);
    close(ends[0]);
    close(ends[1]);
    return tl_verdict(c);
}

static const struct tl_check adds = {
    .abi = TL_ABI,
    .name = "concurrency.adds",
    .group = "Scheduling",
    .promise = "with a concurrency of n, n - 1 threads may be blocked in the kernel and one that "
               "is ready still runs",
    .source = "Powell et al. 1991, \"SunOS Multi-thread Architecture\" (thr_setconcurrency: the "
              "number of LWPs that run unbound threads); POSIX.1-2017 XSH pthread_setconcurrency "
              "makes it a hint",
    .method =
        "the concurrency is set to four; three threads block in read(2) on an empty socket; a "
        "fourth has to run before anything is written, on a kernel thread more than those",
    .meaning = "a library that has fewer kernel threads than it was asked for runs nobody, and the "
               "socket's own limit ends the reads; that no more than n exist is not asked",
    .needs = "concurrency",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_adds,
};
TL_CHECK(adds);

/* ---- retires --------------------------------------------------------------------------------- */

static void meet_once(unsigned i)
{
    (void)i;
    for (int n = 0; n < 20; n++)
        crowd_step();
}

static enum tl_status run_retires(struct tl_ctx *c)
{
    uint64_t until;
    int before, busy, after;

    TL_CALL(c, c->impl->concurrency->set(1));
    crowd_run(c, 4, meet_once); /* starts what the library has besides */
    before = kernel_threads();
    TL_CALL(c, c->impl->concurrency->set(4));
    crowd_run(c, 4, meet_once);
    busy = kernel_threads();
    TL_CALL(c, c->impl->concurrency->set(1));
    until = tl_now_ns() + (uint64_t)PATIENCE_S * 1000000000u;
    while ((after = kernel_threads()) > before && tl_now_ns() < until)
        if (!TL_CALL(c, c->impl->sleep(1000000)))
            break;
    TL_EXPECT(c, before > 0 && after <= before,
              "%d kernel threads became %d, and %d s after the concurrency was set back there are "
              "%d",
              before, busy, PATIENCE_S, after);
    return tl_verdict(c);
}

static const struct tl_check retires = {
    .abi = TL_ABI,
    .name = "concurrency.retires",
    .group = "Scheduling",
    .promise = "kernel threads that are needed no more, as the concurrency was set back, end",
    .source = "Powell et al. 1991, \"SunOS Multi-thread Architecture\"; Stein and Shah 1992, "
              "\"Implementing Lightweight Threads\" (idle LWPs age and are deleted)",
    .method =
        "four threads meet with a concurrency of one, then with one of four; then it is set back "
        "to one, and the number of kernel threads of the process has to come back to what it "
        "was, within 3 s",
    .meaning = "a pool that only grows is seen. How long an idle kernel thread is kept is not "
               "judged below that time",
    .needs = "concurrency sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_retires,
};
TL_CHECK(retires);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_concurrency_ops *sound;
static _Atomic unsigned told;

static unsigned get_told(void)
{
    return atomic_load(&told);
}

static int set_nothing(unsigned n)
{
    atomic_store(&told, n);
    return 0;
}

static int set_more(unsigned n)
{
    atomic_store(&told, n);
    return n > sound->get() ? sound->set(n) : 0;
}

/* Also asked of implementations that lack it, in the properties that they do have. */
static void change(struct tl_impl *impl, int (*set)(unsigned n))
{
    sound = impl->concurrency;
    if (!sound)
        return;
    struct tl_concurrency_ops *broken = TL_MUTATE(impl, concurrency);
    broken->set = set;
    broken->get = get_told;
}

static void apply_adds(struct tl_impl *impl)
{
    change(impl, set_nothing);
}

static void apply_retires(struct tl_impl *impl)
{
    change(impl, set_more);
}

MUTANT(never_adds, "concurrency-adds-nothing",
       "the concurrency that is set is told, but adds no kernel threads", "concurrency.adds",
       "hybrid", apply_adds);
MUTANT(never_retires, "concurrency-only-grows", "kernel threads never end before the process does",
       "concurrency.retires", "hybrid", apply_retires);

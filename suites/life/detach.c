/*
 * detach.c - detach.releases, detach.before-and-after-exit, create.after-join-storm: what a thread
 * leaves behind is given back.
 */
#include "check.h"

#include "../common/mutant.h"
#include "../common/proc.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Enough that a lost page each is seen at once, and no more than a second of kernel threads. */
#define THREADS_KERNEL 10000
#define THREADS_USER 200000
/* Above what caches and fragmentation cost; far below a page for each thread. */
#define GROWTH_MAX_BYTES (16l << 20)

static struct tl_ctx *ctx;
static _Atomic int ended;

static void *end(void *arg)
{
    atomic_fetch_add(&ended, 1);
    return arg;
}

static long count_entries(const char *path)
{
    DIR *dir = opendir(path);
    long n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

/* Detached ones, half of them created so; never more than a few alive. */
static void detach_many(int first, int n)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;

    for (int i = first; i < first + n && tl_verdict(ctx) == TL_OK; i++) {
        attr.detached = i % 2;
        if (!TL_CALL(ctx, ctx->impl->create(&t, &attr, end, NULL)))
            break;
        if (!attr.detached)
            TL_CALL(ctx, ctx->impl->detach(t));
        while (atomic_load(&ended) < i - 8)
            ctx->impl->yield();
    }
}

static enum tl_status run_releases(struct tl_ctx *c)
{
    int all = c->impl->traits & TL_ONE_TO_ONE ? THREADS_KERNEL : THREADS_USER, warm = all / 10;
    long before, after;

    ctx = c;
    detach_many(0, warm);
    before = (long)proc_resident();
    detach_many(warm, all - warm);
    after = (long)proc_resident();
    TL_EXPECT(c, before > 0 && after > 0, "/proc/self/smaps_rollup cannot be read");
    TL_EXPECT(c, after - before < GROWTH_MAX_BYTES,
              "resident memory grew from %ld to %ld bytes over %d detached threads", before, after,
              all - warm);
    return tl_verdict(c);
}

static const struct tl_check detach_releases = {
    .abi = TL_ABI,
    .name = "detach.releases",
    .group = "Lifecycle",
    .promise = "what a detached thread used is given back when it ends",
    .source = "POSIX.1-2017 XSH pthread_detach",
    .method = "10,000 detached kernel threads, or 200,000 user-level ones, a few at a time; after "
              "the first tenth resident memory may grow by no more than 16 MiB",
    .meaning = "a page kept of each would be 35 MiB and more; less than that is not seen",
    .flags = TL_CHECK_ALONE,
    .deadline_s = 180,
    .run = run_releases,
};
TL_CHECK(detach_releases);

/* ---- before and after ------------------------------------------------------------------------ */

static _Atomic int go;

static void *when_told(void *arg)
{
    tl_await(ctx, &go, "detach");
    atomic_fetch_add(&ended, 1);
    return arg;
}

static enum tl_status run_before_after(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    for (int i = 0; i < 100 && tl_verdict(c) == TL_OK; i++) {
        atomic_store(&go, 0);
        atomic_store(&ended, 0);
        if (!tl_start(c, (unsigned)i, &t, i % 2 ? when_told : end, NULL))
            break;
        if (i % 2 == 0) {
            while (!atomic_load(&ended))
                c->impl->yield();
            tl_delay(c, "between end and detach");
        }
        TL_CALL(c, c->impl->detach(t));
        atomic_store(&go, 1);
        while (!atomic_load(&ended) && tl_verdict(c) == TL_OK)
            c->impl->yield();
    }
    return tl_verdict(c);
}

static const struct tl_check detach_before_after = {
    .abi = TL_ABI,
    .name = "detach.before-and-after-exit",
    .group = "Lifecycle",
    .promise = "a thread can be detached while it runs and when it has ended",
    .source = "POSIX.1-2017 XSH pthread_detach",
    .method = "of 100 threads every second one is held until it is detached, the others have said "
              "that they end; detach has to answer 0 to all",
    .meaning = "an error, a crash or a hang shows; what is leaked is detach.releases' matter",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_before_after,
};
TL_CHECK(detach_before_after);

/* ---- storm ----------------------------------------------------------------------------------- */

static void join_many(int n)
{
    struct tl_thread t[16];

    for (int i = 0; i < n && tl_verdict(ctx) == TL_OK; i += 16) {
        int made = 0;

        while (made < 16 && tl_start(ctx, (unsigned)made, &t[made], end, NULL))
            made++;
        while (made)
            tl_finish(ctx, t[--made]);
    }
}

static enum tl_status run_storm(struct tl_ctx *c)
{
    long maps, files;

    ctx = c;
    join_many(160);
    maps = proc_lines("/proc/self/maps");
    files = count_entries("/proc/self/fd");
    join_many(4000);
    TL_EXPECT(c, proc_lines("/proc/self/maps") < maps + 100, "%ld lines of maps became %ld", maps,
              proc_lines("/proc/self/maps"));
    TL_EXPECT(c, count_entries("/proc/self/fd") == files, "%ld open files became %ld", files,
              count_entries("/proc/self/fd"));
    return tl_verdict(c);
}

static const struct tl_check after_join_storm = {
    .abi = TL_ABI,
    .name = "create.after-join-storm",
    .group = "Lifecycle",
    .promise = "threads that were joined leave no mappings and no open files behind",
    .source = "POSIX.1-2017 XSH pthread_join (storage may be reclaimed)",
    .method =
        "4,000 threads, 16 at a time, are created and joined; the number of mappings may grow "
        "by less than 100, that of open files not at all",
    .meaning = "a mapping lost in 40 threads, or one descriptor, is seen",
    .run = run_storm,
};
TL_CHECK(after_join_storm);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static int create_leaky(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                        void *arg)
{
    char *volatile lost = malloc(8192);

    if (lost)
        memset(lost, 1, 8192);
    return sound.create(t, attr, entry, arg);
}

static int create_opening(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    static unsigned calls;

    if (++calls % 500 == 0 && dup(2) < 0)
        return ENFILE;
    return sound.create(t, attr, entry, arg);
}

static int detach_late(struct tl_thread t)
{
    return atomic_load(&ended) ? ESRCH : sound.detach(t);
}

MUTANT_APPLY(apply_leaky, create, create_leaky)
MUTANT_APPLY(apply_opening, create, create_opening)
MUTANT_APPLY(apply_late, detach, detach_late)

MUTANT(leaky, "create-leaks-memory", "8 KiB of each thread are never freed", "detach.releases",
       EVERYWHERE, apply_leaky);
MUTANT(opening, "create-leaks-files", "one thread in 500 leaves a descriptor open",
       "create.after-join-storm", EVERYWHERE, apply_opening);
MUTANT(late, "detach-refuses-ended", "a thread that has ended cannot be detached any more",
       "detach.before-and-after-exit", EVERYWHERE, apply_late);

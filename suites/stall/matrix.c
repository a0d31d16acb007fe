/*
 * stall.matrix - one thread blocks, in each way there is; how long does its sibling get no turn?
 *
 * The sibling takes turn after turn: it looks at the clock and yields. The longest time between two
 * of its turns, from the moment at which the other one blocks until it is back, is what an
 * implementation costs its other threads when one of them blocks: the whole time of the call where
 * the kernel thread stops with all of them; a switch where only the caller stops.
 *
 * Who ends a wait has to be in another process, because in this one nobody may run. It is told to
 * begin, and ends the wait `block` later. A read of a file waits for the disk instead; a page is
 * given by the other process through userfaultfd(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#include "../common/io.h"

#define FILE_BYTES (4u << 20)
#define CHUNK (1u << 20) /* of it a round */

static struct tl_ctx *ctx;
static bool jacket;
static uint64_t block_ns;

/* ---- the other process ----------------------------------------------------------------------- */

static int command[2], answer[2]; /* pipes to it and back */
static int data[2] = {-1, -1};    /* pipe or sockets; [1] is its end */
static int file = -1;             /* that is locked, or read */
static char file_name[64];
static int faults = -1;
static char *page;
static size_t page_size;
static pid_t helper;

static void wait_ns(uint64_t ns)
{
    struct timespec left = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

static void end_data(void)
{
    if (write(data[1], "x", 1) < 0)
        _exit(1);
}

/* A description of its own: a lock belongs to that. */
static int helper_file;

static void begin_lock(void)
{
    if (!helper_file)
        helper_file = open(file_name, O_RDWR | O_CLOEXEC);
    flock(helper_file, LOCK_EX);
}

static void end_lock(void)
{
    flock(helper_file, LOCK_UN);
}

static void end_fault(void)
{
    struct uffdio_zeropage zero = {.range = {(uintptr_t)page, page_size}};

    ioctl(faults, UFFDIO_ZEROPAGE, &zero);
}

static void nothing(void)
{
}

/* ---- the ways to block ----------------------------------------------------------------------- */

static pid_t child;
static uint64_t at; /* in the file */

static int call_read(void)
{
    char byte;
    size_t done;

    if (jacket)
        return io_read(ctx, data[0], &byte, 1, &done);
    return read(data[0], &byte, 1) < 0 ? errno : 0;
}

static int call_sleep(void)
{
    if (jacket)
        return ctx->impl->sleep(block_ns);
    wait_ns(block_ns);
    return 0;
}

static int call_waitpid(void)
{
    pid_t done;

    if (jacket)
        return io_waitpid(ctx, child, NULL, 0, &done);
    return waitpid(child, NULL, 0) < 0 ? errno : 0;
}

static void lock_file(void *error)
{
    *(int *)error = flock(file, LOCK_EX) ? errno : 0;
}

static int call_flock(void)
{
    int error = 0;

    if (jacket && io_has(ctx, blocking))
        ctx->impl->io->blocking(lock_file, &error);
    else
        lock_file(&error);
    flock(file, LOCK_UN);
    return error;
}

static int call_file(void)
{
    static char chunk[CHUNK];
    size_t done;

    if (jacket)
        return io_read(ctx, file, chunk, CHUNK, &done);
    return read(file, chunk, CHUNK) < 0 ? errno : 0;
}

static int call_fault(void)
{
    return *(volatile char *)page;
}

/* Ends `block` after its first byte comes. */
static bool before_waitpid(void)
{
    child = fork();
    if (child == 0) {
        char byte;

        close(command[1]);
        if (read(command[0], &byte, 1) == 1)
            wait_ns(block_ns);
        _exit(0);
    }
    return child > 0;
}

static bool before_file(void)
{
    at = (at + CHUNK) % FILE_BYTES;
    return !posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) && lseek(file, (off_t)at, SEEK_SET) >= 0;
}

static bool before_fault(void)
{
    return !madvise(page, page_size, MADV_DONTNEED);
}

static bool before_nothing(void)
{
    return true;
}

/* begin, end: in the other process, `block` apart; NULL: it has no part in it. */
struct way {
    const char *name;
    bool (*before)(void);
    int (*call)(void);
    void (*begin)(void), (*end)(void);
};

static const struct way ways[] = {
    {"pipe", before_nothing, call_read, nothing, end_data},
    {"socket", before_nothing, call_read, nothing, end_data},
    {"nanosleep", before_nothing, call_sleep, NULL, NULL},
    {"waitpid", before_waitpid, call_waitpid, NULL, NULL},
    {"flock", before_nothing, call_flock, begin_lock, end_lock},
    {"file", before_file, call_file, NULL, NULL},
    {"pagefault", before_fault, call_fault, nothing, end_fault},
};
static const struct way *way;

static bool is(const char *name)
{
    return !strcmp(way->name, name);
}

/* Until its parent has gone. */
static void help(void)
{
    char byte;

    close(command[1]);
    while (read(command[0], &byte, 1) == 1) {
        way->begin();
        if (write(answer[1], "b", 1) != 1)
            break;
        wait_ns(block_ns);
        way->end();
    }
    _exit(0);
}

/* ---- the sibling ----------------------------------------------------------------------------- */

/* round, begin_ns: written by the first thread when it is about to block (release), over when it is
 * back; gap_ns, turns and closed by the sibling at its first turn after that (release). */
static struct {
    _Atomic uint64_t round, over, closed;
    uint64_t begin_ns, gap_ns, turns;
    _Atomic bool stop, runs;
    struct tl_thread thread;
    bool created;
} sibling;

static void *sibling_main(void *arg)
{
    uint64_t mine = 0, last = 0, gap = 0, turns = 0;

    atomic_store(&sibling.runs, true);
    while (!atomic_load_explicit(&sibling.stop, memory_order_relaxed)) {
        uint64_t round = atomic_load_explicit(&sibling.round, memory_order_acquire), now, over;

        if (round != mine) {
            mine = round;
            last = sibling.begin_ns;
            gap = turns = 0;
        }
        over = atomic_load_explicit(&sibling.over, memory_order_acquire);
        now = tl_now_ns();
        gap = now - last > gap ? now - last : gap;
        last = now;
        if (over != mine) {
            turns++;
        } else if (atomic_load_explicit(&sibling.closed, memory_order_relaxed) != mine) {
            sibling.gap_ns = gap;
            sibling.turns = turns;
            atomic_store_explicit(&sibling.closed, mine, memory_order_release);
        }
        ctx->impl->yield();
    }
    return arg;
}

/* ---- the cell -------------------------------------------------------------------------------- */

static struct tl_hist *gaps;
static uint64_t rounds, progress, longest_ns, blocked_ns, shortest_ns = UINT64_MAX;

static enum tl_status system_failed(const char *what)
{
    return tl_failed(ctx, "%s: %s", what, strerror(errno));
}

static const char *refused(const char *what)
{
    const char *why = ctx->impl->why_not ? ctx->impl->why_not(what) : NULL;

    return why ? why : "not offered";
}

static enum tl_status is_offered(void)
{
    const char *lacks = NULL;

    if (!tl_trait(ctx, TL_CONCURRENT))
        return tl_unsupported(ctx, "no second thread runs beside the first");
    if (!jacket)
        return TL_OK;
    if (is("pagefault"))
        return tl_unsupported(ctx, "a page fault is no call: no jacket fits it");
    if (is("flock") && !io_offered(ctx, blocking))
        lacks = "io.blocking";
    else if (is("waitpid") && !io_offered(ctx, waitpid))
        lacks = "io.waitpid";
    else if (is("nanosleep") && !ctx->impl->sleep)
        lacks = "sleep";
    else if (!io_offered(ctx, read))
        lacks = "io.read";
    return lacks ? tl_unsupported(ctx, "%s: %s", lacks, refused(lacks)) : TL_OK;
}

static enum tl_status make_file(void)
{
    const char *dir = getenv("TMPDIR");
    struct statfs fs;
    char *bytes;
    bool written;

    snprintf(file_name, sizeof(file_name), "%s/threadlab-stall-XXXXXX",
             dir && strlen(dir) < 30 ? dir : "/var/tmp");
    file = mkostemp(file_name, O_CLOEXEC);
    if (file < 0)
        return system_failed("mkostemp");
    if (is("flock"))
        return TL_OK;
    unlink(file_name);
    if (!fstatfs(file, &fs) && fs.f_type == TMPFS_MAGIC)
        return tl_unsupported(ctx, "temporary files are in memory: no read of them waits");
    bytes = calloc(1, FILE_BYTES);
    written = bytes && write(file, bytes, FILE_BYTES) == (ssize_t)FILE_BYTES && !fdatasync(file);
    free(bytes);
    return written ? TL_OK : system_failed("write");
}

static enum tl_status make_fault(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

    page_size = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (faults < 0)
        return tl_unsupported(ctx, "userfaultfd: %s", strerror(errno));
    range.range.start = (uintptr_t)page;
    range.range.len = page_size;
    if (page == MAP_FAILED || ioctl(faults, UFFDIO_API, &api) ||
        ioctl(faults, UFFDIO_REGISTER, &range))
        return system_failed("userfaultfd");
    return TL_OK;
}

static enum tl_status setup(struct tl_ctx *c)
{
    struct tl_attr attr = tl_worker_attr(c, 1);
    enum tl_status status;
    int error;

    ctx = c;
    for (way = ways; !is(tl_axis(c, "how")); way++)
        ;
    jacket = !strcmp(tl_axis(c, "call"), "jacket");
    block_ns = (uint64_t)tl_axis_int(c, "block_ms") * 1000000;
    status = is_offered();
    if (status != TL_OK)
        return status;
    if (pipe2(command, O_CLOEXEC) || pipe2(answer, O_CLOEXEC) ||
        (is("socket") ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, data)
                      : pipe2(data, O_CLOEXEC)))
        return system_failed("pipe");
    if (is("flock") || is("file"))
        status = make_file();
    else if (is("pagefault"))
        status = make_fault();
    if (status != TL_OK)
        return status;
    if (way->begin) {
        helper = fork();
        if (helper == 0)
            help();
        if (helper < 0)
            return system_failed("fork");
    }
    gaps = tl_hist(c, "gap");
    error = c->impl->create(&sibling.thread, &attr, sibling_main, NULL);
    if (error)
        return tl_failed(c, "create: %s", strerror(error));
    sibling.created = true;
    while (!atomic_load(&sibling.runs))
        c->impl->yield();
    return TL_OK;
}

/* The other side counts the time from here. False: it has gone. */
static bool tell(void)
{
    char byte;

    if (!way->begin && !is("waitpid"))
        return true;
    return write(command[1], "g", 1) == 1 && (!way->begin || read(answer[0], &byte, 1) == 1);
}

static enum tl_status one_round(void)
{
    uint64_t round = ++rounds, begin, took;
    int error;

    if (!way->before() || !tell())
        return system_failed(way->name);
    begin = sibling.begin_ns = tl_now_ns();
    atomic_store_explicit(&sibling.round, round, memory_order_release);
    error = way->call();
    took = tl_now_ns() - begin;
    atomic_store_explicit(&sibling.over, round, memory_order_release);
    while (atomic_load_explicit(&sibling.closed, memory_order_acquire) != round)
        ctx->impl->yield();
    if (error)
        return tl_failed(ctx, "%s: %s", way->name, strerror(error));
    tl_record(gaps, sibling.gap_ns);
    longest_ns = sibling.gap_ns > longest_ns ? sibling.gap_ns : longest_ns;
    shortest_ns = took < shortest_ns ? took : shortest_ns;
    blocked_ns += took;
    progress += sibling.turns > 0;
    return TL_OK;
}

static enum tl_status run(struct tl_ctx *c, uint64_t n)
{
    enum tl_status status = TL_OK;
    uint64_t done = 0, with = progress;

    longest_ns = 0;
    tl_begin(c);
    for (; done < n && status == TL_OK; done++)
        status = one_round();
    tl_end(c, done ? done : 1);
    tl_count(c, "with-progress", progress - with);
    tl_metric(c, "longest-gap", (double)longest_ns, "ns");
    tl_metric(c, "blocked", rounds ? (double)blocked_ns / (double)rounds : 0, "ns");
    tl_metric(c, "progress", rounds ? (double)progress / (double)rounds : 0, "of-rounds");
    return status;
}

/* Half: the other process counts from a little before the call, and may be displaced in between. */
static enum tl_status verify(struct tl_ctx *c)
{
    if (!is("file") && shortest_ns < block_ns / 2)
        return tl_invalid(c, "a call came back after %" PRIu64 " us: it did not block",
                          shortest_ns / 1000);
    return TL_OK;
}

static void teardown(struct tl_ctx *c)
{
    atomic_store(&sibling.stop, true);
    if (sibling.created)
        c->impl->join(sibling.thread, NULL);
    close(command[1]);
    if (helper > 0)
        while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
            ;
    if (*file_name)
        unlink(file_name);
}

static const struct tl_axis axes[] = {
    {"how", "pipe,nanosleep,pagefault", NULL, "pipe,socket,nanosleep,waitpid,flock,file,pagefault",
     "what the thread blocks in"},
    {"call", "jacket,plain", NULL, NULL, "by the implementation, or as the kernel has it"},
    {"block_ms", "5", NULL, "20", "how long (ms); a file: as long as the disk takes"},
    {0},
};

static const char *const rests_on[] = {"create.runs", NULL};

static const struct tl_bench stall_matrix = {
    .abi = TL_ABI,
    .name = "stall.matrix",
    .version = 1,
    .title = "How long the others get no turn when one thread blocks",
    .op = "one blocking call, during which a sibling takes turns",
    .workers = 2,
    .axes = axes,
    .rests_on = rests_on,
    .deadline_ns = UINT64_C(120000000000),
    .setup = setup,
    .run = run,
    .verify = verify,
    .teardown = teardown,
};
TL_BENCH(stall_matrix);

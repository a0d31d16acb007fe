/*
 * progress.c - progress.block-read, progress.block-pagefault, progress.block-sleep,
 * progress.block-lock, progress.spin: a thread that waits, or does not give up the PU, does not
 * stop the others.
 *
 * In each, one thread is kept in its place until another has run, so that a library that runs
 * nobody else meanwhile cannot go on. Each gives up after some seconds, with a reason.
 */
#include "../common/action.h"
#include "../common/wrap.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define TURNS 10 /* of the sibling, while the other one waits: each may cost a time slice */

static struct tl_ctx *ctx;
static _Atomic int waits, ran, stop;

/* How long the waiting thread gives the other: too long for any neighbour to use up. The control,
 * which runs nobody else at all, is soon done. */
static uint64_t patience_ns(void)
{
    return tl_trait(ctx, TL_CONCURRENT) ? 5000000000u : 100000000u;
}

/* Two threads: the first one waits where it says it does, the other runs on. */
static enum tl_status both(struct tl_ctx *c, void *(*waiter)(void *), void *(*sibling)(void *))
{
    struct tl_thread t[2];
    bool one, two = false;

    ctx = c;
    one = tl_start(c, 0, &t[0], waiter, NULL);
    if (one)
        two = tl_start(c, 1, &t[1], sibling, NULL);
    if (two)
        tl_finish(c, t[1]);
    if (one)
        tl_finish(c, t[0]);
    return tl_verdict(c);
}

/* Once the other one waits. False: it does not come to that. */
static bool run_on(void)
{
    if (!tl_await(ctx, &waits, "the other thread to be about to wait"))
        return false;
    for (int i = 0; i < TURNS; i++)
        ctx->impl->yield();
    atomic_store(&ran, 1);
    return true;
}

/* ---- read ------------------------------------------------------------------------------------ */

static int ends[2];

static int read_byte(char *byte)
{
    size_t done = 0;
    ssize_t n;

    if (ctx->impl->io)
        return ctx->impl->io->read(ends[0], byte, 1, &done);
    n = read(ends[0], byte, 1);
    return n < 0 ? errno : 0;
}

static void *reader(void *arg)
{
    char byte = 0;
    int err;

    atomic_store(&waits, 1);
    err = read_byte(&byte);
    if (err == EAGAIN)
        TL_EXPECT(ctx, false, "nobody else ran while the thread was blocked in read");
    else
        TL_EXPECT(ctx, !err && byte == 'x', "read: %s", strerror(err));
    return arg;
}

static void *writer(void *arg)
{
    if (run_on())
        TL_EXPECT(ctx, write(ends[1], "x", 1) == 1, "write: %s", strerror(errno));
    return arg;
}

static enum tl_status run_read(struct tl_ctx *c)
{
    enum tl_status status;
    struct timeval patience;

    ctx = c;
    if (!tl_trait(c, TL_BLOCKS_ALONE) && !(c->impl->io && c->impl->io->read))
        return tl_refused(c, "io.read");
    patience = (struct timeval){(time_t)(patience_ns() / 1000000000u),
                                (suseconds_t)(patience_ns() % 1000000000u / 1000)};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
        setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
        return tl_failed(c, "socketpair: %s", strerror(errno));
    status = both(c, reader, writer);
    close(ends[0]);
    close(ends[1]);
    return status;
}

static const struct tl_check block_read = {
    .abi = TL_ABI,
    .name = "progress.block-read",
    .group = "Scheduling",
    .promise = "a thread that is blocked in read stops nobody else",
    .source = "POSIX.1-2017 XBD 3.404 (Thread), XSH 2.9.1; Anderson et al. 1992, \"Scheduler "
              "Activations\", section 2.2 (what user-level threads on one kernel thread lose)",
    .method = "one thread reads from an empty socket, by the implementation's own call where it "
              "has one; another sees it there, takes ten turns, and "
              "only then writes what the first one waits for",
    .meaning = "if the read stops the process or its run queue, the write never comes, and the "
               "socket's own limit ends the read; a slow system call other than read is not asked",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_read,
};
TL_CHECK(block_read);

/* ---- page fault ------------------------------------------------------------------------------ */

static int faults = -1;     /* the userfaultfd */
static volatile char *page; /* not there until somebody gives it */
static size_t page_size;
static volatile sig_atomic_t gave_up;

/* Async-signal-safe. */
static int give_page(void)
{
    struct uffdio_zeropage zero = {.range = {(uintptr_t)page, page_size}};

    return ioctl(faults, UFFDIO_ZEROPAGE, &zero);
}

static void rescue(int sig)
{
    (void)sig;
    gave_up = 1;
    give_page();
}

static void *toucher(void *arg)
{
    atomic_store(&waits, 1);
    TL_EXPECT(ctx, *page == 0, "the page is not zero");
    TL_EXPECT(ctx, !gave_up, "nobody else ran while the thread waited for its page");
    return arg;
}

static void *pager(void *arg)
{
    if (run_on() && !gave_up)
        TL_EXPECT(ctx, !give_page() || errno == EEXIST, "UFFDIO_ZEROPAGE: %s", strerror(errno));
    return arg;
}

static enum tl_status run_fault(struct tl_ctx *c)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
    struct sigaction act = {.sa_handler = rescue};
    struct itimerval timer = {{0}, {0}};
    enum tl_status status;

    ctx = c;
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (faults < 0 || ioctl(faults, UFFDIO_API, &api))
        return tl_unsupported(c, "userfaultfd(2): %s; without it no page can be held back",
                              strerror(errno));
    page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    range.range = (struct uffdio_range){(uintptr_t)page, page_size};
    if (page == MAP_FAILED || ioctl(faults, UFFDIO_REGISTER, &range))
        return tl_failed(c, "UFFDIO_REGISTER: %s", strerror(errno));
    timer.it_value.tv_sec = (time_t)(patience_ns() / 1000000000u);
    timer.it_value.tv_usec = (suseconds_t)(patience_ns() % 1000000000u / 1000);
    tl_sigaction(ctx->impl, SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    status = both(c, toucher, pager);
    setitimer(ITIMER_REAL, &(struct itimerval){{0}, {0}}, NULL);
    munmap((void *)page, page_size);
    close(faults);
    return status;
}

static const struct tl_check block_fault = {
    .abi = TL_ABI,
    .name = "progress.block-pagefault",
    .group = "Scheduling",
    .promise = "a thread that waits for a page stops nobody else",
    .source = "Anderson et al. 1992, \"Scheduler Activations\", section 2.2: page faults block the "
              "kernel thread; userfaultfd(2)",
    .method = "one thread touches a page that userfaultfd holds back; another sees it there, takes "
              "ten turns, and only then gives the page",
    .meaning = "if the fault stops the others, nobody gives the page, and a timer does; the page "
               "comes from memory, not from a disk",
    .traits = TL_BLOCKS_ALONE,
    .flags = TL_CHECK_CONCURRENT,
    .run = run_fault,
};
TL_CHECK(block_fault);

/* ---- sleep ----------------------------------------------------------------------------------- */

static _Atomic int asleep;

static void *sleeper(void *arg)
{
    uint64_t until = tl_now_ns() + patience_ns();

    while (!atomic_load(&ran) && tl_verdict(ctx) == TL_OK && tl_now_ns() < until) {
        atomic_store(&asleep, 1);
        TL_CALL(ctx, ctx->impl->sleep(2000000));
        atomic_store(&asleep, 0);
        tl_delay(ctx, "between two sleeps");
    }
    TL_EXPECT(ctx, atomic_load(&ran), "nobody else ran while the thread slept, again and again");
    atomic_store(&stop, 1);
    return arg;
}

static void *watcher(void *arg)
{
    while (!atomic_load(&stop) && !atomic_load(&ran)) {
        if (atomic_load(&asleep))
            atomic_store(&ran, 1);
        ctx->impl->yield();
    }
    return arg;
}

static enum tl_status run_sleep(struct tl_ctx *c)
{
    return both(c, sleeper, watcher);
}

static const struct tl_check block_sleep = {
    .abi = TL_ABI,
    .name = "progress.block-sleep",
    .group = "Scheduling",
    .promise = "a thread that sleeps stops nobody else",
    .source = "POSIX.1-2017 XSH nanosleep: the calling thread is suspended",
    .method = "one thread sleeps 2 ms again and again, until another has run at a moment at which "
              "the first one was asleep",
    .meaning = "where sleep keeps the PU, the other one only ever runs between two sleeps. With "
               "preemption, being stopped just before the call counts as sleep",
    .needs = "sleep",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_sleep,
};
TL_CHECK(block_sleep);

/* ---- lock ------------------------------------------------------------------------------------ */

static struct tl_mutex mutex;

static void *locker(void *arg)
{
    atomic_store(&waits, 1);
    if (TL_CALL(ctx, ctx->impl->mutex->lock(&mutex)))
        TL_CALL(ctx, ctx->impl->mutex->unlock(&mutex));
    return arg;
}

static void *goer(void *arg)
{
    run_on();
    return arg;
}

static enum tl_status run_lock(struct tl_ctx *c)
{
    struct tl_thread t[2];
    bool one, two;

    ctx = c;
    TL_CALL(c, c->impl->mutex->init(&mutex, TL_MUTEX_BLOCK));
    TL_CALL(c, c->impl->mutex->lock(&mutex));
    one = tl_start(c, 0, &t[0], locker, NULL);
    two = one && tl_start(c, 1, &t[1], goer, NULL);
    if (two)
        tl_await(c, &ran, "a thread to run while another waits for a mutex");
    TL_CALL(c, c->impl->mutex->unlock(&mutex));
    if (one)
        tl_finish(c, t[0]);
    if (two)
        tl_finish(c, t[1]);
    return tl_verdict(c);
}

static const struct tl_check block_lock = {
    .abi = TL_ABI,
    .name = "progress.block-lock",
    .group = "Scheduling",
    .promise = "a thread that waits for a mutex stops nobody else",
    .source = "POSIX.1-2017 XSH pthread_mutex_lock: the calling thread blocks",
    .method = "the first thread holds a mutex and lets it go only after a third one has taken ten "
              "turns while a second one waits for it",
    .meaning = "where the wait keeps the PU, or a lock of the library, the third one never runs",
    .needs = "mutex",
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 60,
    .run = run_lock,
};
TL_CHECK(block_lock);

/* ---- spin ------------------------------------------------------------------------------------ */

static void *spinner(void *arg)
{
    uint64_t until = tl_now_ns() + patience_ns();

    atomic_store(&waits, 1);
    while (!atomic_load(&ran) && tl_now_ns() < until)
        ;
    TL_EXPECT(ctx, atomic_load(&ran), "nobody else ran beside a thread that does not yield");
    return arg;
}

/* All on one PU: on another one it needs no preemption. */
static enum tl_status run_spin(struct tl_ctx *c)
{
    struct tl_thread t[2];
    bool one, two;

    ctx = c;
    one = tl_start(c, 0, &t[0], spinner, NULL);
    two = one && tl_start(c, 0, &t[1], goer, NULL);
    if (one)
        tl_finish(c, t[0]);
    if (two)
        tl_finish(c, t[1]);
    return tl_verdict(c);
}

static const struct tl_check spin = {
    .abi = TL_ABI,
    .name = "progress.spin",
    .group = "Scheduling",
    .promise = "a thread that never yields does not stop the others on its PU",
    .source = "sched(7), SCHED_OTHER: time slices; the trait `preemptive` of the implementation",
    .method = "one thread spins, without any call of the library, until another one on the same PU "
              "has taken ten turns",
    .meaning = "without preemption the other one never gets the PU, and the spinning thread gives "
               "up; how soon it is preempted is not asked",
    .traits = TL_PREEMPTIVE,
    .params = "preempt=timer",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_spin,
};
TL_CHECK(spin);

/* ---- mutants --------------------------------------------------------------------------------- */

/* For 1:1: a lock around each thread, which only a yield gives up. */
static struct tl_impl sound;
static struct tl_mutex big;
static _Thread_local bool has_big; /* not the first thread */

static void *with_big_lock(void *(*entry)(void *), void *arg)
{
    void *value;

    sound.mutex->lock(&big);
    has_big = true;
    value = entry(arg);
    has_big = false;
    sound.mutex->unlock(&big);
    return value;
}

static void yield_big_lock(void)
{
    if (has_big)
        sound.mutex->unlock(&big);
    sound.yield();
    if (has_big)
        sound.mutex->lock(&big);
}

static void apply_big_lock(struct tl_impl *impl)
{
    sound = *impl;
    impl->yield = yield_big_lock;
    wrap_entries(impl, with_big_lock);
}

static const struct tl_mutant big_lock = {
    .abi = TL_ABI,
    .name = "big-lock",
    .fault = "one lock lets one thread run at a time, and only a yield gives it up",
    .kills = "progress.block-read progress.block-pagefault progress.block-sleep "
             "progress.block-lock progress.spin",
    .of = "nptl clone",
    .apply = apply_big_lock,
};
TL_MUTANT_OF(big_lock);

static int sleep_with_all(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    return clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void apply_sleep(struct tl_impl *impl)
{
    impl->sleep = sleep_with_all;
}

static const struct tl_mutant sleeps_with_all = {
    .abi = TL_ABI,
    .name = "sleep-stops-all",
    .fault = "sleep is the kernel's, and stops the kernel thread with all threads on it",
    .kills = "progress.block-sleep",
    .of = "green ucontext",
    .apply = apply_sleep,
};
TL_MUTANT_OF(sleeps_with_all);

/* Gives up at last, so that the check ends. */
static int lock_and_spin(struct tl_mutex *m)
{
    uint64_t until = tl_now_ns() + 2000000000u;
    int err;

    while ((err = sound.mutex->trylock(m)) == EBUSY && tl_now_ns() < until)
        ;
    return err;
}

static void apply_spin(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, mutex)->lock = lock_and_spin;
}

static const struct tl_mutant lock_spins = {
    .abi = TL_ABI,
    .name = "lock-spins-in-place",
    .fault = "whoever waits for a mutex spins and keeps the only kernel thread",
    .kills = "progress.block-lock",
    .of = "green ucontext",
    .apply = apply_spin,
};
TL_MUTANT_OF(lock_spins);

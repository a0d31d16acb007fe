/*
 * sync-fault.c - sync.fault: a signal for what a thread does itself goes to that thread.
 */
#include "signals.h"

#include "../common/wrap.h"

#define THREADS 4
#define FAULTS 25

static struct tl_ctx *ctx;
static struct {
    char *page;          /* of private memory, without access */
    char *file;          /* a page of fd, which ends before it */
    int fd;              /* of a file of its own */
    struct tl_thread id; /* written by the thread before its first fault */
    _Atomic int faults;
} part[THREADS];
static size_t page_size;
static _Atomic int elsewhere, unknown;

/* Repairs what was missing: the instruction is done again. */
static void handler(int sig, siginfo_t *info, void *context)
{
    char *at = info->si_addr;
    unsigned i = 0;

    (void)context;
    while (i < THREADS && at != (sig == SIGSEGV ? part[i].page : part[i].file))
        i++;
    if (i == THREADS) {
        atomic_store(&unknown, 1);
        signal(sig, SIG_DFL);
        return;
    }
    if (part[i].id.id != ctx->impl->self().id)
        atomic_fetch_add(&elsewhere, 1);
    atomic_fetch_add(&part[i].faults, 1);
    if (sig == SIGSEGV)
        mprotect(part[i].page, page_size, PROT_READ | PROT_WRITE);
    else if (ftruncate(part[i].fd, (off_t)page_size))
        signal(sig, SIG_DFL);
}

static bool prepare(unsigned i)
{
    part[i].fd = memfd_create("threadlab-fault", MFD_CLOEXEC);
    part[i].page = mmap(NULL, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    part[i].file = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, part[i].fd, 0);
    return TL_EXPECT(ctx,
                     part[i].fd >= 0 && part[i].page != MAP_FAILED && part[i].file != MAP_FAILED,
                     "memfd_create or mmap: %s", strerror(errno));
}

static void *faulter(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;

    part[i].id = ctx->impl->self();
    for (int n = 1; n <= FAULTS && tl_verdict(ctx) == TL_OK; n++) {
        mprotect(part[i].page, page_size, PROT_NONE);
        tl_delay(ctx, "before a write to memory without access");
        *(volatile char *)part[i].page = 1;
        if (ftruncate(part[i].fd, 0))
            tl_failed(ctx, "ftruncate: %s", strerror(errno));
        tl_delay(ctx, "before a write behind the end of a file");
        *(volatile char *)part[i].file = 1;
        TL_EXPECT(ctx, atomic_load(&part[i].faults) == 2 * n,
                  "a thread has made %d faults, %d handlers ran for it", 2 * n,
                  atomic_load(&part[i].faults));
    }
    return NULL;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    int made = 0;

    ctx = c;
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    if (!signals_handle(ctx, SIGSEGV, handler, 0) || !signals_handle(ctx, SIGBUS, handler, 0))
        return TL_FAILED;
    while (made < THREADS && prepare((unsigned)made) &&
           tl_start(ctx, (unsigned)made, &t[made], faulter, (void *)(uintptr_t)made))
        made++;
    while (made)
        tl_finish(ctx, t[--made]);
    TL_EXPECT(ctx, atomic_load(&unknown) == 0, "a fault at an address that nobody wrote to");
    TL_EXPECT(ctx, atomic_load(&elsewhere) == 0, "%d faults were handled by another thread",
              atomic_load(&elsewhere));
    return tl_verdict(ctx);
}

static const struct tl_check sync_fault = {
    .abi = TL_ABI,
    .name = "sync.fault",
    .group = "Signals",
    .promise = "the signal for a fault of a thread is handled by that thread, which then goes on",
    .source = "POSIX.1-2017 XSH 2.4.1 (attributable to a thread: generated for it), 2.4.3 "
              "(si_addr)",
    .method = "four threads make 25 faults of each of two kinds (SIGSEGV: no access; SIGBUS: "
              "behind the end of a mapped file), between switches; the handler finds whose page it "
              "was, compares that with self, and repairs it",
    .meaning = "a handler in another thread, a wrong self, or a fault that ends the process, "
               "because a thread has the signal blocked, is seen",
    .run = run,
};
TL_CHECK(sync_fault);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_signal_ops *ops;

static void *all_blocked(void *(*entry)(void *), void *arg)
{
    sigset_t all;

    sigfillset(&all);
    ops->mask(SIG_SETMASK, &all, NULL);
    sigprocmask(SIG_SETMASK, &all, NULL); /* also where the mask is the library's */
    return entry(arg);
}

static void apply_blocked(struct tl_impl *impl)
{
    ops = impl->signal;
    wrap_entries(impl, all_blocked);
}

static const struct tl_mutant threads_block_faults = {
    .abi = TL_ABI,
    .name = "threads-block-faults",
    .fault = "new threads have all signals blocked, also those for their own faults",
    .kills = "sync.fault mask.inherited",
    .of = "nptl clone green",
    .apply = apply_blocked,
};
TL_MUTANT_OF(threads_block_faults);

static struct tl_thread (*sound_self)(void);

static struct tl_thread self_lagging(void)
{
    static _Atomic unsigned calls;
    static _Atomic uint64_t last;
    struct tl_thread t = sound_self();
    struct tl_thread before = {atomic_exchange(&last, t.id)};

    return atomic_fetch_add(&calls, 1) % 32 == 31 ? before : t;
}

static void apply_lagging(struct tl_impl *impl)
{
    sound_self = impl->self;
    impl->self = self_lagging;
}

static const struct tl_mutant self_lags = {
    .abi = TL_ABI,
    .name = "self-lags",
    .fault = "one self in 32 answers who asked before",
    .kills = "sync.fault",
    .of = "nptl clone green",
    .apply = apply_lagging,
};
TL_MUTANT_OF(self_lags);

/*
 * boot.h - parameters, run, the table of operations. Included by user.h only.
 */
#ifndef TL_USER_BOOT_H
#define TL_USER_BOOT_H

#include "../common/generic.h"

#include <string.h>
#include <sys/auxv.h>

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1) /* Linux 5.9, x86-64 */
#endif

static uint32_t policy_traits(const char *value, uint32_t traits)
{
    return strcmp(value, "fifo") ? traits & ~TL_YIELD_IS_FIFO : traits;
}

static uint32_t preempt_traits(const char *value, uint32_t traits)
{
    return strcmp(value, "off") ? traits | TL_PREEMPTIVE : traits;
}

#if USER_MN
static uint32_t lwps_traits(const char *value, uint32_t traits)
{
    return strcmp(value, "1") ? traits : traits & ~TL_PARALLEL;
}

static const char *detector_lacks(const char *value)
{
    return strcmp(value, "seccomp") ? NULL : "fork";
}
#endif

static const struct tl_param user_params[] = {
    {"recycle", "stack,none", "what an ended thread leaves to the next: its stack, or nothing",
     NULL, NULL, NULL},
    {"tls", "errno,full", "what is private: errno, or the whole TLS block (_Thread_local)", NULL,
     NULL, NULL},
#if USER_MN
    {"policy", "steal,fifo,lifo,priority",
     "order of ready threads: queues of each LWP with stealing, or one for all: as they became "
     "ready, the reverse, or by priority",
     NULL, policy_traits, NULL},
    {"lwps", "0,1,2,4,16", "kernel threads that run unbound threads; 0: as many as PUs", NULL,
     lwps_traits, NULL},
    {"detector", "jacket,none,proc,perf,seccomp",
     "how it learns that a kernel thread blocks: from calls made through it, not at all, or from "
     "those and from the kernel",
     NULL, NULL, detector_lacks},
#else
    {"policy", "fifo,lifo,priority",
     "order of the run queue: as they became ready, the reverse, or by priority", NULL,
     policy_traits, NULL},
#endif
    {"preempt", "off,timer,cputime",
     "a thread loses the PU after a quantum: never, of time, or of CPU time (whole kernel ticks)",
     NULL, preempt_traits, NULL},
    {"quantum", "10000,3000,1000,300,100", "microseconds between two ticks of preempt", NULL, NULL,
     NULL},
    {0},
};

static enum user_policy policy_named(const char *name)
{
    return !strcmp(name, "lifo")       ? USER_LIFO
           : !strcmp(name, "priority") ? USER_PRIORITY
           : !strcmp(name, "steal")    ? USER_STEAL
                                       : USER_FIFO;
}

/* The kernel thread that called run(), and what it runs on. ENOMEM, or what pin answers. */
#if USER_MN
static int lwp_boot(const struct tl_boot *boot)
{
    struct lwp *lwp;
    struct stack stack;
    int err;

    lib.boot = boot;
    fences_boot();
    lwp = lwp_new(0);
    if (!lwp)
        return ENOMEM;
    err = stack_map(&stack, USER_IDLE_STACK, lib.page);
    if (err) {
        lwp_free(lwp);
        return err;
    }
    lwps_boot_first(lwp);
    lwp_adopt(lwp);
    idle_stack_here(lwp); /* that of the first thread: see user_run */
    lib.first_low = lwp->idle_rest.alone.low;
    lib.first_high = lwp->idle_rest.high;
    lwp->idle_rest.alone = stack;
    lwp->idle_rest.high = stack.high;
    if (lib.full_tls) {
        lwp->idle->tp = tls_new();
        if (!lwp->idle->tp)
            return ENOMEM;
        lib.tp = lwp->tp;
    }
#ifdef USER_TSAN
    lwp->idle_rest.fiber = __tsan_create_fiber(0);
#endif
    state_set(lwp->idle, USER_ACTIVE);
    context_make(&lwp->idle->context, stack.high, idle_main);
    return 0;
}

/* How many LWPs a value of the parameter means. */
static unsigned lwps_named(const char *value)
{
    unsigned n = (unsigned)strtoul(value, NULL, 10);

    n = n ? n : lib.boot->nslots;
    return n < USER_LWPS_MAX ? n : USER_LWPS_MAX;
}

static void lwps_stop(void)
{
    watch_stop();
    lwps_end();
    watch_end();
}

static void lwps_shut(void)
{
    struct lwp *lwp = lib.lwp[0];

    /* In a forked child it may be another than the one that began as LWP 0: that one's idle context
     * has the stack and the TLS block that the C library gave its kernel thread. */
    if (lwp->idle_rest.alone.base) {
        stack_unmap(&lwp->idle_rest.alone);
#ifdef USER_TSAN
        __tsan_destroy_fiber(lwp->idle_rest.fiber);
#endif
        if (lib.full_tls)
            tls_delete(tp_of(lwp->idle));
    }
    user_lwp = NULL;
    lwp_free(lwp);
}
#else
static int lwp_boot(const struct tl_boot *boot)
{
    struct lwp *lwp = &the_lwp;

    (void)boot;
    lwp->tid = (int)syscall(SYS_gettid);
    lwp->err = lib.full_tls ? &lwp->no_err : &errno; /* each block has its own */
    lib.tp = lib.full_tls ? tls_current() : NULL;
    return 0;
}
#define lwps_stop() ((void)0)
#define lwps_shut() ((void)0)
#endif

static int user_boot(const struct tl_boot *boot)
{
    char reason[128];
    int err;

    lib.page = (size_t)sysconf(_SC_PAGESIZE);
    lib.recycle = strcmp(boot->param(boot, "recycle"), "none") != 0;
    lib.full_tls = strcmp(boot->param(boot, "tls"), "full") == 0;
#ifdef __x86_64__
    lib.fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
#endif
    lib.pid = getpid();
    signals_note_mask();
    lib.policy = policy_named(boot->param(boot, "policy"));
    lib.slow.policy = lib.policy != (USER_MN ? USER_STEAL : USER_FIFO);
    personal_init(personal_self, user_exit, false);
    generic_init(&user_mutex_ops, &user_cond_ops, &user_cancel_ops, personal_protect, user_self);
    if (lib.full_tls) {
#if defined(USER_ASAN) || defined(USER_TSAN)
        return ENOTSUP; /* a sanitizer keeps the kernel thread's state in its TLS block */
#endif
        err = tls_init(reason, sizeof(reason));
        if (err) {
            fprintf(stderr, "threadlab: " USER_NAME ": tls=full: %s\n", reason);
            return err;
        }
    }
    err = preempt_boot(boot->param(boot, "preempt"), boot->param(boot, "quantum"));
    if (err)
        return err;
    lib.handler_room = preempt_room();
    err = lwp_boot(boot);
    if (!err)
        err = table_boot();
    if (err)
        return err;
    pools_boot();
    err = boot->pin(boot, 0);
    if (!err)
        err = redzone_begin(USER_NAME, redzone_owner);
    if (err) {
        munmap(lib.table, lib.table_size * sizeof(*lib.table));
        return err;
    }
    redzone_lwp_begin(lwp_self());
    return 0;
}

/* Only the first thread is left, on the stack of run(). The other LWPs look at the signals until
 * they end. */
static void user_end(void)
{
    lwps_stop();
    signals_end(lwp_self());
    redzone_lwp_end(lwp_self());
    lwps_shut();
    redzone_end();
    poller_close();
    if (lib.full_tls)
        for (size_t i = 0; i < lib.table_used; i++) {
            void *tp = tp_of(&lib.table[i]);

            if (tp && tp != lib.tp)
                tls_delete(tp);
        }
    pools_end();
    lib.table_used = 0; /* for a handler that looks at it */
    munmap(lib.table, lib.table_size * sizeof(*lib.table));
}

/* Apart, because of what setjmp does to variables. user_exit jumps here. */
static __attribute__((noinline)) void run_first(void *(*entry)(void *), void *arg)
{
    if (!_setjmp(lib.first_exit))
        lib.first_value = entry(arg);
}

#if USER_MN
/* The caller goes on on its home, another LWP. */
static void move_home(struct lwp *lwp, struct uthread *self)
{
    pinned_push(self, false);
    switch_to(lwp, self, pick_next(lwp));
}

/* run() has to return on the kernel thread that called it. */
static void go_home(struct uthread *self)
{
    struct lwp *lwp = lwp_self();

    if (lwp->bound == self)
        lwp->ended = true;
    USER_STORE(self->home, lib.lwp[0]);
    __atomic_fetch_or(&self->context.flags, USER_STRICT, __ATOMIC_RELAXED);
    if (lwp != lib.lwp[0])
        move_home(lwp, self);
}
#endif

/* The first thread's entry has returned: until it is the only one. */
static void wait_for_all(struct uthread *self)
{
    struct uthread *joiner;

#if USER_MN
    go_home(self);
#endif
    thread_lock(self);
    joiner = USER_JOINER(self);
    state_set(self, USER_WAITS_ALL);
#if USER_MN
    self->joiner = NULL;
    if (joiner)
        waits_no_more(joiner);
#endif
    thread_unlock(self);
    if (joiner)
        make_ready(lwp_self(), joiner);
#if USER_MN
    USER_STORE(lib.last_matters, true);
    heavy(); /* pairs with light() in live_less */
    thread_lock(self);
    if (live_sum() == 1 && !lib.first_woken) {
        lib.first_woken = true;
        thread_unlock(self);
        return;
    }
    thread_unlock(self);
    park_trusting(self);
#else
    if (lib.live > 1)
        park_trusting(self);
#endif
}

static int user_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    struct uthread_rest rest = {0};
    struct uthread *self;
    int err = user_boot(boot);

    if (err) {
        preempt_end();
        return err;
    }
    lib.origin = pthread_self();
    self = lib.first = lwp_self()->current = table_take(lwp_self());
    self->rest = &rest;
    self->tp = lib.tp;
    state_set(self, USER_ACTIVE);
#if USER_UCONTEXT
    self->context.uc = &rest.uc;
#endif
#ifdef USER_TSAN
    rest.fiber = __tsan_get_current_fiber();
#endif
#if USER_MN
    rest.alone.low = lib.first_low;
    rest.high = lib.first_high;
    lib.set = (unsigned)strtoul(boot->param(boot, "lwps"), NULL, 10);
    err = watch_boot(boot->param(boot, "detector"));
    if (!err)
        err = concurrency_apply(lwps_named(boot->param(boot, "lwps")));
    if (err) {
        user_end();
        preempt_end();
        return err;
    }
#endif
    live_add(lwp_self(), 1);
    signals_boot(lwp_self(), self);

    err = preempt_start(lwp_self(), 0);
    if (!err)
        run_first(entry, arg);
    finish(self);
    if (value)
        *value = lib.first_value;
    wait_for_all(self);
    preempt_stop(lwp_self());
    signals_shut();
    lwp_self()->current = NULL;
    user_end();
    preempt_end();
    return err;
}

#if USER_MN

static int user_set_concurrency(unsigned n)
{
    int err = concurrency_apply(n ? n : lib.boot->nslots);

    if (!err)
        lib.set = n;
    return err;
}

static unsigned user_get_concurrency(void)
{
    return lib.set;
}

static unsigned user_lwps(void)
{
    return (unsigned)atomic_load(&lib.existing);
}

/* As in go_home, the LWP is told that the thread does not come back before anybody else can take
 * the thread; it looks when it has left it. */
static int user_bind(bool bound)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;

    if (bound == (lwp->bound == self))
        return 0;
    if (bound) {
        if (!lwp_bind(self, TL_SLOT_INHERIT))
            return EAGAIN;
        move_home(lwp, self);
        return 0;
    }
    lwp->ended = true;
    USER_STORE(self->home, lwp->before);
    make_ready(lwp, self);
    switch_to(lwp, self, pick_next(lwp));
    return 0;
}

static const struct tl_concurrency_ops user_concurrency_ops = {
    .set = user_set_concurrency,
    .get = user_get_concurrency,
    .lwps = user_lwps,
    .bind = user_bind,
};
#endif

static const char *user_why_not(const char *what)
{
    static const struct {
        const char *what, *why;
    } reasons[] = {
#if USER_MN
        {"blocks-alone", "a blocking call takes its kernel thread with it, of which there are few"},
        {"parallel", "with lwps=1 there is one kernel thread, on one PU at a time"},
        {"preemptive", "a thread that never yields keeps its kernel thread"},
        {"one-to-one", "several threads share a kernel thread"},
        {"yield-is-fifo", "each kernel thread has queues of its own, and takes from the others'"},
        {"fork", "with detector=seccomp: a child could not get rid of the filter"},
#else
        {"io.blocking", "there is one kernel thread, which the call would stop: nobody is there to "
                        "take its place"},
        {"blocks-alone", "a blocking call stops every thread: the kernel sees one"},
        {"parallel", "all threads share one kernel thread, which runs on one PU at a time"},
        {"preemptive", "a thread that never yields keeps the only kernel thread"},
        {"one-to-one", "the kernel knows one thread, however many there are"},
        {"attr.bound", "there is one kernel thread, which all threads share"},
        {"concurrency", "there is one kernel thread, by design: nothing to set"},
#endif
        {"cancel.async", "nobody runs that could cancel a thread while it runs"},
        {"stack.reuse-zeroed", "a stack is used again as it was left: it is warm because nobody "
                               "has touched it"},
        {"mutex.pi", "only with policy=priority: other run queues know no priorities"},
        {"mutex.shared-recursive", "who waits in another process is unknown to this scheduler"},
        {"attr.sched", "only with policy=priority: other run queues know no priorities"},
        {"info.set_sched", "only with policy=priority: other run queues know no priorities"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        size_t n = strlen(reasons[i].what);

        if (!strncmp(what, reasons[i].what, n) && (!what[n] || what[n] == '.'))
            return reasons[i].why;
    }
    return NULL;
}

#if USER_MN
#define USER_TRAITS (TL_CONCURRENT | TL_PARALLEL)
#define USER_CONCURRENCY &user_concurrency_ops
#else
#define USER_TRAITS (TL_CONCURRENT | TL_YIELD_IS_FIFO)
#define USER_CONCURRENCY NULL
#endif

#define USER_IMPL(symbol)                  \
    static const struct tl_impl symbol = { \
        .abi = TL_ABI,                     \
        .name = USER_NAME,                 \
        .model = USER_MODEL,               \
        .summary = USER_SUMMARY,           \
        .traits = USER_TRAITS,             \
        .params = user_params,             \
        .run = user_run,                   \
        .create = user_create,             \
        .join = user_join,                 \
        .detach = user_detach,             \
        .yield = user_yield,               \
        .self = user_self,                 \
        .sleep = user_sleep,               \
        .exit = user_exit,                 \
        .protect = personal_protect,       \
        .once = generic_once,              \
        .mutex = &user_mutex_ops,          \
        .cond = &user_cond_ops,            \
        .sem = &user_sem_ops,              \
        .rwlock = &generic_rwlock,         \
        .barrier = &generic_barrier,       \
        .key = &personal_key,              \
        .cancel = &user_cancel_ops,        \
        .signal = &user_signal_ops,        \
        .fork = &user_fork_ops,            \
        .info = &user_info_ops,            \
        .inspect = &user_inspect_ops,      \
        .io = &user_io_ops,                \
        .concurrency = USER_CONCURRENCY,   \
        .why_not = user_why_not,           \
    };                                     \
    TL_IMPL(symbol)

#endif

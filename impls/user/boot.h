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

static const struct tl_param user_params[] = {
    {"recycle", "stack,none", "what an ended thread leaves to the next: its stack, or nothing",
     NULL},
    {"tls", "errno,full", "what is private: errno, or the whole TLS block (_Thread_local)", NULL},
    {"policy", "fifo,lifo,priority",
     "order of the run queue: as they became ready, the reverse, or by priority", NULL},
    {NULL, NULL, NULL, NULL},
};

static enum user_policy policy_named(const char *name)
{
    return !strcmp(name, "lifo")       ? USER_LIFO
           : !strcmp(name, "priority") ? USER_PRIORITY
                                       : USER_FIFO;
}

static int user_boot(const struct tl_boot *boot)
{
    struct lwp *lwp = lwp_self();
    char reason[128];
    int err;

    lib.page = (size_t)sysconf(_SC_PAGESIZE);
    lib.recycle = strcmp(boot->param(boot, "recycle"), "none") != 0;
    lib.full_tls = strcmp(boot->param(boot, "tls"), "full") == 0;
#ifdef __x86_64__
    lib.fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
#endif
    lib.tid = (int)syscall(SYS_gettid);
    lib.pid = getpid();
    lwp->policy = policy_named(boot->param(boot, "policy"));
    lwp->slow.policy = lwp->policy != USER_FIFO;
    personal_init(personal_self, user_exit, false);
    generic_init(&user_mutex_ops, &user_cond_ops, &user_cancel_ops, personal_protect, user_self);
    lwp->err = &errno;
    if (lib.full_tls) {
#if defined(USER_ASAN) || defined(USER_TSAN)
        return ENOTSUP; /* a sanitizer keeps the kernel thread's state in its TLS block */
#endif
        err = tls_init(reason, sizeof(reason));
        if (err) {
            fprintf(stderr, "threadlab: " USER_NAME ": tls=full: %s\n", reason);
            return err;
        }
        lib.tp = tls_current();
        lwp->err = &lwp->no_err; /* each block has its own */
    }
    err = table_boot();
    if (err)
        return err;
    pools_boot();
    err = boot->pin(boot, 0);
    if (err)
        munmap(lib.table, lib.table_size * sizeof(*lib.table));
    return err;
}

/* Only the first thread is left, on the stack of run(). */
static void user_end(void)
{
    if (lib.full_tls)
        for (size_t i = 1; i < lib.table_used; i++)
            if (lib.table[i].tp)
                tls_delete(lib.table[i].tp);
    pools_end();
    signals_end();
    munmap(lib.table, lib.table_size * sizeof(*lib.table));
}

/* Apart, because of what setjmp does to variables. user_exit jumps here. */
static __attribute__((noinline)) void run_first(void *(*entry)(void *), void *arg)
{
    if (!_setjmp(lib.first_exit))
        lib.first_value = entry(arg);
}

static int user_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    struct uthread_rest rest = {0};
    struct lwp *lwp = lwp_self();
    struct uthread *self;
    int err = user_boot(boot);

    if (err)
        return err;
    self = lib.first = lwp->current = table_take();
    self->rest = &rest;
    self->tp = lib.tp;
    self->context.state = USER_ACTIVE;
#if USER_UCONTEXT
    self->context.uc = &rest.uc;
#endif
#ifdef USER_TSAN
    rest.fiber = __tsan_get_current_fiber();
#endif
    lib.live = 1;

    run_first(entry, arg);
    finish(self);
    if (value)
        *value = lib.first_value;
    if (rest.joiner)
        make_ready(lwp, rest.joiner);
    if (lib.live > 1)
        park(lwp, self, USER_WAITS_ALL);
    lwp->current = NULL;
    user_end();
    return 0;
}

/* What every thread would have to do at once, because the kernel knows one. */
#define USER_STOPS "the kernel knows one thread: it would stop them all, not only the caller"

static const char *user_why_not(const char *what)
{
    static const struct {
        const char *what, *why;
    } reasons[] = {
        {"io", "a blocking read stops every thread: the kernel sees one"},
        {"blocks-alone", "a blocking call stops every thread: the kernel sees one"},
        {"parallel", "all threads share one kernel thread, which runs on one PU at a time"},
        {"preemptive", "a thread that never yields keeps the only kernel thread"},
        {"one-to-one", "the kernel knows one thread, however many there are"},
        {"attr.bound", "there is one kernel thread, which all threads share"},
        {"concurrency", "there is one kernel thread, by design: nothing to set"},
        {"cancel.async", "nobody runs that could cancel a thread while it runs"},
        {"signal.wait", USER_STOPS},
        {"signal.mask-user", "the mask is the kernel thread's: each change of it is a system call"},
        {"signal.timedwait", USER_STOPS},
        {"signal.suspend", USER_STOPS},
        {"signal.pending", "the kernel keeps one set for all threads, and could not tell whose"},
        {"signal.mask", "what is pending while it is masked stays with the kernel thread, and "
                        "reaches whoever runs when the mask is opened"},
        {"stack.reuse-zeroed", "a stack is used again as it was left: it is warm because nobody "
                               "has touched it"},
        {"sem.post_in_handler", "a handler may have interrupted the library between two writes to "
                                "its run queue, and nothing tells post so"},
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

#define USER_IMPL(symbol)                           \
    static const struct tl_impl symbol = {          \
        .abi = TL_ABI,                              \
        .name = USER_NAME,                          \
        .model = USER_MODEL,                        \
        .summary = USER_SUMMARY,                    \
        .traits = TL_CONCURRENT | TL_YIELD_IS_FIFO, \
        .params = user_params,                      \
        .run = user_run,                            \
        .create = user_create,                      \
        .join = user_join,                          \
        .detach = user_detach,                      \
        .yield = user_yield,                        \
        .self = user_self,                          \
        .sleep = user_sleep,                        \
        .exit = user_exit,                          \
        .protect = personal_protect,                \
        .once = generic_once,                       \
        .mutex = &user_mutex_ops,                   \
        .cond = &user_cond_ops,                     \
        .sem = &user_sem_ops,                       \
        .rwlock = &generic_rwlock,                  \
        .barrier = &generic_barrier,                \
        .key = &personal_key,                       \
        .cancel = &user_cancel_ops,                 \
        .signal = &user_signal_ops,                 \
        .fork = &user_fork_ops,                     \
        .info = &user_info_ops,                     \
        .why_not = user_why_not,                    \
    };                                              \
    TL_IMPL(symbol)

#endif

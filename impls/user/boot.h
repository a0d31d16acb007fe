/*
 * boot.h - parameters, run, the table of operations. Included by user.h only.
 */
#ifndef TL_USER_BOOT_H
#define TL_USER_BOOT_H

#include <string.h>
#include <sys/auxv.h>

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1) /* Linux 5.9, x86-64 */
#endif

static const struct tl_param user_params[] = {
    {"recycle", "stack,none", "what an ended thread leaves to the next: its stack, or nothing",
     NULL},
    {"tls", "errno,full", "what is private: errno, or the whole TLS block (_Thread_local)", NULL},
    {NULL, NULL, NULL, NULL},
};

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
    munmap(lib.table, lib.table_size * sizeof(*lib.table));
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

    lib.first_value = entry(arg);
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

static const char *user_why_not(const char *what)
{
    if (!strcmp(what, "signal.wait"))
        return "the kernel knows one thread: sigwait would stop them all, not only the caller";
    if (!strcmp(what, "signal.kill"))
        return "a signal goes to the kernel thread, so to whoever runs: the caller only";
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
        .mutex = &user_mutex_ops,                   \
        .cond = &user_cond_ops,                     \
        .sem = &user_sem_ops,                       \
        .signal = &user_signal_ops,                 \
        .fork = &user_fork_ops,                     \
        .why_not = user_why_not,                    \
    };                                              \
    TL_IMPL(symbol)

#endif

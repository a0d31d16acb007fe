/*
 * nptl.c - the C library's own threads, through the pthread interface.
 *
 * A thread that inherits its PU costs exactly one pthread_create: no allocation and no trampoline
 * of ours is in the number. See README.md.
 */
#include "nptl.h"
#include "impl.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_t) == sizeof(uint64_t), "pthread_t is stored in tl_thread.id");
_Static_assert((intptr_t)PTHREAD_CANCELED == (intptr_t)TL_CANCELED, "handed on as it is");
_Static_assert(PTHREAD_CANCEL_ENABLE == (int)TL_CANCEL_ENABLE &&
                   PTHREAD_CANCEL_DISABLE == (int)TL_CANCEL_DISABLE &&
                   PTHREAD_CANCEL_DEFERRED == (int)TL_CANCEL_DEFERRED &&
                   PTHREAD_CANCEL_ASYNCHRONOUS == (int)TL_CANCEL_ASYNC,
               "handed on as they are");

/* How often run() looks whether threads that nobody joined have ended; outside any timed window. */
#define LEFTOVER_POLL_NS 1000000

static struct {
    const struct tl_boot *boot;
    pthread_t first;
    unsigned tasks; /* kernel threads of the process before the first create */
    /* Threads that were created and not joined, detached ones among them: they may have ended or
     * not. */
    atomic_uint unjoined;
} nptl;

/* What a thread needs that is pinned before its entry. It frees it. */
struct start {
    void *(*entry)(void *);
    void *arg;
    int slot;
};

static void *start(void *arg)
{
    struct start s = *(struct start *)arg;
    int err = nptl.boot->pin(nptl.boot, s.slot);

    free(arg);
    if (err) { /* create has returned: nobody is left to tell */
        fprintf(stderr, "nptl: cannot pin a thread to slot %d: %s\n", s.slot, strerror(err));
        abort();
    }
    return s.entry(s.arg);
}

static int set_sched(pthread_attr_t *a, const struct tl_sched *sched)
{
    struct sched_param param = {.sched_priority = sched->priority};
    int err = pthread_attr_setinheritsched(a, PTHREAD_EXPLICIT_SCHED);

    if (!err)
        err = pthread_attr_setschedpolicy(a, sched->policy);
    return err ? err : pthread_attr_setschedparam(a, &param);
}

static size_t least_stack(void)
{
    return (size_t)sysconf(_SC_THREAD_STACK_MIN);
}

static int set_attr(pthread_attr_t *a, const struct tl_attr *attr)
{
    int err = 0;

    if (attr->stack)
        err = pthread_attr_setstack(a, attr->stack, attr->stack_size);
    else if (attr->stack_size) /* the least is 16 KiB on x86-64, 128 KiB on aarch64 */
        err = pthread_attr_setstacksize(a, attr->stack_size < least_stack() ? least_stack()
                                                                            : attr->stack_size);
    if (!err && (attr->guard_size || attr->no_guard))
        err = pthread_attr_setguardsize(a, attr->no_guard ? 0 : attr->guard_size);
    if (!err && attr->detached)
        err = pthread_attr_setdetachstate(a, PTHREAD_CREATE_DETACHED);
    return err || !attr->sched ? err : set_sched(a, attr->sched);
}

static int create_pinned(struct tl_thread *t, const pthread_attr_t *a, int slot,
                         void *(*entry)(void *), void *arg)
{
    struct start *s = malloc(sizeof(*s));
    int err;

    if (!s)
        return EAGAIN;
    *s = (struct start){entry, arg, slot};
    err = pthread_create((pthread_t *)&t->id, a, start, s);
    if (err)
        free(s);
    return err;
}

static int nptl_create(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                       void *arg)
{
    static const struct tl_attr defaults = TL_ATTR_INIT;
    pthread_attr_t a, *use = NULL;
    int err = 0, saved = errno;

    if (!attr)
        attr = &defaults;
    if (attr->slot < TL_SLOT_INHERIT || attr->slot >= (int)nptl.boot->nslots)
        return EINVAL;
    if (attr->stack_size || attr->guard_size || attr->no_guard || attr->detached || attr->stack ||
        attr->sched) {
        err = pthread_attr_init(&a);
        if (err)
            return err;
        use = &a;
        err = set_attr(use, attr);
        if (err)
            goto out;
    }
    atomic_fetch_add_explicit(&nptl.unjoined, 1, memory_order_relaxed);
    if (attr->slot == TL_SLOT_INHERIT)
        err = pthread_create((pthread_t *)&t->id, use, entry, arg);
    else
        err = create_pinned(t, use, attr->slot, entry, arg);
    if (err)
        atomic_fetch_sub_explicit(&nptl.unjoined, 1, memory_order_relaxed);
out:
    if (use)
        pthread_attr_destroy(use);
    errno = saved; /* malloc and mmap set it */
    return err;
}

static int nptl_join(struct tl_thread t, void **value)
{
    int err;

    if ((pthread_t)t.id == nptl.first)
        return pthread_self() == nptl.first ? EDEADLK : EINVAL; /* ends with run() */
    err = pthread_join((pthread_t)t.id, value);
    if (!err)
        atomic_fetch_sub_explicit(&nptl.unjoined, 1, memory_order_relaxed);
    return err;
}

static int nptl_detach(struct tl_thread t)
{
    return (pthread_t)t.id == nptl.first ? EINVAL : pthread_detach((pthread_t)t.id);
}

static void nptl_yield(void)
{
    sched_yield();
}

static struct tl_thread nptl_self(void)
{
    return (struct tl_thread){(uint64_t)pthread_self()};
}

static void nptl_exit(void *value)
{
    pthread_exit(value);
}

static int nptl_cancel(struct tl_thread t)
{
    int saved = errno, err;

    if ((pthread_t)t.id == nptl.first)
        return EINVAL; /* ends with run() */
    err = pthread_cancel((pthread_t)t.id);
    errno = saved; /* the first cancel of a process loads the unwinder */
    return err;
}

static const struct tl_cancel_ops nptl_cancel_ops = {
    .cancel = nptl_cancel,
    .set_state = pthread_setcancelstate,
    .set_type = pthread_setcanceltype,
    .test = pthread_testcancel,
};

/* ---- fork ------------------------------------------------------------------------------------ */

static unsigned count_tasks(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static int nptl_fork(pid_t *pid)
{
    int saved = errno, err = 0;

    *pid = fork();
    if (*pid < 0)
        err = errno;
    if (!*pid) { /* the caller is the only thread; if it is not the first, the C library ends the
                  * process with exit(0) after the last one */
        atomic_store_explicit(&nptl.unjoined, 0, memory_order_relaxed);
        nptl.tasks = 1;
    }
    errno = saved;
    return err;
}

static const struct tl_fork_ops nptl_fork_ops = {
    .fork = nptl_fork,
    .atfork = pthread_atfork,
};

/* ---- the table ------------------------------------------------------------------------------- */

static const char *cache_env(const char *value)
{
    return strcmp(value, "off") ? NULL : "GLIBC_TUNABLES=glibc.pthread.stack_cache_size=0";
}

static const struct tl_param nptl_params[] = {
    {"cache", "on,off", "the C library keeps the stacks of ended threads for new ones", cache_env,
     NULL, NULL},
    {0},
};

static void pause_ns(uint64_t ns)
{
    struct timespec left = posix_time(ns);

    clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL);
}

/* Until all threads but the first have ended: the destructors of their keys have run, too, however
 * they ended. */
static void drain(void)
{
    if (atomic_load_explicit(&nptl.unjoined, memory_order_relaxed))
        while (count_tasks() > nptl.tasks)
            pause_ns(LEFTOVER_POLL_NS);
}

static int nptl_probe(char *reason, size_t size)
{
    if (!count_tasks()) {
        snprintf(reason, size,
                 "/proc/self/task cannot be read: run() could not tell when the "
                 "threads that nobody joined have ended");
        return ENOSYS;
    }
    return 0;
}

#ifdef __SANITIZE_THREAD__
static void *nothing(void *arg)
{
    return arg;
}
#endif

static int nptl_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    int err = boot->pin(boot, 0);
    void *got;

    if (err)
        return err;
    nptl.boot = boot;
    nptl.first = pthread_self();
#ifdef __SANITIZE_THREAD__
    /* Its runtime starts a helper of its own together with the first thread. */
    pthread_t t;

    if (!pthread_create(&t, NULL, nothing, NULL))
        pthread_join(t, NULL);
#endif
    nptl.tasks = count_tasks();
    got = entry(arg);
    drain();
    if (value)
        *value = got;
    return 0;
}

static const char *nptl_why_not(const char *what)
{
    if (!strncmp(what, "concurrency", strlen("concurrency")))
        return "pthread_setconcurrency only stores a number: each thread is a kernel thread "
               "already";
    if (!strcmp(what, "fork.fork_all"))
        return "Linux's fork copies the calling thread only, and the C library knows the others by "
               "their kernel ids, which a copy could not keep";
    if (!strcmp(what, "inspect.counters"))
        return "there is no scheduler to count in: the kernel's counts are in /proc/self/task";
    if (!strncmp(what, "inspect", 7))
        return "the C library keeps the list of its threads to itself: ask /proc/self/task";
    if (!strncmp(what, "io", 2))
        return "a blocking call stops only its caller already: the plain read and write do";
    if (!strcmp(what, "yield-is-fifo"))
        return "sched_yield(2) passes the PU on as the kernel's scheduler likes, by fairness";
    return NULL;
}

static const struct tl_impl nptl_impl = {
    .abi = TL_ABI,
    .name = "nptl",
    .model = "1:1",
    .summary = "the C library's own threads (pthread)",
    .traits = TL_CONCURRENT | TL_PARALLEL | TL_PREEMPTIVE | TL_BLOCKS_ALONE | TL_ONE_TO_ONE,
    .params = nptl_params,
    .probe = nptl_probe,
    .run = nptl_run,
    .create = nptl_create,
    .join = nptl_join,
    .detach = nptl_detach,
    .yield = nptl_yield,
    .self = nptl_self,
    .sleep = posix_sleep,
    .exit = nptl_exit,
    .protect = nptl_protect,
    .once = nptl_once,
    .mutex = &nptl_mutex,
    .cond = &nptl_cond,
    .sem = &nptl_sem,
    .rwlock = &nptl_rwlock,
    .barrier = &nptl_barrier,
    .key = &nptl_key,
    .cancel = &nptl_cancel_ops,
    .signal = &nptl_signal,
    .fork = &nptl_fork_ops,
    .info = &nptl_info,
    .why_not = nptl_why_not,
};

TL_IMPL(nptl_impl);

/*
 * clone.c - one kernel thread for each thread, made by clone(2) and synchronised by futex(2): no
 * function of the pthread interface is called. What the parts are is in thread.h and README.md.
 */
#include "thread.h"

#include "../common/futex.h"
#include "../common/futex_sync.h"
#include "../common/generic.h"
#include "../common/redzone.h"
#include "../common/tls.h"

#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <time.h>

#ifndef PR_FUTEX_HASH
#define PR_FUTEX_HASH 78 /* Linux 6.16 */
#define PR_FUTEX_HASH_SET_SLOTS 1
#endif

/* Buckets for the sleepers of this process, where kernel threads park. The kernel's own choice, 4
 * per CPU, made each hand-over of 2 threads take 1.5 to 10 times as long while 1,000 to 10,000
 * others were parked; from 256 buckets on 1,000 were not felt. 64 bytes each. */
#ifndef CLONE_FUTEX_SLOTS
#define CLONE_FUTEX_SLOTS 4096
#endif

struct clone_state clone_state;

static void clone_yield(void)
{
    SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static struct tl_thread clone_self(void)
{
    return (struct tl_thread){pool_id(thread_self())};
}

static struct personal *own_personal(void)
{
    return &thread_self()->personal;
}

static int clone_probe(char *reason, size_t size)
{
    return tls_init(reason, size);
}

/* Until every thread but the first has ended. */
static void drain(void)
{
    uint32_t live;

    /* seq_cst: see drop_live in thread.c. */
    atomic_store_explicit(&clone_state.draining, 1, memory_order_seq_cst);
    while ((live = atomic_load_explicit(&clone_state.live, memory_order_seq_cst)))
        futex_wait(&clone_state.live, live);
}

static int clone_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    const char *recycle = boot->param(boot, "recycle");
    char reason[160];
    struct thread *first;
    int err;

    memset(&clone_state, 0, sizeof(clone_state));
    clone_state.boot = boot;
    clone_state.recycle = !strcmp(recycle, "none")     ? CLONE_RECYCLE_NONE
                          : !strcmp(recycle, "thread") ? CLONE_RECYCLE_THREAD
                                                       : CLONE_RECYCLE_STACK;
    err = tls_init(reason, sizeof(reason));
    if (!err)
        err = boot->pin(boot, 0);
    if (!err)
        err = pool_init();
    if (!err)
        err = redzone_begin("clone", clone_redzone_owner);
    if (err)
        return err;
    /* A kernel that does not know this has one large table for all processes: nothing is lost. */
    if (clone_state.recycle == CLONE_RECYCLE_THREAD)
        SYS_CALL(SYS_prctl, PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS, CLONE_FUTEX_SLOTS, 0, 0, 0);
    futex_sync_init();
    tls_multi_threaded();
    personal_init(own_personal, thread_exit, true);
    generic_init(&futex_mutex, &futex_cond, &clone_cancel, personal_protect, clone_self);
    err = pool_adopt_first();
    if (!err) {
        first = thread_self();
        first->entry = entry;
        first->arg = arg;
        thread_call(first);
        drain();
        if (value)
            *value = first->value;
    }
    redzone_end();
    pool_fini();
    return err;
}

static const struct tl_param clone_params[] = {
    {"recycle", "stack,none,thread",
     "what an ended thread leaves to the next: stack and TLS block, nothing, or its kernel thread",
     NULL, NULL, NULL},
    {0},
};

static const char *why_not(const char *what)
{
    if (!strcmp(what, "fork.fork_all"))
        return "Linux copies the calling kernel thread only: each of the others would have to be "
               "made "
               "anew by its own consent";
    if (!strcmp(what, "io.blocking"))
        return "each thread is a kernel thread, which may call what it likes";
    if (!strncmp(what, "concurrency", strlen("concurrency")))
        return "each thread is a kernel thread: the kernel decides how many run";
    if (!strcmp(what, "inspect.counters"))
        return "there is no scheduler to count in: the kernel's counts are in /proc/self/task";
    if (!strcmp(what, "yield-is-fifo"))
        return "sched_yield(2) passes the PU on as the kernel's scheduler likes, by fairness";
    return NULL;
}

static const struct tl_impl clone_impl = {
    .abi = TL_ABI,
    .name = "clone",
    .model = "1:1",
    .summary = "clone(2) and futex(2) without the pthread library",
    .traits = TL_CONCURRENT | TL_PARALLEL | TL_PREEMPTIVE | TL_BLOCKS_ALONE | TL_ONE_TO_ONE,
    .params = clone_params,
    .probe = clone_probe,
    .run = clone_run,
    .create = thread_create,
    .join = thread_join,
    .detach = thread_detach,
    .yield = clone_yield,
    .self = clone_self,
    .sleep = clone_sleep,
    .exit = thread_exit,
    .protect = personal_protect,
    .once = generic_once,
    .mutex = &futex_mutex,
    .cond = &futex_cond,
    .sem = &futex_sem,
    .rwlock = &generic_rwlock,
    .barrier = &generic_barrier,
    .key = &personal_key,
    .cancel = &clone_cancel,
    .signal = &clone_signal,
    .fork = &clone_fork,
    .info = &clone_info,
    .inspect = &clone_inspect,
    .io = &clone_io,
    .why_not = why_not,
};

TL_IMPL(clone_impl);

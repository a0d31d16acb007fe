/*
 * null.c - no threads: create runs the function at once and returns when it has ended.
 *
 * The floor of every benchmark: what the harness and a function call cost. It promises no trait,
 * and must fail each check of concurrency: that is how a check is seen to be able to fail. What
 * would have to wait can never be woken, and answers EDEADLK at once.
 */
#include "null.h"

#include "../common/generic.h"

#include <stdlib.h>
#include <string.h>

/* One for each thread that has not been joined. id = generation << 32 | index. Invariants: the
 * generation is at least 1 and rises when an entry is freed, so that an older id is stale and 0 is
 * none; entry 0 is the first thread; free entries form a list by `next`, which ends with 0; frame
 * is NULL unless state is NULL_RUNS. */
struct null_thread {
    void *value;
    struct null_frame *frame;
    uint32_t generation, next;
    enum null_state state;
    bool detached;
};

static struct {
    struct null_thread *table; /* moves when it grows: held by index across user code */
    uint32_t used, size, free;
} null;

struct null_frame *null_frame;

static uint64_t id_of(uint32_t index)
{
    return (uint64_t)null.table[index].generation << 32 | index;
}

static struct null_thread *find(struct tl_thread t)
{
    uint32_t index = (uint32_t)t.id;

    if (index >= null.used || null.table[index].state == NULL_FREE || id_of(index) != t.id)
        return NULL;
    return &null.table[index];
}

enum null_state null_state_of(uint64_t id)
{
    const struct null_thread *thread = find((struct tl_thread){id});

    return thread ? thread->state : NULL_FREE;
}

static int take(uint32_t *index)
{
    if (null.free) {
        *index = null.free;
        null.free = null.table[*index].next;
        return 0;
    }
    if (null.used == null.size) {
        int saved = errno;
        uint32_t size = null.size ? 2 * null.size : 64;
        struct null_thread *table = realloc(null.table, size * sizeof(*table));

        errno = saved;
        if (!table)
            return EAGAIN;
        memset(table + null.size, 0, (size - null.size) * sizeof(*table));
        null.table = table;
        null.size = size;
    }
    *index = null.used++;
    null.table[*index].generation = 1;
    return 0;
}

static void give(uint32_t index)
{
    struct null_thread *thread = &null.table[index];

    thread->state = NULL_FREE;
    if (!++thread->generation)
        thread->generation = 1;
    thread->next = null.free;
    null.free = index;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* From the frame of its creator: exit comes back here. */
static __attribute__((noinline)) void *enter(void *(*entry)(void *), void *arg)
{
    if (__builtin_setjmp(null_frame->jump))
        return null_frame->value;
    return entry(arg);
}

static int null_create(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                       void *arg)
{
    struct null_frame frame;
    uint32_t index;
    void *value;
    int err;

    if (attr && (attr->stack || attr->sched))
        return ENOTSUP;
    err = take(&index);
    if (err)
        return err;
    personal_start(&frame.personal, &null_frame->personal);
    frame.creator = null_frame;
    frame.id = t->id = id_of(index);
    null.table[index].state = NULL_RUNS;
    null.table[index].frame = &frame;
    null.table[index].detached = attr && attr->detached;
    null_frame = &frame;
    value = enter(entry, arg);
    if (frame.personal.cleanup || frame.personal.values)
        personal_finish(&frame.personal);
    null_frame = frame.creator;
    null.table[index].value = value;
    null.table[index].frame = NULL;
    null.table[index].state = NULL_ENDED;
    if (null.table[index].detached)
        give(index);
    return 0;
}

static int null_join(struct tl_thread t, void **value)
{
    struct null_thread *thread;

    null_point();
    thread = find(t);
    if (!thread)
        return ESRCH;
    if (thread->detached)
        return EINVAL;
    if (thread->state != NULL_ENDED)
        return EDEADLK; /* it is the caller, or called it */
    if (value)
        *value = thread->value;
    give((uint32_t)t.id);
    return 0;
}

static int null_detach(struct tl_thread t)
{
    struct null_thread *thread = find(t);

    if (!thread)
        return ESRCH;
    if (thread->detached)
        return EINVAL;
    thread->detached = true;
    if (thread->state == NULL_ENDED)
        give((uint32_t)t.id);
    return 0;
}

static void null_yield(void)
{
}

static struct tl_thread null_self(void)
{
    return (struct tl_thread){null_frame->id};
}

static int null_sleep(uint64_t ns)
{
    null_point();
    return posix_sleep(ns);
}

int null_wait_until(clockid_t clock, uint64_t deadline_ns)
{
    struct timespec until = posix_time(deadline_ns);
    int err;

    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    do {
        err = clock_nanosleep(clock, TIMER_ABSTIME, &until, NULL);
    } while (err == EINTR);
    return err ? err : ETIMEDOUT;
}

/* ---- exit, cancellation, names --------------------------------------------------------------- */

static struct personal *own(void)
{
    return &null_frame->personal;
}

static void null_exit(void *value)
{
    personal_finish(own());
    null_frame->value = value;
    __builtin_longjmp(null_frame->jump, 1);
}

/* A caller of the caller acts on it when it goes on. */
static int null_cancel(struct tl_thread t)
{
    struct null_thread *thread = find(t);

    if (!thread)
        return ESRCH;
    if (thread == null.table)
        return EINVAL; /* the first one ends with run() */
    if (thread->state != NULL_RUNS)
        return 0; /* has ended: nothing to do */
    personal_request(&thread->frame->personal);
    if (atomic_load_explicit(&own()->cancel, memory_order_relaxed) & PERSONAL_ASYNC)
        personal_test();
    return 0;
}

static const struct tl_cancel_ops null_cancel_ops = {
    .cancel = null_cancel,
    .set_state = personal_set_state,
    .set_type = personal_set_type,
    .test = personal_test,
};

static int null_set_name(struct tl_thread t, const char *name)
{
    struct null_thread *thread = find(t);

    return thread && thread->frame ? personal_set_name(&thread->frame->personal, name) : ESRCH;
}

static int null_get_name(struct tl_thread t, char *name, size_t size)
{
    struct null_thread *thread = find(t);

    return thread && thread->frame ? personal_get_name(&thread->frame->personal, name, size)
                                   : ESRCH;
}

static const struct tl_info_ops null_info = {
    .set_name = null_set_name,
    .get_name = null_get_name,
};

/* ---- the table ------------------------------------------------------------------------------- */

static int null_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    struct null_frame frame;
    uint32_t index;
    void *got;
    int err = boot->pin(boot, 0);

    if (!err)
        err = take(&index);
    if (err)
        return err;
    personal_init(own, null_exit, true);
    generic_init(&null_mutex, &null_cond, &null_cancel_ops, personal_protect, null_self);
    personal_start(&frame.personal, NULL);
    frame.creator = NULL;
    frame.id = id_of(index);
    null.table[index].state = NULL_RUNS;
    null.table[index].frame = &frame;
    null.table[index].detached = false;
    null_frame = &frame;
    got = entry(arg);
    personal_finish(&frame.personal);
    if (value)
        *value = got;
    null_frame = NULL;
    free(null.table);
    memset(&null, 0, sizeof(null));
    return 0;
}

static const char *null_why_not(const char *what)
{
    static const char *const reasons[][2] = {
        {"sem.post_in_handler", "the count is a plain variable, as the floor of what a semaphore "
                                "costs: a post in the middle of another call would be lost"},
        {"mutex.pi", "its owner never runs while another waits: there is nothing to inherit"},
        {"mutex.shared-recursive", "it would have to wait for another process"},
        {"attr.stack", "a thread runs on the stack of its creator"},
        {"info.stack", "a thread runs on the stack of its creator"},
        {"info.set_sched", "all threads are one kernel thread, one after the other"},
        {"info.get_sched", "all threads are one kernel thread, one after the other"},
        {"inspect", "a thread has ended when create returns: there is no table of them"},
        {"inspect.threads", "a thread has ended when create returns: there is no table of them"},
        {"inspect.counters", "there is no scheduler to count in"},
        {"concurrency", "there is one kernel thread, which runs the function in create"},
        {"concurrency.bind", "there is one kernel thread, which runs the function in create"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (!strcmp(what, reasons[i][0]))
            return reasons[i][1];
    return NULL;
}

static const struct tl_impl null_impl = {
    .abi = TL_ABI,
    .name = "null",
    .model = "none",
    .summary = "no threads: create calls the function; the floor of every benchmark",
    .traits = 0,
    .run = null_run,
    .create = null_create,
    .join = null_join,
    .detach = null_detach,
    .yield = null_yield,
    .self = null_self,
    .sleep = null_sleep,
    .exit = null_exit,
    .protect = personal_protect,
    .once = generic_once,
    .mutex = &null_mutex,
    .cond = &null_cond,
    .sem = &null_sem,
    .rwlock = &generic_rwlock,
    .barrier = &generic_barrier,
    .key = &personal_key,
    .cancel = &null_cancel_ops,
    .signal = &null_signal,
    .fork = &null_fork,
    .info = &null_info,
    .io = &null_io,
    .why_not = null_why_not,
};

TL_IMPL(null_impl);

/*
 * null.c - no threads: create runs the function at once and returns when it has ended.
 *
 * The floor of every benchmark: what the harness and a function call cost. It promises no trait,
 * and must fail each check of concurrency: that is how a check is seen to be able to fail. What
 * would have to wait can never be woken, and answers EDEADLK at once.
 */
#include "impl.h"

#include "../common/atfork.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum null_state { NULL_FREE, NULL_RUNS, NULL_ENDED };

/* One for each thread that has not been joined. id = generation << 32 | index. Invariants: the
 * generation rises when an entry is freed, so that an older id is stale; entry 0 is the first
 * thread; free entries form a list by `next`, which ends with 0. */
struct null_thread {
    void *value;
    uint32_t generation, next;
    enum null_state state;
    bool detached;
};

static struct {
    struct null_thread *table; /* moves when it grows: held by index across user code */
    uint32_t used, size, free;
    uint64_t self;
} null;

struct null_lock { /* of a mutex */
    bool held;
};

struct null_count { /* of a semaphore */
    unsigned count;
};

_Static_assert(sizeof(struct null_lock) <= TL_MUTEX_SIZE, "struct tl_mutex is too small");
_Static_assert(sizeof(struct null_count) <= TL_SEM_SIZE, "struct tl_sem is too small");

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
    return 0;
}

static void give(uint32_t index)
{
    struct null_thread *thread = &null.table[index];

    thread->state = NULL_FREE;
    thread->generation++;
    thread->next = null.free;
    null.free = index;
}

static int null_create(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                       void *arg)
{
    uint64_t creator = null.self;
    uint32_t index;
    void *value;
    int err = take(&index);

    if (err)
        return err;
    null.table[index].state = NULL_RUNS;
    null.table[index].detached = attr && attr->detached;
    t->id = null.self = id_of(index);
    value = entry(arg);
    null.self = creator;
    null.table[index].value = value;
    null.table[index].state = NULL_ENDED;
    if (null.table[index].detached)
        give(index);
    return 0;
}

static int null_join(struct tl_thread t, void **value)
{
    struct null_thread *thread = find(t);

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
    return (struct tl_thread){null.self};
}

static int null_sleep(uint64_t ns)
{
    struct timespec left = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    int err;

    do {
        err = clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left);
    } while (err == EINTR);
    return err;
}

/* ---- synchronisation ------------------------------------------------------------------------- */

static int mutex_init(struct tl_mutex *m, enum tl_mutex_kind kind)
{
    if (kind > TL_MUTEX_ADAPTIVE)
        return EINVAL;
    ((struct null_lock *)m)->held = false;
    return 0;
}

static int mutex_trylock(struct tl_mutex *m)
{
    struct null_lock *lock = (struct null_lock *)m;

    if (lock->held)
        return EBUSY;
    lock->held = true;
    return 0;
}

static int mutex_lock(struct tl_mutex *m)
{
    return mutex_trylock(m) ? EDEADLK : 0;
}

static int mutex_unlock(struct tl_mutex *m)
{
    struct null_lock *lock = (struct null_lock *)m;

    if (!lock->held)
        return EPERM;
    lock->held = false;
    return 0;
}

static int mutex_destroy(struct tl_mutex *m)
{
    return ((struct null_lock *)m)->held ? EBUSY : 0;
}

static int cond_nothing(struct tl_cond *c)
{
    (void)c;
    return 0;
}

/* Returning 0 as a spurious wake-up would make the caller's loop run for ever. */
static int cond_wait(struct tl_cond *c, struct tl_mutex *m)
{
    (void)c;
    (void)m;
    return EDEADLK;
}

static int sem_init(struct tl_sem *s, unsigned count)
{
    if (count > INT_MAX)
        return EINVAL;
    ((struct null_count *)s)->count = count;
    return 0;
}

static int sem_trywait(struct tl_sem *s)
{
    struct null_count *sem = (struct null_count *)s;

    if (!sem->count)
        return EAGAIN;
    sem->count--;
    return 0;
}

static int sem_wait(struct tl_sem *s)
{
    return sem_trywait(s) ? EDEADLK : 0;
}

static int sem_post(struct tl_sem *s)
{
    struct null_count *sem = (struct null_count *)s;

    if (sem->count == INT_MAX)
        return EOVERFLOW;
    sem->count++;
    return 0;
}

static int sem_destroy(struct tl_sem *s)
{
    (void)s;
    return 0;
}

static const struct tl_mutex_ops null_mutex = {
    .init = mutex_init,
    .lock = mutex_lock,
    .trylock = mutex_trylock,
    .unlock = mutex_unlock,
    .destroy = mutex_destroy,
};

static const struct tl_cond_ops null_cond = {
    .init = cond_nothing,
    .wait = cond_wait,
    .signal = cond_nothing,
    .broadcast = cond_nothing,
    .destroy = cond_nothing,
};

static const struct tl_sem_ops null_sem = {
    .init = sem_init,
    .wait = sem_wait,
    .trywait = sem_trywait,
    .post = sem_post,
    .destroy = sem_destroy,
};

/* ---- signals, fork --------------------------------------------------------------------------- */

static int null_kill(struct tl_thread t, int sig, const union sigval *value)
{
    struct null_thread *thread = find(t);
    int saved = errno, err = 0;

    if (!thread || thread->state == NULL_ENDED)
        return ESRCH;
    if (t.id != null.self)
        return ENOTSUP; /* a caller of the caller: it does not run before the caller has ended */
    if (value) {
        siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};

        info.si_pid = getpid();
        info.si_uid = getuid();
        info.si_value = *value;
        if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), sig, &info))
            err = errno;
    } else if (syscall(SYS_tgkill, getpid(), gettid(), sig)) {
        err = errno;
    }
    errno = saved;
    return err;
}

static int null_mask(int how, const sigset_t *set, sigset_t *old)
{
    int saved = errno, err = sigprocmask(how, set, old) ? errno : 0;

    errno = saved;
    return err;
}

static int null_fork(pid_t *pid)
{
    int saved = errno, err = 0;

    atfork_prepare();
    *pid = fork();
    if (*pid < 0)
        err = errno;
    if (*pid)
        atfork_parent();
    else
        atfork_child();
    errno = saved;
    return err;
}

static const struct tl_signal_ops null_signal = {
    .kill = null_kill, .mask = null_mask, .wait = NULL, /* see null_why_not */
};

static const struct tl_fork_ops null_fork_ops = {
    .fork = null_fork,
    .atfork = atfork_add,
};

/* ---- the table ------------------------------------------------------------------------------- */

static int null_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    uint32_t index;
    void *got;
    int err = boot->pin(boot, 0);

    if (!err)
        err = take(&index);
    if (err)
        return err;
    null.table[index].state = NULL_RUNS;
    null.self = id_of(index);
    got = entry(arg);
    if (value)
        *value = got;
    free(null.table);
    memset(&null, 0, sizeof(null));
    return 0;
}

static const char *null_why_not(const char *what)
{
    if (!strcmp(what, "signal.wait"))
        return "no other thread runs meanwhile that could send the signal";
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
    .mutex = &null_mutex,
    .cond = &null_cond,
    .sem = &null_sem,
    .signal = &null_signal,
    .fork = &null_fork_ops,
    .why_not = null_why_not,
};

TL_IMPL(null_impl);

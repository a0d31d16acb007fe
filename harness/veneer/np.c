/*
 * np.c - scheduling, names, stacks, CPUs and clocks of threads; concurrency.
 *
 * Where the implementation schedules by itself and knows no priorities, all threads are
 * SCHED_OTHER, and another policy answers ENOTSUP, after what POSIX wants to be looked at first.
 */
#include "veneer.h"

#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- scheduling ------------------------------------------------------------------------------ */

/* Where a quantum is kept, all threads of one priority take turns. */
struct tl_sched veneer_sched(int policy, int priority)
{
    if (policy == SCHED_RR && !(veneer.impl->traits & TL_ONE_TO_ONE) && veneer.preemptive)
        policy = SCHED_FIFO;
    return (struct tl_sched){policy, priority};
}

struct tl_sched veneer_sched_of(const struct veneer_thread *t)
{
    uint32_t word = atomic_load(&((struct veneer_thread *)t)->sched);

    return (struct tl_sched){(int)(word >> 16), (int)(word >> 8 & 0xff)};
}

int veneer_ceiling_of(const struct veneer_thread *t)
{
    return (int)(atomic_load(&((struct veneer_thread *)t)->sched) & 0xff);
}

static uint32_t pack(int policy, int priority, int ceiling)
{
    return (uint32_t)policy << 16 | (uint32_t)priority << 8 | (uint32_t)ceiling;
}

void veneer_sched_begin(struct veneer_thread *t, struct tl_sched sched)
{
    atomic_store(&t->sched, pack(sched.policy, sched.priority, 0));
}

/* A thread with a ceiling runs at the higher one of that and its own. */
static int ask(const struct veneer_thread *t, uint32_t word)
{
    const struct tl_info_ops *info = veneer.impl->info;
    int policy = (int)(word >> 16), priority = (int)(word >> 8 & 0xff);
    int ceiling = (int)(word & 0xff);
    struct tl_sched sched;

    if (ceiling > priority) {
        priority = ceiling;
        if (policy != SCHED_RR)
            policy = SCHED_FIFO;
    }
    sched = veneer_sched(policy, priority);
    return info->set_sched(t->impl, &sched);
}

/* Whoever finds that it was changed meanwhile asks once more, so that the last word is the last
 * that the implementation hears. */
static int change(struct veneer_thread *t, uint32_t old, uint32_t word)
{
    int err;

    if (!veneer.impl->info || !veneer.impl->info->set_sched)
        return ENOTSUP;
    if (!atomic_compare_exchange_strong(&t->sched, &old, word))
        return EAGAIN;
    while (!(err = ask(t, word)) && atomic_load(&t->sched) != word)
        word = atomic_load(&t->sched);
    if (err)
        atomic_compare_exchange_strong(&t->sched, &word, old);
    return err;
}

int veneer_set_ceiling(struct veneer_thread *self, int ceiling)
{
    uint32_t old;
    int err;

    do {
        old = atomic_load(&self->sched);
        err = change(self, old, (old & ~0xffu) | (uint32_t)ceiling);
    } while (err == EAGAIN);
    return err;
}

static int set_sched(struct veneer_thread *t, int policy, int priority)
{
    int low = sched_get_priority_min(policy), high = sched_get_priority_max(policy), err;
    uint32_t old, word;

    if (low < 0 || priority < low || priority > high)
        return EINVAL;
    veneer_sched_look(t); /* what it has already, it is not asked for */
    do {
        old = atomic_load(&t->sched);
        word = pack(policy, priority, (int)(old & 0xff));
        if (word == old)
            return 0;
        err = change(t, old, word);
    } while (err == EAGAIN);
    if (err == EINVAL && !(veneer.impl->traits & TL_ONE_TO_ONE))
        err = ENOTSUP; /* it is one of the kernel's, but not of the implementation's */
    return err;
}

int WRAP(pthread_setschedparam)(pthread_t handle, int policy, const struct sched_param *param);
int WRAP(pthread_setschedparam)(pthread_t handle, int policy, const struct sched_param *param)
{
    struct veneer_thread *t = veneer_find(handle);

    return t ? set_sched(t, policy, param->sched_priority) : ESRCH;
}

int WRAP(pthread_setschedprio)(pthread_t handle, int priority);
int WRAP(pthread_setschedprio)(pthread_t handle, int priority)
{
    struct veneer_thread *t = veneer_find(handle);

    if (!t)
        return ESRCH;
    veneer_sched_look(t);
    return set_sched(t, veneer_sched_of(t).policy, priority);
}

void veneer_sched_look(struct veneer_thread *t)
{
    const struct tl_info_ops *info = veneer.impl->info;
    uint32_t old = atomic_load(&t->sched);
    struct tl_sched sched;

    if (veneer.impl->traits & TL_ONE_TO_ONE && info && info->get_sched && !(old & 0xff) &&
        atomic_load(&t->life) == VENEER_LIVE && !info->get_sched(t->impl, &sched))
        atomic_compare_exchange_strong(&t->sched, &old, pack(sched.policy, sched.priority, 0));
}

int WRAP(pthread_getschedparam)(pthread_t handle, int *policy, struct sched_param *param);
int WRAP(pthread_getschedparam)(pthread_t handle, int *policy, struct sched_param *param)
{
    struct veneer_thread *t = veneer_find(handle);
    struct tl_sched sched;

    if (!t)
        return ESRCH;
    veneer_sched_look(t);
    sched = veneer_sched_of(t);
    *policy = sched.policy;
    param->sched_priority = sched.priority;
    return 0;
}

/* ---- names, stacks --------------------------------------------------------------------------- */

int WRAP(pthread_setname_np)(pthread_t handle, const char *name);
int WRAP(pthread_setname_np)(pthread_t handle, const char *name)
{
    struct veneer_thread *t = veneer_find(handle);

    if (!t)
        return ESRCH;
    return veneer.impl->info ? veneer.impl->info->set_name(t->impl, name) : ENOTSUP;
}

int WRAP(pthread_getname_np)(pthread_t handle, char *name, size_t size);
int WRAP(pthread_getname_np)(pthread_t handle, char *name, size_t size)
{
    struct veneer_thread *t = veneer_find(handle);

    if (!t)
        return ESRCH;
    return veneer.impl->info ? veneer.impl->info->get_name(t->impl, name, size) : ENOTSUP;
}

int WRAP(pthread_getattr_np)(pthread_t handle, pthread_attr_t *attr);
int WRAP(pthread_getattr_np)(pthread_t handle, pthread_attr_t *attr)
{
    struct veneer_thread *t = veneer_find(handle);
    struct sched_param param;
    struct tl_sched sched;
    size_t size, guard;
    void *low;
    int err;

    if (!t)
        return ESRCH;
    if (!veneer.impl->info)
        return ENOTSUP;
    err = veneer.impl->info->stack(t->impl, &low, &size, &guard);
    if (err)
        return err;
    if (t->stack_size) { /* rounded up, or less what the implementation keeps at the top */
        if (size > t->stack_size)
            low = (char *)low + (size - t->stack_size);
        size = t->stack_size;
    }
    err = pthread_attr_init(attr);
    if (err)
        return err;
    pthread_attr_setstack(attr, low, size);
    pthread_attr_setguardsize(attr, guard);
    pthread_attr_setdetachstate(attr, veneer_is_detached(t) ? PTHREAD_CREATE_DETACHED
                                                            : PTHREAD_CREATE_JOINABLE);
    veneer_sched_look(t);
    sched = veneer_sched_of(t);
    param.sched_priority = sched.priority;
    pthread_attr_setschedpolicy(attr, sched.policy);
    pthread_attr_setschedparam(attr, &param);
    return 0;
}

/* ---- CPUs, clocks: of kernel threads ----------------------------------------------------------
 */

/* 0 where the thread is none of the kernel's: then it has the CPUs of all. */
static int tid_of(pthread_t handle, int *err)
{
    struct veneer_thread *t = veneer_find(handle);

    *err = t ? 0 : ESRCH;
    if (!t || !(veneer.impl->traits & TL_ONE_TO_ONE))
        return 0;
    /* A thread that was just made writes it first of all. */
    while (!*(volatile int *)&t->tid && atomic_load(&t->life) == VENEER_LIVE)
        veneer.impl->yield();
    return t->tid;
}

int WRAP(pthread_setaffinity_np)(pthread_t handle, size_t size, const cpu_set_t *set);
int WRAP(pthread_setaffinity_np)(pthread_t handle, size_t size, const cpu_set_t *set)
{
    int err, tid = tid_of(handle, &err), saved = errno;

    if (err)
        return err;
    if (!tid)
        return ENOTSUP;
    if (sched_setaffinity(tid, size, set))
        err = errno;
    errno = saved;
    return err;
}

int WRAP(pthread_getaffinity_np)(pthread_t handle, size_t size, cpu_set_t *set);
int WRAP(pthread_getaffinity_np)(pthread_t handle, size_t size, cpu_set_t *set)
{
    int err, tid = tid_of(handle, &err), saved = errno;

    if (!err && sched_getaffinity(tid, size, set))
        err = errno;
    errno = saved;
    return err;
}

/* The kernel's number of the clock of a thread, as the C library makes it: ~tid << 3, with the bits
 * "of one thread" and "scheduled time". */
int WRAP(pthread_getcpuclockid)(pthread_t handle, clockid_t *clock);
int WRAP(pthread_getcpuclockid)(pthread_t handle, clockid_t *clock)
{
    int err, tid = tid_of(handle, &err);

    if (err)
        return err;
    if (!tid)
        return ENOTSUP;
    *clock = (clockid_t)(~(unsigned)tid << 3 | 4u | 2u);
    return 0;
}

/* Whoever asks first is told that threads have no clocks; the call itself answers ENOTSUP. */
long WRAP(sysconf)(int name);
long WRAP(sysconf)(int name)
{
    if (name == _SC_THREAD_CPUTIME && !(veneer.impl->traits & TL_ONE_TO_ONE))
        return -1;
    return sysconf(name);
}

/* ---- concurrency ----------------------------------------------------------------------------- */

static _Atomic int concurrency;

int WRAP(pthread_setconcurrency)(int level);
int WRAP(pthread_setconcurrency)(int level)
{
    const struct tl_concurrency_ops *ops = veneer.impl->concurrency;
    int err = 0;

    if (level < 0)
        return EINVAL;
    if (ops)
        err = ops->set((unsigned)level);
    if (!err)
        atomic_store(&concurrency, level);
    return err;
}

int WRAP(pthread_getconcurrency)(void);
int WRAP(pthread_getconcurrency)(void)
{
    return atomic_load(&concurrency);
}

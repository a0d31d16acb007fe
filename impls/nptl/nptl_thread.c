/*
 * nptl_thread.c - what belongs to one thread of the C library: values of keys, cleanup handlers,
 * signals, name, stack, scheduling.
 */
#include "nptl.h"

#include <sched.h>
#include <signal.h>

_Static_assert(sizeof(pthread_key_t) <= sizeof(uint64_t), "pthread_key_t is stored in tl_key.id");

/* ---- keys, cleanup handlers ------------------------------------------------------------------ */

static int key_create(struct tl_key *key, void (*destructor)(void *))
{
    pthread_key_t made;
    int err = pthread_key_create(&made, destructor);

    if (!err)
        key->id = made;
    return err;
}

static int key_drop(struct tl_key key)
{
    return pthread_key_delete((pthread_key_t)key.id);
}

static int key_set(struct tl_key key, const void *value)
{
    int saved = errno, err = pthread_setspecific((pthread_key_t)key.id, value);

    errno = saved; /* it allocates */
    return err;
}

static void *key_get(struct tl_key key)
{
    return pthread_getspecific((pthread_key_t)key.id);
}

const struct tl_key_ops nptl_key = {
    .create = key_create,
    .drop = key_drop,
    .set = key_set,
    .get = key_get,
};

void nptl_protect(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                  bool execute)
{
    pthread_cleanup_push(routine, arg);
    body(body_arg);
    pthread_cleanup_pop(execute);
}

/* ---- signals --------------------------------------------------------------------------------- */

static int signal_kill(struct tl_thread t, int sig, const union sigval *value)
{
    return value ? pthread_sigqueue((pthread_t)t.id, sig, *value)
                 : pthread_kill((pthread_t)t.id, sig);
}

const struct tl_signal_ops nptl_signal = {
    .kill = signal_kill,
    .mask = pthread_sigmask,
    .wait = sigwait,
    .timedwait = posix_sigtimedwait,
    .suspend = posix_sigsuspend,
    .pending = posix_sigpending,
};

/* ---- name, stack, scheduling ----------------------------------------------------------------- */

/* The name of another thread is a file below /proc: ENOENT, it has ended. */
static int ended(int err, int saved)
{
    errno = saved;
    return err == ENOENT ? ESRCH : err;
}

static int set_name(struct tl_thread t, const char *name)
{
    int saved = errno;

    return ended(pthread_setname_np((pthread_t)t.id, name), saved);
}

static int get_name(struct tl_thread t, char *name, size_t size)
{
    int saved = errno;

    return ended(pthread_getname_np((pthread_t)t.id, name, size), saved);
}

/* As the C library has it since 2.27: the guard lies below `low`, and what it put on the stack
 * itself, the thread's descriptor and static TLS, is counted in. */
static int stack(struct tl_thread t, void **low, size_t *size, size_t *guard)
{
    int saved = errno, err;
    pthread_attr_t attr;

    err = pthread_getattr_np((pthread_t)t.id, &attr);
    if (err)
        goto out;
    err = pthread_attr_getstack(&attr, low, size);
    if (!err)
        err = pthread_attr_getguardsize(&attr, guard);
    pthread_attr_destroy(&attr);
out:
    errno = saved; /* that of the first thread is read from /proc/self/maps */
    return err;
}

static int set_sched(struct tl_thread t, const struct tl_sched *sched)
{
    struct sched_param param = {.sched_priority = sched->priority};

    return pthread_setschedparam((pthread_t)t.id, sched->policy, &param);
}

static int get_sched(struct tl_thread t, struct tl_sched *sched)
{
    struct sched_param param;
    int err = pthread_getschedparam((pthread_t)t.id, &sched->policy, &param);

    if (!err)
        sched->priority = param.sched_priority;
    return err;
}

const struct tl_info_ops nptl_info = {
    .set_name = set_name,
    .get_name = get_name,
    .stack = stack,
    .set_sched = set_sched,
    .get_sched = get_sched,
};

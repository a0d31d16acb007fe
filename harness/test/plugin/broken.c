/*
 * broken.c - a plugin: glibc's threads with one promise broken, chosen by the parameter `fault`.
 * The driver's tests see that the verify of the benchmarks that rest on the promise catches each
 * one, and that fault=none passes them: a verify that nothing can fail would prove nothing.
 */
#include "impl.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static const char *fault;
static _Atomic unsigned calls; /* of what the fault breaks now and then */

static bool is(const char *name)
{
    return strcmp(fault, name) == 0;
}

static int broken_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value)
{
    int e = boot->pin(boot, 0);
    if (e)
        return e;
    fault = boot->param(boot, "fault");
    void *result = entry(arg);
    if (value)
        *value = result;
    return 0;
}

static void *lost(void *arg)
{
    return arg;
}

static int broken_create(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                         void *arg)
{
    pthread_t thread;
    pthread_attr_t a;
    pthread_attr_init(&a);
    if (attr && attr->detached)
        pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    if (is("create") && atomic_fetch_add(&calls, 1) % 7 == 6)
        entry = lost; /* this one never runs */
    if (is("bound") && attr && attr->bound) {
        arg = entry(arg); /* on its creator's kernel thread */
        entry = lost;
    }
    int e = pthread_create(&thread, &a, entry, arg);
    pthread_attr_destroy(&a);
    t->id = (uint64_t)thread;
    return e;
}

static int broken_join(struct tl_thread t, void **value)
{
    int e = pthread_join((pthread_t)t.id, value);
    if (is("join") && value)
        *value = NULL; /* the value is lost */
    return e;
}

static int broken_detach(struct tl_thread t)
{
    return pthread_detach((pthread_t)t.id);
}

static void broken_yield(void)
{
    if (!is("yield"))
        sched_yield();
}

static struct tl_thread broken_self(void)
{
    return (struct tl_thread){(uint64_t)pthread_self()};
}

static int mutex_init(struct tl_mutex *m, enum tl_mutex_kind kind)
{
    return kind == TL_MUTEX_SPIN ? ENOTSUP : pthread_mutex_init((pthread_mutex_t *)m, NULL);
}

static int mutex_lock(struct tl_mutex *m)
{
    return is("mutex") ? 0 : pthread_mutex_lock((pthread_mutex_t *)m);
}

static int mutex_trylock(struct tl_mutex *m)
{
    return is("mutex") ? 0 : pthread_mutex_trylock((pthread_mutex_t *)m);
}

static int mutex_unlock(struct tl_mutex *m)
{
    return is("mutex") ? 0 : pthread_mutex_unlock((pthread_mutex_t *)m);
}

static int mutex_destroy(struct tl_mutex *m)
{
    return pthread_mutex_destroy((pthread_mutex_t *)m);
}

static int sem_start(struct tl_sem *s, unsigned count)
{
    return sem_init((sem_t *)s, 0, count) ? errno : 0;
}

static int sem_take(struct tl_sem *s)
{
    if (is("sem") && atomic_fetch_add(&calls, 1) % 11 == 10)
        return 0; /* nobody has posted */
    return sem_wait((sem_t *)s) ? errno : 0;
}

static int sem_try(struct tl_sem *s)
{
    return sem_trywait((sem_t *)s) ? errno : 0;
}

static int sem_give(struct tl_sem *s)
{
    return sem_post((sem_t *)s) ? errno : 0;
}

static int sem_end(struct tl_sem *s)
{
    return sem_destroy((sem_t *)s) ? errno : 0;
}

static int signal_kill(struct tl_thread t, int number, const union sigval *value)
{
    if (is("signal") && atomic_fetch_add(&calls, 1) % 101 == 100)
        return 0; /* lost */
    if (!value)
        return pthread_kill((pthread_t)t.id, number);
    union sigval payload = *value;
    if (is("payload"))
        payload.sival_int ^= 1;
    return pthread_sigqueue((pthread_t)t.id, number, payload);
}

static int signal_mask(int how, const sigset_t *set, sigset_t *old)
{
    return is("mask") ? 0 : pthread_sigmask(how, set, old);
}

static int fork_fork(pid_t *pid)
{
    *pid = fork();
    if (*pid == 0 && is("fork"))
        _exit(7); /* the caller does not go on in the child */
    return *pid < 0 ? errno : 0;
}

static int fork_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return is("atfork") ? 0 : pthread_atfork(prepare, parent, child);
}

static const struct tl_param params[] = {
    {"fault", "none,create,join,bound,yield,mutex,sem,signal,payload,mask,fork,atfork",
     "the promise that is broken", NULL, NULL, NULL},
    {0},
};
static const struct tl_mutex_ops mutex_ops = {.init = mutex_init,
                                              .lock = mutex_lock,
                                              .trylock = mutex_trylock,
                                              .unlock = mutex_unlock,
                                              .destroy = mutex_destroy};
static const struct tl_sem_ops sem_ops = {
    .init = sem_start, .wait = sem_take, .trywait = sem_try, .post = sem_give, .destroy = sem_end};
static const struct tl_signal_ops signal_ops = {.kill = signal_kill, .mask = signal_mask};
static const struct tl_fork_ops fork_ops = {.fork = fork_fork, .atfork = fork_atfork};

static const struct tl_impl broken = {
    .abi = TL_ABI,
    .name = "broken",
    .model = "1:1",
    .summary = "glibc threads with one promise broken, for tests",
    .traits = TL_CONCURRENT | TL_PREEMPTIVE | TL_BLOCKS_ALONE | TL_ONE_TO_ONE,
    .params = params,
    .run = broken_run,
    .create = broken_create,
    .join = broken_join,
    .detach = broken_detach,
    .yield = broken_yield,
    .self = broken_self,
    .mutex = &mutex_ops,
    .sem = &sem_ops,
    .signal = &signal_ops,
    .fork = &fork_ops,
};
TL_IMPL(broken);

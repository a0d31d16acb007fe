/*
 * impl_cases_fork.h - more cases of test_impl.c: fork, of the caller and of all threads.
 */
#ifndef TL_IMPL_CASES_FORK_H
#define TL_IMPL_CASES_FORK_H

#include "impl_cases_sync.h"

#include <pthread.h>
#include <sys/syscall.h>

static char order[16];
#define HANDLER(name, letter)  \
    static void name(void)     \
    {                          \
        strcat(order, letter); \
    }
HANDLER(prepare1, "a")
HANDLER(parent1, "b")
HANDLER(child1, "c")
HANDLER(prepare2, "A")
HANDLER(parent2, "B")
HANDLER(child2, "C")

static bool forked; /* this is the child */

static void leave_child(void)
{
    if (forked)
        _exit(7);
}

static void use_threads(void)
{
    for (intptr_t i = 0; i < 20; i++) {
        CHECK(finish(start(same, (void *)i)) == (void *)i);
        free(malloc((size_t)i * 1000));
    }
}

/* arg: how the child ends: NULL by _exit(7), else by returning. */
static void *fork_once(void *arg)
{
    pid_t pid = -1;
    int status;

    order[0] = 0;
    OK(impl->fork->fork(&pid));
    if (!pid) {
        forked = true;
        CHECK(!strcmp(order, "AacC"));
        CHECK((pid_t)gettid() == getpid());
        use_threads();
        if (arg)
            return NULL;
        _exit(7);
    }
    CHECK(!strcmp(order, "AabB"));
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 7 || (arg && !WEXITSTATUS(status))));
    use_threads();
    return NULL;
}

/* From the first thread and from another one, while others exist. */
static void *case_fork(void *arg)
{
    struct tl_thread t[3];
    struct tl_sem sem;

    (void)arg;
    OK(impl->fork->atfork(prepare1, parent1, child1));
    OK(impl->fork->atfork(NULL, NULL, NULL));
    OK(impl->fork->atfork(prepare2, parent2, child2));
    after_run = leave_child;
    use_threads();
    if (impl->traits & TL_CONCURRENT) {
        OK(impl->sem->init(&sem, 0));
        for (int i = 0; i < 3; i++)
            t[i] = start(wait_for, &sem);
        impl->yield();
    }
    for (int i = 0; i < 12; i++) {
        fork_once(i % 2 ? &sem : NULL);
        if (forked)
            return NULL; /* run() returns although the others, which it does not have, wait */
        finish(start(fork_once, i % 2 ? &sem : NULL));
        if (forked)
            return NULL;
    }
    if (impl->traits & TL_CONCURRENT) {
        for (int i = 0; i < 3; i++)
            OK(impl->sem->post(&sem));
        for (int i = 0; i < 3; i++)
            finish(t[i]);
    }
    return NULL;
}

/* What a thread is in at the fork. */
static struct tl_sem all_sem;
static struct tl_mutex all_mutex;
static struct tl_cond all_cond;
static bool all_let; /* guarded by all_mutex */
static _Atomic int all_stop, all_here;

static void *in_sem(void *arg)
{
    atomic_fetch_add(&all_here, 1);
    OK(impl->sem->wait(&all_sem));
    return arg;
}

static void *in_cond(void *arg)
{
    atomic_fetch_add(&all_here, 1);
    OK(impl->mutex->lock(&all_mutex));
    while (!all_let)
        OK(impl->cond->wait(&all_cond, &all_mutex));
    OK(impl->mutex->unlock(&all_mutex));
    return arg;
}

static void *in_sleep(void *arg)
{
    atomic_fetch_add(&all_here, 1);
    while (!atomic_load(&all_stop))
        OK(impl->sleep(1000000));
    return arg;
}

static void *in_yield(void *arg)
{
    atomic_fetch_add(&all_here, 1);
    while (!atomic_load(&all_stop)) {
        CHECK(finish(start(same, arg)) == arg);
        impl->yield();
    }
    return arg;
}

/* Never calls the library. */
static void *in_no_call(void *arg)
{
    atomic_fetch_add(&all_here, 1);
    while (!atomic_load(&all_stop))
        ;
    return arg;
}

/* Forks; arg: how the child ends, as above. Both have all of `t` then. */
static void *fork_all_once(void *arg)
{
    pid_t pid = -1;
    int status;

    OK(impl->fork->fork_all(&pid));
    if (pid) {
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        return NULL;
    }
    forked = true;
    CHECK((pid_t)gettid() == getpid() || impl->traits & TL_PARALLEL);
    use_threads();
    return arg;
}

/* No LWP: as one is that has just begun, or is about to end, when fork_all calls it (world.h). */
static void *no_lwp(void *arg)
{
    syscall(SYS_tgkill, getpid(), gettid(), SIGSTKFLT);
    return arg;
}

static void *case_fork_all(void *arg)
{
    static void *(*const entries[])(void *) = {in_sem, in_cond, in_sleep, in_yield, in_no_call};
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t[12], caller;
    const char *lwps = param_of("lwps"); /* only where there are several may one spin */
    unsigned n = 0, parallel = impl->traits & TL_PARALLEL && strcmp(lwps, "1") != 0;

    (void)arg;
    after_run = leave_child;
    OK(impl->sem->init(&all_sem, 0));
    OK(impl->mutex->init(&all_mutex, TL_MUTEX_BLOCK));
    OK(impl->cond->init(&all_cond));
    for (unsigned bound = 0; bound < 1 + parallel; bound++)
        for (unsigned i = 0; i < (SANITIZED || !bound ? 4 : 5); i++, n++) {
            attr.bound = bound;
            OK(impl->create(&t[n], &attr, entries[i], &t[n]));
        }
    while (atomic_load(&all_here) < (int)n)
        impl->yield();
    for (int i = 0; i < 3 && !forked; i++) {
        attr.bound = i == 2 && parallel;
        if (!i) {
            fork_all_once(NULL);
        } else {
            OK(impl->create(&caller, &attr, fork_all_once, NULL));
            finish(caller);
        }
    }
    if (parallel) {
        pthread_t plain;

        OK(pthread_create(&plain, NULL, no_lwp, NULL));
        OK(pthread_join(plain, NULL));
    }
    atomic_store(&all_stop, 1);
    OK(impl->mutex->lock(&all_mutex));
    all_let = true;
    OK(impl->cond->broadcast(&all_cond));
    OK(impl->mutex->unlock(&all_mutex));
    OK(impl->sem->post(&all_sem));
    OK(impl->sem->post(&all_sem));
    for (unsigned i = 0; i < n; i++)
        CHECK(finish(t[i]) == &t[i]);
    return NULL;
}

#endif

/*
 * impl_cases_sync.h - more cases of test_impl.c: synchronisation, signals, the traits.
 */
#ifndef TL_IMPL_CASES_SYNC_H
#define TL_IMPL_CASES_SYNC_H

#include "impl_cases.h"

/* ---- mutex
 * ----------------------------------------------------------------------------------------- */

#define ADDERS 6
#define ADDS 2000

static struct shared {
    struct tl_mutex mutex;
    struct tl_cond cond;
    struct tl_sem ping, pong;
    long count; /* plain: the mutex protects it */
    int turn, waiting, released;
} shared;

static void *add(void *arg)
{
    (void)arg;
    for (int i = 0; i < ADDS; i++) {
        long seen;

        OK(impl->mutex->lock(&shared.mutex));
        seen = shared.count;
        if (i % 64 == 0)
            impl->yield();
        shared.count = seen + 1;
        OK(impl->mutex->unlock(&shared.mutex));
    }
    return NULL;
}

static void exclude(enum tl_mutex_kind kind)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t[ADDERS];
    int err = impl->mutex->init(&shared.mutex, kind);

    if (err == ENOTSUP && kind != TL_MUTEX_BLOCK)
        return;
    OK(err);
    shared.count = 0;
    for (int i = 0; i < ADDERS; i++) {
        attr.slot = i % 2;
        if (impl->create(&t[i], &attr, add, NULL))
            t[i] = start(add, NULL);
    }
    for (int i = 0; i < ADDERS; i++)
        finish(t[i]);
    CHECK(shared.count == (long)ADDERS * ADDS);
    OK(impl->mutex->destroy(&shared.mutex));
}

static void *case_mutex_block(void *arg)
{
    exclude(TL_MUTEX_BLOCK);
    return arg;
}

static void *case_mutex_spin(void *arg)
{
    exclude(TL_MUTEX_SPIN);
    return arg;
}

static void *case_mutex_adaptive(void *arg)
{
    exclude(TL_MUTEX_ADAPTIVE);
    return arg;
}

static void *try_busy(void *arg)
{
    CHECK(impl->mutex->trylock(arg) == EBUSY);
    return NULL;
}

static void *case_trylock(void *arg)
{
    struct tl_mutex m;

    (void)arg;
    for (int kind = TL_MUTEX_BLOCK; kind <= TL_MUTEX_ADAPTIVE; kind++) {
        if (impl->mutex->init(&m, (enum tl_mutex_kind)kind) == ENOTSUP)
            continue;
        OK(impl->mutex->trylock(&m));
        finish(start(try_busy, &m));
        OK(impl->mutex->unlock(&m));
        OK(impl->mutex->lock(&m));
        finish(start(try_busy, &m));
        OK(impl->mutex->unlock(&m));
        OK(impl->mutex->destroy(&m));
    }
    return NULL;
}

/* ---- condition variable
 * ------------------------------------------------------------------------------ */

static void *cond_turns(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (int i = 0; i < 1000; i++) {
        OK(impl->mutex->lock(&shared.mutex));
        while (shared.turn != me)
            OK(impl->cond->wait(&shared.cond, &shared.mutex));
        shared.turn = !me;
        shared.count++;
        OK(impl->cond->signal(&shared.cond));
        OK(impl->mutex->unlock(&shared.mutex));
    }
    return NULL;
}

static void *case_cond(void *arg)
{
    struct tl_thread t;

    (void)arg;
    OK(impl->mutex->init(&shared.mutex, TL_MUTEX_BLOCK));
    OK(impl->cond->init(&shared.cond));
    t = start(cond_turns, (void *)1);
    cond_turns((void *)0);
    finish(t);
    CHECK(shared.count == 2000);
    OK(impl->cond->destroy(&shared.cond));
    OK(impl->mutex->destroy(&shared.mutex));
    return NULL;
}

static void *wait_release(void *arg)
{
    OK(impl->mutex->lock(&shared.mutex));
    shared.waiting++;
    while (shared.released < *(int *)arg)
        OK(impl->cond->wait(&shared.cond, &shared.mutex));
    shared.count++;
    OK(impl->mutex->unlock(&shared.mutex));
    return NULL;
}

/* The condition variable is destroyed as soon as its waiters were woken, which is allowed. */
static void *case_broadcast(void *arg)
{
    struct tl_thread t[20];

    (void)arg;
    OK(impl->mutex->init(&shared.mutex, TL_MUTEX_BLOCK));
    for (int round = 1; round <= 30; round++) {
        OK(impl->cond->init(&shared.cond));
        shared.waiting = 0;
        for (int i = 0; i < 20; i++)
            t[i] = start(wait_release, &round);
        for (;;) {
            OK(impl->mutex->lock(&shared.mutex));
            if (shared.waiting == 20)
                break;
            OK(impl->mutex->unlock(&shared.mutex));
            impl->yield();
        }
        shared.released = round;
        OK(impl->cond->broadcast(&shared.cond));
        OK(impl->mutex->unlock(&shared.mutex));
        OK(impl->cond->destroy(&shared.cond));
        memset(&shared.cond, 0xff, sizeof(shared.cond));
        for (int i = 0; i < 20; i++)
            finish(t[i]);
        CHECK(shared.count == 20L * round);
    }
    OK(impl->mutex->destroy(&shared.mutex));
    return NULL;
}

/* ---- semaphore
 * --------------------------------------------------------------------------------------- */

static void *sem_echo(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        OK(impl->sem->wait(&shared.ping));
        shared.count++;
        OK(impl->sem->post(&shared.pong));
    }
    return arg;
}

static void *case_sem(void *arg)
{
    struct tl_thread t;

    (void)arg;
    OK(impl->sem->init(&shared.ping, 0));
    OK(impl->sem->init(&shared.pong, 0));
    t = start(sem_echo, NULL);
    for (int i = 0; i < 1000; i++) {
        OK(impl->sem->post(&shared.ping));
        OK(impl->sem->wait(&shared.pong));
        CHECK(shared.count == i + 1);
    }
    finish(t);
    OK(impl->sem->destroy(&shared.ping));
    OK(impl->sem->destroy(&shared.pong));
    return NULL;
}

static void *case_trywait(void *arg)
{
    struct tl_sem s;

    (void)arg;
    errno = 4711;
    OK(impl->sem->init(&s, 2));
    OK(impl->sem->trywait(&s));
    OK(impl->sem->wait(&s));
    CHECK(impl->sem->trywait(&s) == EAGAIN);
    OK(impl->sem->post(&s));
    OK(impl->sem->trywait(&s));
    CHECK(impl->sem->trywait(&s) == EAGAIN);
    OK(impl->sem->destroy(&s));
    OK(impl->sem->init(&s, INT32_MAX));
    CHECK(impl->sem->post(&s) == EOVERFLOW);
    OK(impl->sem->destroy(&s));
    CHECK(errno == 4711);
    return NULL;
}

static void *take_some(void *arg)
{
    for (int i = 0; i < 500; i++)
        OK(impl->sem->wait(arg));
    return NULL;
}

static void *case_sem_many(void *arg)
{
    struct tl_thread t[6];
    struct tl_sem s;

    (void)arg;
    OK(impl->sem->init(&s, 0));
    for (int i = 0; i < 6; i++)
        t[i] = start(take_some, &s);
    for (int i = 0; i < 3000; i++) {
        OK(impl->sem->post(&s));
        if (i % 100 == 0)
            impl->yield();
    }
    for (int i = 0; i < 6; i++)
        finish(t[i]);
    CHECK(impl->sem->trywait(&s) == EAGAIN);
    return NULL;
}

/* ---- traits
 * ------------------------------------------------------------------------------------------ */

/* Each is half way while the other is: null must fail here. */
static void *case_concurrent(void *arg)
{
    return case_sem(arg);
}

static atomic_int flag;

static void *raise_flag(void *arg)
{
    atomic_store(&flag, 1);
    return arg;
}

static void *case_preemptive(void *arg)
{
    struct tl_thread t = start(raise_flag, NULL);

    (void)arg;
    while (!atomic_load(&flag))
        ;
    finish(t);
    return NULL;
}

static void *write_byte(void *arg)
{
    CHECK(write(*(int *)arg, "x", 1) == 1);
    return NULL;
}

static void *case_blocks_alone(void *arg)
{
    struct tl_thread t;
    int fd[2];
    char byte;

    (void)arg;
    CHECK(!pipe(fd));
    t = start(write_byte, &fd[1]);
    CHECK(read(fd[0], &byte, 1) == 1);
    finish(t);
    return NULL;
}

static void *meet(void *arg)
{
    atomic_int *here = arg;

    atomic_fetch_add(here, 1);
    while (atomic_load(here) < 2)
        ;
    return NULL;
}

/* Both spin until both are there, pinned to two CPUs; without a yield that could let them alternate
 * it still needs preemption only, so what is checked is where they are. */
static void *case_parallel(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t[2];
    atomic_int here = 0;

    (void)arg;
    for (attr.slot = 0; attr.slot < 2; attr.slot++)
        OK(impl->create(&t[attr.slot], &attr, meet, &here));
    finish(t[0]);
    finish(t[1]);
    return NULL;
}

/* Nothing but switches: with several kernel threads each may take the thread that the other one is
 * just leaving. */
static void *switch_often(void *arg)
{
    for (int i = 0; i < 5000; i++) {
        CHECK(finish(start(same, arg)) == arg);
        impl->yield();
    }
    return arg;
}

static void *case_switches(void *arg)
{
    struct tl_thread t = start(switch_often, &t);

    (void)arg;
    for (int i = 0; i < 20000; i++)
        impl->yield();
    finish(t);
    return NULL;
}

static void *case_sleep(void *arg)
{
    struct timespec from, to;
    struct tl_thread t = start(raise_flag, NULL);

    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &from);
    OK(impl->sleep(20000000));
    clock_gettime(CLOCK_MONOTONIC, &to);
    CHECK((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec >= 20000000);
    CHECK(atomic_load(&flag));
    finish(t);
    return NULL;
}

/* ---- signals
 * ----------------------------------------------------------------------------------------- */

static volatile sig_atomic_t handled, payload;
static struct tl_thread handled_by;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    handled_by = impl->self();
    payload = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
    handled++;
}

static void catch (int sig)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    CHECK(!sigaction(sig, &action, NULL));
}

static void *spin_until_handled(void *arg)
{
    atomic_store(&flag, 1);
    while (handled < *(int *)arg)
        impl->yield();
    return NULL;
}

static void *case_signal_self(void *arg)
{
    union sigval value = {.sival_int = 17};

    (void)arg;
    catch (SIGUSR1);
    for (int i = 0; i < 10; i++) {
        OK(impl->signal->kill(impl->self(), SIGUSR1, i % 2 ? &value : NULL));
        CHECK(handled == i + 1 && payload == (i % 2 ? 17 : 0));
        CHECK(handled_by.id == impl->self().id);
    }
    CHECK(impl->signal->kill(impl->self(), 4711, NULL) == EINVAL);
    return NULL;
}

static void *case_signal_thread(void *arg)
{
    union sigval value = {.sival_int = 17};

    (void)arg;
    catch (SIGUSR1);
    for (int i = 0; i < 50; i++) {
        int want = handled + 1, err;
        struct tl_thread t;

        atomic_store(&flag, 0);
        t = start(spin_until_handled, &want);
        while (!atomic_load(&flag))
            impl->yield();
        OK(impl->signal->kill(t, 0, NULL));
        err = impl->signal->kill(t, SIGUSR1, i % 2 ? &value : NULL);
        if (err == ENOTSUP) { /* M:1: only the caller can be reached */
            handled++;
            finish(t);
            continue;
        }
        OK(err);
        finish(t);
        CHECK(handled == want && handled_by.id == t.id && payload == (i % 2 ? 17 : 0));
    }
    return NULL;
}

static void *read_mask(void *arg)
{
    OK(impl->signal->mask(SIG_BLOCK, NULL, arg));
    return NULL;
}

/* A new thread starts with its creator's mask, and its own changes stay its own. */
static void *case_signal_mask(void *arg)
{
    sigset_t set, got, old;

    (void)arg;
    for (int i = 0; i < 20; i++) {
        sigemptyset(&set);
        if (i % 2)
            sigaddset(&set, SIGUSR2);
        OK(impl->signal->mask(SIG_SETMASK, &set, &old));
        CHECK(i == 0 || sigismember(&old, SIGUSR2) == !(i % 2));
        finish(start(read_mask, &got));
        CHECK(sigismember(&got, SIGUSR2) == i % 2 && !sigismember(&got, SIGUSR1));
    }
    return NULL;
}

static void *block_and_end(void *arg)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(impl->signal->mask(SIG_BLOCK, &set, NULL));
    OK(impl->signal->kill(impl->self(), SIGUSR1, NULL));
    return arg;
}

/* A signal that is pending for a thread goes with it: the next one does not get it. */
static void *case_signal_pending(void *arg)
{
    (void)arg;
    catch (SIGUSR1);
    for (int i = 0; i < 20; i++) {
        finish(start(block_and_end, NULL));
        finish(start(same, NULL));
        CHECK(!handled);
    }
    return NULL;
}

static void *await_signal(void *arg)
{
    sigset_t *set = arg;
    int sig = 0;

    OK(impl->signal->wait(set, &sig));
    return (void *)(intptr_t)sig;
}

static void *case_sigwait(void *arg)
{
    /* ThreadSanitizer keeps what the kernel delivers with the thread that runs there, until that
     * one calls something that it intercepts: with threads of M:N it may be never. */
    bool by_kernel = !TSAN || !(impl->traits & TL_PARALLEL) || impl->traits & TL_ONE_TO_ONE;
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    OK(impl->signal->mask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 50; i++) {
        struct tl_thread t = start(await_signal, &set);
        int sig = i % 3 ? SIGUSR1 : SIGRTMIN;

        if (i % 2 || !by_kernel)
            OK(impl->signal->kill(t, sig, NULL));
        else
            CHECK(!kill(getpid(), sig));
        CHECK((intptr_t)finish(t) == sig);
    }
    return NULL;
}

#endif

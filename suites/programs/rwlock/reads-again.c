/*
 * reads-again.c - a thread that reads can lock again for reading while a writer waits (XSH
 * pthread_rwlock_rdlock: several concurrent read locks; the C library's default kind)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic int entering, wrote;

static void *write_it(void *arg)
{
    atomic_store(&entering, 1);
    ANSWERS(pthread_rwlock_wrlock(&l), 0);
    atomic_store(&wrote, 1);
    ANSWERS(pthread_rwlock_unlock(&l), 0);
    return arg;
}

int main(void)
{
    pthread_t t;

    ANSWERS(pthread_rwlock_rdlock(&l), 0);
    ANSWERS(pthread_create(&t, NULL, write_it, NULL), 0);
    while (!atomic_load(&entering))
        sched_yield();
    for (int i = 0; i < 1000; i++) {
        ANSWERS(pthread_rwlock_rdlock(&l), 0);
        ANSWERS(atomic_load(&wrote), 0);
        ANSWERS(pthread_rwlock_unlock(&l), 0);
        sched_yield();
    }
    ANSWERS(pthread_rwlock_unlock(&l), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    ANSWERS(atomic_load(&wrote), 1);
    return PASS;
}

/*
 * recursive.c - RECURSIVE: as many unlocks as locks; another thread gets it after the last (XSH
 * pthread_mutex_lock)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_mutex_t m;

static void *other(void *arg)
{
    int err = pthread_mutex_trylock(&m);

    if (!err)
        pthread_mutex_unlock(&m);
    (void)arg;
    return (void *)(long)err;
}

static long ask(void)
{
    pthread_t t;
    void *value;

    ANSWERS(pthread_create(&t, NULL, other, NULL), 0);
    ANSWERS(pthread_join(t, &value), 0);
    return (long)value;
}

int main(void)
{
    pthread_mutexattr_t attr;

    ANSWERS(pthread_mutexattr_init(&attr), 0);
    ANSWERS(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE), 0);
    ANSWERS(pthread_mutex_init(&m, &attr), 0);
    for (int i = 0; i < 3; i++)
        ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_mutex_trylock(&m), 0);
    for (int i = 0; i < 4; i++) {
        HOLDS(ask() == EBUSY);
        ANSWERS(pthread_mutex_unlock(&m), 0);
    }
    HOLDS(ask() == 0);
    ANSWERS(pthread_mutex_unlock(&m), EPERM);
    return PASS;
}

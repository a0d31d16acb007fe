/*
 * errorcheck.c - ERRORCHECK: relocking is EDEADLK, unlocking what another holds EPERM (XSH
 * pthread_mutex_lock)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_mutex_t m;

static void *other(void *arg)
{
    ANSWERS(pthread_mutex_unlock(&m), EPERM);
    ANSWERS(pthread_mutex_trylock(&m), EBUSY);
    return arg;
}

int main(void)
{
    pthread_mutexattr_t attr;
    pthread_t t;

    ANSWERS(pthread_mutexattr_init(&attr), 0);
    ANSWERS(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK), 0);
    ANSWERS(pthread_mutex_init(&m, &attr), 0);
    ANSWERS(pthread_mutex_unlock(&m), EPERM);
    ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_mutex_lock(&m), EDEADLK);
    ANSWERS(pthread_create(&t, NULL, other, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_mutex_destroy(&m), 0);
    return PASS;
}

/*
 * robust.c - ROBUST: EOWNERDEAD after its owner ended, usable after consistent, lost without it
 * (XSH pthread_mutex_consistent)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_mutex_t m;

static void *end_with_it(void *arg)
{
    pthread_mutex_lock(&m);
    return arg;
}

static void abandon(void)
{
    pthread_t t;

    ANSWERS(pthread_create(&t, NULL, end_with_it, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
}

int main(void)
{
    pthread_mutexattr_t attr;

    ANSWERS(pthread_mutexattr_init(&attr), 0);
    ANSWERS(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), 0);
    NEEDS(pthread_mutex_init(&m, &attr));
    ANSWERS(pthread_mutex_consistent(&m), EINVAL);
    abandon();
    ANSWERS(pthread_mutex_lock(&m), EOWNERDEAD);
    ANSWERS(pthread_mutex_consistent(&m), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    abandon();
    ANSWERS(pthread_mutex_trylock(&m), EOWNERDEAD);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_mutex_lock(&m), ENOTRECOVERABLE);
    ANSWERS(pthread_mutex_destroy(&m), 0);
    return PASS;
}

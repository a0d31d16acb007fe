/*
 * cancel-holds-mutex.c - a thread that is cancelled in cond_wait holds the mutex when its
 * cleanup handlers run (XSH pthread_cond_wait)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_mutex_t m;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER, here = PTHREAD_COND_INITIALIZER;
static int waiting, answer = -1;

static void release(void *arg)
{
    (void)arg;
    answer = pthread_mutex_unlock(&m);
}

static void *wait(void *arg)
{
    pthread_mutex_lock(&m);
    waiting = 1;
    pthread_cond_signal(&here);
    pthread_cleanup_push(release, NULL);
    for (;;)
        pthread_cond_wait(&c, &m);
    pthread_cleanup_pop(0);
    return arg;
}

int main(void)
{
    pthread_mutexattr_t attr;
    pthread_t t;
    void *value;

    ANSWERS(pthread_mutexattr_init(&attr), 0);
    ANSWERS(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK), 0);
    ANSWERS(pthread_mutex_init(&m, &attr), 0);
    pthread_mutex_lock(&m);
    ANSWERS(pthread_create(&t, NULL, wait, NULL), 0);
    while (!waiting)
        pthread_cond_wait(&here, &m);
    pthread_mutex_unlock(&m);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    HOLDS(answer == 0);
    ANSWERS(pthread_mutex_lock(&m), 0);
    return PASS;
}

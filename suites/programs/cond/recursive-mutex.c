/*
 * recursive-mutex.c - cond_wait gives up the mutex whatever its kind, and has it again after
 * (XSH pthread_cond_wait)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_mutex_t m;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int ready;

static void *tell(void *arg)
{
    ANSWERS(pthread_mutex_lock(&m), 0);
    ready = 1;
    ANSWERS(pthread_cond_signal(&c), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    return arg;
}

int main(void)
{
    static const int kinds[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ERRORCHECK,
                                PTHREAD_MUTEX_RECURSIVE};
    pthread_mutexattr_t attr;
    pthread_t t;

    for (int i = 0; i < 3; i++) {
        ready = 0;
        ANSWERS(pthread_mutexattr_init(&attr), 0);
        ANSWERS(pthread_mutexattr_settype(&attr, kinds[i]), 0);
        ANSWERS(pthread_mutex_init(&m, &attr), 0);
        ANSWERS(pthread_mutex_lock(&m), 0);
        ANSWERS(pthread_create(&t, NULL, tell, NULL), 0);
        while (!ready)
            ANSWERS(pthread_cond_wait(&c, &m), 0);
        ANSWERS(pthread_mutex_unlock(&m), 0);
        ANSWERS(pthread_join(t, NULL), 0);
        ANSWERS(pthread_mutex_destroy(&m), 0);
    }
    return PASS;
}

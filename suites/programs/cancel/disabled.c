/*
 * disabled.c - a request waits while cancellation is disabled, and is acted on at the next point
 * after (XSH pthread_setcancelstate)
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>

static sem_t here, go;
static int passed;

static void *work(void *arg)
{
    int old;

    ANSWERS(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old), 0);
    HOLDS(old == PTHREAD_CANCEL_ENABLE);
    ANSWERS(pthread_setcancelstate(99, &old), EINVAL);
    ANSWERS(pthread_setcanceltype(99, &old), EINVAL);
    sem_post(&here);
    while (sem_wait(&go))
        ;
    pthread_testcancel();
    passed = 1;
    ANSWERS(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old), 0);
    HOLDS(old == PTHREAD_CANCEL_DISABLE);
    pthread_testcancel();
    FAILED("testcancel returned");
    return arg;
}

int main(void)
{
    pthread_t t;
    void *value;

    WORKS(sem_init(&here, 0, 0));
    WORKS(sem_init(&go, 0, 0));
    ANSWERS(pthread_create(&t, NULL, work, NULL), 0);
    WORKS(sem_wait(&here));
    ANSWERS(pthread_cancel(t), 0);
    WORKS(sem_post(&go));
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED && passed);
    return PASS;
}

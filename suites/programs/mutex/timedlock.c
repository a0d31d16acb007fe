/*
 * timedlock.c - timedlock: ETIMEDOUT not before its time, EINVAL for a bad one that has to wait
 * (XSH pthread_mutex_timedlock)
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static sem_t held, done;

static void *hold(void *arg)
{
    pthread_mutex_lock(&m);
    sem_post(&held);
    sem_wait(&done);
    pthread_mutex_unlock(&m);
    return arg;
}

int main(void)
{
    struct timespec bad = {0, 1000000000}, until;
    pthread_t t;

    WORKS(sem_init(&held, 0, 0));
    WORKS(sem_init(&done, 0, 0));
    ANSWERS(pthread_mutex_timedlock(&m, &bad), 0); /* is free: the time does not count */
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_create(&t, NULL, hold, NULL), 0);
    WORKS(sem_wait(&held));
    ANSWERS(pthread_mutex_timedlock(&m, &bad), EINVAL);
    until = after_ms(CLOCK_REALTIME, 50);
    ANSWERS(pthread_mutex_timedlock(&m, &until), ETIMEDOUT);
    HOLDS(is_past(CLOCK_REALTIME, &until));
    WORKS(sem_post(&done));
    ANSWERS(pthread_join(t, NULL), 0);
    ANSWERS(pthread_mutex_timedlock(&m, &until), 0); /* past, but free */
    return PASS;
}

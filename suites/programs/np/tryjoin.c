/*
 * tryjoin.c - tryjoin of a thread that runs: EBUSY; timedjoin: ETIMEDOUT (pthread_tryjoin_np(3))
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>

static sem_t go;

static void *wait(void *arg)
{
    sem_wait(&go);
    return arg;
}

int main(void)
{
    struct timespec until;
    pthread_t t;
    void *value;

    WORKS(sem_init(&go, 0, 0));
    ANSWERS(pthread_create(&t, NULL, wait, &go), 0);
    ANSWERS(pthread_tryjoin_np(t, &value), EBUSY);
    until = after_ms(CLOCK_REALTIME, 30);
    ANSWERS(pthread_timedjoin_np(t, &value, &until), ETIMEDOUT);
    HOLDS(is_past(CLOCK_REALTIME, &until));
    WORKS(sem_post(&go));
    until = after_ms(CLOCK_REALTIME, 20000);
    ANSWERS(pthread_timedjoin_np(t, &value, &until), 0);
    HOLDS(value == &go);
    return PASS;
}

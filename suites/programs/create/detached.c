/* detached.c - a thread that is created detached cannot be joined: EINVAL (XSH pthread_join) */
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
    pthread_attr_t attr;
    pthread_t t;

    WORKS(sem_init(&go, 0, 0));
    ANSWERS(pthread_attr_init(&attr), 0);
    ANSWERS(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
    ANSWERS(pthread_create(&t, &attr, wait, NULL), 0);
    ANSWERS(pthread_join(t, NULL), EINVAL);
    WORKS(sem_post(&go));
    return PASS;
}

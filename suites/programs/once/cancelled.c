/*
 * cancelled.c - a routine that is cancelled has not run: the next once runs it (XSH
 * pthread_once)
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t here;
static int runs;

static void routine(void)
{
    if (++runs > 1)
        return;
    sem_post(&here);
    for (;;)
        pause();
}

static void *work(void *arg)
{
    pthread_once(&once, routine);
    return arg;
}

int main(void)
{
    pthread_t t;
    void *value;

    WORKS(sem_init(&here, 0, 0));
    ANSWERS(pthread_create(&t, NULL, work, NULL), 0);
    WORKS(sem_wait(&here));
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    ANSWERS(pthread_once(&once, routine), 0);
    HOLDS(runs == 2);
    return PASS;
}

/* broadcast.c - broadcast wakes all who wait (XSH pthread_cond_broadcast) */
#include "../verdict.h"

#include <pthread.h>

#define THREADS 10

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER, here = PTHREAD_COND_INITIALIZER;
static int waiting, open;

static void *wait(void *arg)
{
    pthread_mutex_lock(&m);
    waiting++;
    pthread_cond_signal(&here);
    while (!open)
        pthread_cond_wait(&c, &m);
    waiting--;
    pthread_mutex_unlock(&m);
    return arg;
}

int main(void)
{
    pthread_t t[THREADS];

    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, wait, NULL), 0);
    pthread_mutex_lock(&m);
    while (waiting < THREADS)
        pthread_cond_wait(&here, &m);
    open = 1;
    ANSWERS(pthread_cond_broadcast(&c), 0);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(waiting == 0);
    ANSWERS(pthread_cond_destroy(&c), 0);
    return PASS;
}

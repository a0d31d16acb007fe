/*
 * no-early-end.c - a timed wait that nobody signals ends with ETIMEDOUT, not before the time
 * (XSH pthread_cond_timedwait)
 */
#include "../verdict.h"

#include <pthread.h>

static void *waits(void *arg)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct timespec until = after_ms(CLOCK_REALTIME, 1700);

    NEEDS(pthread_mutex_lock(&mutex));
    ANSWERS(pthread_cond_timedwait(&cond, &mutex, &until), ETIMEDOUT);
    HOLDS(is_past(CLOCK_REALTIME, &until));
    ANSWERS(pthread_mutex_unlock(&mutex), 0);
    return arg;
}

int main(void)
{
    pthread_t t;

    NEEDS(pthread_create(&t, NULL, waits, NULL));
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

/* timed.c - timed locks: ETIMEDOUT not before their time (XSH pthread_rwlock_timedwrlock) */
#include "../verdict.h"

#include <pthread.h>

static pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;

static void *wait(void *arg)
{
    struct timespec until = after_ms(CLOCK_REALTIME, 50);

    ANSWERS(pthread_rwlock_timedwrlock(&l, &until), ETIMEDOUT);
    HOLDS(is_past(CLOCK_REALTIME, &until));
    until = after_ms(CLOCK_REALTIME, 50);
    ANSWERS(pthread_rwlock_timedrdlock(&l, &until), ETIMEDOUT);
    HOLDS(is_past(CLOCK_REALTIME, &until));
    return arg;
}

int main(void)
{
    pthread_t t;

    ANSWERS(pthread_rwlock_wrlock(&l), 0);
    ANSWERS(pthread_create(&t, NULL, wait, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

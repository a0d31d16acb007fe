/*
 * timedwait-clock.c - timedwait measures with the clock of the attribute, and holds the mutex
 * after ETIMEDOUT (XSH pthread_cond_timedwait)
 */
#include "../verdict.h"

#include <pthread.h>

int main(void)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    pthread_mutex_t m;
    pthread_mutexattr_t kind;

    ANSWERS(pthread_mutexattr_init(&kind), 0);
    ANSWERS(pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK), 0);
    ANSWERS(pthread_mutex_init(&m, &kind), 0);
    for (int i = 0; i < 2; i++) {
        struct timespec until = after_ms(clocks[i], 50), bad = until;
        pthread_condattr_t attr;
        pthread_cond_t c;
        int err;

        ANSWERS(pthread_condattr_init(&attr), 0);
        ANSWERS(pthread_condattr_setclock(&attr, clocks[i]), 0);
        ANSWERS(pthread_cond_init(&c, &attr), 0);
        ANSWERS(pthread_mutex_lock(&m), 0);
        bad.tv_nsec = 1000000000;
        ANSWERS(pthread_cond_timedwait(&c, &m, &bad), EINVAL);
        do
            err = pthread_cond_timedwait(&c, &m, &until);
        while (!err);
        ANSWERS(err, ETIMEDOUT);
        HOLDS(is_past(clocks[i], &until));
        ANSWERS(pthread_mutex_unlock(&m), 0); /* EPERM: it would not be held */
        ANSWERS(pthread_cond_destroy(&c), 0);
    }
    return PASS;
}

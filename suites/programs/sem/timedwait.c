/*
 * timedwait.c - sem_timedwait: ETIMEDOUT not before its time; EINVAL for a bad one that has to
 * wait (XSH sem_timedwait)
 */
#include "../verdict.h"

#include <semaphore.h>

int main(void)
{
    struct timespec until = after_ms(CLOCK_REALTIME, 50), bad = {0, -1};
    sem_t s;

    WORKS(sem_init(&s, 0, 0));
    FAILS(sem_timedwait(&s, &bad), EINVAL);
    FAILS(sem_timedwait(&s, &until), ETIMEDOUT);
    HOLDS(is_past(CLOCK_REALTIME, &until));
    return PASS;
}

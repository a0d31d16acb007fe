/* value.c - the value counts posts less waits; trywait of 0 is EAGAIN (XSH sem_trywait) */
#include "../verdict.h"

#include <limits.h>
#include <semaphore.h>

int main(void)
{
    int value = -1;
    sem_t s;

    WORKS(sem_init(&s, 0, 2));
    WORKS(sem_wait(&s));
    WORKS(sem_trywait(&s));
    FAILS(sem_trywait(&s), EAGAIN);
    WORKS(sem_post(&s));
    WORKS(sem_getvalue(&s, &value));
    HOLDS(value == 1);
    WORKS(sem_destroy(&s));
    FAILS(sem_init(&s, 0, (unsigned)SEM_VALUE_MAX + 1), EINVAL);
    return PASS;
}

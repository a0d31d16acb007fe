/* relock.c - a writer that locks again: EDEADLK (XSH pthread_rwlock_wrlock) */
#include "../verdict.h"

#include <pthread.h>

int main(void)
{
    pthread_rwlock_t l;

    ANSWERS(pthread_rwlock_init(&l, NULL), 0);
    ANSWERS(pthread_rwlock_wrlock(&l), 0);
    ANSWERS(pthread_rwlock_wrlock(&l), EDEADLK);
    ANSWERS(pthread_rwlock_rdlock(&l), EDEADLK);
    ANSWERS(pthread_rwlock_unlock(&l), 0);
    return PASS;
}

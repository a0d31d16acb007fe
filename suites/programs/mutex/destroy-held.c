/*
 * destroy-held.c - destroying a mutex that is held: EBUSY, and it stays usable (XSH
 * pthread_mutex_destroy, 2004)
 */
#include "../verdict.h"

#include <pthread.h>

int main(void)
{
    pthread_mutex_t m;

    ANSWERS(pthread_mutex_init(&m, NULL), 0);
    ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_mutex_destroy(&m), EBUSY);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_mutex_destroy(&m), 0);
    ANSWERS(pthread_mutex_init(&m, NULL), 0); /* may be made anew */
    return PASS;
}

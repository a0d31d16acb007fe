/*
 * static-kinds.c - the static initialisers make the kinds that they name (XSH
 * pthread_mutex_init; _NP of the C library)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

int main(void)
{
    ANSWERS(pthread_mutex_lock(&normal), 0);
    ANSWERS(pthread_mutex_trylock(&normal), EBUSY);
    ANSWERS(pthread_mutex_lock(&recursive), 0);
    ANSWERS(pthread_mutex_lock(&recursive), 0);
    ANSWERS(pthread_mutex_lock(&errorcheck), 0);
    ANSWERS(pthread_mutex_lock(&errorcheck), EDEADLK);
    return PASS;
}

/*
 * destructors.c - destructors run with the value, which is NULL meanwhile, in at most
 * PTHREAD_DESTRUCTOR_ITERATIONS rounds (XSH pthread_key_create)
 */
#include "../verdict.h"

#include <limits.h>
#include <pthread.h>

static pthread_key_t key, again;
static int ran, rounds;

static void once(void *value)
{
    HOLDS(pthread_getspecific(key) == NULL);
    ran += value == &ran;
}

static void for_ever(void *value)
{
    rounds++;
    pthread_setspecific(again, value);
}

static void *work(void *arg)
{
    HOLDS(pthread_getspecific(key) == NULL);
    ANSWERS(pthread_setspecific(key, &ran), 0);
    ANSWERS(pthread_setspecific(again, &rounds), 0);
    return arg;
}

int main(void)
{
    pthread_t t;

    ANSWERS(pthread_key_create(&key, once), 0);
    ANSWERS(pthread_key_create(&again, for_ever), 0);
    ANSWERS(pthread_create(&t, NULL, work, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(ran == 1);
    HOLDS(rounds >= 1 && rounds <= PTHREAD_DESTRUCTOR_ITERATIONS);
    return PASS;
}

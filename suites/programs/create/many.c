/*
 * many.c - threads may be created until a limit is hit, which is EAGAIN, and join gives their
 * room back (XSH pthread_create)
 */
#include "../verdict.h"

#include <pthread.h>

#define ROUNDS 20
#define THREADS 50

static void *number(void *arg)
{
    return arg;
}

int main(void)
{
    pthread_t t[THREADS];
    void *value;

    for (int round = 0; round < ROUNDS; round++) {
        for (long i = 0; i < THREADS; i++)
            ANSWERS(pthread_create(&t[i], NULL, number, (void *)i), 0);
        for (long i = 0; i < THREADS; i++) {
            ANSWERS(pthread_join(t[i], &value), 0);
            HOLDS(value == (void *)i);
        }
    }
    return PASS;
}

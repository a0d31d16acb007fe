/*
 * spins.c - a thread that calls nothing stops no other: it is not what POSIX would call a deadlock.
 * Its running ends nobody's sleep early (XSH 2.9.4, nanosleep).
 */
#include "../verdict.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic int stop;

static void *spin(void *arg)
{
    while (!stop)
        ;
    return arg;
}

static void *end(void *arg)
{
    for (int i = 0; i < 3; i++) {
        struct timespec until = after_ms(CLOCK_MONOTONIC, 20), time = {0, 20000000};

        WORKS(nanosleep(&time, NULL));
        HOLDS(is_past(CLOCK_MONOTONIC, &until));
    }
    stop = 1;
    return arg;
}

int main(void)
{
    pthread_t threads[5];

    NEEDS(pthread_create(&threads[0], NULL, end, NULL));
    for (int i = 1; i < 5; i++)
        NEEDS(pthread_create(&threads[i], NULL, spin, NULL));
    for (int i = 0; i < 5; i++)
        ANSWERS(pthread_join(threads[i], NULL), 0);
    return PASS;
}

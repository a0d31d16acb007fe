/*
 * serial.c - of each round one thread gets SERIAL_THREAD; a count of 0 is EINVAL (XSH
 * pthread_barrier_wait)
 */
#include "../verdict.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 5
#define ROUNDS 50

static pthread_barrier_t b;
static _Atomic int serial, arrived;

static void *work(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        int answer;

        arrived++;
        answer = pthread_barrier_wait(&b);
        HOLDS(answer == 0 || answer == PTHREAD_BARRIER_SERIAL_THREAD);
        HOLDS(arrived >= THREADS * (i + 1));
        serial += answer == PTHREAD_BARRIER_SERIAL_THREAD;
    }
    return arg;
}

int main(void)
{
    pthread_t t[THREADS];

    ANSWERS(pthread_barrier_init(&b, NULL, 0), EINVAL);
    ANSWERS(pthread_barrier_init(&b, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, work, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(serial == ROUNDS);
    ANSWERS(pthread_barrier_destroy(&b), 0);
    return PASS;
}

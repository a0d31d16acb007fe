/* excludes.c - between lock and unlock there is one thread (XSH pthread_mutex_lock) */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>

#define THREADS 8
#define ROUNDS 2000

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static volatile int inside, count;

static void *work(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&m);
        HOLDS(++inside == 1);
        count = count + 1;
        if (i % 64 == 0)
            sched_yield();
        inside--;
        pthread_mutex_unlock(&m);
    }
    return arg;
}

int main(void)
{
    pthread_t t[THREADS];

    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, work, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(count == THREADS * ROUNDS);
    return PASS;
}

/* excludes.c - a spin lock excludes; trylock of a held one: EBUSY (XSH pthread_spin_lock) */
#include "../verdict.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS 1000

static pthread_spinlock_t s;
static volatile int count;

static void *work(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_spin_lock(&s);
        count = count + 1;
        pthread_spin_unlock(&s);
    }
    return arg;
}

int main(void)
{
    pthread_t t[THREADS];

    ANSWERS(pthread_spin_init(&s, PTHREAD_PROCESS_PRIVATE), 0);
    ANSWERS(pthread_spin_lock(&s), 0);
    ANSWERS(pthread_spin_trylock(&s), EBUSY);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, work, NULL), 0);
    ANSWERS(pthread_spin_unlock(&s), 0);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(count == THREADS * ROUNDS);
    return PASS;
}

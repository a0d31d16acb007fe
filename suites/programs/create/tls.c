/* tls.c - a _Thread_local variable and errno are each thread's own (C11 6.2.4, XSH 2.3) */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>

static _Thread_local int mine = 5;

static void *change(void *arg)
{
    HOLDS(mine == 5);
    mine = (int)(long)arg;
    errno = mine;
    for (int i = 0; i < 100; i++)
        sched_yield();
    HOLDS(mine == (int)(long)arg && errno == mine);
    return NULL;
}

int main(void)
{
    pthread_t t[4];

    for (long i = 0; i < 4; i++)
        ANSWERS(pthread_create(&t[i], NULL, change, (void *)(i + 10)), 0);
    for (int i = 0; i < 4; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(mine == 5);
    return PASS;
}

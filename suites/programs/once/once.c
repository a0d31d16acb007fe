/* once.c - the routine runs once, and has run when any once returns (XSH pthread_once) */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static volatile int runs, ended;

static void routine(void)
{
    runs++;
    for (int i = 0; i < 50; i++)
        sched_yield();
    ended = 1;
}

static void *work(void *arg)
{
    ANSWERS(pthread_once(&once, routine), 0);
    HOLDS(ended);
    return arg;
}

int main(void)
{
    pthread_t t[6];

    for (int i = 0; i < 6; i++)
        ANSWERS(pthread_create(&t[i], NULL, work, NULL), 0);
    for (int i = 0; i < 6; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(runs == 1);
    return PASS;
}

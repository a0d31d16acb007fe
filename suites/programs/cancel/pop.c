/*
 * pop.c - cleanup_pop runs the handler if it is told to, and only then (XSH pthread_cleanup_pop)
 */
#include "../verdict.h"

#include <pthread.h>

static int ran;

static void handler(void *arg)
{
    ran += *(int *)arg;
}

static void *leave(void *arg)
{
    int hundred = 100;

    pthread_cleanup_push(handler, &hundred);
    pthread_exit(arg);
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    int one = 1, ten = 10;
    pthread_t t;

    pthread_cleanup_push(handler, &one);
    pthread_cleanup_push(handler, &ten);
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(0);
    HOLDS(ran == 10);
    ANSWERS(pthread_create(&t, NULL, leave, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(ran == 110);
    return PASS;
}

/*
 * argument.c - the new thread gets the argument, and join its value (XSH pthread_create,
 * pthread_join)
 */
#include "../verdict.h"

#include <pthread.h>

static void *echo(void *arg)
{
    return (char *)arg + 1;
}

int main(void)
{
    char cell[2];
    pthread_t t;
    void *value = NULL;

    ANSWERS(pthread_create(&t, NULL, echo, cell), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == cell + 1);
    return PASS;
}

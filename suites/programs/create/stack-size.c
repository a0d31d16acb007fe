/*
 * stack-size.c - a thread has the stack that its attribute asks for (XSH
 * pthread_attr_setstacksize)
 */
#include "../verdict.h"

#include <pthread.h>

#define SIZE (1 << 20)

static void *use(void *arg)
{
    volatile char room[SIZE / 2];

    for (size_t i = 0; i < sizeof room; i += 1024)
        room[i] = 1;
    return arg;
}

int main(void)
{
    pthread_attr_t attr;
    size_t size = 0;
    pthread_t t;

    ANSWERS(pthread_attr_init(&attr), 0);
    ANSWERS(pthread_attr_setstacksize(&attr, SIZE), 0);
    ANSWERS(pthread_attr_getstacksize(&attr, &size), 0);
    HOLDS(size == SIZE);
    ANSWERS(pthread_create(&t, &attr, use, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

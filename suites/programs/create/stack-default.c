/*
 * stack-default.c - a thread of attributes that nobody has set a stack size in has the default one
 * (XSH pthread_attr_init, pthread_attr_getstacksize): it can use most of what the attribute says
 */
#include "../verdict.h"

#include <pthread.h>
#include <stdint.h>

static void *digs(void *arg)
{
    volatile char room[4096];
    size_t left = (size_t)arg;

    room[0] = 1;
    return left <= sizeof room || digs((void *)(left - sizeof room)) ? (void *)(uintptr_t)room[0]
                                                                     : NULL;
}

int main(void)
{
    pthread_attr_t attr;
    pthread_t t;
    void *value;
    size_t size, most;

    ANSWERS(pthread_attr_init(&attr), 0);
    ANSWERS(pthread_attr_getstacksize(&attr, &size), 0);
    most = size < 1 << 23 ? size / 2 : 1 << 22;
    for (int i = 0; i < 2; i++) {
        ANSWERS(pthread_create(&t, i ? &attr : NULL, digs, (void *)most), 0);
        ANSWERS(pthread_join(t, &value), 0);
        HOLDS(value == (void *)1);
    }
    return PASS;
}

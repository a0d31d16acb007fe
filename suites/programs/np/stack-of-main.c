/*
 * stack-of-main.c - pthread_getattr_np tells the first thread's stack, to it and to others, after
 * it has been anywhere (garbage collectors ask)
 */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

static pthread_t first;
static const char *on_it;

static void look(void)
{
    pthread_attr_t attr;
    void *low;
    size_t size;

    ANSWERS(pthread_getattr_np(first, &attr), 0);
    ANSWERS(pthread_attr_getstack(&attr, &low, &size), 0);
    HOLDS(on_it >= (char *)low && on_it < (char *)low + size);
    ANSWERS(pthread_attr_destroy(&attr), 0);
}

static void *looks(void *arg)
{
    for (int i = 0; i < 20; i++) {
        look();
        usleep(500);
    }
    return arg;
}

int main(void)
{
    pthread_t t[4];
    char here;

    first = pthread_self();
    on_it = &here;
    for (int i = 0; i < 4; i++)
        ANSWERS(pthread_create(&t[i], NULL, looks, NULL), 0);
    looks(NULL);
    for (int i = 0; i < 4; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    return PASS;
}

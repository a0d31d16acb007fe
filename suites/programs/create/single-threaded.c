/*
 * single-threaded.c - a process that has created a thread is not said to have but one: shared
 * pointers of C++ count without atomic operations then (glibc, <sys/single_threaded.h>)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/single_threaded.h>

static void *work(void *said)
{
    *(int *)said = __libc_single_threaded;
    return NULL;
}

int main(void)
{
    pthread_t t;
    int said = 1;

    ANSWERS(pthread_create(&t, NULL, work, &said), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(!said);
    return PASS;
}

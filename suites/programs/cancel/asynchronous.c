/*
 * asynchronous.c - a thread that computes is cancelled where the type is asynchronous (XSH
 * 2.9.5.1); needs preemption
 */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

static volatile int running, cleaned;
static volatile unsigned long count;

static void clean(void *arg)
{
    cleaned = *(int *)arg;
}

static void *work(void *arg)
{
    int mark = 42;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_cleanup_push(clean, &mark);
    running = 1;
    for (;;)
        count++;
    pthread_cleanup_pop(0);
    return arg;
}

int main(void)
{
    pthread_t t;
    void *value;

    ANSWERS(pthread_create(&t, NULL, work, NULL), 0);
    while (!running)
        usleep(1000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    HOLDS(cleaned == 42);
    return PASS;
}

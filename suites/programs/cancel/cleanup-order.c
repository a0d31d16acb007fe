/*
 * cleanup-order.c - cleanup handlers run last in first out, then destructors; the value is
 * CANCELED (XSH 2.9.5.3)
 */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

static char order[8];
static int n;
static pthread_key_t key;

static void note(void *arg)
{
    order[n++] = *(char *)arg;
}

static void *work(void *arg)
{
    char a = 'a', b = 'b';

    pthread_setspecific(key, "k");
    pthread_cleanup_push(note, &a);
    pthread_cleanup_push(note, &b);
    for (;;)
        sleep(100);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return arg;
}

int main(void)
{
    pthread_t t;
    void *value;

    ANSWERS(pthread_key_create(&key, note), 0);
    ANSWERS(pthread_create(&t, NULL, work, NULL), 0);
    usleep(20000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    if (strcmp(order, "bak"))
        FAILED("the order was %s, right is bak", order);
    return PASS;
}

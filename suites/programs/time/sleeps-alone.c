/* sleeps-alone.c - a thread that sleeps or waits in read does not stop the others (XSH 2.9.1) */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

static int line[2];
static volatile int ticks;

static void *reader(void *arg)
{
    char byte;

    HOLDS(read(line[0], &byte, 1) == 1);
    return arg;
}

static void *ticker(void *arg)
{
    for (; ticks < 5; ticks++)
        usleep(1000);
    HOLDS(write(line[1], "x", 1) == 1);
    return arg;
}

int main(void)
{
    pthread_t r, t;

    WORKS(pipe(line));
    ANSWERS(pthread_create(&r, NULL, reader, NULL), 0);
    ANSWERS(pthread_create(&t, NULL, ticker, NULL), 0);
    ANSWERS(pthread_join(r, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(ticks == 5);
    return PASS;
}

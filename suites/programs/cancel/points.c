/*
 * points.c - calls that wait are cancellation points, also where they need not wait (XSH
 * 2.9.5.2)
 */
#include "../verdict.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

static int line[2];
static sem_t none, some;
static pthread_t sleeper;

static void point(int which)
{
    struct timespec time = {100, 0};
    sigset_t set;
    char byte;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    switch (which) {
    case 0:
        (void)!read(line[0], &byte, 1);
        break;
    case 1:
        sem_wait(&none);
        break;
    case 2:
        nanosleep(&time, NULL);
        break;
    case 3:
        poll(NULL, 0, -1);
        break;
    case 4:
        select(0, NULL, NULL, NULL, NULL);
        break;
    case 5:
        pause();
        break;
    case 6:
        sigwaitinfo(&set, NULL);
        break;
    case 7:
        sem_wait(&some); /* would not wait */
        break;
    case 8:
        pthread_join(sleeper, NULL);
        break;
    case 9:
        pthread_testcancel();
        break;
    }
}

static void *work(void *arg)
{
    point((int)(long)arg);
    for (;;)
        pause(); /* what was interrupted, or came too early */
    return NULL;
}

static void *sleep_long(void *arg)
{
    for (;;)
        pause();
    return arg;
}

int main(void)
{
    pthread_t t;
    void *value;

    WORKS(pipe(line));
    WORKS(sem_init(&none, 0, 0));
    WORKS(sem_init(&some, 0, 100));
    ANSWERS(pthread_create(&sleeper, NULL, sleep_long, NULL), 0);
    for (long which = 0; which < 10; which++) {
        ANSWERS(pthread_create(&t, NULL, work, (void *)which), 0);
        usleep(10000);
        ANSWERS(pthread_cancel(t), 0);
        ANSWERS(pthread_join(t, &value), 0);
        if (value != PTHREAD_CANCELED)
            FAILED("point %ld: it was not cancelled", which);
    }
    return PASS;
}

/*
 * no-room.c - with RLIMIT_SIGPENDING at 0 a standard signal that is not pending yet is sent all the
 * same (XSH pthread_kill: no EAGAIN; setrlimit(2)): also by a library that sends some of its own
 */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#define SIGNALS 50

static volatile int ran, over;

static void count(int sig)
{
    (void)sig;
    ran++; /* in the one thread that they are sent to */
}

static void *spin(void *arg)
{
    while (!over)
        if (arg)
            sched_yield(); /* a third one: so that each of them is preempted */
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = count};
    struct rlimit none = {0, 0};
    pthread_t t, other;

    WORKS(setrlimit(RLIMIT_SIGPENDING, &none));
    WORKS(sigaction(SIGUSR1, &action, NULL));
    ANSWERS(pthread_create(&t, NULL, spin, NULL), 0);
    ANSWERS(pthread_create(&other, NULL, spin, (void *)&over), 0);
    for (int i = 0; i < SIGNALS; i++) {
        ANSWERS(pthread_kill(t, SIGUSR1), 0);
        while (ran == i)
            sched_yield();
    }
    over = 1;
    ANSWERS(pthread_join(t, NULL), 0);
    ANSWERS(pthread_join(other, NULL), 0);
    HOLDS(ran == SIGNALS);
    return PASS;
}

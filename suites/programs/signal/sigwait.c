/* sigwait.c - sigwait takes a blocked signal that was sent to the process (XSH sigwait) */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static sigset_t set;
static volatile int got;

static void *wait(void *arg)
{
    int sig;

    ANSWERS(sigwait(&set, &sig), 0);
    got = sig;
    return arg;
}

int main(void)
{
    pthread_t t;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ANSWERS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    ANSWERS(pthread_create(&t, NULL, wait, NULL), 0);
    usleep(10000);
    WORKS(kill(getpid(), SIGUSR1));
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(got == SIGUSR1);
    return PASS;
}

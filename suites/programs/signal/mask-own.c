/*
 * mask-own.c - each thread has its own mask, which a new one inherits (XSH pthread_sigmask,
 * pthread_create)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>

static void *look(void *arg)
{
    sigset_t set;

    ANSWERS(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    HOLDS(sigismember(&set, SIGUSR1) == 1);
    sigemptyset(&set);
    ANSWERS(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
    return arg;
}

int main(void)
{
    sigset_t set;
    pthread_t t;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ANSWERS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    ANSWERS(pthread_sigmask(99, &set, NULL), EINVAL);
    ANSWERS(pthread_create(&t, NULL, look, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    ANSWERS(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    HOLDS(sigismember(&set, SIGUSR1) == 1);
    return PASS;
}

/*
 * attr-mask.c - a new thread begins with the signal mask of its creator, or with that of its
 * attributes, if they have one (XSH pthread_create; pthread_attr_setsigmask_np(3))
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>

static void *looks(void *set)
{
    pthread_sigmask(SIG_BLOCK, NULL, set);
    return NULL;
}

static sigset_t mask_of_new(const pthread_attr_t *attr)
{
    sigset_t set;
    pthread_t t;

    NEEDS(pthread_create(&t, attr, looks, &set));
    ANSWERS(pthread_join(t, NULL), 0);
    return set;
}

int main(void)
{
    sigset_t one, two, got;
    pthread_attr_t attr;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigemptyset(&two);
    sigaddset(&two, SIGUSR2);
    ANSWERS(pthread_sigmask(SIG_SETMASK, &one, NULL), 0);
    ANSWERS(pthread_attr_init(&attr), 0);
    got = mask_of_new(&attr);
    HOLDS(sigismember(&got, SIGUSR1) == 1 && sigismember(&got, SIGUSR2) == 0);
    ANSWERS(pthread_attr_setsigmask_np(&attr, &two), 0);
    got = mask_of_new(&attr);
    HOLDS(sigismember(&got, SIGUSR1) == 0 && sigismember(&got, SIGUSR2) == 1);
    ANSWERS(pthread_sigmask(SIG_BLOCK, NULL, &got), 0);
    HOLDS(sigismember(&got, SIGUSR1) == 1 && sigismember(&got, SIGUSR2) == 0);
    return PASS;
}

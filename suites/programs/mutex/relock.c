/*
 * relock.c - a normal mutex that its holder locks again: it does not come back, not after a signal
 * handler either (XSH pthread_mutex_lock)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t handled;

static void count(int sig)
{
    (void)sig;
    if (++handled == 5)
        _Exit(PASS);
}

int main(void)
{
    struct itimerval each = {.it_interval = {.tv_usec = 30000}, .it_value = {.tv_usec = 30000}};
    pthread_mutex_t m;
    pthread_mutexattr_t attr;

    ANSWERS(pthread_mutexattr_init(&attr), 0);
    ANSWERS(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_NORMAL), 0);
    ANSWERS(pthread_mutex_init(&m, &attr), 0);
    ANSWERS(pthread_mutex_lock(&m), 0);
    HOLDS(signal(SIGALRM, count) != SIG_ERR);
    WORKS(setitimer(ITIMER_REAL, &each, NULL));
    pthread_mutex_lock(&m);
    FAILED("the second lock came back after %d handlers", (int)handled);
}

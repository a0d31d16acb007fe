/*
 * to-thread.c - pthread_kill runs the handler in that thread; 0 only asks; a bad number is
 * EINVAL (XSH pthread_kill)
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

static pthread_t handled_in;
static sem_t here;
static volatile int handled;

static void handler(int sig)
{
    (void)sig;
    handled_in = pthread_self();
    handled = 1;
}

static void *wait(void *arg)
{
    struct timespec moment = {0, 1000000};

    sem_post(&here);
    while (!handled)
        nanosleep(&moment, NULL);
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t t;

    WORKS(sem_init(&here, 0, 0));
    WORKS(sigaction(SIGUSR1, &action, NULL));
    ANSWERS(pthread_create(&t, NULL, wait, NULL), 0);
    WORKS(sem_wait(&here));
    ANSWERS(pthread_kill(t, 0), 0);
    ANSWERS(pthread_kill(t, 1000), EINVAL);
    ANSWERS(pthread_kill(t, SIGUSR1), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(pthread_equal(handled_in, t));
    return PASS;
}

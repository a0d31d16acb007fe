/* interrupted.c - a handler without SA_RESTART ends sem_wait with EINTR (XSH sem_wait) */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

static sem_t s, here;
static volatile int left;

static void handler(int sig)
{
    (void)sig;
}

static void *wait(void *arg)
{
    WORKS(sem_post(&here));
    FAILS(sem_wait(&s), EINTR);
    left = 1;
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    struct timespec moment = {0, 20000000};
    pthread_t t;

    WORKS(sem_init(&s, 0, 0));
    WORKS(sem_init(&here, 0, 0));
    WORKS(sigaction(SIGUSR1, &action, NULL));
    ANSWERS(pthread_create(&t, NULL, wait, NULL), 0);
    WORKS(sem_wait(&here));
    while (!left) {
        nanosleep(&moment, NULL);
        if (!left) /* again: the first may have come before it waited */
            pthread_kill(t, SIGUSR1);
    }
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

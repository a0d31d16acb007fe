/* post-in-handler.c - sem_post may be called in a handler (XSH 2.4.3) */
#include "../verdict.h"

#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

static sem_t s;

static void handler(int sig)
{
    (void)sig;
    sem_post(&s);
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    WORKS(sem_init(&s, 0, 0));
    WORKS(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    while (sem_wait(&s) == -1)
        HOLDS(errno == EINTR);
    return PASS;
}

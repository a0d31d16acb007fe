/*
 * handled.c - children of several threads end while those fork more, and a handler of SIGCHLD reaps
 * them (XSH fork, waitpid)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define CHILDREN 25 /* of each */

static _Atomic int reaped;

static void reaps(int sig)
{
    int saved = errno;

    (void)sig;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        atomic_fetch_add(&reaped, 1);
    errno = saved;
}

static void *forks(void *arg)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();

        WORKS(child);
        if (!child)
            _exit(PASS);
    }
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = reaps, .sa_flags = SA_RESTART};
    pthread_t t[THREADS];

    WORKS(sigaction(SIGCHLD, &action, NULL));
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, forks, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    while (atomic_load(&reaped) < THREADS * CHILDREN)
        usleep(1000);
    FAILS(waitpid(-1, NULL, 0), ECHILD);
    return PASS;
}

/*
 * any-number.c - each signal but SIGKILL and SIGSTOP can be set to its default (XSH sigaction), as
 * programs do in the child before exec; and a thread that spins still stops nobody
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic int done;

static void *spins(void *arg)
{
    while (!atomic_load(&done))
        ;
    return arg;
}

static void set_all(void)
{
    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            HOLDS(signal(sig, SIG_DFL) != SIG_ERR);
    FAILS(sigaction(SIGKILL, &(struct sigaction){.sa_handler = SIG_DFL}, NULL), EINVAL);
}

int main(void)
{
    pthread_t t;
    pid_t child;
    int status;

    set_all();
    child = fork();
    WORKS(child);
    if (!child) {
        set_all();
        _exit(PASS);
    }
    HOLDS(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == PASS);

    ANSWERS(pthread_create(&t, NULL, spins, NULL), 0);
    usleep(20000);
    atomic_store(&done, 1);
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

/*
 * handler-changes.c - a thread sets another action while signals come: each one is ignored, or runs
 * a handler that was set (XSH sigaction)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic int done;

static void plain(int sig)
{
    HOLDS(sig == SIGUSR1);
}

static void with_info(int sig, siginfo_t *info, void *context)
{
    HOLDS(sig == SIGUSR1 && info->si_signo == sig && context);
}

static void *changes(void *arg)
{
    struct sigaction a = {.sa_handler = plain}, none = {.sa_handler = SIG_IGN}, old,
                     b = {.sa_sigaction = with_info, .sa_flags = SA_SIGINFO};

    while (!atomic_load(&done)) {
        WORKS(sigaction(SIGUSR1, &none, &old));
        WORKS(sigaction(SIGUSR1, &a, &old));
        HOLDS(old.sa_handler == SIG_IGN);
        WORKS(sigaction(SIGUSR1, &b, &old));
        HOLDS(old.sa_handler == plain && !(old.sa_flags & SA_SIGINFO));
    }
    return arg;
}

static void *runs(void *arg)
{
    while (!atomic_load(&done))
        sched_yield();
    return arg;
}

int main(void)
{
    pthread_t t[3];
    pid_t us = getpid(), child;

    HOLDS(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    child = fork();
    WORKS(child);
    if (!child) {
        for (int i = 0; i < 30000 && !kill(us, SIGUSR1); i++)
            ;
        _exit(PASS);
    }
    for (int i = 0; i < 3; i++)
        ANSWERS(pthread_create(&t[i], NULL, i ? runs : changes, NULL), 0);
    while (waitpid(child, NULL, 0) != child)
        HOLDS(errno == EINTR);
    atomic_store(&done, 1);
    for (int i = 0; i < 3; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    return PASS;
}

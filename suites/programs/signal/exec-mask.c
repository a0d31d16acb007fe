/*
 * exec-mask.c - the program that is executed has the caller's signal mask and what was pending, and
 * what was ignored is; no thread but the first (XSH exec)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static void *waits(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static int after(void)
{
    struct sigaction action;
    sigset_t mask, pending;

    ANSWERS(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    HOLDS(sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGRTMIN) &&
          !sigismember(&mask, SIGUSR2));
    WORKS(sigpending(&pending));
    HOLDS(sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGRTMIN));
    WORKS(sigaction(SIGALRM, NULL, &action));
    HOLDS(action.sa_handler == SIG_IGN);
    WORKS(sigaction(SIGUSR2, NULL, &action));
    HOLDS(action.sa_handler == SIG_DFL);
    return PASS;
}

static void nothing(int sig)
{
    (void)sig;
}

int main(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, handle = {.sa_handler = nothing};
    sigset_t mask;
    pthread_t t;

    if (argc > 1)
        return after();
    NEEDS(pthread_create(&t, NULL, waits, NULL));
    WORKS(sigaction(SIGALRM, &ignore, NULL));
    WORKS(sigaction(SIGUSR2, &handle, NULL));
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGRTMIN);
    ANSWERS(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
    ANSWERS(pthread_kill(pthread_self(), SIGUSR1), 0);
    FAILS(execl("./no-such-program", "none", (char *)NULL), ENOENT);
    execl("/proc/self/exe", argv[0], "again", (char *)NULL);
    printf("execl: %s\n", strerror(errno));
    return UNRESOLVED;
}

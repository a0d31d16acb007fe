/*
 * action.c - sigaction tells what was installed, blocks the signal in its handler, and RESETHAND
 * sets it back (XSH sigaction)
 */
#include "../verdict.h"

#include <signal.h>

static volatile int depth, deepest, calls;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)context;
    HOLDS(info && info->si_signo == sig);
    if (++depth > deepest)
        deepest = depth;
    if (++calls == 1)
        raise(sig);
    depth--;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO}, old;

    FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
    FAILS(sigaction(1000, &action, NULL), EINVAL);
    WORKS(sigaction(SIGUSR1, &action, NULL));
    WORKS(sigaction(SIGUSR1, NULL, &old));
    HOLDS(old.sa_sigaction == handler && old.sa_flags & SA_SIGINFO);
    WORKS(raise(SIGUSR1));
    HOLDS(calls == 2 && deepest == 1);
    action.sa_flags |= (int)SA_RESETHAND;
    WORKS(sigaction(SIGUSR1, &action, NULL));
    WORKS(raise(SIGUSR1));
    WORKS(sigaction(SIGUSR1, NULL, &old));
    HOLDS(old.sa_handler == SIG_DFL);
    return PASS;
}

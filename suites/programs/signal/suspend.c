/*
 * suspend.c - sigsuspend waits with its mask until a handler has run, and puts the old one back
 * (XSH sigsuspend)
 */
#include "../verdict.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handler(int sig)
{
    handled = sig;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigset_t block, old, now;

    WORKS(sigaction(SIGALRM, &action, NULL));
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    WORKS(sigprocmask(SIG_BLOCK, &block, &old));
    alarm(1);
    FAILS(sigsuspend(&old), EINTR);
    HOLDS(handled == SIGALRM);
    WORKS(sigprocmask(SIG_SETMASK, NULL, &now));
    HOLDS(sigismember(&now, SIGALRM) == 1);
    return PASS;
}

/*
 * user-code.c - sigwaitinfo tells the cause: SI_USER of raise, SI_QUEUE with the value of sigqueue
 * (XSH sigwaitinfo, 2.4.3)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

int main(void)
{
    siginfo_t info;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    ANSWERS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    ANSWERS(raise(SIGUSR1), 0);
    HOLDS(sigwaitinfo(&set, &info) == SIGUSR1);
    HOLDS(info.si_signo == SIGUSR1 && info.si_code == SI_USER && info.si_pid == getpid());
    WORKS(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7}));
    HOLDS(sigwaitinfo(&set, &info) == SIGRTMIN);
    HOLDS(info.si_code == SI_QUEUE && info.si_value.sival_int == 7);
    return PASS;
}

/*
 * real-time.c - all signals from SIGRTMIN to SIGRTMAX are the program's: queued, the lowest comes
 * first, each with its value (XSH 2.4.1, 2.4.2)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

int main(void)
{
    sigset_t set;
    siginfo_t info;

    sigemptyset(&set);
    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
        WORKS(sigaddset(&set, sig));
    ANSWERS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (int value = 0; value < 2; value++)
        for (int sig = SIGRTMAX; sig >= SIGRTMIN; sig--)
            WORKS(sigqueue(getpid(), sig, (union sigval){.sival_int = value}));
    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
        for (int value = 0; value < 2; value++) {
            WORKS(sigwaitinfo(&set, &info));
            if (info.si_signo != sig || info.si_value.sival_int != value)
                FAILED("%d of signal %d instead of %d of %d", info.si_value.sival_int,
                       info.si_signo, value, sig);
        }
    return PASS;
}

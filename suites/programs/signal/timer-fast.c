/* timer-fast.c - a timer has one signal pending at most (XSH 2.4.1), so the program gets on however
 * short the period is: when the signal, which does nothing, is opened, and from sigwait to sigwait
 */
#include "../verdict.h"

#include <signal.h>
#include <unistd.h>

static timer_t start(int sig)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig};
    struct itimerspec its = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 2};
    timer_t t;

    WORKS(timer_create(CLOCK_MONOTONIC, &ev, &t));
    WORKS(timer_settime(t, 0, &its, NULL));
    usleep(20000);
    return t;
}

int main(void)
{
    sigset_t set;
    timer_t t;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGCONT);
    sigaddset(&set, SIGURG);
    sigaddset(&set, SIGALRM);
    WORKS(sigprocmask(SIG_BLOCK, &set, NULL));
    t = start(SIGALRM);
    for (int i = 0; i < 100; i++) {
        sigemptyset(&set);
        sigaddset(&set, SIGALRM);
        ANSWERS(sigwait(&set, &sig), 0);
        HOLDS(sig == SIGALRM);
    }
    WORKS(timer_delete(t));
    for (int i = 0; i < 2; i++) {
        sig = i ? SIGURG : SIGCONT;
        t = start(sig);
        sigemptyset(&set);
        sigaddset(&set, sig);
        WORKS(sigprocmask(SIG_UNBLOCK, &set, NULL));
        usleep(1000);
        WORKS(timer_delete(t));
    }
    return PASS;
}

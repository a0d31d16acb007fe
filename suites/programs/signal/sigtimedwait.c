/*
 * sigtimedwait.c - sigtimedwait: EAGAIN when none comes; the payload of sigqueue is handed on
 * (XSH sigtimedwait, sigqueue)
 */
#include "../verdict.h"

#include <signal.h>
#include <unistd.h>

int main(void)
{
    struct timespec moment = {0, 20000000};
    union sigval value = {.sival_int = 77};
    siginfo_t info;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    WORKS(sigprocmask(SIG_BLOCK, &set, NULL));
    FAILS(sigtimedwait(&set, &info, &moment), EAGAIN);
    WORKS(sigqueue(getpid(), SIGRTMIN, value));
    HOLDS(sigtimedwait(&set, &info, &moment) == SIGRTMIN);
    HOLDS(info.si_code == SI_QUEUE && info.si_value.sival_int == 77);
    moment.tv_nsec = 1000000000;
    FAILS(sigtimedwait(&set, &info, &moment), EINVAL);
    return PASS;
}

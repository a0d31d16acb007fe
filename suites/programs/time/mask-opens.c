/*
 * mask-opens.c - a signal that is pending, and that the mask of pselect, ppoll or epoll_pwait lets
 * in, ends the call with EINTR: no gap between the two (XSH pselect; epoll_wait(2))
 */
#include "../verdict.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handler(int sig)
{
    (void)sig;
    handled++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    struct timespec long_time = {.tv_sec = 30};
    struct epoll_event event;
    sigset_t all_open, blocked;
    int epoll;

    sigemptyset(&all_open);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    WORKS(sigaction(SIGUSR1, &action, NULL));
    NEEDS(sigprocmask(SIG_BLOCK, &blocked, NULL));
    WORKS(epoll = epoll_create1(0));
    WORKS(kill(getpid(), SIGUSR1));
    FAILS(pselect(0, NULL, NULL, NULL, &long_time, &all_open), EINTR);
    WORKS(kill(getpid(), SIGUSR1));
    FAILS(ppoll(NULL, 0, &long_time, &all_open), EINTR);
    WORKS(kill(getpid(), SIGUSR1));
    FAILS(epoll_pwait(epoll, &event, 1, 30000, &all_open), EINTR);
    HOLDS(handled == 3);
    return PASS;
}

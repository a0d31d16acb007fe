/*
 * mask-atomic.c - pselect, ppoll, epoll_pwait and sigsuspend open the mask and wait in one: a
 * signal that comes just then ends the wait, whatever its SA_RESTART says, after its handler has
 * run (XSH pselect, sigsuspend)
 */
#include "../verdict.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 600 /* one in some hundred meets the moment */

static volatile sig_atomic_t handled;

static void handler(int sig)
{
    (void)sig;
    handled++;
}

/* A process that answers each byte by a signal, a little later each time. */
static pid_t sender(const int bytes[2], pid_t to)
{
    unsigned delay = 1;
    char byte;
    pid_t child = fork();

    WORKS(child);
    if (child)
        return child;
    close(bytes[1]);
    while (read(bytes[0], &byte, 1) == 1) {
        delay = delay * 1103515245 + 12345;
        for (volatile unsigned n = (delay >> 16) % 3000; n; n--)
            ;
        kill(to, SIGUSR1);
    }
    _exit(PASS);
}

static int wait_how(int how, int epoll, const sigset_t *mask)
{
    struct epoll_event event;

    switch (how) {
    case 0:
        return pselect(0, NULL, NULL, NULL, NULL, mask);
    case 1:
        return ppoll(NULL, 0, NULL, mask);
    case 2:
        return epoll_pwait(epoll, &event, 1, -1, mask);
    default:
        return sigsuspend(mask);
    }
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    int epoll = epoll_create1(0), bytes[2];
    sigset_t blocked, open;
    pid_t child;

    WORKS(epoll);
    WORKS(pipe(bytes));
    child = sender(bytes, getpid());
    WORKS(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    WORKS(sigprocmask(SIG_BLOCK, &blocked, &open));
    for (int how = 0; how < 4; how++)
        for (int i = 0; i < ROUNDS; i++) {
            handled = 0;
            WORKS(write(bytes[1], "x", 1));
            FAILS(wait_how(how, epoll, &open), EINTR);
            HOLDS(handled == 1);
        }
    kill(child, SIGKILL);
    HOLDS(waitpid(child, NULL, 0) == child);
    return PASS;
}

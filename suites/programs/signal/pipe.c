/*
 * pipe.c - SIGPIPE of a write is the writing thread's, and its handler has run when the write tells
 * EPIPE, though others have it open (XSH write, 2.4.1)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t handled;
static volatile pthread_t by;

static void handler(int sig)
{
    (void)sig;
    handled++;
    by = pthread_self();
}

static void *waits(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void fails(int fd, int how)
{
    handled = 0;
    if (how)
        FAILS(send(fd, "x", 1, 0), EPIPE);
    else
        FAILS(write(fd, "x", 1), EPIPE);
    HOLDS(handled == 1 && pthread_equal(by, pthread_self()));
}

static void *writes(void *arg)
{
    int ends[2], sockets[2];

    WORKS(pipe(ends));
    WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    close(ends[0]);
    close(sockets[0]);
    fails(ends[1], 0);
    fails(sockets[1], 0);
    fails(sockets[1], 1);
    handled = 0;
    FAILS(send(sockets[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    HOLDS(!handled);
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t t;

    WORKS(sigaction(SIGPIPE, &action, NULL));
    writes(NULL);
    for (int i = 0; i < 3; i++)
        ANSWERS(pthread_create(&t, NULL, waits, NULL), 0);
    for (int i = 0; i < 20; i++) {
        ANSWERS(pthread_create(&t, NULL, writes, NULL), 0);
        ANSWERS(pthread_join(t, NULL), 0);
    }
    writes(NULL);
    return PASS;
}

/*
 * no-handler.c - where no handler is set, nothing tells EINTR, however long the program computes
 * (XSH select, poll): what an implementation sends itself is its own business
 */
#include "../verdict.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static void *asks(void *arg)
{
    struct timespec none = {0}, end = after_ms(CLOCK_MONOTONIC, 700);
    int epoll = epoll_create1(0), ends[2];
    struct epoll_event event;

    WORKS(epoll);
    WORKS(pipe(ends));
    while (!is_past(CLOCK_MONOTONIC, &end))
        for (int i = 0; i < 100; i++) {
            struct pollfd file = {.fd = ends[0], .events = POLLIN};
            struct timeval now = {0};
            fd_set files;

            FD_ZERO(&files);
            FD_SET(ends[0], &files);
            HOLDS(select(ends[0] + 1, &files, NULL, NULL, &now) == 0);
            HOLDS(!FD_ISSET(ends[0], &files));
            HOLDS(pselect(0, NULL, NULL, NULL, &none, NULL) == 0);
            HOLDS(poll(&file, 1, 0) == 0);
            HOLDS(epoll_wait(epoll, &event, 1, 0) == 0);
        }
    return arg;
}

int main(void)
{
    pthread_t t[3];

    for (int i = 0; i < 3; i++)
        ANSWERS(pthread_create(&t[i], NULL, asks, NULL), 0);
    for (int i = 0; i < 3; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    return PASS;
}

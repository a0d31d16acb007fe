/*
 * epoll.c - a thread in epoll_wait lets the others run, and is a cancellation point (epoll_wait(2))
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LETTERS 100

static int poller, ends[2];

static void *reads(void *arg)
{
    struct epoll_event event;
    char letter;

    for (int i = 0; i < LETTERS; i++) {
        HOLDS(epoll_wait(poller, &event, 1, -1) == 1);
        HOLDS(event.data.fd == ends[0] && event.events == EPOLLIN);
        HOLDS(read(ends[0], &letter, 1) == 1 && letter == 'a' + i % 26);
    }
    return arg;
}

static void *waits(void *arg)
{
    struct epoll_event event;

    epoll_wait(poller, &event, 1, -1);
    return arg;
}

int main(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec from, to;
    pthread_t t;
    void *value;

    poller = epoll_create1(0);
    WORKS(poller);
    WORKS(pipe(ends));
    event.data.fd = ends[0];
    WORKS(epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &event));

    ANSWERS(pthread_create(&t, NULL, reads, NULL), 0);
    for (int i = 0; i < LETTERS; i++) {
        HOLDS(write(ends[1], &(char){(char)('a' + i % 26)}, 1) == 1);
        if (i % 10 == 0)
            usleep(1000);
    }
    ANSWERS(pthread_join(t, NULL), 0);

    HOLDS(epoll_wait(poller, &event, 1, 0) == 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    HOLDS(epoll_wait(poller, &event, 1, 20) == 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    HOLDS((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec >= 20000000);
    FAILS(epoll_wait(poller, &event, 0, -1), EINVAL);
    FAILS(epoll_wait(-1, &event, 1, -1), EBADF);

    ANSWERS(pthread_create(&t, NULL, waits, NULL), 0);
    usleep(2000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    return PASS;
}

/* select.c - select and poll wait for a file or a time, and tell which (XSH select, poll) */
#include "../verdict.h"

#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
#include <unistd.h>

static int line[2];

static void *tell(void *arg)
{
    usleep(10000);
    HOLDS(write(line[1], "x", 1) == 1);
    return arg;
}

static void failure_leaves_the_set(void)
{
    struct timeval none = {0};
    fd_set set;
    int ends[2];

    WORKS(pipe(ends));
    WORKS(close(ends[1]));
    FD_ZERO(&set);
    FD_SET(ends[1], &set);
    FAILS(select(ends[1] + 1, &set, NULL, NULL, &none), EBADF);
    HOLDS(FD_ISSET(ends[1], &set));
    WORKS(close(ends[0]));
}

int main(void)
{
    struct timeval moment = {0, 10000}, bad = {-1, 0};
    struct pollfd one;
    pthread_t t;
    fd_set set;

    WORKS(pipe(line));
    FD_ZERO(&set);
    FD_SET(line[0], &set);
    HOLDS(select(line[0] + 1, &set, NULL, NULL, &moment) == 0);
    HOLDS(!FD_ISSET(line[0], &set));
    FAILS(select(0, NULL, NULL, NULL, &bad), EINVAL);
    one = (struct pollfd){.fd = line[0], .events = POLLIN};
    HOLDS(poll(&one, 1, 10) == 0);
    ANSWERS(pthread_create(&t, NULL, tell, NULL), 0);
    HOLDS(poll(&one, 1, -1) == 1 && one.revents & POLLIN);
    FD_SET(line[0], &set);
    HOLDS(select(line[0] + 1, &set, NULL, NULL, NULL) == 1);
    HOLDS(FD_ISSET(line[0], &set));
    ANSWERS(pthread_join(t, NULL), 0);
    failure_leaves_the_set();
    return PASS;
}

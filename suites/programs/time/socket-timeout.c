/*
 * socket-timeout.c - SO_RCVTIMEO ends a wait for a socket with EAGAIN, not too early (XSH 2.10.16)
 */
#include "../verdict.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS 30

static struct timespec due;

static void ends_in_time(const char *what, long result)
{
    int err = errno;

    if (result != -1 || (err != EAGAIN && err != EWOULDBLOCK))
        FAILED("%s answered %ld (%s)", what, result, strerror(err));
    if (!is_past(CLOCK_MONOTONIC, &due))
        FAILED("%s ended too early", what);
    due = after_ms(CLOCK_MONOTONIC, MS - 1);
}

int main(void)
{
    struct timeval limit = {0, MS * 1000};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int ends[2], listener = socket(AF_INET, SOCK_STREAM, 0);
    char byte;

    WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    WORKS(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    WORKS(listener);
    WORKS(bind(listener, (struct sockaddr *)&any, sizeof any));
    WORKS(listen(listener, 1));
    WORKS(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));

    due = after_ms(CLOCK_MONOTONIC, MS - 1);
    ends_in_time("recv", recv(ends[0], &byte, 1, 0));
    ends_in_time("read", read(ends[0], &byte, 1));
    ends_in_time("accept", accept(listener, NULL, NULL));
    HOLDS(write(ends[1], "x", 1) == 1);
    HOLDS(recv(ends[0], &byte, 1, 0) == 1 && byte == 'x');
    return PASS;
}

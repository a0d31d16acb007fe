/*
 * send-timeout.c - SO_SNDTIMEO ends a wait for room in a socket with EAGAIN, and one for a
 * connection, not too early; what fitted is counted (XSH 2.10.16)
 */
#include "../verdict.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MS 30

static struct timespec due;
static char much[1 << 20];

static void ends_in_time(const char *what, long result)
{
    int err = errno;

    if (result != -1 || (err != EAGAIN && err != EWOULDBLOCK))
        FAILED("%s answered %ld (%s)", what, result, strerror(err));
    if (!is_past(CLOCK_MONOTONIC, &due))
        FAILED("%s ended too early", what);
    due = after_ms(CLOCK_MONOTONIC, MS - 1);
}

static int limited(int s)
{
    struct timeval limit = {0, MS * 1000};

    WORKS(s);
    WORKS(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
    return s;
}

int main(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX}; /* bind gives it one */
    socklen_t size = sizeof name;
    int ends[2], listener = socket(AF_UNIX, SOCK_STREAM, 0);
    long sent;

    WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    limited(ends[0]);
    due = after_ms(CLOCK_MONOTONIC, MS - 1);
    sent = send(ends[0], much, sizeof much, 0);
    HOLDS(sent > 0 && sent < (long)sizeof much && is_past(CLOCK_MONOTONIC, &due));
    due = after_ms(CLOCK_MONOTONIC, MS - 1);
    ends_in_time("send", send(ends[0], much, sizeof much, 0));
    ends_in_time("write", write(ends[0], much, sizeof much));

    WORKS(listener);
    WORKS(bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)));
    WORKS(getsockname(listener, (struct sockaddr *)&name, &size));
    WORKS(listen(listener, 0));
    WORKS(connect(limited(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&name, size));
    due = after_ms(CLOCK_MONOTONIC, MS - 1);
    ends_in_time("connect",
                 connect(limited(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&name, size));
    return PASS;
}

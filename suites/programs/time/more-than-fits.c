/*
 * more-than-fits.c - a thread that writes more than a pipe or a socket holds waits alone, until all
 * of it is taken (XSH writev, send, sendmsg); one that waits for all (MSG_WAITALL) gets all
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE (1 << 20)
#define PARTS 64

static char from[SIZE], to[SIZE];
static int pipes[2], ends[2];

static void *reads(void *arg)
{
    for (size_t got = 0; got < SIZE;) {
        ssize_t n = read(pipes[0], to + got, SIZE - got);

        WORKS(n);
        got += (size_t)n;
    }
    return arg;
}

static void *receives(void *arg)
{
    HOLDS(recv(ends[0], to, SIZE, MSG_WAITALL) == SIZE);
    return arg;
}

static void compare(const char *how)
{
    if (memcmp(from, to, SIZE))
        FAILED("%s: the bytes are not those that were sent", how);
    memset(to, 0, SIZE);
}

int main(void)
{
    struct iovec parts[PARTS];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = PARTS};
    pthread_t t;

    for (int i = 0; i < SIZE; i++)
        from[i] = (char)(i * 7 + i / 251);
    for (int i = 0; i < PARTS; i++)
        parts[i] = (struct iovec){from + i * (SIZE / PARTS), SIZE / PARTS};
    WORKS(pipe(pipes));
    WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));

    ANSWERS(pthread_create(&t, NULL, reads, NULL), 0);
    HOLDS(writev(pipes[1], parts, PARTS) == SIZE);
    ANSWERS(pthread_join(t, NULL), 0);
    compare("writev");

    for (int how = 0; how < 3; how++) {
        ANSWERS(pthread_create(&t, NULL, receives, NULL), 0);
        HOLDS((how == 0   ? send(ends[1], from, SIZE, 0)
               : how == 1 ? sendmsg(ends[1], &message, 0)
                          : writev(ends[1], parts, PARTS)) == SIZE);
        ANSWERS(pthread_join(t, NULL), 0);
        compare("a socket");
        HOLDS(parts[0].iov_base == from && parts[0].iov_len == SIZE / PARTS);
    }
    return PASS;
}

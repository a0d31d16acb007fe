/*
 * aio-suspend.c - aio_suspend stops its thread only, answers EAGAIN when its time is over, and is a
 * cancellation point (XSH aio_suspend, 2.9.5.2)
 */
#include "../verdict.h"

#include <aio.h>
#include <pthread.h>
#include <unistd.h>

static struct aiocb request;
static const struct aiocb *const list[] = {&request};
static int ends[2];

static void *writes(void *arg)
{
    usleep(30000);
    WORKS(write(ends[1], "x", 1));
    return arg;
}

static void *suspends(void *arg)
{
    aio_suspend(list, 1, NULL);
    return arg;
}

int main(void)
{
    struct timespec soon = {0, 20000000};
    char byte = 0;
    void *value = NULL;
    pthread_t t;

    WORKS(pipe(ends));
    request = (struct aiocb){.aio_fildes = ends[0], .aio_buf = &byte, .aio_nbytes = 1};
    request.aio_sigevent.sigev_notify = SIGEV_NONE;
    if (aio_read(&request)) {
        printf("aio_read: %s\n", strerror(errno));
        return errno == ENOSYS ? UNSUPPORTED : UNRESOLVED;
    }
    FAILS(aio_suspend(list, 1, &soon), EAGAIN);
    NEEDS(pthread_create(&t, NULL, suspends, NULL));
    usleep(20000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    NEEDS(pthread_create(&t, NULL, writes, NULL));
    WORKS(aio_suspend(list, 1, NULL));
    HOLDS(!aio_error(&request) && aio_return(&request) == 1 && byte == 'x');
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

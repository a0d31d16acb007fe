/*
 * lio-wait.c - a thread that waits in lio_listio waits alone, until all of the list is done (XSH
 * lio_listio)
 */
#include "../verdict.h"

#include <aio.h>
#include <pthread.h>
#include <unistd.h>

static int fd[2];
static char byte;
static struct aiocb request = {.aio_buf = &byte, .aio_nbytes = 1, .aio_lio_opcode = LIO_READ};
static volatile int waiting;

static void *lists(void *arg)
{
    struct aiocb *list[] = {&request};

    waiting = 1;
    WORKS(lio_listio(LIO_WAIT, list, 1, NULL));
    HOLDS(aio_return(&request) == 1 && byte == 'y');
    return arg;
}

int main(void)
{
    pthread_t t;

    WORKS(pipe(fd));
    request.aio_fildes = fd[0];
    ANSWERS(pthread_create(&t, NULL, lists, NULL), 0);
    while (!waiting)
        usleep(1000);
    usleep(20000);
    WORKS(write(fd[1], "y", 1));
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

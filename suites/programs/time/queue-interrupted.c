/*
 * queue-interrupted.c - a handler without SA_RESTART ends a timed wait for a message queue: EINTR
 * (XSH mq_timedreceive, mq_receive)
 */
#include "../verdict.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static pthread_t waiter;
static volatile int done;

static void handler(int sig)
{
    (void)sig;
}

static void *interrupt(void *arg)
{
    struct timespec pause = {.tv_nsec = 5000000};

    while (!done) { /* as often as it takes: the first may come before the wait */
        nanosleep(&pause, NULL);
        pthread_kill(waiter, SIGUSR1);
    }
    return arg;
}

int main(void)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
    struct sigaction action = {.sa_handler = handler};
    struct timespec until;
    char name[64], message[8];
    pthread_t t;
    mqd_t queue;

    snprintf(name, sizeof(name), "/threadlab-%d", (int)getpid());
    queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    if (queue == (mqd_t)-1)
        NEEDS(errno);
    mq_unlink(name);
    WORKS(sigaction(SIGUSR1, &action, NULL));
    waiter = pthread_self();
    until = after_ms(CLOCK_REALTIME, 15000);
    ANSWERS(pthread_create(&t, NULL, interrupt, NULL), 0);
    FAILS(mq_timedreceive(queue, message, sizeof(message), NULL, &until), EINTR);
    done = 1;
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

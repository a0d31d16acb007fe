/*
 * queue.c - what is wrong with a call on a message queue is told at once, whether or not it would
 * wait; of two that wait for one message one goes on waiting, and can be cancelled (XSH mq_receive,
 * mq_send)
 */
#include "../verdict.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <unistd.h>

static mqd_t empty, full;
static volatile int received;

static void *receives(void *arg)
{
    char message[8];

    HOLDS(mq_receive(empty, message, sizeof message, NULL) == 1);
    received = 1;
    return arg;
}

int main(void)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
    struct timespec wrong = {time(NULL) + 100, 1000000000}, soon;
    char name[40], message[9] = "message";
    pthread_t t[2];
    void *value;
    int ended = 0;

    snprintf(name, sizeof name, "/threadlab-%d", (int)getpid());
    empty = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    mq_unlink(name);
    full = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    mq_unlink(name);
    if (empty == (mqd_t)-1 || full == (mqd_t)-1)
        return UNSUPPORTED;
    WORKS(mq_send(full, message, 8, 0));
    FAILS(mq_receive(empty, message, 7, NULL), EMSGSIZE);
    FAILS(mq_timedreceive(empty, message, 8, NULL, &wrong), EINVAL);
    FAILS(mq_send(full, message, 9, 0), EMSGSIZE);
    FAILS(mq_send(full, message, 8, (unsigned)sysconf(_SC_MQ_PRIO_MAX)), EINVAL);
    FAILS(mq_timedsend(full, message, 8, 0, &wrong), EINVAL);
    soon = after_ms(CLOCK_REALTIME, 20);
    FAILS(mq_timedsend(full, message, 8, 0, &soon), ETIMEDOUT);
    HOLDS(is_past(CLOCK_REALTIME, &soon));

    for (int i = 0; i < 2; i++)
        ANSWERS(pthread_create(&t[i], NULL, receives, NULL), 0);
    usleep(20000);
    WORKS(mq_send(empty, message, 1, 0));
    while (!received)
        usleep(1000);
    usleep(20000);
    for (int i = 0; i < 2; i++) {
        ANSWERS(pthread_cancel(t[i]), 0);
        ANSWERS(pthread_join(t[i], &value), 0);
        ended += value != PTHREAD_CANCELED;
    }
    HOLDS(ended == 1);
    return PASS;
}

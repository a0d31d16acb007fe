/*
 * queue-wait.c - a handler ends msgrcv and msgsnd with EINTR, with SA_RESTART, too (XSH msgrcv,
 * msgsnd)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <sys/msg.h>
#include <unistd.h>

static int queue;
static struct {
    long type;
    char text[512];
} message = {.type = 1};
static volatile int waiting;

static void handler(int sig)
{
    (void)sig;
}

static void *waits(void *arg)
{
    waiting = 1;
    FAILS(msgrcv(queue, &message, sizeof(message.text), 0, 0), EINTR);
    while (!msgsnd(queue, &message, sizeof(message.text), IPC_NOWAIT))
        ;
    waiting = 2;
    FAILS(msgsnd(queue, &message, sizeof(message.text), 0), EINTR);
    waiting = 3;
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t t;

    WORKS(sigaction(SIGUSR1, &action, NULL));
    queue = msgget(IPC_PRIVATE, 0600);
    NEEDS(queue < 0 ? errno : 0);
    ANSWERS(pthread_create(&t, NULL, waits, NULL), 0);
    for (int step = 1; step <= 2; step++) {
        while (waiting < step)
            usleep(1000);
        while (waiting == step) {
            ANSWERS(pthread_kill(t, SIGUSR1), 0);
            usleep(20000);
        }
    }
    ANSWERS(pthread_join(t, NULL), 0);
    WORKS(msgctl(queue, IPC_RMID, NULL));
    return PASS;
}

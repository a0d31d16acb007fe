/*
 * sysv.c - semop and msgrcv stop their thread only; a handler ends them whatever its flags are
 * (XSH semop, msgrcv)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <unistd.h>

static int set, queue;

struct message {
    long type;
    char text[8];
};

static void *acts(void *arg)
{
    struct sembuf up = {.sem_num = 0, .sem_op = 2};
    struct message m = {1, "hello"};

    usleep(20000);
    WORKS(semop(set, &up, 1));
    usleep(20000);
    WORKS(msgsnd(queue, &m, sizeof m.text, 0));
    return arg;
}

static void *interrupts(void *arg)
{
    while (!pthread_kill(*(pthread_t *)arg, SIGUSR1))
        usleep(20000);
    return NULL;
}

static void on_signal(int sig)
{
    (void)sig;
}

int main(void)
{
    struct sembuf down[] = {{.sem_num = 0, .sem_op = -1}, {.sem_num = 0, .sem_op = -1}};
    struct sembuf try = {.sem_num = 0, .sem_op = -1, .sem_flg = IPC_NOWAIT};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct timespec soon = {0, 20000000};
    struct message m = {0};
    pthread_t self = pthread_self(), t;
    int semop_errno, msgrcv_errno, semop_answer;

    set = semget(IPC_PRIVATE, 1, 0600);
    queue = msgget(IPC_PRIVATE, 0600);
    WORKS(set);
    WORKS(queue);
    NEEDS(pthread_create(&t, NULL, acts, NULL));
    WORKS(semop(set, down, 2));
    HOLDS(msgrcv(queue, &m, sizeof m.text, 0, 0) == sizeof m.text && !strcmp(m.text, "hello"));
    ANSWERS(pthread_join(t, NULL), 0);
    FAILS(semop(set, &try, 1), EAGAIN);
    FAILS(semtimedop(set, down, 1, &soon), EAGAIN);

    WORKS(sigaction(SIGUSR1, &action, NULL));
    NEEDS(pthread_create(&t, NULL, interrupts, &self));
    semop_answer = semop(set, down, 1);
    semop_errno = errno;
    HOLDS(msgrcv(queue, &m, sizeof m.text, 0, 0) == -1);
    msgrcv_errno = errno;
    HOLDS(semop_answer == -1 && semop_errno == EINTR && msgrcv_errno == EINTR);
    semctl(set, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    return PASS;
}

/*
 * alone.c - the child of fork has one thread, with the caller's ID; atfork handlers run in their
 * order (XSH fork, pthread_atfork)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static char order[8];
static int n;
static volatile int stop;

static void note_p(void)
{
    order[n++] = 'p';
}
static void note_q(void)
{
    order[n++] = 'q';
}
static void note_c(void)
{
    order[n++] = 'c';
}
static void note_d(void)
{
    order[n++] = 'd';
}

static void *tick(void *arg)
{
    volatile int *ticks = arg;

    while (!stop) {
        ++*ticks;
        usleep(1000);
    }
    return NULL;
}

static int child(pthread_t caller, volatile int *ticks)
{
    int before = *ticks;

    usleep(30000);
    return pthread_equal(caller, pthread_self()) && *ticks == before && !strcmp(order, "qpcd") ? 0
                                                                                               : 1;
}

int main(void)
{
    static volatile int ticks;
    int status;
    pthread_t t;
    pid_t pid;

    ANSWERS(pthread_atfork(note_p, NULL, note_c), 0);
    ANSWERS(pthread_atfork(note_q, NULL, note_d), 0);
    ANSWERS(pthread_create(&t, NULL, tick, (void *)&ticks), 0);
    usleep(5000);
    WORKS(pid = fork());
    if (!pid)
        _exit(child(pthread_self(), &ticks));
    WORKS(waitpid(pid, &status, 0));
    HOLDS(WIFEXITED(status) && !WEXITSTATUS(status));
    stop = 1;
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

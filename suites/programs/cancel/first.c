/*
 * first.c - the first thread is cancelled as any other: while it sleeps, reads, or waits for a lock
 * of a file; its handlers run, whoever joins it gets PTHREAD_CANCELED (XSH 2.9.5)
 */
#include "../verdict.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int ready, handled;
static int ends[2];

static void handler(void *arg)
{
    handled = *(int *)arg;
}

static void *cancels(void *first)
{
    void *value;

    while (!ready)
        usleep(1000);
    usleep(20000);
    ANSWERS(pthread_cancel(*(pthread_t *)first), 0);
    ANSWERS(pthread_join(*(pthread_t *)first, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    HOLDS(handled == 7);
    _exit(PASS);
}

static void by_sleep(void)
{
    sleep(3600);
}

static void by_read(void)
{
    char c;

    (void)!read(ends[0], &c, 1);
}

static void by_lock(void)
{
    (void)!lockf(ends[1], F_LOCK, 0);
}

static void wait_by(void (*waits)(void))
{
    pthread_t self = pthread_self(), thread;
    int seven = 7;

    pthread_cleanup_push(handler, &seven);
    NEEDS(pthread_create(&thread, NULL, cancels, &self));
    ready = 1;
    waits();
    pthread_cleanup_pop(0);
    FAILED("the first thread has not been cancelled");
}

/* Each in a process of its own. In the last one the parent has the lock. */
int main(void)
{
    static void (*const waits[])(void) = {by_sleep, by_read, by_lock};
    FILE *file = tmpfile();

    NEEDS(!file);
    for (int i = 0; i < 3; i++) {
        int status;
        pid_t pid;

        WORKS(i < 2 ? pipe(ends) : lockf(fileno(file), F_LOCK, 0));
        pid = fork();
        WORKS(pid);
        if (i == 2)
            ends[1] = fileno(file);
        if (!pid)
            wait_by(waits[i]);
        WORKS(waitpid(pid, &status, 0));
        if (status)
            FAILED("wait %d: status 0x%x", i, status);
    }
    return PASS;
}

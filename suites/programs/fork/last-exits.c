/*
 * last-exits.c - the process ends as by exit(0) when the last thread ends, also where that is the
 * thread that forked it (XSH pthread_exit)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int said[2];

static void at_exit(void)
{
    WORKS((int)write(said[1], "x", 1));
}

static void *forks(void *arg)
{
    pid_t child = fork();
    int status;
    char c;

    HOLDS(child >= 0);
    if (!child) {
        NEEDS(atexit(at_exit));
        pthread_exit(NULL);
    }
    HOLDS(waitpid(child, &status, 0) == child);
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    HOLDS(read(said[0], &c, 1) == 1 && c == 'x');
    return arg;
}

int main(void)
{
    pthread_t t;

    WORKS(pipe(said));
    NEEDS(pthread_create(&t, NULL, forks, NULL));
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

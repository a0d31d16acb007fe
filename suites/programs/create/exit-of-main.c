/*
 * exit-of-main.c - main may end by pthread_exit: the others go on, and the process ends with 0
 * (XSH pthread_exit)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int line[2];

static void *late(void *arg)
{
    usleep(50000);
    if (write(line[1], "x", 1) != 1)
        _exit(FAIL);
    return arg;
}

int main(void)
{
    int status;
    char got;
    pid_t pid;

    WORKS(pipe(line));
    WORKS(pid = fork());
    if (!pid) {
        pthread_t t;

        if (pthread_create(&t, NULL, late, NULL))
            _exit(UNRESOLVED);
        pthread_exit((void *)7);
    }
    WORKS(waitpid(pid, &status, 0));
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    HOLDS(read(line[0], &got, 1) == 1 && got == 'x');
    return PASS;
}

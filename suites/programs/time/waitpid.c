/* waitpid.c - waitpid waits for the child while other threads run (XSH waitpid) */
#include "../verdict.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int line[2];

static void *let_go(void *arg)
{
    usleep(10000);
    HOLDS(write(line[1], "x", 1) == 1);
    return arg;
}

int main(void)
{
    int status;
    pthread_t t;
    char byte;
    pid_t pid;

    WORKS(pipe(line));
    WORKS(pid = fork());
    if (!pid)
        _exit(read(line[0], &byte, 1) == 1 ? 9 : 1);
    ANSWERS(pthread_create(&t, NULL, let_go, NULL), 0);
    HOLDS(waitpid(pid, &status, 0) == pid);
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    FAILS(waitpid(pid, &status, 0), ECHILD);
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

/*
 * named.c - a named semaphore is one for all who open it; O_EXCL and unlink hold (XSH sem_open)
 */
#include "../verdict.h"

#include <fcntl.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    char name[64];
    int status;
    sem_t *s;
    pid_t pid;

    snprintf(name, sizeof name, "/threadlab-%d", (int)getpid());
    s = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    HOLDS(s != SEM_FAILED);
    HOLDS(sem_open(name, O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED && errno == EEXIST);
    WORKS(pid = fork());
    if (!pid) {
        sem_t *again = sem_open(name, 0);

        _exit(again == SEM_FAILED || sem_post(again));
    }
    WORKS(sem_wait(s));
    WORKS(waitpid(pid, &status, 0));
    HOLDS(WIFEXITED(status) && !WEXITSTATUS(status));
    WORKS(sem_unlink(name));
    HOLDS(sem_open(name, 0) == SEM_FAILED && errno == ENOENT);
    WORKS(sem_close(s));
    return PASS;
}

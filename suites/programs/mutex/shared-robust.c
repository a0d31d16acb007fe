/*
 * shared-robust.c - a robust mutex that processes share tells of a process that ended with it
 * (XSH pthread_mutex_lock)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    pthread_mutex_t *m =
        mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attr;
    int status;
    pid_t pid;

    HOLDS(m != MAP_FAILED);
    ANSWERS(pthread_mutexattr_init(&attr), 0);
    ANSWERS(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), 0);
    ANSWERS(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED), 0);
    NEEDS(pthread_mutex_init(m, &attr));
    WORKS(pid = fork());
    if (!pid)
        _exit(pthread_mutex_lock(m));
    WORKS(waitpid(pid, &status, 0));
    HOLDS(WIFEXITED(status) && !WEXITSTATUS(status));
    ANSWERS(pthread_mutex_lock(m), EOWNERDEAD);
    ANSWERS(pthread_mutex_consistent(m), 0);
    ANSWERS(pthread_mutex_unlock(m), 0);
    return PASS;
}

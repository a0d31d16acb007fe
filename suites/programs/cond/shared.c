/*
 * shared.c - a condition variable and a mutex in shared memory work between processes (XSH
 * pthread_condattr_setpshared)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
    pthread_mutex_t m;
    pthread_cond_t c;
    int turn;
};

int main(void)
{
    struct shared *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t ma;
    pthread_condattr_t ca;
    int status;
    pid_t pid;

    HOLDS(s != MAP_FAILED);
    ANSWERS(pthread_mutexattr_init(&ma), 0);
    ANSWERS(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED), 0);
    ANSWERS(pthread_condattr_init(&ca), 0);
    ANSWERS(pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED), 0);
    NEEDS(pthread_mutex_init(&s->m, &ma));
    NEEDS(pthread_cond_init(&s->c, &ca));
    WORKS(pid = fork());
    for (int i = 0; i < 20; i++) {
        ANSWERS(pthread_mutex_lock(&s->m), 0);
        while (s->turn % 2 != !pid)
            ANSWERS(pthread_cond_wait(&s->c, &s->m), 0);
        s->turn++;
        ANSWERS(pthread_cond_broadcast(&s->c), 0);
        ANSWERS(pthread_mutex_unlock(&s->m), 0);
    }
    if (!pid)
        _exit(0);
    WORKS(waitpid(pid, &status, 0));
    HOLDS(WIFEXITED(status) && !WEXITSTATUS(status));
    HOLDS(s->turn == 40);
    return PASS;
}

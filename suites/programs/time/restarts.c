/*
 * restarts.c - waitid and wait4 go on after a handler with SA_RESTART, and tell EINTR after one
 * without (XSH sigaction, waitid)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t handled;
static pid_t child;
static _Atomic int over;

static void handler(int sig)
{
    (void)sig;
    handled = 1;
}

static int wait_how(int how)
{
    struct rusage usage;
    siginfo_t info;

    return how ? wait4(child, NULL, 0, &usage) : waitid(P_PID, (id_t)child, &info, WEXITED);
}

static void *waits(void *how)
{
    int got = wait_how(how != NULL);

    HOLDS(got >= 0 || errno == EINTR);
    atomic_store(&over, got < 0 ? -1 : 1);
    return NULL;
}

/* A waiter meets a handler: whether that has ended its wait. */
static int ends(int how, int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    pthread_t t;
    int byte[2], result;

    WORKS(sigaction(SIGUSR1, &action, NULL));
    WORKS(pipe(byte));
    child = fork();
    WORKS(child);
    if (!child) {
        close(byte[1]);
        _exit(read(byte[0], &result, 1) == 0 ? PASS : FAIL);
    }
    close(byte[0]);
    handled = 0;
    atomic_store(&over, 0);
    ANSWERS(pthread_create(&t, NULL, waits, how ? &child : NULL), 0);
    usleep(30000);
    ANSWERS(pthread_kill(t, SIGUSR1), 0);
    while (!handled)
        usleep(1000);
    usleep(50000); /* a wait that is not to end does so within that time, where it is wrong */
    result = atomic_load(&over);
    for (int i = 0; !result && !(flags & SA_RESTART) && i < 5000; i++) {
        ANSWERS(pthread_kill(t, SIGUSR1), 0); /* the first one may have come before the wait */
        usleep(1000);
        result = atomic_load(&over);
    }
    close(byte[1]);
    ANSWERS(pthread_join(t, NULL), 0);
    if (result)
        HOLDS(waitpid(child, NULL, 0) == child);
    return result;
}

int main(void)
{
    for (int how = 0; how < 2; how++) {
        HOLDS(ends(how, 0) == -1);
        HOLDS(ends(how, SA_RESTART) == 0);
    }
    return PASS;
}

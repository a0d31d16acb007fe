/*
 * last-handlers.c - the last thread of a forked child ends it as exit(0) would: after destructors
 * of its keys, and with what atexit has run in a thread, which signals reach (XSH pthread_exit)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int destroyed;
static pthread_key_t key;

static void destructor(void *value)
{
    destroyed = value == &key;
}

static void at_exit(void)
{
    if (destroyed)
        kill(getpid(), SIGUSR1);
    _exit(3);
}

static void *forks(void *arg)
{
    int status;
    pid_t pid = fork();

    WORKS(pid);
    if (!pid) {
        if (atexit(at_exit) || pthread_setspecific(key, &key))
            _exit(4);
        pthread_exit(NULL);
    }
    WORKS(waitpid(pid, &status, 0));
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGUSR1)
        FAILED("the child's status is %#x", (unsigned)status);
    return arg;
}

int main(void)
{
    pthread_t t;

    signal(SIGUSR1, SIG_DFL);
    ANSWERS(pthread_key_create(&key, destructor), 0);
    ANSWERS(pthread_create(&t, NULL, forks, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}

/*
 * jump.c - siglongjmp leaves a handler, and the wait that it interrupted, with the mask that
 * sigsetjmp has saved, each time; not if it was to save none (XSH sigsetjmp, siglongjmp)
 */
#include "../verdict.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static sigjmp_buf back;

static void handler(int sig)
{
    siglongjmp(back, sig);
}

static int is_blocked(int sig)
{
    sigset_t now;

    ANSWERS(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    return sigismember(&now, sig);
}

static void jumps_out(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigset_t set;

    sigemptyset(&action.sa_mask);
    WORKS(sigaction(SIGUSR1, &action, NULL));
    for (volatile int i = 0; i < 3; i++) {
        if (!sigsetjmp(back, 1)) {
            ANSWERS(pthread_kill(pthread_self(), SIGUSR1), 0);
            FAILED("signal %d was not delivered", i);
        }
        HOLDS(!is_blocked(SIGUSR1));
    }
    /* What is blocked in between is open again, and it is the thread's mask, not the handler's. */
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if (!sigsetjmp(back, 1)) {
        ANSWERS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
        siglongjmp(back, 1);
    }
    HOLDS(!is_blocked(SIGUSR2));
    if (!sigsetjmp(back, 0)) {
        ANSWERS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
        siglongjmp(back, 1);
    }
    HOLDS(is_blocked(SIGUSR2));
    ANSWERS(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

/* A fault, as often as one likes. */
static void faults(void)
{
    struct sigaction action = {.sa_handler = handler};

    WORKS(sigaction(SIGFPE, &action, NULL));
    for (volatile int i = 0; i < 3; i++)
        if (!sigsetjmp(back, 1)) {
            raise(SIGFPE);
            FAILED("SIGFPE %d was not delivered", i);
        }
    for (volatile int i = 0; i < 3; i++) {
        WORKS(sigaction(SIGSEGV, &action, NULL));
        if (!sigsetjmp(back, 1)) {
            *(volatile int *)(uintptr_t)8 = 1;
            FAILED("fault %d went by", i);
        }
    }
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile int waiting, left;
static int fd[2];

/* Out of three kinds of waits; then the thread is as able to wait and to be cancelled as before. */
static void *waits(void *arg)
{
    char c;

    jumps_out();
    faults();
    if (!sigsetjmp(back, 1))
        for (waiting = 1;;)
            read(fd[0], &c, 1);
    left = 1;
    if (!sigsetjmp(back, 1))
        for (waiting = 2;;)
            sleep(100);
    left = 2;
    if (!sigsetjmp(back, 1))
        for (waiting = 3;;)
            pause();
    left = 3;
    ANSWERS(pthread_mutex_lock(&mutex), 0);
    ANSWERS(pthread_mutex_unlock(&mutex), 0);
    usleep(20000);
    HOLDS(read(fd[0], &c, 1) == 1 && c == 'x');
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    waiting = 4;
    for (;;)
        pthread_testcancel();
    return arg;
}

int main(void)
{
    pthread_t t;
    void *value;

    jumps_out();
    WORKS(pipe(fd));
    ANSWERS(pthread_create(&t, NULL, waits, NULL), 0);
    for (int kind = 1; kind <= 3; kind++) {
        while (waiting < kind)
            usleep(1000);
        usleep(20000);
        ANSWERS(pthread_kill(t, SIGUSR1), 0);
        while (left < kind)
            usleep(1000);
    }
    WORKS(write(fd[1], "x", 1));
    while (waiting < 4)
        usleep(1000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    return PASS;
}

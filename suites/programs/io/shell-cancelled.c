/*
 * shell-cancelled.c - system is a cancellation point: its thread ends, and SIGINT is what it was
 * (XSH 2.9.5.2, system)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static volatile int cleaned;

static void cleanup(void *arg)
{
    (void)arg;
    cleaned = 1;
}

static void *shell(void *arg)
{
    pthread_cleanup_push(cleanup, NULL);
    HOLDS(system("exec sleep 600") == -2);
    pthread_cleanup_pop(0);
    return arg;
}

static void on_signal(int sig)
{
    (void)sig;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal}, now;
    void *value = NULL;
    pthread_t t;

    WORKS(sigaction(SIGINT, &action, NULL));
    NEEDS(pthread_create(&t, NULL, shell, NULL));
    usleep(50000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED && cleaned);
    HOLDS(!sigaction(SIGINT, NULL, &now) && now.sa_handler == on_signal);
    return PASS;
}

/*
 * ignored.c - a signal that is ignored does nothing, whoever sends it and whatever it did before
 * (XSH 2.4.3, signal actions)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handler(int sig)
{
    handled = sig;
}

int main(void)
{
    static const int sent[] = {SIGUSR1, SIGABRT, SIGTERM};
    struct sigaction action = {.sa_handler = handler};

    for (size_t i = 0; i < sizeof(sent) / sizeof(*sent); i++) {
        WORKS(sigaction(sent[i], &action, NULL));
        HOLDS(signal(sent[i], SIG_IGN) == handler);
        ANSWERS(raise(sent[i]), 0);
        ANSWERS(pthread_kill(pthread_self(), sent[i]), 0);
        WORKS(kill(getpid(), sent[i]));
        HOLDS(!handled);
    }
    return PASS;
}

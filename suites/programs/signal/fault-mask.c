/*
 * fault-mask.c - sa_mask and the signal itself are blocked in a handler, also where the signal is
 * one that faults have, sent by raise (XSH sigaction)
 */
#include "../verdict.h"

#include <signal.h>

static volatile sig_atomic_t outer, inner, in_outer;

static void on_usr(int sig)
{
    (void)sig;
    HOLDS(!in_outer);
    inner++;
}

static void on_fault(int sig)
{
    sigset_t pending;

    HOLDS(!in_outer);
    in_outer = 1;
    if (++outer == 1) {
        ANSWERS(raise(SIGUSR2), 0);
        ANSWERS(raise(sig), 0);
        WORKS(sigpending(&pending));
        HOLDS(sigismember(&pending, sig) == 1);
        HOLDS(sigismember(&pending, SIGUSR2) == 1);
    }
    in_outer = 0;
}

int main(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction fault = {.sa_handler = on_fault}, usr = {.sa_handler = on_usr};

    sigaddset(&fault.sa_mask, SIGUSR2);
    WORKS(sigaction(SIGUSR2, &usr, NULL));
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        outer = inner = 0;
        WORKS(sigaction(faults[i], &fault, NULL));
        ANSWERS(raise(faults[i]), 0);
        HOLDS(outer == 2);
        HOLDS(inner == 1);
    }
    return PASS;
}

/*
 * nanosleep.c - nanosleep sleeps its time, or tells what is left when a handler ends it (XSH
 * nanosleep)
 */
#include "../verdict.h"

#include <signal.h>
#include <unistd.h>

static void handler(int sig)
{
    (void)sig;
}

int main(void)
{
    struct timespec moment = {0, 30000000}, until = after_ms(CLOCK_MONOTONIC, 30);
    struct timespec long_time = {30, 0}, left = {0}, bad = {0, 1000000000};
    struct sigaction action = {.sa_handler = handler};

    WORKS(nanosleep(&moment, NULL));
    HOLDS(is_past(CLOCK_MONOTONIC, &until));
    FAILS(nanosleep(&bad, NULL), EINVAL);
    WORKS(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    FAILS(nanosleep(&long_time, &left), EINTR);
    HOLDS(left.tv_sec >= 1 && left.tv_sec < 30);
    return PASS;
}

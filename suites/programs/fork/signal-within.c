/* signal-within.c - a handler that interrupts fork, in the child, may call what it likes, as fork
 * is async-signal-safe and the process has one thread (XSH 2.4.3) */
#include "../verdict.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void allocates(int sig)
{
    (void)sig;
    free(malloc(5000));
    handled = 1;
}

int main(void)
{
    struct sigaction act = {.sa_handler = allocates};
    cpu_set_t one;

    /* The parent goes on first where there is one CPU. */
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    WORKS(sigaction(SIGUSR1, &act, NULL));
    for (int i = 0; i < 20; i++) {
        int status = 0;
        pid_t pid = fork();

        WORKS(pid);
        if (!pid) {
            while (!handled)
                usleep(100);
            _exit(0);
        }
        WORKS(kill(pid, SIGUSR1));
        HOLDS(waitpid(pid, &status, 0) == pid && status == 0);
    }
    return PASS;
}

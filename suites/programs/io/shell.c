/*
 * shell.c - system and pclose wait for the shell, and stop their thread only; what they answer is
 * its status; SIGINT and SIGQUIT are ignored meanwhile by the caller and not by the shell (XSH
 * system, popen, pclose)
 */
#include "../verdict.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static void *writes(void *arg)
{
    usleep(30000);
    WORKS(write(ends[1], "go\n", 3));
    return arg;
}

static void on_signal(int sig)
{
    (void)sig;
}

static int exits_with(int status, int code)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal}, now;
    sigset_t mask;
    char command[128], text[16] = "";
    pthread_t t;
    FILE *f;

    WORKS(pipe(ends));
    WORKS(sigaction(SIGINT, &action, NULL));
    HOLDS(system(NULL));
    snprintf(command, sizeof command, "read word <&%d && test \"$word\" = go && exit 7", ends[0]);
    NEEDS(pthread_create(&t, NULL, writes, NULL));
    HOLDS(exits_with(system(command), 7));
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(!sigaction(SIGINT, NULL, &now) && now.sa_handler == on_signal);
    ANSWERS(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    HOLDS(!sigismember(&mask, SIGCHLD));
    HOLDS(exits_with(system("kill -INT $PPID; exit 3"), 3)); /* ignored */
    HOLDS(WTERMSIG(system("kill -QUIT $$")) == SIGQUIT);

    f = popen("echo word; exit 5", "r");
    HOLDS(f && fgets(text, sizeof text, f) && !strcmp(text, "word\n"));
    HOLDS(exits_with(pclose(f), 5));
    snprintf(command, sizeof command, "read a; read b <&%d; test $a$b = xgo && exit 6", ends[0]);
    NEEDS(pthread_create(&t, NULL, writes, NULL));
    f = popen(command, "w");
    HOLDS(f && fputs("x\n", f) >= 0);
    HOLDS(exits_with(pclose(f), 6));
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(!popen("true", "nonsense") && errno == EINVAL);
    return PASS;
}

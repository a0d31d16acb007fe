/*
 * exec.c - the program that takes the place of this one has the calling thread's signal mask and
 * what is pending (POSIX.1-2017 XSH exec), which the implementation keeps where the kernel does not
 * look. SIGPWR and SIGSTKFLT, by which user-level implementations call their kernel threads, are
 * blocked in it: one that came now would open the mask again.
 */
#include "veneer.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

int WRAP(pthread_sigmask)(int how, const sigset_t *set, sigset_t *old);
int WRAP(sigpending)(sigset_t *set);

/* The kernel thread's are as the caller's. was: what they were. False: there is nothing to do. */
static bool tell_kernel(sigset_t *was)
{
    sigset_t mask, pending, there;

    if (!veneer.running || !veneer_own || !veneer.impl->signal ||
        veneer.impl->traits & TL_ONE_TO_ONE)
        return false;
    __wrap_pthread_sigmask(SIG_SETMASK, NULL, &mask);
    __wrap_sigpending(&pending);
    sigaddset(&mask, SIGPWR);
    sigaddset(&mask, SIGSTKFLT);
    sigprocmask(SIG_SETMASK, &mask, was);
    sigpending(&there);
    for (int sig = 1; sig <= SIGRTMAX && veneer.pid == getpid(); sig++) /* not of a vfork */
        if (sigismember(&pending, sig) == 1 && sigismember(&mask, sig) == 1 &&
            !sigismember(&there, sig))
            syscall(SYS_tgkill, veneer.pid, gettid(), sig); /* no other kernel thread has it then */
    return true;
}

/* Answers only if it fails. */
static int run(int (*call)(const void *what, char *const args[], char *const env[]),
               const void *what, char *const args[], char *const env[])
{
    sigset_t was;
    bool told = tell_kernel(&was);
    int err;

    call(what, args, env);
    err = errno;
    if (told)
        sigprocmask(SIG_SETMASK, &was, NULL);
    return veneer_answer(err);
}

static int by_path(const void *path, char *const args[], char *const env[])
{
    return execve(path, args, env);
}

static int by_search(const void *file, char *const args[], char *const env[])
{
    return execvpe(file, args, env);
}

static int by_descriptor(const void *fd, char *const args[], char *const env[])
{
    return fexecve(*(const int *)fd, args, env);
}

int WRAP(execve)(const char *path, char *const args[], char *const env[]);
int WRAP(execve)(const char *path, char *const args[], char *const env[])
{
    return run(by_path, path, args, env);
}

int WRAP(execv)(const char *path, char *const args[]);
int WRAP(execv)(const char *path, char *const args[])
{
    return run(by_path, path, args, environ);
}

int WRAP(execvpe)(const char *file, char *const args[], char *const env[]);
int WRAP(execvpe)(const char *file, char *const args[], char *const env[])
{
    return run(by_search, file, args, env);
}

int WRAP(execvp)(const char *file, char *const args[]);
int WRAP(execvp)(const char *file, char *const args[])
{
    return run(by_search, file, args, environ);
}

int WRAP(fexecve)(int fd, char *const args[], char *const env[]);
int WRAP(fexecve)(int fd, char *const args[], char *const env[])
{
    return run(by_descriptor, &fd, args, env);
}

/* ---- with a list of arguments ---------------------------------------------------------------- */

/* name, the list up to its NULL, and NULL. On the heap: nothing of it is left behind if the call
 * works. NULL: no memory. */
static char **arguments(const char *name, va_list list)
{
    size_t n = 0, room = 8;
    char **args = malloc(room * sizeof *args), **grown;
    char *next = (char *)name;

    while (args) {
        args[n++] = next;
        if (!next)
            break;
        if (n == room) {
            room *= 2;
            grown = realloc(args, room * sizeof *args);
            if (!grown)
                free(args);
            args = grown;
        }
        next = va_arg(list, char *);
    }
    return args;
}

#define EXEC_LIST(wrapped, call, environment)                   \
    int WRAP(wrapped)(const char *what, const char *name, ...); \
    int WRAP(wrapped)(const char *what, const char *name, ...)  \
    {                                                           \
        va_list list;                                           \
        char *const *env = environ;                             \
        char **args;                                            \
        int result;                                             \
        va_start(list, name);                                   \
        args = arguments(name, list);                           \
        if (environment)                                        \
            env = va_arg(list, char *const *);                  \
        va_end(list);                                           \
        result = args ? run(call, what, args, env) : -1;        \
        free(args);                                             \
        return result;                                          \
    }
EXEC_LIST(execl, by_path, false)
EXEC_LIST(execlp, by_search, false)
EXEC_LIST(execle, by_path, true)

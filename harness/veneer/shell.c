/*
 * shell.c - system, popen, pclose: the C library's wait for the shell in the kernel. Where others
 * run on the same kernel thread the shell is started here, and waited for as by waitpid.
 */
#include "veneer.h"

#include <fcntl.h>
#include <paths.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int WRAP(sigaction)(int sig, const struct sigaction *action, struct sigaction *old);
int WRAP(pthread_sigmask)(int how, const sigset_t *set, sigset_t *old);
int WRAP(pthread_setcancelstate)(int state, int *old);

static int start(pid_t *pid, const char *command, const posix_spawn_file_actions_t *files,
                 const posix_spawnattr_t *attr)
{
    char *args[] = {"sh", "-c", (char *)command, NULL};

    return posix_spawn(pid, _PATH_BSHELL, files, attr, args, environ);
}

/* In a point, or with cancellation off. Its status, or -1: somebody else has waited for it. */
static int wait_for(pid_t pid)
{
    int status;
    pid_t got;

    while ((got = veneer_waitpid(pid, &status)) < 0 && errno == EINTR)
        ;
    return got < 0 ? -1 : status;
}

/* ---- system ---------------------------------------------------------------------------------- */

/* Invariant: while users > 0, SIGINT and SIGQUIT are ignored, and what they were is kept here.
 * Guarded by lock. */
static struct {
    _Atomic int lock;
    int users;
    struct sigaction interrupt, quit;
} shells;

struct shell {
    pid_t pid;
    sigset_t mask;
};

static void shells_enter(sigset_t *defaults)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigemptyset(defaults);
    veneer_lock(&shells.lock);
    if (shells.users++ == 0) {
        __wrap_sigaction(SIGINT, &ignore, &shells.interrupt);
        __wrap_sigaction(SIGQUIT, &ignore, &shells.quit);
    }
    if (shells.interrupt.sa_handler != SIG_IGN)
        sigaddset(defaults, SIGINT);
    if (shells.quit.sa_handler != SIG_IGN)
        sigaddset(defaults, SIGQUIT);
    veneer_unlock(&shells.lock);
}

static void shells_leave(void)
{
    veneer_lock(&shells.lock);
    if (--shells.users == 0) {
        __wrap_sigaction(SIGINT, &shells.interrupt, NULL);
        __wrap_sigaction(SIGQUIT, &shells.quit, NULL);
    }
    veneer_unlock(&shells.lock);
}

/* Whoever waits for it has been cancelled. */
static void shell_end(void *arg)
{
    const struct shell *s = arg;

    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    shells_leave();
    __wrap_pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

static long system_now(const long *a)
{
    struct veneer_thread *self = veneer_self();
    struct shell shell;
    posix_spawnattr_t attr;
    sigset_t child, defaults;
    int err, status = -1;

    if (!veneer.running || !a[0])
        return system((const char *)a[0]);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    shells_enter(&defaults);
    __wrap_pthread_sigmask(SIG_BLOCK, &child, &shell.mask);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &shell.mask);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    err = start(&shell.pid, (const char *)a[0], NULL, &attr);
    posix_spawnattr_destroy(&attr);
    if (err) {
        status = 127 << 8; /* as of a shell that could not be executed */
    } else {
        self->undo_arg = &shell;
        self->undo = shell_end;
        status = wait_for(shell.pid);
        self->undo = NULL;
        err = status < 0 ? errno : 0;
    }
    shells_leave();
    __wrap_pthread_sigmask(SIG_SETMASK, &shell.mask, NULL);
    if (err)
        errno = err;
    return status;
}

int WRAP(system)(const char *command);
int WRAP(system)(const char *command)
{
    return (int)POINT(system_now, (long)command);
}

/* ---- popen ----------------------------------------------------------------------------------- */

/* Guarded by pipes_lock. */
static _Atomic int pipes_lock;
static struct stream {
    FILE *file;
    pid_t pid;
    struct stream *next;
} * streams;

/* The shell gets `theirs` as its descriptor `as`, and none of the streams that are open. */
static int start_at(pid_t *pid, const char *command, int theirs, int as)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t mask;
    int err = posix_spawn_file_actions_init(&files);

    if (err)
        return err;
    posix_spawnattr_init(&attr);
    __wrap_pthread_sigmask(SIG_SETMASK, NULL, &mask);
    posix_spawnattr_setsigmask(&attr, &mask);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    err = posix_spawn_file_actions_adddup2(&files, theirs, as);
    for (const struct stream *s = streams; s && !err; s = s->next)
        if (fileno_unlocked(s->file) != as)
            err = posix_spawn_file_actions_addclose(&files, fileno_unlocked(s->file));
    if (!err)
        err = start(pid, command, &files, &attr);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return err;
}

FILE *WRAP(popen)(const char *command, const char *mode);
FILE *WRAP(popen)(const char *command, const char *mode)
{
    bool reads = strchr(mode, 'r') != NULL;
    struct stream *s;
    int ends[2], err;

    if (!veneer.running || veneer.blocks_alone || reads == (strchr(mode, 'w') != NULL) ||
        mode[strspn(mode, "rwe")])
        return popen(command, mode); /* which answers EINVAL to what is no mode */
    s = malloc(sizeof *s);
    if (!s || pipe2(ends, O_CLOEXEC)) {
        free(s);
        return NULL;
    }
    s->file = fdopen(ends[!reads], reads ? "r" : "w");
    if (!s->file) {
        err = errno;
        close(ends[!reads]);
    } else {
        veneer_lock(&pipes_lock);
        err = start_at(&s->pid, command, ends[reads], reads);
        if (!err) {
            s->next = streams;
            streams = s;
        }
        veneer_unlock(&pipes_lock);
    }
    close(ends[reads]);
    if (!err) {
        if (!strchr(mode, 'e'))
            fcntl(ends[!reads], F_SETFD, 0);
        return s->file;
    }
    if (s->file)
        fclose(s->file);
    free(s);
    errno = err;
    return NULL;
}

int WRAP(pclose)(FILE *file);
int WRAP(pclose)(FILE *file)
{
    struct stream **at, *s;
    int old, status;

    veneer_lock(&pipes_lock);
    for (at = &streams; *at && (*at)->file != file; at = &(*at)->next)
        ;
    s = *at;
    if (s)
        *at = s->next;
    veneer_unlock(&pipes_lock);
    if (!s)
        return pclose(file);
    fclose(file);
    __wrap_pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    status = wait_for(s->pid);
    __wrap_pthread_setcancelstate(old, NULL);
    free(s);
    return status;
}

/*
 * cell.c - the driver's side of a cell: start the process, watch it, collect it. See cell.h.
 */
#include "cell.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define GRACE_NS UINT64_C(2000000000) /* to tell its threads, after the deadline */

struct cell_runner {
    struct cell_page *page;
    int page_fd;
    int stderr_fd; /* memfd: what the cell's process says */
    int warden_fd; /* write end: the pgid of the running cell, 0 for none */
    pid_t warden;
    int interrupted; /* signal number, once it has come */
    pid_t pid;       /* of the cell that runs; 0: none */
    uint64_t started_ns, deadline_ns;
    bool asked;      /* its deadline has passed: it was asked for its threads */
    char words[200]; /* asked: its last words before that */
    off_t table;     /* asked: where on stderr its answer begins */
    struct cell_outcome outcome;
    sigset_t taken;  /* signals that sigtimedwait takes */
    sigset_t before; /* the mask to give to a cell */
    char exe[4096];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *cell_stage_name(enum cell_stage stage)
{
    static const char *const names[] = {"start-up",      "set-up",    "warm-up",
                                        "a timed batch", "counting",  "verify",
                                        "teardown",      "the check", "done"};
    return names[stage];
}

const char *cell_status_name(enum tl_status status)
{
    static const char *const names[] = {"ok",     "unsupported", "invalid",
                                        "failed", "crashed",     "timeout"};
    return names[status];
}

/* Reads process groups from the pipe until its other end closes, which happens when the driver is
 * gone: then the last one named must not outlive it. */
static _Noreturn void warden_main(int fd)
{
    pid_t group = 0, next;
    ssize_t n;
    for (;;) {
        n = read(fd, &next, sizeof next);
        if (n == sizeof next)
            group = next;
        else if (n == 0 || errno != EINTR)
            break;
    }
    if (group > 0)
        kill(-group, SIGKILL);
    _exit(0);
}

static int start_warden(struct cell_runner *r)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return errno;
    r->warden = fork();
    if (r->warden < 0) {
        int e = errno;
        close(ends[0]);
        close(ends[1]);
        return e;
    }
    if (r->warden == 0) {
        setsid(); /* a ^C at the terminal is for the driver */
        int keep = dup2(ends[0], 3);
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        for (int fd = 4; fd < 64; fd++) /* above all the write end */
            close(fd);
        warden_main(keep);
    }
    close(ends[0]);
    r->warden_fd = ends[1];
    return 0;
}

static void tell_warden(struct cell_runner *r, pid_t group)
{
    ssize_t n;
    do
        n = write(r->warden_fd, &group, sizeof group);
    while (n < 0 && errno == EINTR);
}

int cell_open(struct cell_runner **runner)
{
    int e;
    struct cell_runner *r = calloc(1, sizeof *r);
    if (!r)
        return ENOMEM;
    ssize_t n = readlink("/proc/self/exe", r->exe, sizeof r->exe - 1);
    if (n < 0) /* no /proc: the path that the kernel was given */
        snprintf(r->exe, sizeof r->exe, "%s", (const char *)getauxval(AT_EXECFN));

    r->page_fd = memfd_create("threadlab-cell", 0); /* inherited on purpose */
    if (r->page_fd < 0) {
        e = errno;
        goto no_page;
    }
    if (ftruncate(r->page_fd, sizeof *r->page)) {
        e = errno;
        goto no_map;
    }
    r->page = mmap(NULL, sizeof *r->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                   r->page_fd, 0);
    if (r->page == MAP_FAILED) {
        e = errno;
        goto no_map;
    }
    r->stderr_fd = memfd_create("threadlab-stderr", MFD_CLOEXEC);
    if (r->stderr_fd < 0) {
        e = errno;
        goto no_stderr;
    }
    e = start_warden(r);
    if (e)
        goto no_warden;
    /* Children of a cell that outlive it become ours, so that they can be reaped. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN); /* write says EPIPE, or EFBIG at RLIMIT_FSIZE, instead */
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(&r->taken);
    sigaddset(&r->taken, SIGCHLD);
    sigaddset(&r->taken, SIGINT);
    sigaddset(&r->taken, SIGTERM);
    sigaddset(&r->taken, SIGHUP);
    sigprocmask(SIG_BLOCK, &r->taken, &r->before);
    *runner = r;
    return 0;

no_warden:
    close(r->stderr_fd);
no_stderr:
    munmap(r->page, sizeof *r->page);
no_map:
    close(r->page_fd);
no_page:
    free(r);
    return e;
}

void cell_close(struct cell_runner *r)
{
    tell_warden(r, 0);
    close(r->warden_fd);
    waitpid(r->warden, NULL, 0);
    sigprocmask(SIG_SETMASK, &r->before, NULL);
    close(r->stderr_fd);
    munmap(r->page, sizeof *r->page);
    close(r->page_fd);
    free(r);
}

struct cell_page *cell_page(struct cell_runner *r)
{
    return r->page;
}

/* Leaves SIGCHLD pending: it is cell_pause's, which would sleep to the deadline without it. */
int cell_interrupted(struct cell_runner *r)
{
    struct timespec zero = {0, 0};
    sigset_t ends = r->taken;
    int signal_number;
    sigdelset(&ends, SIGCHLD);
    if (!r->interrupted && (signal_number = sigtimedwait(&ends, NULL, &zero)) > 0)
        r->interrupted = signal_number;
    return r->interrupted;
}

/* The environment for the cell: ours, with what the implementation's parameters ask for in front
 * (the first of two equal names is the one that counts). Returns NULL when out of memory. */
static char **cell_environment(const struct cell_spec *spec)
{
    size_t n = 0, used = 0;
    while (environ[n])
        n++;
    char **env = calloc(n + CELL_VALUES + 1, sizeof *env);
    if (!env)
        return NULL;
    const struct tl_impl *impl = registry_impl(spec->impl);
    for (int i = 0; impl && i < spec->nparams; i++)
        for (const struct tl_param *p = impl->params; p && p->name; p++)
            if (p->env && strcmp(p->name, spec->params[i].name) == 0) {
                const char *assignment = p->env(spec->params[i].value);
                if (assignment)
                    env[used++] = (char *)(uintptr_t)assignment;
            }
    size_t own = used;
    for (size_t i = 0; i < n; i++) {
        bool replaced = false;
        for (size_t j = 0; j < own; j++) {
            size_t name = strcspn(env[j], "=") + 1;
            replaced |= strncmp(environ[i], env[j], name) == 0;
        }
        if (!replaced)
            env[used++] = environ[i];
    }
    return env;
}

static int spawn(struct cell_runner *r, pid_t *pid)
{
    char fd[16];
    snprintf(fd, sizeof fd, "%d", r->page_fd);
    const char *argv[CALLGRIND_ARGS + 4] = {NULL}, *program = r->exe;
    size_t n = 0;
    if (r->page->order.callgrind[0]) {
        program = callgrind_argv(r->page->order.callgrind, argv);
        n = CALLGRIND_ARGS;
    }
    argv[n] = r->exe;
    argv[n + 1] = "--cell-process";
    argv[n + 2] = fd;
    char **env = cell_environment(&r->page->order.spec);
    if (!env)
        return ENOMEM;

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, ours = r->taken; /* what we handle otherwise than by default */
    sigemptyset(&none);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, r->stderr_fd, 2);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &ours);
    int e = posix_spawn(pid, program, &files, &attr, (char **)(uintptr_t)argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    return e;
}

/* The last line that the cell's process wrote to stderr, not counting tables of its threads, or "".
 */
static void last_words(struct cell_runner *r, char *line, size_t size)
{
    char text[16384];
    off_t end = lseek(r->stderr_fd, 0, SEEK_END);
    off_t from = end > (off_t)sizeof text - 1 ? end - (off_t)sizeof text + 1 : 0;
    ssize_t n = end > 0 ? pread(r->stderr_fd, text, sizeof text - 1, from) : 0;
    text[n > 0 ? n : 0] = '\0';
    for (;;) {
        char *stop = text + strlen(text);
        while (stop > text && (stop[-1] == '\n' || stop[-1] == ' '))
            *--stop = '\0';
        char *start = strrchr(text, '\n');
        const char *last = start ? start + 1 : text;
        if (strncmp(last, CELL_TABLE_MARK, strlen(CELL_TABLE_MARK)) != 0) {
            snprintf(line, size, "%s", last);
            return;
        }
        *(start ? start : text) = '\0';
    }
}

/* What the process has answered about its threads goes into the notes; returns its last line, the
 * sum, or "". */
static const char *take_table(struct cell_runner *r)
{
    static char text[16384];
    char *notes = r->page->result.notes, *rest = text, *line;
    const char *last = "";
    size_t used = strnlen(notes, sizeof r->page->result.notes);
    ssize_t n = pread(r->stderr_fd, text, sizeof text - 1, r->table);
    text[n > 0 ? n : 0] = '\0';
    while ((line = strsep(&rest, "\n"))) {
        size_t room = sizeof r->page->result.notes - used;
        if (strncmp(line, CELL_TABLE_MARK, strlen(CELL_TABLE_MARK)) != 0)
            continue;
        last = line + strlen(CELL_TABLE_MARK);
        int wrote = snprintf(notes + used, room, "%s\n", last);
        if (wrote < 0 || (size_t)wrote >= room)
            notes[used] = '\0';
        else
            used += (size_t)wrote;
    }
    return last;
}

/* At the deadline: the threads are asked for, and then the process ends by itself; if it cannot, it
 * is killed when the grace is over. */
static void ask(struct cell_runner *r)
{
    union sigval last = {.sival_int = CELL_LAST_QUESTION};
    last_words(r, r->words, sizeof r->words);
    r->table = lseek(r->stderr_fd, 0, SEEK_END);
    r->asked = true;
    r->deadline_ns = now_ns() + GRACE_NS;
    sigqueue(r->pid, SIGQUIT, last);
}

static void signal_name(int number, char *name, size_t size)
{
    const char *abbreviation = sigabbrev_np(number);
    if (abbreviation)
        snprintf(name, size, "SIG%s", abbreviation);
    else
        snprintf(name, size, "signal %d", number);
}

static void judge_exit(struct cell_runner *r, int wait_status, bool timed_out,
                       struct cell_outcome *out)
{
    const struct cell_result *result = &r->page->result;
    int stage = atomic_load(&result->stage);
    char words[200];
    last_words(r, words, sizeof words);
    const char *colon = words[0] ? ": " : "";
    char where[128];
    bool step = result->step[0] && stage == CELL_CHECKING;
    snprintf(where, sizeof where, "%s%s%s%s", cell_stage_name(stage), step ? " (" : "",
             step ? result->step : "", step ? ")" : "");

    if (timed_out) {
        const char *sum = take_table(r);
        out->status = TL_TIMEOUT;
        size_t noted = strnlen(result->reason, 200); /* before: it may be why */
        memcpy(out->reason, result->reason, noted);
        snprintf(out->reason + noted, sizeof out->reason - noted,
                 "%sstill in %s after %.1f s%s%s%s%s", noted ? "; " : "", where,
                 (double)r->page->order.deadline_ns / 1e9, *r->words ? ": " : "", r->words,
                 *sum ? "; " : "", sum);
    } else if (WIFSIGNALED(wait_status)) {
        out->status = TL_CRASHED;
        signal_name(WTERMSIG(wait_status), out->signal, sizeof out->signal);
        snprintf(out->reason, sizeof out->reason, "%s in %s%s%s", out->signal, where, colon, words);
    } else if (stage != CELL_DONE || WEXITSTATUS(wait_status) != 0) {
        /* Not a crash by signal, but it did not come back to the harness either. */
        out->status = stage == CELL_DONE && result->status != TL_OK ? result->status : TL_FAILED;
        if (stage == CELL_DONE && result->reason[0])
            snprintf(out->reason, sizeof out->reason, "%s", result->reason);
        else
            snprintf(out->reason, sizeof out->reason, "exited with status %d in %s%s%s",
                     WEXITSTATUS(wait_status), where, colon, words);
    } else {
        out->status = result->status;
        snprintf(out->reason, sizeof out->reason, "%s", result->reason);
    }
}

int cell_start(struct cell_runner *r)
{
    if (cell_interrupted(r))
        return EINTR;
    memset(&r->outcome, 0, sizeof r->outcome);
    r->asked = false;
    memset(&r->page->result, 0, sizeof r->page->result);
    r->page->order.driver = getpid();
    if (ftruncate(r->stderr_fd, 0) || lseek(r->stderr_fd, 0, SEEK_SET) < 0)
        return errno;

    r->started_ns = now_ns();
    r->deadline_ns = r->started_ns + r->page->order.deadline_ns;
    int e = spawn(r, &r->pid);
    if (e) {
        r->pid = 0;
        return e;
    }
    tell_warden(r, r->pid);
    r->outcome.spawn_ns = now_ns() - r->started_ns;
    return 0;
}

bool cell_done(struct cell_runner *r, struct cell_outcome *out)
{
    int wait_status;
    if (waitpid(r->pid, &wait_status, WNOHANG) == 0) {
        if (now_ns() < r->deadline_ns && !r->interrupted)
            return false;
        if (!r->asked && !r->interrupted) {
            ask(r);
            return false;
        }
        kill(-r->pid, SIGKILL);
        kill(r->pid, SIGKILL);
        waitpid(r->pid, &wait_status, 0);
    }
    kill(-r->pid, SIGKILL); /* what it left behind */
    tell_warden(r, 0);
    while (waitpid(-r->pid, NULL, 0) > 0)
        ;
    r->pid = 0;
    r->outcome.wall_ns = now_ns() - r->started_ns;
    if (!r->interrupted)
        judge_exit(r, wait_status, r->asked, &r->outcome);
    *out = r->outcome;
    return true;
}

/* SIGCHLD is blocked and pending from the moment that a child has ended, also of one that ended
 * before this call, unless a call since took it: then cell_done, which comes after each, saw it. */
void cell_pause(struct cell_runner *const *runners, size_t n)
{
    uint64_t now = now_ns(), until = UINT64_MAX;
    for (size_t i = 0; i < n; i++)
        if (runners[i]->pid && runners[i]->deadline_ns < until)
            until = runners[i]->deadline_ns;
    if (until == UINT64_MAX || until <= now)
        return;
    struct timespec left = {(time_t)((until - now) / 1000000000u),
                            (long)((until - now) % 1000000000u)};
    int signal_number = sigtimedwait(&runners[0]->taken, NULL, &left);
    if (signal_number > 0 && signal_number != SIGCHLD)
        for (size_t i = 0; i < n; i++)
            runners[i]->interrupted = signal_number;
}

int cell_run(struct cell_runner *r, uint64_t deadline_ns, struct cell_outcome *out)
{
    r->page->order.deadline_ns = deadline_ns;
    int e = cell_start(r);
    if (e)
        return e;
    while (!cell_done(r, out))
        cell_pause(&r, 1);
    return r->interrupted ? EINTR : 0;
}

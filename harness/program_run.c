/*
 * program_run.c - compiles programs and runs them, some at a time: see program_run.h. Each runs in
 * a folder and a process group of its own; what is left of the group is killed when it has ended.
 */
#include "program_run.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMPILE_DEADLINE_S 120
#define LOOK_NS 2000000 /* how often the driver looks which have ended */

/* One that runs. Invariant: pid 0, the place is free. */
struct running {
    pid_t pid;
    struct check_case *c;
    const struct program *program;
    const struct programs *programs; /* where it is from */
    const struct place *place;
    bool compiles;
    char folder[PATH_MAX];
    uint64_t start_ns, deadline_ns;
};

static volatile sig_atomic_t stop;

static void on_stop(int sig)
{
    stop = sig;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- where things are ------------------------------------------------------------------------ */

static int own_path(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 1);

    if (n < 0)
        return errno;
    path[n] = '\0';
    return 0;
}

int program_veneer(const char *impl, char *object, size_t size)
{
    static const char *const places[] = {"veneer", "../share/threadlab/veneer"};
    char self[PATH_MAX];
    int e = own_path(self, sizeof self);

    if (e)
        return e;
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(object, size, "%s/%s/%s.o", self, places[i], impl);
        if (!access(object, R_OK))
            return 0;
    }
    return ENOENT;
}

/* The object has the text "threadlab-veneer=NAME;" in it. */
int program_asks(const char *path, char *impl, size_t size)
{
    static const char mark[] = "threadlab-veneer=";
    FILE *f = fopen(path, "r");
    size_t at = 0, n = 0;
    int c;

    while (f && (c = getc(f)) != EOF) {
        if (at == sizeof mark - 1) {
            if (c == ';' || n + 1 == size || !(c >= ' ' && c < 127))
                break;
            impl[n++] = (char)c;
        } else {
            at = c == mark[at] ? at + 1 : c == mark[0];
        }
    }
    if (f)
        fclose(f);
    impl[n] = '\0';
    return n ? 0 : EINVAL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- one ------------------------------------------------------------------------------------- */

static void child_begins(const struct running *r)
{
    int out;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    if (chdir(r->folder))
        _exit(126);
    out = open("output", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    close(out);
    out = open("/dev/null", O_RDONLY);
    if (out >= 0)
        dup2(out, 0);
}

static void child_compiles(const struct running *r)
{
    char self[PATH_MAX], include[PATH_MAX + 8];
    bool cxx = strcmp(r->program->path + strlen(r->program->path) - 2, ".c") != 0;
    size_t includes = r->programs->includes, n = 0;
    const char **args = calloc(includes + 16, sizeof *args);

    if (!args || own_path(self, sizeof self))
        _exit(126);
    snprintf(include, sizeof include, "-I%s", r->program->path);
    *strrchr(include, '/') = '\0';
    args[n++] = self;
    args[n++] = cxx ? "c++" : "cc";
    args[n++] = "--impl";
    args[n++] = r->c->impl->name;
    args[n++] = "-O1";
    args[n++] = "-w";
    args[n++] = include;
    for (size_t i = 0; i < includes; i++)
        args[n++] = r->programs->include[i];
    args[n++] = r->program->path;
    args[n++] = "-o";
    args[n++] = "program";
    args[n++] = "-lm";
    args[n++] = "-lrt";
    execv(self, (char *const *)args);
    _exit(126);
}

/* The PUs of the plan, and the values that the record tells. */
static _Noreturn void child_runs(const struct running *r)
{
    const struct place *place = r->place;
    int most = 0;
    size_t bytes, n = 0;
    cpu_set_t *set;
    char params[CELL_VALUES * sizeof(struct cell_value)] = "";

    for (int i = 0; i < place->ncpus; i++)
        most = place->cpus[i] > most ? place->cpus[i] : most;
    set = CPU_ALLOC(most + 1);
    bytes = CPU_ALLOC_SIZE(most + 1);
    if (!set)
        _exit(126);
    CPU_ZERO_S(bytes, set);
    for (int i = 0; i < place->ncpus; i++)
        CPU_SET_S(place->cpus[i], bytes, set);
    if (sched_setaffinity(0, bytes, set))
        _exit(126);
    for (int i = 0; i < r->c->nparams; i++) {
        const struct cell_value *v = &r->c->params[i];
        const struct tl_param *p = r->c->impl->params;
        const char *env;

        while (p->name && strcmp(p->name, v->name) != 0)
            p++;
        env = p->env ? p->env(v->value) : NULL;
        if (env)
            putenv((char *)env);
        n += (size_t)snprintf(params + n, sizeof params - n, "%s%s=%s", n ? "," : "", v->name,
                              v->value);
    }
    setenv("THREADLAB_PARAMS", params, 1);
    execl(r->program->source ? "./program" : r->program->path, r->program->path, (char *)NULL);
    _exit(126);
}

static int begin(struct running *r, uint64_t deadline_ns)
{
    r->start_ns = now_ns();
    r->deadline_ns = deadline_ns;
    r->pid = fork();
    if (r->pid < 0) {
        r->pid = 0;
        return errno;
    }
    if (r->pid) {
        setpgid(r->pid, r->pid); /* so that it is done when either goes on */
        return 0;
    }
    child_begins(r);
    if (r->compiles)
        child_compiles(r);
    child_runs(r);
}

/* first: the first line that says something, else the last. */
static void line_of(const struct running *r, bool first, char *text, size_t size)
{
    char path[PATH_MAX + 8], line[1024];
    FILE *f;

    text[0] = '\0';
    snprintf(path, sizeof path, "%s/output", r->folder);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " \t")] && (!first || strstr(line, "error")))
            snprintf(text, size, "%.*s", (int)size - 1, line);
        if (first && *text)
            break;
    }
    if (f)
        fclose(f);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

static void judge(const struct running *r, int status, bool hung)
{
    static const struct {
        int exit;
        enum tl_status status;
        const char *what;
    } exits[] = {{0, TL_OK, ""},
                 {1, TL_FAILED, ""},
                 {2, TL_INVALID, "unresolved: "},
                 {4, TL_UNSUPPORTED, ""},
                 {5, TL_UNSUPPORTED, "untested: "}};
    struct check_case *c = r->c;
    char said[CELL_REASON - 64];

    line_of(r, r->compiles, said, sizeof said);
    c->done = true;
    c->wall_ns = now_ns() - r->start_ns;
    if (r->compiles) {
        c->status = TL_INVALID;
        snprintf(c->reason, sizeof c->reason, "does not compile: %s", said);
    } else if (hung) {
        c->status = TL_TIMEOUT;
        snprintf(c->reason, sizeof c->reason, "killed after %.0f s%s%s",
                 (double)c->deadline_ns / 1e9, *said ? ": " : "", said);
    } else if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status)); /* NULL: a real-time one */

        c->status = TL_CRASHED;
        if (name)
            snprintf(c->signal, sizeof c->signal, "SIG%s", name);
        else
            snprintf(c->signal, sizeof c->signal, "signal %d", WTERMSIG(status));
        snprintf(c->reason, sizeof c->reason, "killed by %s%s%s", c->signal, *said ? ": " : "",
                 said);
    } else {
        c->status = TL_FAILED;
        snprintf(c->reason, sizeof c->reason, "exit status %d%s%s", WEXITSTATUS(status),
                 *said ? ": " : "", said);
        for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
            if (WEXITSTATUS(status) == exits[i].exit) {
                c->status = exits[i].status;
                snprintf(c->reason, sizeof c->reason, "%s%s", exits[i].what,
                         *said ? said : "it says nothing");
            }
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

struct batch {
    const struct programs *programs;
    struct check_plan *plan;
    struct running *running;
    unsigned jobs, busy;
    char top[PATH_MAX - 32];
    void (*done)(const struct check_case *c, void *arg);
    void *arg;
};

static int start(struct batch *b, struct running *r, struct check_case *c, size_t number)
{
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < b->programs->n; i++)
        if (c->check == &b->programs->items[i].check)
            r->program = &b->programs->items[i];
    r->c = c;
    r->programs = b->programs;
    r->place = &b->plan->place;
    r->compiles = r->program->source;
    snprintf(r->folder, sizeof r->folder, "%s/%zu", b->top, number);
    if (mkdir(r->folder, 0700))
        return errno;
    b->busy++;
    return begin(r, r->compiles ? (uint64_t)COMPILE_DEADLINE_S * 1000000000u : c->deadline_ns);
}

/* Whether it has ended, one way or the other; what was compiled is run then. */
static int look(struct batch *b, struct running *r)
{
    bool hung = now_ns() - r->start_ns >= r->deadline_ns;
    int status = 0;
    pid_t got;

    if (hung)
        kill(-r->pid, SIGKILL);
    got = waitpid(r->pid, &status, hung ? 0 : WNOHANG);
    if (!got)
        return 0;
    kill(-r->pid, SIGKILL); /* children that it has left behind */
    r->pid = 0;
    if (r->compiles && !hung && WIFEXITED(status) && !WEXITSTATUS(status)) {
        r->compiles = false;
        return begin(r, r->c->deadline_ns);
    }
    judge(r, status, hung);
    remove_tree(r->folder);
    b->busy--;
    if (b->done)
        b->done(r->c, b->arg);
    return 0;
}

static int run_all(struct batch *b)
{
    struct timespec pause = {0, LOOK_NS};
    size_t next = 0;
    int e = 0;

    while (!stop && !e && (b->busy || next < b->plan->n)) {
        for (unsigned i = 0; i < b->jobs && !e; i++) {
            if (b->running[i].pid)
                e = look(b, &b->running[i]);
            if (!e && !b->running[i].pid && next < b->plan->n) {
                e = start(b, &b->running[i], &b->plan->cases[next], next);
                next++;
            }
        }
        nanosleep(&pause, NULL);
    }
    for (unsigned i = 0; i < b->jobs; i++)
        if (b->running[i].pid) {
            kill(-b->running[i].pid, SIGKILL);
            waitpid(b->running[i].pid, NULL, 0);
        }
    return e;
}

int programs_exec(const struct programs *programs, struct check_plan *plan, unsigned jobs,
                  void (*done)(const struct check_case *c, void *arg), void *arg, int *stopped)
{
    struct batch b = {.programs = programs, .plan = plan, .jobs = jobs, .done = done, .arg = arg};
    struct sigaction action = {.sa_handler = on_stop}, was[2];
    const char *tmp = getenv("TMPDIR");
    int e;

    snprintf(b.top, sizeof b.top, "%s/threadlab-programs-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    b.running = calloc(jobs, sizeof *b.running);
    if (!b.running)
        return ENOMEM;
    if (!mkdtemp(b.top)) {
        e = errno;
        free(b.running);
        return e;
    }
    sigaction(SIGINT, &action, &was[0]);
    sigaction(SIGTERM, &action, &was[1]);
    e = run_all(&b);
    sigaction(SIGINT, &was[0], NULL);
    sigaction(SIGTERM, &was[1], NULL);
    *stopped = stop;
    remove_tree(b.top);
    free(b.running);
    return e;
}

/*
 * verb_threads.c - `threadlab threads [PID...]`: what the threads of a running cell do. Asks its
 * process by SIGQUIT, and reads the answer from the process's standard error (threads.h).
 */
#include "cell.h"
#include "verbs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 5000
#define STEP_MS 5

/* A file of /proc/PID, at most size - 1 bytes. Returns how many, -1: it cannot be read. */
static ssize_t read_proc(int pid, const char *file, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n;
}

/* The process of a cell or a check, or a child of one, that will answer: SIGQUIT ends others. */
static bool answers(int pid)
{
    char text[4096];
    ssize_t n = read_proc(pid, "cmdline", text, sizeof text);
    if (n <= 0 || strlen(text) + 1 >= (size_t)n ||
        strcmp(text + strlen(text) + 1, "--cell-process"))
        return false;
    if (read_proc(pid, "status", text, sizeof text) <= 0)
        return false;
    const char *caught = strstr(text, "\nSigCgt:");
    return caught && strtoull(caught + 8, NULL, 16) >> (SIGQUIT - 1) & 1;
}

/* The answer is complete when its last line is: a sum, or that there is none to be had. */
static bool complete(const char *text)
{
    const char *last = text;
    for (const char *at = text; (at = strchr(at, '\n')) && at[1]; at++)
        last = at + 1;
    if (!strchr(last, '\n') || strncmp(last, CELL_TABLE_MARK, strlen(CELL_TABLE_MARK)) != 0)
        return false;
    last += strlen(CELL_TABLE_MARK);
    return strncmp(last, "no threads told", 15) == 0 || strncmp(last, "0 threads", 9) == 0 ||
           (isdigit((unsigned char)*last) && strstr(last, " thread") && strchr(last, ':'));
}

static void print_answer(char *text)
{
    char *line;
    while ((line = strsep(&text, "\n")))
        if (strncmp(line, CELL_TABLE_MARK, strlen(CELL_TABLE_MARK)) == 0)
            puts(line + strlen(CELL_TABLE_MARK));
}

/* 0, or an error number with the reason printed. */
static int ask(int pid)
{
    static char text[1 << 16];
    const struct timespec step = {0, STEP_MS * 1000000L};
    char path[64];
    struct stat st;
    int e = ETIMEDOUT;
    snprintf(path, sizeof path, "/proc/%d/fd/2", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        e = fd < 0 ? errno : ESPIPE;
        fprintf(stderr, "threadlab: what process %d answers cannot be read: %s\n", pid,
                strerror(e));
        if (fd >= 0)
            close(fd);
        return e;
    }
    if (kill(pid, SIGQUIT)) {
        e = errno;
        fprintf(stderr, "threadlab: process %d: %s\n", pid, strerror(e));
        close(fd);
        return e;
    }
    for (int waited = 0; waited < PATIENCE_MS && e; waited += STEP_MS) {
        ssize_t n = pread(fd, text, sizeof text - 1, st.st_size);
        text[n > 0 ? n : 0] = '\0';
        e = complete(text) ? 0 : e;
        if (e)
            nanosleep(&step, NULL);
    }
    close(fd);
    print_answer(text);
    if (e)
        fprintf(stderr, "threadlab: process %d has not answered: it blocks SIGQUIT, or has ended\n",
                pid);
    return e;
}

static int ask_all(void)
{
    int found = 0, failed = 0;
    DIR *proc = opendir("/proc");
    if (!proc)
        cli_die("/proc: %s", strerror(errno));
    for (const struct dirent *d; (d = readdir(proc));) {
        int pid = isdigit((unsigned char)d->d_name[0]) ? atoi(d->d_name) : 0;
        if (!pid || !answers(pid))
            continue;
        if (found++)
            putchar('\n');
        failed += ask(pid) != 0;
        fflush(stdout);
    }
    closedir(proc);
    if (!found)
        cli_die("no cell runs; it is asked while `threadlab run` or `check` is at work");
    return failed > 0;
}

int verb_threads(const struct request *request)
{
    int failed = 0;
    if (!request->pids.n)
        return ask_all();
    for (size_t i = 0; i < request->pids.n; i++) {
        char *end;
        long pid = strtol(request->pids.items[i], &end, 10);
        if (pid <= 0 || pid > INT32_MAX || *end)
            cli_die("threads: '%s' is no process number", request->pids.items[i]);
        if (!answers((int)pid))
            cli_die("threads: process %ld is no running cell, or handles SIGQUIT itself", pid);
        if (i)
            putchar('\n');
        failed += ask((int)pid) != 0;
        fflush(stdout);
    }
    return failed > 0;
}

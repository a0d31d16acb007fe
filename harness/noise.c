/*
 * noise.c - see noise.h. Formats: proc(5) for /proc/stat and /proc/loadavg; the kernel's
 * Documentation/accounting/psi.rst; Documentation/admin-guide/pm/cpufreq.rst (scaling_cur_freq,
 * kHz); /proc/PID/sched is proc_sched_show_task() of kernel/sched/debug.c.
 */
#include "noise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STAT, PSI, LOAD, NFILES };

static const char *const paths[NFILES] = {"proc/stat", "proc/pressure/cpu", "proc/loadavg"};

/* fds[i] is valid when opened and >= 0; otherwise errors[i] says why not. */
static struct {
    const char *root;
    bool opened;
    int fds[NFILES], errors[NFILES];
} files = {.root = "/"};

/* The lines of the CPUs come first in /proc/stat: about 70 bytes each, so 64 KiB reach beyond CPU
 * 900. Static, because the caller may be on a small stack. */
static char buffer[65536];

static void open_files(void)
{
    char path[512];

    if (files.opened)
        return;
    for (int i = 0; i < NFILES; i++) {
        snprintf(path, sizeof(path), "%s/%s", files.root, paths[i]);
        files.fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        files.errors[i] = files.fds[i] < 0 ? errno : 0;
    }
    files.opened = true;
}

void noise_set_root(const char *root)
{
    for (int i = 0; i < NFILES && files.opened; i++)
        if (files.fds[i] >= 0)
            close(files.fds[i]);
    files.opened = false;
    files.root = root ? root : "/";
}

/* The file into `buffer`, as a string. False: reason is filled in. */
static bool read_file(int which, char *reason)
{
    int error = files.errors[which];
    ssize_t n = -1;

    if (!error) {
        n = pread(files.fds[which], buffer, sizeof(buffer) - 1, 0);
        error = n < 0 ? errno : 0;
    }
    if (error) {
        snprintf(reason, NOISE_REASON_SIZE, "/%s: %s", paths[which], strerror(error));
        return false;
    }
    buffer[n] = '\0';
    return true;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t timeval_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000;
}

static bool whole_group;

void noise_count_group(bool yes)
{
    whole_group = yes;
}

/* CPU time of the other processes of our process group: of children that still run, which no
 * rusage holds. */
static uint64_t group_ns(void)
{
    uint64_t sum = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;

    while (proc && (entry = readdir(proc))) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        struct timespec t;
        clockid_t clock;

        if (pid > 0 && pid != getpid() && getpgid(pid) == getpgrp() &&
            clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0)
            sum += (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    if (proc)
        closedir(proc);
    return sum;
}

static uint64_t own_ns(void)
{
    struct rusage children;

    getrusage(RUSAGE_CHILDREN, &children);
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + timeval_ns(children.ru_utime) +
           timeval_ns(children.ru_stime) + (whole_group ? group_ns() : 0);
}

/* "cpuN user nice system idle iowait irq softirq steal ...": the line of each CPU asked for. */
static void read_stat(const int *cpus, int n, struct noise_snapshot *s)
{
    if (!read_file(STAT, s->stat_reason))
        return;
    for (int i = 0; i < n; i++) {
        uint64_t v[8];
        char name[24], *line;

        snprintf(name, sizeof(name), "\ncpu%d ", cpus[i]);
        line = strstr(buffer, name);
        if (!line || sscanf(line + strlen(name),
                            "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                            " %" SCNu64 " %" SCNu64,
                            &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8) {
            snprintf(s->stat_reason, sizeof(s->stat_reason),
                     "/proc/stat has no full line for cpu%d", cpus[i]);
            return;
        }
        s->busy += v[0] + v[1] + v[2] + v[5] + v[6];
        s->irq += v[5];
        s->softirq += v[6];
        s->steal += v[7];
    }
}

static void read_psi(struct noise_snapshot *s)
{
    const char *total;

    if (!read_file(PSI, s->psi_reason))
        return;
    total = strncmp(buffer, "some ", 5) == 0 ? strstr(buffer, "total=") : NULL;
    if (!total || sscanf(total, "total=%" SCNu64, &s->psi_us) != 1)
        snprintf(s->psi_reason, sizeof(s->psi_reason), "/proc/pressure/cpu: unexpected content");
}

/* "se.nr_migrations : 4". Returns 0 or an error number; EBADMSG: has no such line. */
static int read_thread(int task, int tid, uint64_t *migrations)
{
    char path[24], *line;
    ssize_t n;
    int fd, error;

    snprintf(path, sizeof(path), "%d/sched", tid);
    fd = openat(task, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    n = read(fd, buffer, sizeof(buffer) - 1);
    error = n < 0 ? errno : 0;
    close(fd);
    if (error)
        return error;
    buffer[n] = '\0';
    line = strstr(buffer, "nr_migrations ");
    return line && sscanf(line, "nr_migrations : %" SCNu64, migrations) == 1 ? 0 : EBADMSG;
}

/* A thread that ends while we look is not there; but where no thread has the file, nothing is known
 * (a kernel before 6.16 without CONFIG_SCHED_DEBUG). */
static void add_thread(int task, int tid, struct noise_threads *threads, int *missing)
{
    uint64_t migrations = 0;
    int error;

    if (threads->n == NOISE_THREADS) {
        snprintf(threads->reason, sizeof(threads->reason), "more than %d threads", NOISE_THREADS);
        return;
    }
    error = read_thread(task, tid, &migrations);
    if (error == ENOENT || error == ESRCH) {
        *missing = error;
    } else if (error) {
        snprintf(threads->reason, sizeof(threads->reason), "/proc/self/task/%d/sched: %s", tid,
                 error == EBADMSG ? "no se.nr_migrations" : strerror(error));
    } else {
        threads->at[threads->n].tid = tid;
        threads->at[threads->n++].migrations = migrations;
    }
}

/* The list of threads is read in pieces of 64 to 85 names: the kernel need not make up a list of
 * 100,000 that are too many. */
static void read_threads(struct noise_threads *threads)
{
    _Alignas(struct dirent64) char piece[2048], path[512];
    int task, error, missing = 0;
    ssize_t got = 0;

    snprintf(path, sizeof(path), "%s/proc/self/task", files.root);
    task = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = task < 0 ? errno : 0;
    while (!error && !threads->reason[0] && (got = getdents64(task, piece, sizeof(piece))) != 0) {
        error = got < 0 ? errno : 0;
        for (ssize_t at = 0; at < got && !threads->reason[0];) {
            const struct dirent64 *entry = (const void *)(piece + at);

            at += entry->d_reclen;
            if (atoi(entry->d_name) > 0) /* not "." */
                add_thread(task, atoi(entry->d_name), threads, &missing);
        }
    }
    if (task >= 0)
        close(task);
    if (error)
        snprintf(threads->reason, sizeof(threads->reason), "/proc/self/task: %s", strerror(error));
    else if (threads->n == 0 && !threads->reason[0])
        snprintf(threads->reason, sizeof(threads->reason), "/proc/self/task/*/sched: %s",
                 missing ? strerror(missing) : "no thread has one");
}

static void take(const int *cpus, int n, struct noise_snapshot *s)
{
    open_files();
    read_stat(cpus, n, s);
    read_psi(s);
    s->own_ns = own_ns();
    s->at_ns = clock_ns(CLOCK_MONOTONIC);
}

void noise_begin(const int *cpus, int n, struct noise_snapshot *before)
{
    memset(before, 0, sizeof(*before));
    read_threads(&before->threads); /* the dear part is first here and last in noise_end: outside */
    take(cpus, n, before);
}

static void read_frequency(const int *cpus, int n, struct noise *out)
{
    for (int i = 0; i < n; i++) {
        char path[512], text[32];
        uint64_t khz = 0;
        ssize_t got = -1;
        int fd, error;

        snprintf(path, sizeof(path), "%s/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq",
                 files.root, cpus[i]);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        error = errno;
        if (fd >= 0) {
            got = read(fd, text, sizeof(text) - 1);
            error = errno;
            close(fd);
        }
        if (got > 0) {
            text[got] = '\0';
            khz = strtoull(text, NULL, 10);
        }
        if (khz == 0) {
            out->frequency_known = false;
            snprintf(out->frequency_reason, sizeof(out->frequency_reason),
                     "cpu%d/cpufreq/scaling_cur_freq: %s", cpus[i],
                     got < 0 ? strerror(error) : "not a number");
            return;
        }
        if (!out->frequency_known || khz * 1000 < out->frequency_hz)
            out->frequency_hz = khz * 1000;
        out->frequency_known = true;
    }
    if (n <= 0)
        snprintf(out->frequency_reason, sizeof(out->frequency_reason), "no CPU was asked for");
}

/* A counter of /proc/stat that went back (they do for idle CPUs on some kernels) reads as none. */
static uint64_t since(uint64_t before, uint64_t after)
{
    return after > before ? after - before : 0;
}

/* A thread that was there before counts from then on; a new one, which began at 0, in full. (So
 * does one that got the number of a thread that ended, as far as its count tells.) */
static void count_migrations(const struct noise_threads *before, const struct noise_threads *after,
                             struct noise *out)
{
    memcpy(out->migrations_reason, before->reason[0] ? before->reason : after->reason,
           sizeof(out->migrations_reason));
    out->migrations_known = !out->migrations_reason[0];
    for (int i = 0; out->migrations_known && i < after->n; i++) {
        uint64_t had = 0;

        for (int j = 0; j < before->n; j++)
            if (before->at[j].tid == after->at[i].tid)
                had = before->at[j].migrations;
        out->migrations += after->at[i].migrations - (had <= after->at[i].migrations ? had : 0);
    }
}

void noise_end(const int *cpus, int n, const struct noise_snapshot *before, struct noise *out)
{
    struct noise_snapshot after = {0};
    long hz = sysconf(_SC_CLK_TCK);

    memset(out, 0, sizeof(*out));
    take(cpus, n, &after);
    out->wall_ns = after.at_ns - before->at_ns;
    out->own_ns = since(before->own_ns, after.own_ns);

    out->tick_ns = 1000000000u / (uint64_t)(hz > 0 ? hz : 100);
    memcpy(out->stat_reason, before->stat_reason[0] ? before->stat_reason : after.stat_reason,
           sizeof(out->stat_reason));
    out->stat_known = !out->stat_reason[0];
    if (out->stat_known) {
        out->busy_ns = since(before->busy, after.busy) * out->tick_ns;
        out->steal_ns = since(before->steal, after.steal) * out->tick_ns;
        out->irq_ns = since(before->irq, after.irq) * out->tick_ns;
        out->softirq_ns = since(before->softirq, after.softirq) * out->tick_ns;
        out->foreign_ns = (int64_t)out->busy_ns - (int64_t)out->own_ns;
    }

    memcpy(out->psi_reason, before->psi_reason[0] ? before->psi_reason : after.psi_reason,
           sizeof(out->psi_reason));
    out->psi_known = !out->psi_reason[0];
    if (out->psi_known)
        out->psi_some_us = since(before->psi_us, after.psi_us);

    read_frequency(cpus, n, out);

    if (read_file(LOAD, out->load_reason)) {
        out->load_known = sscanf(buffer, "%lf", &out->load1) == 1;
        if (!out->load_known)
            snprintf(out->load_reason, sizeof(out->load_reason), "/proc/loadavg: not a number");
    }

    read_threads(&after.threads);
    count_migrations(&before->threads, &after.threads, out);
}

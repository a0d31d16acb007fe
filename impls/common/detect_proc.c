/*
 * detect_proc.c - blocked LWPs by sampling /proc/self/task/TID/stat, for all Linux kernels.
 *
 * The third field is the state (proc(5)): S and D are waits; R is running or waiting for a CPU, so
 * one that was preempted is not taken for blocked. Misses what is shorter than the period.
 */
#include "detect_kind.h"

#include "sys.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int detect_stat_open(struct detect_slot *s)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)s->tid);
    s->stat = (int)SYS_CALL(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (s->stat >= 0)
        return 0;
    int error = -s->stat;
    s->stat = -1;
    return error;
}

/* "TID (name) STATE ...": the name may contain ") R". Fields 14 and 15 are ticks of CPU time. */
static enum detect_state parse(const char *text, uint64_t *ticks)
{
    const char *end = strrchr(text, ')');
    char state;
    uint64_t user, kernel;

    if (!end || sscanf(end, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                       &state, &user, &kernel) != 3)
        return DETECT_GONE;
    *ticks = user + kernel;
    switch (state) {
    case 'S':
    case 'D':
        return DETECT_WAITS;
    case 'Z':
    case 'X':
        return DETECT_GONE;
    default: /* T and t, stopped as a whole: no other LWP could run either */
        return DETECT_RUNS;
    }
}

enum detect_state detect_stat(struct detect_slot *s)
{
    char text[512];
    long length = SYS_CALL(SYS_pread64, s->stat, text, sizeof(text) - 1, 0, 0, 0);

    if (length <= 0)
        return DETECT_GONE;
    text[length] = 0;
    return parse(text, &s->ticks);
}

void detect_sample(struct detect_slot *s)
{
    enum detect_state state;
    uint32_t seq;

    /* Unchanged on both sides: it was in user code, or hidden, all the time in between. */
    do {
        seq = detect_seq(s);
        if (detect_hidden(seq)) {
            s->blocks = false;
            return;
        }
        state = detect_stat(s);
    } while (seq != detect_seq(s));
    s->blocks = state == DETECT_WAITS;
}

static int probe(char *reason, size_t size)
{
    struct detect_slot self = {.tid = (pid_t)SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0)};
    int error = detect_stat_open(&self);

    if (error) {
        snprintf(reason, size, "/proc/self/task/%d/stat cannot be opened: %s", (int)self.tid,
                 strerror(error));
        return error;
    }
    enum detect_state state = detect_stat(&self);
    close(self.stat);
    if (state == DETECT_RUNS)
        return 0;
    snprintf(reason, size, "/proc/self/task/TID/stat does not tell the state of a thread");
    return ENOTSUP;
}

/* The bounds of the period: at 100 us watching two LWPs costs about 4% of a CPU, at 5 ms less than
 * 0.1% (suites/stall/detector.c measures both); 5 ms is half of what Go's sysmon waits at most. */
#ifndef DETECT_PROC_MIN_NS
#define DETECT_PROC_MIN_NS 100000
#endif
#ifndef DETECT_PROC_MAX_NS
#define DETECT_PROC_MAX_NS 5000000
#endif

const struct detect_ops detect_proc = {
    .name = "proc",
    .min_ns = DETECT_PROC_MIN_NS,
    .max_ns = DETECT_PROC_MAX_NS,
    .look = DETECT_ALWAYS,
    .probe = probe,
};

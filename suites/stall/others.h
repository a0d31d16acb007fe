/*
 * others.h - the CPU time of the process's kernel threads that run none of the benchmark's threads:
 * what an implementation spends on watching them.
 *
 *     any thread:  others_mark(&o)      the kernel thread that it is on now is none of them
 *     first:       others_begin(&o); ... others_end(&o); others_percent(&o)
 */
#ifndef SUITES_OTHERS_H
#define SUITES_OTHERS_H

#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define OTHERS_MARKED 64

struct others {
    _Atomic int marked[OTHERS_MARKED]; /* TIDs, 0: free. Beyond that they are taken for others */
    uint64_t begin_ns, begin_cpu;
    uint64_t ns, cpu; /* sums */
};

static inline void others_mark(struct others *o)
{
    int tid = (int)syscall(SYS_gettid);

    for (unsigned i = 0; i < OTHERS_MARKED; i++) {
        int is = 0;

        if (atomic_compare_exchange_strong(&o->marked[i], &is, tid) || is == tid)
            return;
    }
}

/* ns on a CPU, of one thread; 0: it has ended. */
static inline uint64_t others_cpu_of(int tid)
{
    char path[64];
    uint64_t ns = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%" SCNu64, &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}

static inline uint64_t others_cpu(struct others *o)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    uint64_t sum = 0;

    while (tasks && (task = readdir(tasks))) {
        int tid = atoi(task->d_name);
        unsigned i = 0;

        while (i < OTHERS_MARKED && o->marked[i] != tid)
            i++;
        if (tid && i == OTHERS_MARKED)
            sum += others_cpu_of(tid);
    }
    if (tasks)
        closedir(tasks);
    return sum;
}

static inline void others_begin(struct others *o)
{
    o->begin_ns = tl_now_ns();
    o->begin_cpu = others_cpu(o);
}

/* A thread that was marked in between takes its time out of the difference: that is not counted. */
static inline void others_end(struct others *o)
{
    uint64_t cpu = others_cpu(o);

    if (cpu < o->begin_cpu)
        return;
    o->cpu += cpu - o->begin_cpu;
    o->ns += tl_now_ns() - o->begin_ns;
}

/* Of one CPU. */
static inline double others_percent(const struct others *o)
{
    return o->ns ? (double)o->cpu / (double)o->ns * 100 : 0;
}

#endif

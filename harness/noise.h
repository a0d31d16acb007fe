/*
 * noise.h - what the machine did meanwhile: time stolen by the hypervisor, other people's work on
 * our CPUs, interrupts, pressure, frequency, threads moved between CPUs. It judges nothing; the
 * record keeps it with the sample.
 *
 * The child calls noise_begin before its timed windows and noise_end after them; the files are
 * opened once per process and read by pread. A pair takes about 100 us, most of it the kernel's,
 * for /proc/stat, and 13 to 20 us for each living thread, for its file of migrations (1 ms at the
 * most, with 64; a 2-CPU virtual machine, 6.18).
 *
 * Migrations come from /proc, not from an inherited perf counter, which would make every thread
 * dearer to create. The price: a thread that began and ended in between is not seen, nor is a child
 * process, nor what a thread did between noise_begin and its end.
 */
#ifndef HARNESS_NOISE_H
#define HARNESS_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#define NOISE_REASON_SIZE 80
/* With more threads, migrations are not known: to read the files of them all takes too long. */
#define NOISE_THREADS 64

/* How often each living thread had been moved between CPUs. */
struct noise_threads {
    int n;
    struct {
        int tid;
        uint64_t migrations;
    } at[NOISE_THREADS];
    char reason[NOISE_REASON_SIZE]; /* not "": not known */
};

/* Counters of the kernel at one moment; opaque to the caller. */
struct noise_snapshot {
    uint64_t at_ns, own_ns, psi_us;
    uint64_t busy, steal, irq, softirq; /* ticks, summed over the CPUs */
    struct noise_threads threads;
    char stat_reason[NOISE_REASON_SIZE], psi_reason[NOISE_REASON_SIZE];
};

/* Plain data. Each part is known, or has a reason. */
struct noise {
    uint64_t wall_ns; /* between begin and end, CLOCK_MONOTONIC */
    uint64_t own_ns;  /* CPU time of this process, its threads and the children it has waited for */

    /* From /proc/stat, summed over the CPUs asked for. The kernel counts in ticks and each of the
     * counters is rounded: every value here is uncertain by about tick_ns per CPU. */
    bool stat_known;
    char stat_reason[NOISE_REASON_SIZE];
    uint64_t tick_ns;
    uint64_t busy_ns;            /* user, nice, system, irq and softirq */
    uint64_t steal_ns;           /* the hypervisor ran somebody else */
    uint64_t irq_ns, softirq_ns; /* 0 also where the kernel books interrupts on who was running */
    int64_t foreign_ns; /* busy - own: work of others on these CPUs. Negative by rounding, or
                         * when we also ran elsewhere: not clamped */

    bool psi_known; /* /proc/pressure/cpu, whole system: time in which some task waited for a CPU */
    char psi_reason[NOISE_REASON_SIZE];
    uint64_t psi_some_us;

    bool migrations_known; /* of the threads that lived at the end */
    char migrations_reason[NOISE_REASON_SIZE];
    uint64_t migrations;

    bool frequency_known; /* the lowest of the CPUs asked for, at the end */
    char frequency_reason[NOISE_REASON_SIZE];
    uint64_t frequency_hz;

    bool load_known; /* 1-minute load average at the end */
    char load_reason[NOISE_REASON_SIZE];
    double load1;
};

/* The same CPUs (OS numbers) for both. Not thread-safe: one cell, one caller. */
void noise_begin(const int *cpus, int n, struct noise_snapshot *before);
void noise_end(const int *cpus, int n, const struct noise_snapshot *before, struct noise *out);

/* Also counts living children as our own, by a walk over /proc (1 ms and more). For a benchmark
 * whose other half is a process. */
void noise_count_group(bool yes);

/* For tests: reads below this directory instead of "/"; closes what is open. NULL: "/" again. */
void noise_set_root(const char *root);

#endif

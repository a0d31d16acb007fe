/*
 * measure.h - one cell, once: runs it in a fresh process, counts its events in another where that
 * is wanted, judges what came back. What `run` does with each cell of its plan, and `serve` with
 * each cell that it is asked for.
 */
#ifndef HARNESS_MEASURE_H
#define HARNESS_MEASURE_H

#include "cell.h"
#include "cli.h"
#include "judge.h"
#include "record.h"

struct measure {
    struct cell_runner *runner;
    struct clock_info clock;
    struct pmu_code codes[PMU_MAX_EVENTS]; /* of the run's events */
    int nevents;
    uint64_t seed;
    const struct cli_list *plugins;
    bool callgrind;                        /* counts come from it */
    struct cell_result *timed;             /* copy of the page: the counting pass reuses it */
    struct pmu_count base[PMU_MAX_EVENTS]; /* of the counting pass of half the size */
    char folder[CALLGRIND_PATH];           /* callgrind's */
    char why[200];                         /* a counting pass failed */
};

/* What is asked of one process. */
struct measure_order {
    const struct cell_spec *spec; /* not refused by the plan */
    int round;
    uint64_t target_ns; /* sum of the timed windows that is wanted */
    uint64_t n;         /* run()'s n; 0: found by the warm-up */
    uint64_t count_n;   /* 0: one counting pass, of half of n; else two, of this and twice this */
    int batches;        /* these four: see struct cell_order */
    const char *baton;  /* NULL: none */
    int seat, seats;
    double slowdown; /* see struct cell_order */
    bool count;      /* with the counting pass */
};

/* What it gave. The pointers of `sample` lead into this struct and into the measure: valid until
 * the next measurement. */
struct measured {
    struct cell_outcome outcome;
    struct judgement judgement;
    struct record_sample sample; /* without position, at_ns and gate: the caller's */
    double value;                /* stats_process_value; NAN unless the status is TL_OK */
    uint64_t wall_ns, timed_ns;
};

/* seed, plugins (which outlive it) and callgrind are set by the caller before. Calibrates the
 * clock, opens the runner (see cell_open for what that does to signals). Returns 0 or an error
 * number, with one line in error. */
int measure_open(struct measure *m, const struct record_run *run, char *error, size_t size);
void measure_close(struct measure *m);

/* Returns 0 with *out filled in, or EINTR: a signal to stop came and there is no result. */
int measure_cell(struct measure *m, const struct measure_order *order, struct measured *out);

/* What stands in the record of a cell that the plan refused. */
void measure_refused(const struct cell_spec *spec, int round, struct measured *out);

#endif

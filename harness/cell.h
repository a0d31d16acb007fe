/*
 * cell.h - one cell of the plan, run in a process of its own.
 *
 * The driver writes a struct cell_order into a page of shared memory (a memfd), starts its own
 * binary again with that descriptor, and waits; the child (run.c) fills in the struct cell_result.
 * A crash or a hang costs one cell. Only plain data crosses: no pointer is valid on the other side.
 */
#ifndef HARNESS_CELL_H
#define HARNESS_CELL_H

#include "baton.h"
#include "bench.h"
#include "callgrind.h"
#include "clock.h"
#include "hist.h"
#include "noise.h"
#include "place.h"
#include "pmu.h"

#define CELL_VALUES 8   /* axes, and parameters, of one cell */
#define CELL_BATCHES 64 /* timed batches of one process */
#define CELL_NAMED 16   /* counts, and metrics */
#define CELL_HISTS 8
#define CELL_PLUGINS 8
#define CELL_PARTS 1024
#define CELL_NOTES 8192
#define CELL_REASON 512

struct cell_value {
    char name[32];
    char value[32];
};

/* What is measured. Made by the plan; the key names it for ever. */
struct cell_spec {
    char key[512];
    char bench[64];
    char impl[32]; /* "-" with TL_NO_IMPL */
    struct cell_value axes[CELL_VALUES], params[CELL_VALUES];
    int naxes, nparams;
    struct place place;
    char refused[256]; /* not "": unsupported, known without running it, and why */
};

enum cell_mode {
    CELL_TIME,  /* timed batches, no counters open: they would make the threads dearer */
    CELL_COUNT, /* one window of `count_n` ops with the counters open */
    CELL_CHECK  /* a check: spec.bench is its name */
};

struct cell_order {
    struct cell_spec spec;
    enum cell_mode mode;
    char mutant[64];                   /* CELL_CHECK: the fault that is put in; "": none */
    uint64_t deadline_ns;              /* of the process */
    uint64_t without[CELL_PARTS / 64]; /* CELL_CHECK: bit i, part i is left out */
    uint64_t seed;
    uint64_t target_ns; /* sum of the timed windows that is wanted */
    uint64_t count_n;   /* CELL_COUNT */
    uint64_t fixed_n;   /* CELL_TIME: run()'s n; 0: the warm-up finds it */
    char baton[64];     /* CELL_TIME: the file of a baton.h; "": batches follow each other */
    int seat, seats;    /* at the baton */
    int batches;        /* CELL_TIME: so many, at most CELL_BATCHES; 0: run.c's own number */
    double slowdown;    /* CELL_TIME: 0.05 burns 5% of each window at its end: to see what a
                         * comparison finds */
    struct clock_info clock;
    struct pmu_code events[PMU_MAX_EVENTS];
    int nevents;
    char callgrind[CALLGRIND_PATH]; /* CELL_COUNT: by callgrind, with this folder; "": the events */
    char plugins[CELL_PLUGINS][256];
    int nplugins;
    pid_t driver; /* so that the child can tell that its parent has died already */
};

/* Where the child was last seen; for the reason of a crash or a timeout. */
enum cell_stage {
    CELL_STARTING,
    CELL_SETUP,
    CELL_WARMUP,
    CELL_TIMED,
    CELL_COUNTING,
    CELL_VERIFY,
    CELL_TEARDOWN,
    CELL_CHECKING,
    CELL_DONE
};

struct cell_batch {
    uint64_t ns, ops;
};

struct cell_usage {
    uint64_t voluntary_switches, involuntary_switches, minor_faults, major_faults, user_ns,
        system_ns, max_rss_bytes;
};

struct cell_result {
    _Atomic int stage;     /* enum cell_stage */
    enum tl_status status; /* meaningful once stage is CELL_DONE */
    char reason[CELL_REASON];
    _Atomic int reason_taken; /* first writer wins */
    char step[80];            /* CELL_CHECK: where it is */
    char notes[CELL_NOTES];   /* CELL_CHECK: lines for the reader */
    struct cell_batch batches[CELL_BATCHES];
    int nbatches;
    uint64_t n;              /* run()'s n of the single batches; the others had 2n */
    struct cell_usage usage; /* over the timed windows */
    bool usage_known;
    struct {
        char name[32];
        uint64_t n;
    } counts[CELL_NAMED];
    int ncounts;
    struct {
        char name[32], unit[16];
        double value;
    } metrics[CELL_NAMED];
    int nmetrics;
    struct tl_hist hists[CELL_HISTS];
    int nhists;
    struct tl_expect expect;
    char expect_why[160];
    struct baton_report baton;
    struct noise noise;
    bool noise_known;
    struct pmu_count counters[PMU_MAX_EVENTS]; /* CELL_COUNT */
    uint64_t counted_ops;
    uint64_t setup_ns, warmup_ns, timed_ns, counting_ns, teardown_ns; /* phases */
    _Atomic int pinned[4]; /* PU where slot 0..3 was found after pinning; -1: not asked */
    _Atomic unsigned pin_failures;
    char pin_error[120];
};

struct cell_page {
    struct cell_order order;
    struct cell_result result;
};

/* How the process of a cell ended, with what it said. */
struct cell_outcome {
    enum tl_status status;
    char reason[CELL_REASON];
    char signal[16]; /* "SIGSEGV", or "" */
    uint64_t spawn_ns, wall_ns;
};

/* Once per run: a page for all its cells, and a warden: a process that kills the running cell's
 * process group when the driver dies, however it dies. Blocks SIGCHLD, SIGINT, SIGTERM and SIGHUP
 * in the driver: they are taken synchronously from here on. Returns 0 or an error number. */
struct cell_runner;
int cell_open(struct cell_runner **runner);
void cell_close(struct cell_runner *runner);
/* The page: fill in ->order, call cell_run, read ->result. Valid until cell_close. */
struct cell_page *cell_page(struct cell_runner *runner);

/* Starts the cell in a fresh process; order.deadline_ns later its whole process group is killed.
 * Returns 0; EINTR: SIGINT, SIGTERM or SIGHUP came; or the error of starting the process. */
int cell_start(struct cell_runner *runner);
/* True: the cell that was started is over, its process group is gone and reaped, *outcome filled
 * in (not if cell_interrupted). */
bool cell_done(struct cell_runner *runner, struct cell_outcome *outcome);
/* Sleeps until one of the n may be done or a signal to stop has come. */
void cell_pause(struct cell_runner *const *runners, size_t n);

/* The three together, for one cell. Returns 0 with *outcome filled in, or as cell_start does;
 * EINTR: the cell was killed and has no outcome. */
int cell_run(struct cell_runner *runner, uint64_t deadline_ns, struct cell_outcome *outcome);

/* The signal that asks the driver to stop, or 0. Stays set once it has come. */
int cell_interrupted(struct cell_runner *runner);

const char *cell_stage_name(enum cell_stage stage);
const char *cell_status_name(enum tl_status status);

/* SIGQUIT asks a cell's process for its threads (threads.h). What it prints begins so in each line,
 * which is shorter than 81 columns. */
#define CELL_TABLE_MARK "| "
/* By sigqueue(3) from the driver: and then end. */
#define CELL_LAST_QUESTION 1

/* The child's main (run.c): maps the page behind fd, runs the cell, returns the exit status. */
int run_cell(int fd);

#endif

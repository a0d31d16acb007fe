/*
 * record.h - the file of a run: JSON Lines, written by jansson. record*.c are the only files that
 * know the names of its fields; results/schema describes them.
 *
 * A line is written by one write(2) and is whole or not there: when the disk is full, the file is
 * cut back to its last whole line. While the run goes on the file is called FILE.tmp.
 */
#ifndef HARNESS_RECORD_H
#define HARNESS_RECORD_H

#include "cell.h"
#include "check_gate.h"
#include "cli.h"
#include "env.h"
#include "judge.h"
#include "plan.h"
#include "tally.h"

struct record;

/* What the header says besides the request and the plan. */
struct record_run {
    char id[48];
    char host[65];
    uint64_t started_unix_ns;
    const struct env *env;
    const struct clock_info *clock;
    const struct place_topology *topology;
    struct {
        char event[PMU_NAME_SIZE], reason[PMU_REASON_SIZE];
    } events[PMU_MAX_EVENTS];
    int nevents;
    const struct check_plan *checks; /* NULL: none were made */
};

/* Names a new run: id, host, started. */
void record_name(struct record_run *run);
/* A seed where the user gave none: 32 bits, easy to type. */
uint64_t record_random_seed(void);
/* record_create of `out`; a name that ends with / is a folder, NULL means results/: then the record
 * is <host>/<id>/<host>.<id>.jsonl in it. */
struct record *record_start(const struct record_run *run, const char *out, char *error,
                            size_t size);
/* A record that goes to standard output. NULL: out of memory. */
struct record *record_stdout(void);

/* One process, as it goes into a sample record. */
struct record_sample {
    const struct cell_spec *spec;
    int round;
    size_t position;
    uint64_t at_ns;
    const struct cell_outcome *outcome;
    const struct cell_result *timed;   /* NULL: was not run (refused by the plan) */
    const struct cell_result *counted; /* NULL: no counting pass, see count_reason */
    const char *count_reason;
    const struct pmu_count *base; /* of a counting pass of fewer ops, in the same order; or NULL */
    uint64_t base_ops;
    const struct judgement *judgement; /* NULL unless the status is TL_OK */
    const struct check_gate *gate;     /* NULL: nothing was checked */
    double slowdown;                   /* see struct cell_order; recorded unless 0 */
};

/* Creates PATH.tmp and the folders above it. Returns NULL with one line in error: PATH or PATH.tmp
 * is there already (nothing is overwritten), or it cannot be written. */
struct record *record_create(const char *path, char *error, size_t size);

/* Opens an interrupted record for appending. Its torn last line, if any, is cut off. Fills in the
 * request, the run's identity and, through plan_make by the caller, nothing else. NULL with one
 * line in error: unreadable, not a threadlab record, another major version, complete already,
 * measured by another build. Strings of *request are malloc'd and live as long as the process. */
struct record *record_reopen(const char *path, struct request *request, struct record_run *run,
                             int *rounds, uint64_t *budget_ns, char *error, size_t size);
/* Adds the samples that a reopened record holds to the tally. Returns 0 or EINVAL with one line in
 * error (a cell that the plan does not have). */
int record_replay(struct record *record, struct tally *tally, char *error, size_t size);

/* Each writes one line. Returns 0 or the error of write(2); the file then ends with the last whole
 * line that came before. */
/* plan: NULL where only checks are made. */
int record_header(struct record *record, const struct record_run *run,
                  const struct request *request, const struct plan *plan);
int record_sample(struct record *record, const struct record_run *run,
                  const struct record_sample *sample);
int record_check(struct record *record, const struct record_run *run, const struct check_case *c);
int record_resumed(struct record *record, const struct record_run *run, size_t records_before);
/* tally: NULL where only checks were made. */
int record_end(struct record *record, const struct record_run *run, const struct tally *tally,
               uint64_t wall_ns, uint64_t timed_ns, const char *why_incomplete);

/* Renames FILE.tmp to its final name. Returns 0 or an error number. */
int record_finish(struct record *record);
/* The file's name as it is now. */
const char *record_path(const struct record *record);
void record_close(struct record *record);

/* JSON on stdout for scripts: `env --json`, `list --json`, `run --dry-run --json`. */
void record_print_env(const struct env *env);
void record_print_plan(const struct plan *plan);
void record_print_list(const char *what, const struct place_topology *topology);
void record_print_end(const struct record *record, const struct tally *tally, double harness_share);

#endif

/*
 * cli.h - the command line as data: argv -> struct request, by argp.
 *
 * Bad input ends the process with status 2 and one line that says what was wrong and what would be
 * right (names are checked later, against the registry and the topology).
 */
#ifndef HARNESS_CLI_H
#define HARNESS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_LIST 64 /* entries of one repeatable option */

enum cli_verb {
    CLI_LIST_THINGS,
    CLI_RUN,
    CLI_CHECK,
    CLI_MUTANTS,
    CLI_COMPARE,
    CLI_LAB,
    CLI_SERVE,
    CLI_ENV,
    CLI_DOCTOR,
    CLI_THREADS,
    CLI_CELL_PROCESS
};
enum cli_preset { PRESET_QUICK, PRESET_STANDARD, PRESET_FULL };

struct cli_list {
    char *items[CLI_LIST];
    size_t n;
};

struct cli_set {
    char *name;
    char *values; /* comma list */
};

struct request {
    enum cli_verb verb;
    const char *what; /* list WHAT; NULL: an overview */
    bool json;
    struct cli_list impls, benches; /* globs; empty: all */
    struct cli_list checks;         /* globs of properties (mutants: of mutants); empty: all */
    struct cli_list pids;           /* CLI_THREADS; empty: all cells that run */
    struct cli_list places;         /* policies; empty: each benchmark's own */
    struct cli_list events;         /* empty: the defaults */
    struct cli_list plugins;
    struct cli_set sets[CLI_LIST];
    size_t nsets;
    enum cli_preset preset;
    int rounds;         /* 0: the preset's */
    uint64_t budget_ns; /* 0: the preset's */
    uint64_t ops;       /* run()'s n; 0: found by time */
    bool callgrind;     /* run: counts are valgrind's, not those of events */
    uint64_t seed;
    bool seed_given;
    const char *out;      /* NULL: results/<host>/<id>/<host>.<id>.jsonl */
    const char *resume;   /* NULL: a new run */
    const char *topology; /* NULL: this machine */
    bool dry_run;
    bool no_checks;           /* run: without checking what the numbers rest on */
    const char *expect;       /* NULL: no file of expected verdicts is read */
    const char *junit;        /* NULL: no JUnit file */
    struct cli_list programs; /* check: programs, sources, folders of them; empty: properties */
    struct cli_list include;  /* check: where its programs find headers */
    const char *mutant;       /* NULL: implementations as they are */
    uint64_t deadline_ns;     /* of one check; 0: its own */
    uint64_t torture_ns;      /* check: random programs for so long; 0: no torture */
    bool claims;              /* mutants: what each claims to be killed by, and no more */
    int jobs;                 /* checks at a time; 0: by the number of PUs */
    int cell_fd;              /* CLI_CELL_PROCESS */
    char **rest; /* CLI_COMPARE, CLI_LAB: for the script, as they came; rest[0] is its name */
};

/* Fills *request (strings point into argv or are malloc'd and live as long as the process). */
void cli_parse(int argc, char **argv, struct request *request);

const char *cli_preset_name(enum cli_preset preset);

/* "threadlab: " and one line on stderr; exits with status 2. */
_Noreturn void cli_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

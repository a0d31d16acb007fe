/*
 * tally.h - what a run has so far: one entry per cell and round, for the progress line, the summary
 * and the end record. The record file holds everything; this only what the terminal needs.
 */
#ifndef HARNESS_TALLY_H
#define HARNESS_TALLY_H

#include "check_gate.h"
#include "plan.h"

struct tally_entry {
    bool done;
    bool trusted;
    enum tl_status status;
    double value; /* ns per op; NAN unless status is TL_OK */
    char why[96]; /* the beginning of the reason */
};

struct tally {
    const struct plan *plan;
    struct tally_entry *entries; /* cell * rounds + round */
    size_t by_status[6];
    size_t records, untrusted;
    const struct check_gate *gate; /* NULL: nothing was checked */
};

int tally_init(struct tally *tally, const struct plan *plan); /* 0 or ENOMEM */
void tally_free(struct tally *tally);
void tally_add(struct tally *tally, size_t cell, int round, enum tl_status status, double value,
               bool trusted, const char *why);
bool tally_has(const struct tally *tally, size_t cell, int round);

/* The A/A result: how much the value of a cell differs between two processes, where nothing differs
 * but the noise. A pair is a cell that is ok in two consecutive rounds; its difference is by how
 * much the larger value exceeds the smaller: exp(|ln(b / a)|) - 1. */
enum tally_scope { TALLY_ALL, TALLY_SAME_PU, TALLY_CROSS_PU }; /* which cells, by their placement */
struct tally_aa {
    size_t pairs;
    double median, p95, max; /* per cent; p95 is the maximum of fewer than 20 */
    const char *reason;      /* why there are no pairs; then the three are NAN. Else NULL */
};
void tally_aa(const struct tally *tally, enum tally_scope scope, struct tally_aa *aa);

/* Prints the summary to stdout: a block per benchmark, a row per configuration, a column per
 * implementation; fits in 80 columns. */
void tally_print(const struct tally *tally);

#endif

/*
 * exact.h - instructions per op, from the counting passes of `run --ops`: what the terminal shows
 * of an emulated run in place of times. The record holds the counts themselves.
 */
#ifndef HARNESS_EXACT_H
#define HARNESS_EXACT_H

#include "plan.h"
#include "record.h"

struct exact_entry {
    bool known;
    double user, kernel; /* instructions per op; NAN: not counted */
    char why[120];       /* the reason where it is not known */
};

struct exact {
    const struct plan *plan;
    struct exact_entry *cells;
};

int exact_init(struct exact *exact, const struct plan *plan); /* 0 or ENOMEM */
void exact_free(struct exact *exact);
void exact_add(struct exact *exact, size_t cell, const struct record_sample *sample);
/* To stdout, in the order of the plan. */
void exact_print(const struct exact *exact);

/* Event per op: of two passes the difference of the counts over that of the ops, in which what a
 * window costs whatever its size is not; of one pass the quotient. NAN: not counted. */
double exact_per_op(const struct record_sample *sample, const char *event);

#endif

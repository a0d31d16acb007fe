/*
 * judge.h - the self-checks of a sample: may its number be believed? Pure.
 *
 * A sample that fails one is kept and marked `trusted: false` with the reasons; nothing is dropped,
 * clamped or corrected.
 */
#ifndef HARNESS_JUDGE_H
#define HARNESS_JUDGE_H

#include "cell.h"

#define JUDGE_REASONS 10

/* A count per op beside what the benchmark declared. */
struct judge_rate {
    const char *name; /* "switches_per_op" */
    struct tl_range declared;
    bool known; /* seen means something */
    double seen;
    char reason[PMU_REASON_SIZE]; /* why it is not known */
};

struct judgement {
    bool trusted;
    int n;
    char reasons[JUDGE_REASONS][192];
    double linearity; /* see stats_linearity; NAN: not measured */
    struct judge_rate rates[2];
};

/* timed: the result of CELL_TIME, TL_OK. counted: that of CELL_COUNT, or NULL with count_reason. */
void judge(const struct cell_spec *spec, const struct clock_info *clock,
           const struct cell_result *timed, const struct cell_result *counted,
           const char *count_reason, struct judgement *out);

#endif

/*
 * doctor.h - judges what of the machine spoils numbers, what it does to them, and what mends it.
 *
 * Pure: facts in, findings out; it reads nothing and changes nothing. The rules are in
 * doctor_cpu.c, doctor_kernel.c and doctor_load.c; doctor_print.c prints.
 */
#ifndef HARNESS_DOCTOR_H
#define HARNESS_DOCTOR_H

#include "env.h"
#include "noise.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define DOCTOR_MAX 32 /* findings: one for each rule */

enum doctor_state { DOCTOR_WARN, DOCTOR_UNKNOWN, DOCTOR_GOOD }; /* worst first */

struct doctor_input {
    const struct env *env;
    const struct noise *noise; /* of an interval in which this process slept */
    int cpus;                  /* of the noise */
    const char *pmu_reason;    /* why instructions cannot be counted; "": they can */
};

struct doctor_finding {
    const char *name;
    enum doctor_state state;
    char text[360];    /* what was found; unknown: the reason why nothing could be */
    char cost[480];    /* what it does to the numbers; "" if good */
    char remedy[480];  /* in words, also why nothing can be done here; may be "" */
    char command[480]; /* shell commands that mend it, one a line; may be "" */
    char undo[240];    /* the commands that take it back; may be "" */
};

/* Fills findings[0..DOCTOR_MAX) worst first; returns how many there are. */
int doctor_judge(const struct doctor_input *in, struct doctor_finding *findings);

/* In 80 columns, with a summary as the last line. */
void doctor_print(FILE *out, const struct doctor_finding *findings, int n);

const char *doctor_state_name(enum doctor_state state);

#endif

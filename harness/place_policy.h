/*
 * place_policy.h - private to place*.c: what a policy is, and the steps that policies share.
 */
#ifndef HARNESS_PLACE_POLICY_H
#define HARNESS_PLACE_POLICY_H

#include "place_table.h"

#include <limits.h>

#define PLACE_ANY_KIND INT_MIN

enum {
    PLACE_WITHIN_PACKAGE = PLACE_BIT(PLACE_PACKAGE),
    PLACE_WITHIN_NODE = PLACE_WITHIN_PACKAGE | PLACE_BIT(PLACE_NODE),
    PLACE_WITHIN_L3 = PLACE_WITHIN_PACKAGE | PLACE_BIT(PLACE_LLC),
    PLACE_WITHIN_L3_NODE = PLACE_WITHIN_NODE | PLACE_BIT(PLACE_LLC),
    PLACE_WITHIN_L2 = PLACE_WITHIN_L3_NODE | PLACE_BIT(PLACE_L2),
    PLACE_WITHIN_CORE = PLACE_WITHIN_L2 | PLACE_BIT(PLACE_CORE),
    PLACE_WITHIN_ALL = 0
};

struct place_policy {
    const char *name, *help;
    int (*choose)(const struct place_topology *t, const struct place_policy *p, int want,
                  struct place *out);
    enum place_level apart; /* relations: what the slots do not share */
    bool in_turn;           /* relations: true: slots are dealt to the domains in turn, as often as
                             * needed; false: one slot to a domain, so all pairs are alike */
    unsigned within[2];     /* relations: what they do share; the second one is tried if no group of
                             * PUs can do it within the first */
};

int place_choose_relation(const struct place_topology *t, const struct place_policy *p, int want,
                          struct place *out);

/* Sets the reason; returns e. */
int place_refuse(struct place *out, int e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* More wanted than allowed. */
int place_refuse_all(const struct place_topology *t, const struct place_policy *p, int want,
                     struct place *out);
void place_take(struct place *out, const struct place_entry *e);

/* Walks the kinds from the fastest to the slowest, then PLACE_ANY_KIND; true until all have been.
 * *started is false before the first call. */
bool place_next_kind(const struct place_topology *t, int *kind, bool *started);
bool place_is_kind(const struct place_entry *e, int kind);

/* levels: PLACE_BIT of each. A group is the PUs that share them. */
bool place_shares(const struct place_entry *a, const struct place_entry *b, unsigned levels);
/* True if no PU of that kind before i is in the same group. */
bool place_opens_group(const struct place_topology *t, size_t i, unsigned levels, int kind);

#endif

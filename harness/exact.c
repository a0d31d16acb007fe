/* exact.c - see exact.h. */
#include "exact.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int exact_init(struct exact *exact, const struct plan *plan)
{
    exact->plan = plan;
    exact->cells = calloc(plan->n ? plan->n : 1, sizeof *exact->cells);
    return exact->cells ? 0 : ENOMEM;
}

void exact_free(struct exact *exact)
{
    free(exact->cells);
    exact->cells = NULL;
}

/* A value that was scaled for multiplexing would not be exact: then there is none. */
static const struct pmu_count *find(const struct pmu_count *counts, const char *event)
{
    for (int i = 0; counts && i < PMU_MAX_EVENTS && counts[i].event[0]; i++)
        if (strcmp(counts[i].event, event) == 0 && counts[i].available &&
            counts[i].running_ns == counts[i].enabled_ns)
            return &counts[i];
    return NULL;
}

double exact_per_op(const struct record_sample *s, const char *event)
{
    const struct pmu_count *c = s->counted ? find(s->counted->counters, event) : NULL;
    const struct pmu_count *base = find(s->base, event);
    uint64_t ops = s->counted ? s->counted->counted_ops : 0;

    if (!c || ops == 0)
        return (double)NAN;
    if (!base || s->base_ops >= ops)
        return (double)c->value / (double)ops;
    return ((double)c->value - (double)base->value) / (double)(ops - s->base_ops);
}

void exact_add(struct exact *exact, size_t cell, const struct record_sample *s)
{
    struct exact_entry *e = &exact->cells[cell];

    if (e->known || s->round > 0)
        return;
    e->user = exact_per_op(s, "instructions:u");
    e->kernel = exact_per_op(s, "instructions:k");
    e->known = s->outcome->status == TL_OK && (!isnan(e->user) || !isnan(e->kernel));
    snprintf(e->why, sizeof e->why, "%.100s",
             s->outcome->status != TL_OK ? s->outcome->reason
             : s->counted                ? "instructions were not counted"
                                         : s->count_reason);
}

static const char *text(double value, char buffer[16])
{
    snprintf(buffer, 16, isnan(value) ? "-" : "%.3f", value);
    return buffer;
}

void exact_print(const struct exact *exact)
{
    printf("\ninstructions per op:     user       kernel\n");
    for (size_t i = 0; i < exact->plan->n; i++) {
        const struct exact_entry *e = &exact->cells[i];
        char user[16], kernel[16];
        if (e->known)
            printf("%29s %12s  %s\n", text(e->user, user), text(e->kernel, kernel),
                   exact->plan->cells[i].key);
        else
            printf("%42s  %s: %s\n", "-", exact->plan->cells[i].key, e->why);
    }
    printf("\n");
}

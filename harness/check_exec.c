/* check_exec.c - see check_exec.h. */
#include "check_exec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Invariant: at[i] is the case that runners[i] runs, NULL: none. */
struct exec {
    struct cell_runner **runners;
    struct check_case **at;
    unsigned jobs, busy;
    const struct place *place;
    const struct cli_list *plugins;
    struct clock_info clock;
    void (*done)(const struct check_case *c, void *arg);
    void *arg;
};

static int start(struct exec *x, unsigned i, struct check_case *c)
{
    struct cell_order *o = &cell_page(x->runners[i])->order;
    memset(o, 0, sizeof *o);
    o->mode = CELL_CHECK;
    o->seed = c->seed;
    o->deadline_ns = c->deadline_ns;
    o->clock = x->clock;
    memcpy(o->without, c->without, sizeof o->without);
    o->spec.place = *x->place;
    snprintf(o->spec.bench, sizeof o->spec.bench, "%s", c->check->name);
    snprintf(o->spec.impl, sizeof o->spec.impl, "%s", c->impl->name);
    memcpy(o->spec.params, c->params, sizeof o->spec.params);
    o->spec.nparams = c->nparams;
    if (c->mutant)
        snprintf(o->mutant, sizeof o->mutant, "%s", c->mutant->name);
    for (size_t p = 0; p < x->plugins->n && p < CELL_PLUGINS; p++) {
        snprintf(o->plugins[p], sizeof o->plugins[p], "%s", x->plugins->items[p]);
        o->nplugins++;
    }
    int e = cell_start(x->runners[i]);
    if (!e) {
        x->at[i] = c;
        x->busy++;
    }
    return e;
}

/* notes: what it said, or NULL. */
static void finish(struct exec *x, struct check_case *c, const struct cell_outcome *out,
                   const char *notes)
{
    free(c->notes);
    c->notes = notes && *notes ? strdup(notes) : NULL;
    c->done = true;
    c->status = out->status;
    c->wall_ns = out->wall_ns;
    snprintf(c->reason, sizeof c->reason, "%s", out->reason);
    snprintf(c->signal, sizeof c->signal, "%s", out->signal);
    if (x->done)
        x->done(c, x->arg);
}

static void collect(struct exec *x)
{
    struct cell_outcome out;
    for (unsigned i = 0; i < x->jobs; i++) {
        if (!x->at[i] || !cell_done(x->runners[i], &out))
            continue;
        struct check_case *c = x->at[i];
        x->at[i] = NULL;
        x->busy--;
        if (!cell_interrupted(x->runners[i]))
            finish(x, c, &out, cell_page(x->runners[i])->result.notes);
    }
}

static bool too_late(const struct check_case *c)
{
    struct timespec t;
    if (!c->not_after_ns)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec > c->not_after_ns;
}

static int run_batch(struct exec *x, struct check_case *cases, size_t n, bool alone)
{
    unsigned jobs = alone ? 1 : x->jobs;
    size_t next = 0;
    int e = 0;
    for (;;) {
        while (!e && next < n && x->busy < jobs) {
            struct check_case *c = &cases[next];
            unsigned i = 0;
            if (!!(c->check->flags & TL_CHECK_ALONE) != alone || too_late(c)) {
                next++;
                continue;
            }
            if (c->refused[0]) {
                struct cell_outcome refused = {.status = TL_UNSUPPORTED};
                snprintf(refused.reason, sizeof refused.reason, "%s", c->refused);
                finish(x, c, &refused, NULL);
                next++;
                continue;
            }
            while (x->at[i])
                i++;
            e = start(x, i, c);
            next += !e;
        }
        if (!x->busy)
            return e;
        cell_pause(x->runners, x->jobs);
        collect(x);
        e = e ? e : cell_interrupted(x->runners[0]) ? EINTR : 0;
    }
}

int check_exec(struct check_case *cases, size_t n, const struct place *place, unsigned jobs,
               const struct cli_list *plugins, void (*done)(const struct check_case *c, void *arg),
               void *arg, int *stopped)
{
    struct exec x = {.place = place, .plugins = plugins, .done = done, .arg = arg};
    int e = clock_calibrate(&x.clock);
    *stopped = 0;
    x.runners = calloc(jobs, sizeof *x.runners);
    x.at = calloc(jobs, sizeof *x.at);
    if (!e && (!x.runners || !x.at))
        e = ENOMEM;
    while (!e && x.jobs < jobs) {
        e = cell_open(&x.runners[x.jobs]);
        x.jobs += !e;
    }
    if (!e)
        e = run_batch(&x, cases, n, false);
    if (!e)
        e = run_batch(&x, cases, n, true);
    if (e == EINTR)
        *stopped = cell_interrupted(x.runners[0]);
    while (x.jobs)
        cell_close(x.runners[--x.jobs]);
    free(x.at);
    free(x.runners);
    return e;
}

/* measure.c - see measure.h. */
#include "measure.h"
#include "registry.h"
#include "stats.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define COUNT_SHARE 2               /* the counting pass runs n / 2 ops */
#define DEADLINE_NS (20 * NS_PER_S) /* plus ten times the wanted time: only a hang takes it */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int measure_open(struct measure *m, const struct record_run *run, char *error, size_t size)
{
    for (int i = 0; i < run->nevents; i++)
        pmu_encode(run->events[i].event, &m->codes[i]);
    m->nevents = run->nevents;
    if (clock_calibrate(&m->clock)) {
        snprintf(error, size, "%s", m->clock.reason);
        return ENOTSUP;
    }
    int e = m->callgrind ? callgrind_open(m->folder, error, size) : 0;
    if (e)
        return e;
    m->timed = malloc(sizeof *m->timed);
    if (!m->timed) {
        snprintf(error, size, "out of memory");
        return ENOMEM;
    }
    e = cell_open(&m->runner);
    if (e)
        snprintf(error, size, "cannot prepare to run cells: %s", strerror(e));
    return e;
}

void measure_close(struct measure *m)
{
    cell_close(m->runner);
    if (m->callgrind)
        callgrind_close(m->folder);
    free(m->timed);
}

static void fill_page(struct measure *m, const struct measure_order *order)
{
    struct cell_order *o = &cell_page(m->runner)->order;
    memset(o, 0, sizeof *o);
    o->spec = *order->spec;
    o->mode = CELL_TIME;
    o->target_ns = order->target_ns;
    o->fixed_n = order->n;
    o->batches = order->batches;
    snprintf(o->baton, sizeof o->baton, "%s", order->baton ? order->baton : "");
    o->seat = order->seat;
    o->seats = order->seats;
    o->slowdown = order->slowdown;
    o->clock = m->clock;
    o->seed = m->seed ^ ((uint64_t)order->round * UINT64_C(0x9e3779b97f4a7c15));
    for (const char *p = order->spec->key; *p; p++) /* FNV-1a: each cell its own stream */
        o->seed = (o->seed ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    memcpy(o->events, m->codes, sizeof o->events);
    o->nevents = m->nevents;
    for (size_t i = 0; i < m->plugins->n && i < CELL_PLUGINS; i++)
        snprintf(o->plugins[o->nplugins++], sizeof o->plugins[0], "%s", m->plugins->items[i]);
}

/* Valgrind takes some 50 times as long, and some seconds to begin. */
#define CALLGRIND_DEADLINE_NS (300 * NS_PER_S)

static uint64_t deadline_of(const struct cell_spec *spec, uint64_t target_ns)
{
    const struct tl_bench *bench = registry_bench(spec->bench);
    return bench->deadline_ns ? bench->deadline_ns : DEADLINE_NS + 10 * target_ns;
}

/* Callgrind writes a file, not the page. Returns the page's result with its count in it. */
static const struct cell_result *counted_by_callgrind(struct measure *m, const char **reason)
{
    struct cell_result *result = &cell_page(m->runner)->result;
    struct pmu_count *c = &result->counters[0];

    if (callgrind_count(m->folder, &c->value)) {
        *reason = "callgrind saw no window in this cell";
        return NULL;
    }
    snprintf(c->event, sizeof c->event, CALLGRIND_EVENT);
    c->available = true;
    return result;
}

/* A counting pass of a cell, in a process of its own: see pmu.h. Returns NULL and a reason, or the
 * page's result. */
static const struct cell_result *count_pass(struct measure *m, const struct measure_order *order,
                                            uint64_t n, const char **reason)
{
    struct cell_outcome outcome;
    struct cell_order *o = &cell_page(m->runner)->order;
    o->mode = CELL_COUNT;
    o->count_n = n ? n : 1;
    if (m->callgrind)
        memcpy(o->callgrind, m->folder, sizeof o->callgrind);
    *reason = m->why;
    snprintf(m->why, sizeof m->why, "the counting pass of this cell did not end well");
    if (cell_run(m->runner,
                 deadline_of(order->spec, order->target_ns) +
                     (m->callgrind ? CALLGRIND_DEADLINE_NS : 0),
                 &outcome))
        return NULL;
    if (outcome.status != TL_OK) {
        snprintf(m->why, sizeof m->why, "%s: %.*s",
                 m->callgrind ? "under valgrind" : "in the counting pass",
                 (int)(sizeof m->why - 40), outcome.reason);
        if (m->callgrind)
            callgrind_count(m->folder, &(uint64_t){0});
        return NULL;
    }
    return m->callgrind ? counted_by_callgrind(m, reason) : &cell_page(m->runner)->result;
}

/* What a window costs whatever its size is in both passes, and not in their difference. */
static void count_events(struct measure *m, const struct measure_order *order,
                         struct record_sample *sample)
{
    const struct cell_result *c;
    if (order->count_n) {
        c = count_pass(m, order, order->count_n, &sample->count_reason);
        if (!c)
            return;
        memcpy(m->base, c->counters, sizeof m->base);
        sample->base = m->base;
        sample->base_ops = c->counted_ops;
    }
    sample->counted =
        count_pass(m, order, order->count_n ? 2 * order->count_n : m->timed->n / COUNT_SHARE,
                   &sample->count_reason);
}

static void begin(const struct cell_spec *spec, int round, struct measured *out)
{
    memset(out, 0, sizeof *out);
    out->value = NAN;
    out->sample = (struct record_sample){.spec = spec,
                                         .round = round,
                                         .outcome = &out->outcome,
                                         .count_reason = "the cell was not run"};
}

void measure_refused(const struct cell_spec *spec, int round, struct measured *out)
{
    begin(spec, round, out);
    out->outcome.status = TL_UNSUPPORTED;
    snprintf(out->outcome.reason, sizeof out->outcome.reason, "%s", spec->refused);
}

int measure_cell(struct measure *m, const struct measure_order *order, struct measured *out)
{
    uint64_t start = now_ns();
    begin(order->spec, order->round, out);
    fill_page(m, order);
    int e = cell_run(m->runner, deadline_of(order->spec, order->target_ns), &out->outcome);
    if (e == EINTR)
        return e;
    if (e) {
        out->outcome.status = TL_FAILED;
        snprintf(out->outcome.reason, sizeof out->outcome.reason, "cannot start a process: %s",
                 strerror(e));
        return 0;
    }
    struct record_sample *sample = &out->sample;
    *m->timed = cell_page(m->runner)->result;
    sample->timed = m->timed;
    sample->slowdown = order->slowdown;
    sample->count_reason = "the cell did not end well";
    if (out->outcome.status == TL_OK) {
        sample->count_reason = "counted in round 0 of each cell";
        if (order->count)
            count_events(m, order, sample);
        if (cell_interrupted(m->runner))
            return EINTR;
        judge(order->spec, &m->clock, m->timed, sample->counted, sample->count_reason,
              &out->judgement);
        sample->judgement = &out->judgement;
        out->value = stats_process_value(m->timed->batches, m->timed->nbatches);
    }
    out->wall_ns = now_ns() - start;
    out->timed_ns = m->timed->timed_ns;
    return 0;
}

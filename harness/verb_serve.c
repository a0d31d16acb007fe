/*
 * verb_serve.c - `threadlab serve`: measures cells when it is asked to. The other side is
 * scripts/compare, which talks to one such process for each build that it compares, so that every
 * process of either build is started when its turn comes.
 *
 * Protocol 1, JSON Lines. serve writes the `run` header of the record, then
 *
 *     {"type":"ready","protocol":1,"seats":4,
 *      "cells":[{"key":...,"away":[...],"unsupported":null,...},...]}
 *
 * `seats`: that a baton may have (absent: it knows no baton). `away`: axes and parameters whose
 * value is not the first of their list. Then for each line read,
 *
 *     {"cell":"<key>","round":3,"position":5,"target_ns":8000000,"n":1000,"batches":32,
 *      "slowdown":0.05,"baton":"/proc/123/fd/4","seat":0,"seats":2}
 *
 * (what stands after target_ns may be left out; a baton needs an n), it measures once, in a fresh
 * process, and writes the `sample` line of the record; `round` is also what the sample's seed
 * depends on. A request that makes no sense is answered by {"type":"refused","reason":"..."}. At
 * end of input it writes the `end` line.
 *
 * A field may be added to any of these; when one changes its meaning the protocol's number does.
 */
#include "env.h"
#include "kernel_limits.h"
#include "measure.h"
#include "plan.h"
#include "record_json.h"
#include "registry.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL 1
#define TARGET_MAX_NS UINT64_C(10000000000)

struct server {
    struct record *out;
    struct record_run run;
    struct plan plan;
    struct tally tally;
    struct measure measure;
    struct env env;
    uint64_t started_ns, timed_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int refuse(struct server *s, const char *reason)
{
    return record_write(s->out, json_pack("{s:s, s:s}", "type", "refused", "reason", reason));
}

static int answer(struct server *s, json_t *request)
{
    const char *key = NULL, *baton = NULL;
    int seat = 0, seats = 0;
    json_int_t round = -1, position = 0, target_ns = 0, n = 0, batches = 0;
    double slowdown = 0;
    json_error_t error;
    if (json_unpack_ex(request, &error, 0, "{s:s, s:I, s:I, s:I, s?I, s?I, s?F, s?s, s?i, s?i}",
                       "cell", &key, "round", &round, "position", &position, "target_ns",
                       &target_ns, "n", &n, "batches", &batches, "slowdown", &slowdown, "baton",
                       &baton, "seat", &seat, "seats", &seats))
        return refuse(s, error.text);
    if (baton && (strlen(baton) >= sizeof((struct cell_order *)0)->baton || n == 0))
        return refuse(s, "baton: expected a path of at most 63 characters, and n");
    if (round < 0 || round >= s->plan.rounds)
        return refuse(s, "round: expected one from 0 to less than --rounds");
    if (position < 0 || target_ns < 1 || target_ns > (json_int_t)TARGET_MAX_NS || n < 0 ||
        batches < 0 || batches > CELL_BATCHES || slowdown < 0 || slowdown > 10)
        return refuse(s, "position, target_ns, n, batches or slowdown is out of range");
    size_t i = 0;
    while (i < s->plan.n && strcmp(s->plan.cells[i].key, key) != 0)
        i++;
    if (i == s->plan.n)
        return refuse(s, "no such cell in the plan");
    if (tally_has(&s->tally, i, (int)round))
        return refuse(s, "that cell has been measured in that round");

    struct measured m;
    uint64_t at_ns = now_ns() - s->started_ns;
    const struct cell_spec *spec = &s->plan.cells[i];
    const struct measure_order order = {.spec = spec,
                                        .round = (int)round,
                                        .target_ns = (uint64_t)target_ns,
                                        .n = (uint64_t)n,
                                        .batches = (int)batches,
                                        .baton = baton,
                                        .seat = seat,
                                        .seats = seats,
                                        .slowdown = slowdown};
    if (spec->refused[0])
        measure_refused(spec, (int)round, &m);
    else if (measure_cell(&s->measure, &order, &m))
        return EINTR;
    m.sample.position = (size_t)position;
    m.sample.at_ns = at_ns;
    s->timed_ns += m.timed_ns;
    tally_add(&s->tally, i, (int)round, m.outcome.status, m.value,
              m.sample.judgement && m.judgement.trusted, m.outcome.reason);
    return record_sample(s->out, &s->run, &m.sample);
}

/* Returns 0 at the end of input, EINTR, or the error of write(2). */
static int serve(struct server *s)
{
    char *line = NULL;
    size_t size = 0;
    int e = 0;
    while (!e && getline(&line, &size, stdin) > 0) {
        json_error_t error;
        json_t *request = json_loads(line, 0, &error);
        e = request ? answer(s, request) : refuse(s, error.text);
        json_decref(request);
    }
    free(line);
    return e;
}

static bool was_set(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->nsets; i++)
        if (strcmp(request->sets[i].name, name) == 0)
            return true;
    return false;
}

static bool is_first(const char *list, const char *value)
{
    char first[32];
    int64_t a, b;
    snprintf(first, sizeof first, "%.*s", (int)strcspn(list, ","), list);
    return strcmp(first, value) == 0 ||
           (plan_integer(first, &a) && plan_integer(value, &b) && a == b);
}

/* Names whose value is neither the first of their list nor one that the user asked for. */
static json_t *away(const struct request *request, const struct cell_spec *c)
{
    json_t *names = json_array();
    const struct tl_bench *bench = registry_bench(c->bench);
    const struct tl_impl *impl = registry_impl(c->impl);
    for (int i = 0; i < c->naxes; i++)
        for (const struct tl_axis *a = bench->axes; a && a->name; a++)
            if (strcmp(a->name, c->axes[i].name) == 0 && !was_set(request, a->name) &&
                !is_first(a->quick, c->axes[i].value))
                json_array_append_new(names, json_string(a->name));
    for (int i = 0; i < c->nparams; i++)
        for (const struct tl_param *p = impl ? impl->params : NULL; p && p->name; p++)
            if (strcmp(p->name, c->params[i].name) == 0 && !was_set(request, p->name) &&
                !is_first(p->values, c->params[i].value))
                json_array_append_new(names, json_string(p->name));
    return names;
}

static int say_ready(struct server *s, const struct request *request)
{
    json_t *cells = json_array();
    for (size_t i = 0; i < s->plan.n; i++) {
        json_t *cell = json_cell(&s->plan.cells[i]);
        json_object_set_new(cell, "away", away(request, &s->plan.cells[i]));
        json_array_append_new(cells, cell);
    }
    return record_write(s->out, json_pack("{s:s, s:i, s:i, s:o}", "type", "ready", "protocol",
                                          PROTOCOL, "seats", BATON_SEATS, "cells", cells));
}

int verb_serve(struct request *request)
{
    static struct server s;
    char error[512];
    struct plan_limits limits = {0, ""};

    if (!request->seed_given)
        request->seed = record_random_seed();
    struct place_topology *topology = place_open(NULL, error, sizeof error);
    if (!topology)
        cli_die("%s", error);
    kernel_limits_threads(&limits);
    if (plan_make(request, topology, &limits, &s.plan, error, sizeof error))
        cli_die("%s", error);
    record_name(&s.run);
    s.measure.seed = request->seed;
    s.measure.plugins = &request->plugins;
    if (measure_open(&s.measure, &s.run, error, sizeof error))
        cli_die("%s", error);
    s.out = record_stdout();
    if (!s.out || env_collect(&s.env) || tally_init(&s.tally, &s.plan))
        cli_die("out of memory");
    s.run.env = &s.env;
    s.run.clock = &s.measure.clock;
    s.run.topology = topology;

    int e = record_header(s.out, &s.run, request, &s.plan);
    if (!e)
        e = say_ready(&s, request);
    s.started_ns = now_ns();
    if (!e)
        e = serve(&s);
    measure_close(&s.measure);
    if (!e || e == EINTR)
        record_end(s.out, &s.run, &s.tally, now_ns() - s.started_ns, s.timed_ns,
                   e ? "interrupted" : NULL);
    if (e && e != EINTR)
        fprintf(stderr, "threadlab: cannot answer: %s\n", strerror(e));
    tally_free(&s.tally);
    plan_free(&s.plan);
    env_free(&s.env);
    place_close(topology);
    free(s.out);
    return e ? 2 : 0;
}

/*
 * record.c - writes a run's file, see record.h. Reading one back, for --resume, is record_read.c;
 * JSON for the terminal is record_print.c.
 */
#include "record.h"
#include "record_json.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int make_folders(const char *path)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0777) && errno != EEXIST)
            return errno;
        *slash = '/';
    }
    return 0;
}

struct record *record_create(const char *path, char *error, size_t size)
{
    struct record *r = calloc(1, sizeof *r);
    if (!r || strlen(path) + 5 > sizeof r->path) {
        snprintf(error, size, "%s",
                 r ? "the name of the record file is too long" : "out of memory");
        free(r);
        return NULL;
    }
    snprintf(r->final_path, sizeof r->final_path, "%s", path);
    snprintf(r->path, sizeof r->path, "%s.tmp", path);
    struct stat st;
    int e = 0;
    if (stat(path, &st) == 0) {
        snprintf(error, size, "%s exists: records are never overwritten; choose another name",
                 path);
        goto fail;
    }
    e = make_folders(path);
    r->fd = e ? -1 : open(r->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (r->fd < 0) {
        e = e ? e : errno;
        if (e == EEXIST)
            snprintf(error, size, "%s exists: complete that run with --resume, or remove it",
                     r->path);
        else
            snprintf(error, size, "cannot write %s: %s", r->path, strerror(e));
        goto fail;
    }
    return r;
fail:
    free(r);
    return NULL;
}

struct record *record_stdout(void)
{
    struct record *r = calloc(1, sizeof *r);
    if (r)
        r->fd = STDOUT_FILENO;
    return r;
}

int record_write(struct record *r, json_t *line)
{
    char *text =
        line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    if (!text)
        return ENOMEM;
    size_t n = strlen(text), done = 0;
    text[n++] = '\n'; /* in place of the terminator */
    int e = 0;
    while (!e && done < n) {
        ssize_t w = write(r->fd, text + done, n - done);
        if (w > 0)
            done += (size_t)w;
        else if (w == 0 || errno != EINTR)
            e = w == 0 ? EIO : errno;
    }
    free(text);
    if (e && r->fd != STDOUT_FILENO && ftruncate(r->fd, r->whole) == 0)
        lseek(r->fd, r->whole, SEEK_SET);
    if (!e)
        r->whole += (off_t)n;
    return e;
}

/* ---- header --------------------------------------------------------------------------------- */

static json_t *request_json(const struct request *q)
{
    json_t *set = json_object();
    for (size_t i = 0; i < q->nsets; i++) {
        json_t *values = json_array();
        char *copy = strdup(q->sets[i].values), *rest = copy, *item;
        while (rest && (item = strsep(&rest, ",")))
            json_array_append_new(values, json_string(item));
        free(copy);
        json_object_set_new(set, q->sets[i].name, values);
    }
    json_t *o = json_object();
    json_object_set_new(o, "impl", json_strings(q->impls.items, q->impls.n));
    json_object_set_new(o, "bench", json_strings(q->benches.items, q->benches.n));
    json_object_set_new(o, "place", json_strings(q->places.items, q->places.n));
    json_object_set_new(o, "events", json_strings(q->events.items, q->events.n));
    json_object_set_new(o, "set", set);
    json_object_set_new(o, "plugins", json_strings(q->plugins.items, q->plugins.n));
    json_object_set_new(o, "topology", json_text(q->topology));
    return o;
}

static json_t *build_json(const struct env *env)
{
    static const char *const keys[] = {"version", "revision", "sha256", "compiler", "cflags"};
    json_t *o = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct env_fact *f = env_find(env, "build", keys[i]);
        json_object_set_new(o, keys[i], f && f->known ? json_text(f->text) : json_null());
    }
    const struct env_fact *dirty = env_find(env, "build", "dirty");
    json_object_set_new(o, "dirty",
                        dirty && dirty->known ? json_boolean(dirty->number) : json_null());
    return o;
}

json_t *json_env(const struct env *env, json_t *unknown)
{
    json_t *groups = json_object();
    for (size_t i = 0; i < env->n; i++) {
        const struct env_fact *f = &env->facts[i];
        json_t *group = json_object_get(groups, f->group);
        if (!group) {
            group = json_object();
            json_object_set_new(groups, f->group, group);
        }
        json_t *value = !f->known               ? json_null()
                        : f->type == ENV_TEXT   ? json_string(f->text ? f->text : "")
                        : f->type == ENV_NUMBER ? json_integer(f->number)
                                                : json_boolean(f->number);
        json_object_set_new(group, f->key, value);
        if (!f->known) {
            char name[128];
            snprintf(name, sizeof name, "%s.%s", f->group, f->key);
            json_object_set_new(unknown, name, json_string(f->reason));
        }
    }
    return groups;
}

static json_t *topology_json(const struct place_topology *topology)
{
    char *xml = place_xml(topology), hex[SHA256_DIGEST_STRING_LENGTH];
    json_t *o = json_object();
    if (xml) {
        SHA256Data((const uint8_t *)xml, strlen(xml), hex);
        json_object_set_new(o, "sha256", json_string(hex));
        json_object_set_new(o, "xml", json_string(xml));
    }
    free(xml);
    return o;
}

static json_t *clock_json(const struct clock_info *c)
{
    json_t *o = json_object();
    json_object_set_new(o, "source", json_string(c->source));
    json_object_set_new(o, "reason", json_text(c->reason));
    json_object_set_new(o, "hz", json_u64(c->hz));
    json_object_set_new(o, "cost_ns", json_number(c->cost_ns));
    json_object_set_new(o, "resolution_ns", json_number(c->resolution_ns));
    json_object_set_new(o, "error_ppm", json_number(c->error_ppm));
    return o;
}

int record_header(struct record *r, const struct record_run *run, const struct request *q,
                  const struct plan *plan)
{
    json_t *o = json_object(), *unknown = json_object(), *events = json_array();
    json_t *benches = json_object(), *impls = json_object();
    int cpus[PLACE_MAX];
    int ncpus = place_allowed(run->topology, cpus, PLACE_MAX);

    json_object_set_new(o, "type", json_string("run"));
    json_object_set_new(o, "schema",
                        json_pack("{s:s, s:i, s:i}", "name", RECORD_SCHEMA, "major", RECORD_MAJOR,
                                  "minor", RECORD_MINOR));
    json_object_set_new(o, "run", json_string(run->id));
    json_object_set_new(o, "host", json_string(run->host));
    json_object_set_new(o, "started", json_time(run->started_unix_ns));
    json_object_set_new(o, "started_unix_ns", json_u64(run->started_unix_ns));
    json_object_set_new(o, "preset", plan ? json_string(cli_preset_name(q->preset)) : json_null());
    json_object_set_new(o, "seed", json_u64(q->seed));
    json_object_set_new(o, "rounds", json_integer(plan ? plan->rounds : 1));
    json_object_set_new(o, "ops", q->ops ? json_u64(q->ops) : json_null());
    json_object_set_new(o, "counts", json_string(q->callgrind ? "callgrind" : "events"));
    json_object_set_new(o, "emulated", json_text(env_emulated()));
    json_object_set_new(o, "budget_ns", json_u64(plan ? plan->budget_ns : 0));
    json_object_set_new(o, "request", request_json(q));
    json_object_set_new(o, "build", build_json(run->env));
    json_t *environment = json_env(run->env, unknown);
    json_t *libraries = json_object_get(environment, "libraries");
    if (libraries) /* env.c may not ask hwloc */
        json_object_set_new(libraries, "hwloc", json_string(place_library_version()));
    json_object_set_new(o, "environment", environment);
    json_object_set_new(o, "unknown", unknown);
    json_object_set_new(o, "clock", clock_json(run->clock));
    for (int i = 0; i < run->nevents; i++)
        json_array_append_new(events, json_pack("{s:s, s:b, s:o}", "event", run->events[i].event,
                                                "available", run->events[i].reason[0] == '\0',
                                                "reason", json_text(run->events[i].reason)));
    json_object_set_new(o, "events", events);
    json_object_set_new(o, "topology", topology_json(run->topology));
    json_object_set_new(
        o, "cpus",
        json_pack("{s:o}", "allowed", json_ints(cpus, ncpus < PLACE_MAX ? ncpus : PLACE_MAX)));
    json_object_set_new(o, "planned",
                        json_pack("{s:I, s:I}", "cells", (json_int_t)(plan ? plan->n : 0),
                                  "records",
                                  (json_int_t)(plan ? plan->n * (size_t)plan->rounds : 0)));
    for (size_t i = 0; plan && i < plan->n; i++) {
        const struct tl_bench *b = registry_bench(plan->cells[i].bench);
        const struct tl_impl *impl = registry_impl(plan->cells[i].impl);
        if (b && !json_object_get(benches, b->name))
            json_object_set_new(benches, b->name, json_bench(b));
        if (impl && !json_object_get(impls, impl->name))
            json_object_set_new(impls, impl->name, json_impl(impl));
    }
    for (size_t i = 0; run->checks && i < run->checks->n; i++) {
        const struct tl_impl *impl = run->checks->cases[i].impl;
        if (impl != &check_kernel && !json_object_get(impls, impl->name))
            json_object_set_new(impls, impl->name, json_impl(impl));
    }
    json_object_set_new(o, "benches", benches);
    json_object_set_new(o, "impls", impls);
    json_object_set_new(o, "checks", json_checks(run->checks));
    return record_write(r, o);
}

/* ---- sample --------------------------------------------------------------------------------- */

static json_t *hist_json(const struct tl_hist *h)
{
    json_t *o = json_object(), *buckets = json_array();
    uint64_t count = 0, min = 0, low, high;
    double sum = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        uint64_t n = h->buckets[i];
        if (n == 0)
            continue;
        hist_bounds(i, &low, &high);
        if (count == 0)
            min = low;
        if (high - 1 > h->max) /* the last one that is not empty */
            high = h->max + 1;
        count += n;
        sum += (double)n * ((double)low + (double)(high - 1)) / 2;
        json_array_append_new(
            buckets, json_pack("[I,I,I]", (json_int_t)low, (json_int_t)high, (json_int_t)n));
    }
    json_object_set_new(o, "unit", json_string("ns"));
    json_object_set_new(o, "count", json_u64(count));
    json_object_set_new(o, "min", json_u64(min)); /* lower bound of its bucket */
    json_object_set_new(o, "max", json_u64(h->max));
    json_object_set_new(o, "sum", json_u64((uint64_t)sum)); /* by the buckets' middles */
    json_object_set_new(o, "buckets", buckets);
    return o;
}

static json_t *range_json(double bound)
{
    return bound < 0 ? json_null() : json_real(bound);
}

static json_t *expect_json(const struct judgement *j)
{
    json_t *o = json_object();
    for (size_t i = 0; j && i < sizeof j->rates / sizeof *j->rates; i++) {
        const struct judge_rate *rate = &j->rates[i];
        json_object_set_new(o, rate->name,
                            json_pack("{s:o, s:o, s:o, s:o}", "min", range_json(rate->declared.min),
                                      "max", range_json(rate->declared.max), "seen",
                                      rate->known ? json_number(rate->seen) : json_null(), "reason",
                                      json_text(rate->known ? NULL : rate->reason)));
    }
    return o;
}

static json_t *usage_json(const struct cell_usage *u)
{
    json_t *o = json_object();
    json_object_set_new(o, "voluntary_switches", json_u64(u->voluntary_switches));
    json_object_set_new(o, "involuntary_switches", json_u64(u->involuntary_switches));
    json_object_set_new(o, "minor_faults", json_u64(u->minor_faults));
    json_object_set_new(o, "major_faults", json_u64(u->major_faults));
    json_object_set_new(o, "user_ns", json_u64(u->user_ns));
    json_object_set_new(o, "system_ns", json_u64(u->system_ns));
    json_object_set_new(o, "max_rss_bytes", json_u64(u->max_rss_bytes));
    return o;
}

static json_t *baton_json(const struct cell_result *t)
{
    if (!t || !t->baton.seats)
        return json_null();
    const struct baton_report *b = &t->baton;
    return json_pack("{s:i, s:b, s:o, s:o, s:o}", "seats", b->seats, "alone", b->alone, "wait_ns",
                     json_u64(b->wait_ns), "idle_cpu_ns", json_u64(b->idle_cpu_ns),
                     "partner_cpu_ns", json_u64(b->partner_cpu_ns));
}

/* A value that was not known gets its reason in `unknown`. */
static json_t *noise_json(const struct noise *n)
{
    const struct {
        const char *name;
        bool known;
        int64_t value;
        const char *reason;
    } facts[] = {
        {"steal_ns", n->stat_known, (int64_t)n->steal_ns, n->stat_reason},
        {"foreign_ns", n->stat_known, n->foreign_ns, n->stat_reason},
        {"busy_ns", n->stat_known, (int64_t)n->busy_ns, n->stat_reason},
        {"irq_ns", n->stat_known, (int64_t)n->irq_ns, n->stat_reason},
        {"softirq_ns", n->stat_known, (int64_t)n->softirq_ns, n->stat_reason},
        {"psi_some_us", n->psi_known, (int64_t)n->psi_some_us, n->psi_reason},
        {"migrations", n->migrations_known, (int64_t)n->migrations, n->migrations_reason},
        {"frequency_hz", n->frequency_known, (int64_t)n->frequency_hz, n->frequency_reason},
    };
    json_t *o = json_object(), *unknown = json_object();
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        json_object_set_new(o, facts[i].name,
                            facts[i].known ? json_integer(facts[i].value) : json_null());
        if (!facts[i].known)
            json_object_set_new(unknown, facts[i].name, json_string(facts[i].reason));
    }
    json_object_set_new(o, "load1", n->load_known ? json_number(n->load1) : json_null());
    if (!n->load_known)
        json_object_set_new(unknown, "load1", json_string(n->load_reason));
    json_object_set_new(o, "tick_ns", json_u64(n->tick_ns));
    json_object_set_new(o, "own_ns", json_u64(n->own_ns));
    json_object_set_new(o, "wall_ns", json_u64(n->wall_ns));
    json_object_set_new(o, "unknown", unknown);
    return o;
}

static json_t *counters_json(const struct record_sample *s, const struct record_run *run)
{
    json_t *array = json_array();
    for (int i = 0; i < run->nevents; i++) {
        const struct pmu_count *c = s->counted ? &s->counted->counters[i] : NULL;
        bool known = c && c->available;
        json_t *o = json_object();
        json_object_set_new(o, "event", json_string(run->events[i].event));
        json_object_set_new(o, "value", known ? json_u64(c->value) : json_null());
        json_object_set_new(o, "reason",
                            known ? json_null() : json_text(c ? c->reason : s->count_reason));
        json_object_set_new(o, "enabled_ns", known ? json_u64(c->enabled_ns) : json_null());
        json_object_set_new(o, "running_ns", known ? json_u64(c->running_ns) : json_null());
        json_object_set_new(o, "ops", json_u64(s->counted ? s->counted->counted_ops : 0));
        if (known && s->base && s->base[i].available) {
            json_object_set_new(o, "base_value", json_u64(s->base[i].value));
            json_object_set_new(o, "base_ops", json_u64(s->base_ops));
        }
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *phases_json(const struct record_sample *s)
{
    const struct cell_result *t = s->timed;
    json_t *o = json_object();
    json_object_set_new(o, "spawn_ns", json_u64(s->outcome->spawn_ns));
    json_object_set_new(o, "setup_ns", json_u64(t->setup_ns));
    json_object_set_new(o, "warmup_ns", json_u64(t->warmup_ns));
    json_object_set_new(o, "timed_ns", json_u64(t->timed_ns));
    json_object_set_new(o, "counting_ns", json_u64(s->counted ? s->counted->counting_ns : 0));
    json_object_set_new(o, "teardown_ns", json_u64(t->teardown_ns));
    json_object_set_new(o, "wall_ns", json_u64(s->outcome->wall_ns));
    return o;
}

/* What the process left in its page; nothing of it for a cell that was not run. A crashed one keeps
 * the batches that it had: they are facts, the status says what they are worth. */
static void add_measured(json_t *o, const struct cell_result *t)
{
    json_t *batches = json_array(), *hists = json_object(), *metrics = json_object();
    json_t *counts = json_object();
    for (int i = 0; t && i < t->nbatches && i < CELL_BATCHES; i++)
        json_array_append_new(batches, json_pack("{s:I, s:I}", "ns", (json_int_t)t->batches[i].ns,
                                                 "ops", (json_int_t)t->batches[i].ops));
    for (int i = 0; t && i < t->nhists && i < CELL_HISTS; i++)
        if (hist_count(&t->hists[i]) > 0)
            json_object_set_new(hists, t->hists[i].name, hist_json(&t->hists[i]));
    for (int i = 0; t && i < t->nmetrics && i < CELL_NAMED; i++)
        if (isfinite(t->metrics[i].value))
            json_object_set_new(
                metrics, t->metrics[i].name,
                json_pack("{s:f, s:s}", "value", t->metrics[i].value, "unit", t->metrics[i].unit));
    for (int i = 0; t && i < t->ncounts && i < CELL_NAMED; i++)
        json_object_set_new(counts, t->counts[i].name, json_u64(t->counts[i].n));
    json_object_set_new(o, "batches", batches);
    json_object_set_new(o, "hists", hists);
    json_object_set_new(o, "metrics", metrics);
    json_object_set_new(o, "counts", counts);
}

static void add_name(const char *property, void *array)
{
    json_array_append_new(array, json_string(property));
}

/* Properties that the number rests on and that do not hold; null where nothing was checked. */
static json_t *unsafe_json(const struct record_sample *s)
{
    if (!s->gate)
        return json_null();
    json_t *array = json_array();
    check_gate_unsafe(s->gate, s->spec, add_name, array);
    return array;
}

int record_sample(struct record *r, const struct record_run *run, const struct record_sample *s)
{
    const struct cell_spec *c = s->spec;
    const struct cell_result *t = s->timed;
    const struct judgement *j = s->judgement;
    const struct tl_bench *bench = registry_bench(c->bench);
    json_t *o = json_object(), *distrust = json_array();

    json_object_set_new(o, "type", json_string("sample"));
    json_object_set_new(o, "run", json_string(run->id));
    json_object_set_new(o, "key", json_string(c->key));
    json_object_set_new(o, "round", json_integer(s->round));
    json_object_set_new(o, "position", json_integer((json_int_t)s->position));
    json_object_set_new(o, "at_ns", json_u64(s->at_ns));
    json_object_set_new(o, "bench", json_string(c->bench));
    json_object_set_new(o, "bench_version", json_integer(bench->version));
    json_object_set_new(o, "impl", json_string(c->impl));
    json_object_set_new(o, "params", json_values(c->params, c->nparams));
    json_object_set_new(o, "axes", json_values(c->axes, c->naxes));
    json_object_set_new(o, "place",
                        json_pack("{s:s, s:o, s:o}", "policy", c->place.policy, "relation",
                                  c->place.ncpus ? json_text(c->place.relation) : json_null(),
                                  "cpus", json_ints(c->place.cpus, c->place.ncpus)));
    json_object_set_new(o, "status", json_string(cell_status_name(s->outcome->status)));
    json_object_set_new(o, "reason",
                        s->outcome->status == TL_OK ? json_null() : json_text(s->outcome->reason));
    json_object_set_new(o, "signal", json_text(s->outcome->signal));
    if (s->slowdown != 0)
        json_object_set_new(o, "slowdown", json_number(s->slowdown));
    json_object_set_new(o, "trusted", j ? json_boolean(j->trusted) : json_null());
    for (int i = 0; j && i < j->n; i++)
        json_array_append_new(distrust, json_string(j->reasons[i]));
    json_object_set_new(o, "distrust", distrust);
    json_object_set_new(o, "unsafe", unsafe_json(s));
    add_measured(o, t);
    json_object_set_new(o, "expect", expect_json(j));
    json_object_set_new(o, "usage", t && t->usage_known ? usage_json(&t->usage) : json_null());
    json_object_set_new(o, "noise", t && t->noise_known ? noise_json(&t->noise) : json_null());
    json_object_set_new(o, "baton", baton_json(t));
    json_object_set_new(o, "counters", counters_json(s, run));
    json_object_set_new(
        o, "linearity",
        j ? json_pack("{s:o, s:I}", "ratio", json_number(j->linearity), "n", (json_int_t)t->n)
          : json_null());
    json_object_set_new(o, "phases", t ? phases_json(s) : json_null());
    return record_write(r, o);
}

/* ---- resume, end ---------------------------------------------------------------------------- */

int record_resumed(struct record *r, const struct record_run *run, size_t records_before)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return record_write(r, json_pack("{s:s, s:s, s:o, s:I}", "type", "resume", "run", run->id, "at",
                                     json_time((uint64_t)now.tv_sec * 1000000000u),
                                     "records_before", (json_int_t)records_before));
}

int record_end(struct record *r, const struct record_run *run, const struct tally *t,
               uint64_t wall_ns, uint64_t timed_ns, const char *why_incomplete)
{
    double share = t && wall_ns ? 1 - (double)timed_ns / (double)wall_ns : (double)NAN;
    json_t *o = json_object();
    json_object_set_new(o, "type", json_string("end"));
    json_object_set_new(o, "run", json_string(run->id));
    json_object_set_new(o, "records", json_u64(t ? t->records : 0));
    json_object_set_new(o, "by_status", json_by_status(t));
    json_object_set_new(o, "untrusted", json_u64(t ? t->untrusted : 0));
    json_object_set_new(o, "verdicts", json_verdicts(run->checks));
    json_object_set_new(o, "aa", json_aa(t));
    json_object_set_new(o, "wall_ns", json_u64(wall_ns));
    json_object_set_new(o, "timed_ns", json_u64(timed_ns));
    json_object_set_new(o, "harness_share", json_number(share));
    json_object_set_new(o, "complete", json_boolean(!why_incomplete));
    json_object_set_new(o, "reason", json_text(why_incomplete));
    return record_write(r, o);
}

int record_finish(struct record *r)
{
    if (fsync(r->fd) && errno != EINVAL && errno != EROFS)
        return errno;
    if (strcmp(r->path, r->final_path) == 0)
        return 0;
    /* link + unlink rather than rename: a file that appeared meanwhile is not overwritten */
    if (link(r->path, r->final_path) == 0)
        unlink(r->path);
    else if (errno == EEXIST || rename(r->path, r->final_path)) /* no hard links here: rename */
        return errno;
    snprintf(r->path, sizeof r->path, "%s", r->final_path);
    return 0;
}

const char *record_path(const struct record *r)
{
    return r->path;
}

void record_close(struct record *r)
{
    close(r->fd);
    free(r);
}

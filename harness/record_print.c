/* record_print.c - JSON on stdout, for scripts. See record.h. */
#include "record_json.h"
#include "registry.h"

#include <stdio.h>
#include <string.h>

static void print(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(value);
}

void record_print_env(const struct env *env)
{
    json_t *unknown = json_object();
    json_t *environment = json_env(env, unknown);
    print(json_pack("{s:o, s:o}", "environment", environment, "unknown", unknown));
}

json_t *json_cell(const struct cell_spec *c)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o}", "key", c->key, "bench",
                     c->bench, "impl", c->impl, "axes", json_values(c->axes, c->naxes), "params",
                     json_values(c->params, c->nparams), "policy", c->place.policy, "relation",
                     c->place.ncpus ? json_text(c->place.relation) : json_null(), "cpus",
                     json_ints(c->place.cpus, c->place.ncpus), "unsupported",
                     json_text(c->refused));
}

void record_print_plan(const struct plan *plan)
{
    json_t *cells = json_array();
    for (size_t i = 0; i < plan->n; i++)
        json_array_append_new(cells, json_cell(&plan->cells[i]));
    print(json_pack("{s:I, s:i, s:I, s:o}", "seed", (json_int_t)plan->seed, "rounds", plan->rounds,
                    "budget_ns", (json_int_t)plan->budget_ns, "cells", cells));
}

static json_t *impls_json(void)
{
    const struct tl_impl *const *impls;
    size_t n = registry_impls(&impls);
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *impl = json_impl(impls[i]), *params = json_object();
        for (const struct tl_param *p = impls[i]->params; p && p->name; p++)
            json_object_set_new(params, p->name, json_string(p->values));
        json_object_set_new(impl, "params", params);
        json_object_set_new(o, impls[i]->name, impl);
    }
    return o;
}

static json_t *benches_json(void)
{
    const struct tl_bench *const *benches;
    size_t n = registry_benches(&benches);
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *bench = json_bench(benches[i]), *values = json_object();
        for (const struct tl_axis *a = benches[i]->axes; a && a->name; a++)
            json_object_set_new(values, a->name,
                                json_pack("{s:s, s:o, s:o}", "quick", a->quick, "standard",
                                          json_text(a->standard), "full", json_text(a->full)));
        json_object_set_new(bench, "values", values);
        json_object_set_new(o, benches[i]->name, bench);
    }
    return o;
}

static json_t *checks_json(void)
{
    const struct tl_check *const *checks;
    size_t n = registry_checks(&checks);
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, checks[i]->name, json_check(checks[i]));
    return o;
}

static json_t *mutants_json(void)
{
    const struct tl_mutant *const *mutants;
    size_t n = registry_mutants(&mutants);
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, mutants[i]->name,
                            json_pack("{s:s, s:s, s:s}", "fault", mutants[i]->fault, "kills",
                                      mutants[i]->kills, "of",
                                      mutants[i]->of ? mutants[i]->of : "nptl"));
    return o;
}

static json_t *places_json(const struct place_topology *topology)
{
    static struct place place;
    json_t *o = json_object();
    for (const char *const *p = place_policies(); *p; p++) {
        int e = place_resolve(topology, *p, 2, &place);
        json_object_set_new(o, *p,
                            json_pack("{s:o, s:o, s:o}", "cpus", json_ints(place.cpus, place.ncpus),
                                      "relation", e ? json_null() : json_text(place.relation),
                                      "unsupported", e ? json_text(place.reason) : json_null()));
    }
    return o;
}

static int collect_event(const char *name, const char *help, void *arg)
{
    json_object_set_new(arg, name, json_text(help));
    return 0;
}

static json_t *events_json(void)
{
    json_t *defaults = json_object(), *known = json_object();
    for (const char *const *e = pmu_default_events(); *e; e++) {
        char why[PMU_REASON_SIZE] = "";
        int error = pmu_check(*e, why, sizeof why);
        json_object_set_new(defaults, *e,
                            json_pack("{s:b, s:o}", "available", error == 0, "reason",
                                      error ? json_text(why) : json_null()));
    }
    pmu_list(false, collect_event, known);
    return json_pack("{s:o, s:o}", "default", defaults, "known", known);
}

static json_t *topology_json(const struct place_topology *topology)
{
    int cpus[PLACE_MAX], n = place_allowed(topology, cpus, PLACE_MAX);
    json_t *array = json_array();
    for (int i = 0; i < n && i < PLACE_MAX; i++) {
        struct place_pu pu;
        if (place_describe(topology, cpus[i], &pu) == 0)
            json_array_append_new(array,
                                  json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "cpu", pu.cpu,
                                            "core", pu.core, "l2", pu.l2, "l3", pu.l3, "node",
                                            pu.node, "package", pu.package, "kind", pu.kind));
    }
    return array;
}

void record_print_list(const char *what, const struct place_topology *topology)
{
    json_t *o = json_object();
    if (!what || strcmp(what, "impls") == 0)
        json_object_set_new(o, "impls", impls_json());
    if (!what || strcmp(what, "benches") == 0)
        json_object_set_new(o, "benches", benches_json());
    if (!what || strcmp(what, "checks") == 0)
        json_object_set_new(o, "checks", checks_json());
    if (!what || strcmp(what, "mutants") == 0)
        json_object_set_new(o, "mutants", mutants_json());
    if (!what || strcmp(what, "places") == 0)
        json_object_set_new(o, "places", places_json(topology));
    if (what && strcmp(what, "events") == 0)
        json_object_set_new(o, "events", events_json());
    if (what && strcmp(what, "topology") == 0)
        json_object_set_new(o, "topology", topology_json(topology));
    print(o);
}

void record_print_end(const struct record *record, const struct tally *tally, double harness_share)
{
    print(json_pack("{s:s, s:I, s:o, s:I, s:o, s:o}", "file", record_path(record), "records",
                    (json_int_t)tally->records, "by_status", json_by_status(tally), "untrusted",
                    (json_int_t)tally->untrusted, "aa", json_aa(tally), "harness_share",
                    json_number(harness_share)));
}

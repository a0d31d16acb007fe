/* record_json.c - see record_json.h. */
#include "record_json.h"

#include "ops.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

json_t *json_strings(char *const *items, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(items[i]));
    return array;
}

json_t *json_text(const char *text)
{
    if (!text || !*text)
        return json_null();
    json_t *string = json_string(text);
    return string ? string : json_string("(not UTF-8)");
}

json_t *json_u64(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_ints(const int *values, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

json_t *json_values(const struct cell_value *values, int n)
{
    json_t *object = json_object();
    int64_t v;
    for (int i = 0; i < n; i++)
        json_object_set_new(object, values[i].name,
                            plan_integer(values[i].value, &v) ? json_integer(v)
                                                              : json_string(values[i].value));
    return object;
}

json_t *json_time(uint64_t unix_ns)
{
    char text[32];
    time_t s = (time_t)(unix_ns / 1000000000u);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

json_t *json_bench(const struct tl_bench *b)
{
    json_t *o = json_object(), *rests = json_array(), *axes = json_object();
    for (const char *const *p = b->rests_on; p && *p; p++)
        json_array_append_new(rests, json_string(*p));
    for (const struct tl_axis *a = b->axes; a && a->name; a++)
        json_object_set_new(axes, a->name, json_string(a->help ? a->help : ""));
    json_object_set_new(o, "version", json_integer(b->version));
    json_object_set_new(o, "title", json_string(b->title));
    json_object_set_new(o, "op", json_string(b->op));
    json_object_set_new(o, "unit", json_string(b->unit ? b->unit : "ns"));
    json_object_set_new(o, "rests_on", rests);
    json_object_set_new(o, "axes", axes);
    return o;
}

json_t *json_impl(const struct tl_impl *impl)
{
    json_t *o = json_object(), *traits = json_array();
    for (unsigned i = 0; ops_trait_name(i); i++)
        if (impl->traits & (1u << i))
            json_array_append_new(traits, json_string(ops_trait_name(i)));
    json_object_set_new(o, "model", json_string(impl->model));
    json_object_set_new(o, "summary", json_string(impl->summary));
    json_object_set_new(o, "traits", traits);
    return o;
}

json_t *json_by_status(const struct tally *t)
{
    json_t *o = json_object();
    for (int s = TL_OK; s <= TL_TIMEOUT; s++)
        json_object_set_new(o, cell_status_name((enum tl_status)s),
                            json_u64(t ? t->by_status[s] : 0));
    return o;
}

static json_t *scope_json(const struct tally *t, enum tally_scope scope)
{
    struct tally_aa aa = {0, NAN, NAN, NAN, "only checks were made"};
    if (t)
        tally_aa(t, scope, &aa);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "pairs", json_u64(aa.pairs), "median",
                     json_number(aa.median), "p95", json_number(aa.p95), "max", json_number(aa.max),
                     "reason", json_text(aa.reason));
}

json_t *json_aa(const struct tally *t)
{
    json_t *o = scope_json(t, TALLY_ALL);
    json_object_set_new(o, "same_pu", scope_json(t, TALLY_SAME_PU));
    json_object_set_new(o, "cross_pu", scope_json(t, TALLY_CROSS_PU));
    return o;
}

/* record_check.c - the records of checks. See record.h. */
#include "check_print.h"
#include "record_json.h"
#include "registry.h"

#include <stdio.h>
#include <string.h>

json_t *json_check(const struct tl_check *check)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:b}", "group", check->group, "promise",
                     check->promise, "source", check->source, "method", check->method, "meaning",
                     check->meaning, "needs", json_text(check->needs), "concurrent",
                     !!(check->flags & TL_CHECK_CONCURRENT));
}

json_t *json_checks(const struct check_plan *plan)
{
    json_t *o = json_object();
    for (size_t i = 0; plan && i < plan->n; i++)
        if (!json_object_get(o, plan->cases[i].check->name))
            json_object_set_new(o, plan->cases[i].check->name, json_check(plan->cases[i].check));
    return o;
}

json_t *json_verdicts(const struct check_plan *plan)
{
    size_t by[6] = {0};
    json_t *o = json_object();
    for (size_t i = 0; plan && i < plan->n; i++)
        by[plan->cases[i].status] += plan->cases[i].done;
    for (int s = TL_OK; s <= TL_TIMEOUT; s++)
        json_object_set_new(o, cell_status_name((enum tl_status)s), json_u64(by[s]));
    return o;
}

static json_t *expected_json(const struct check_case *c)
{
    static const char *const names[] = {"promised", "pass", "fail", "unsupported", "any"};
    return json_string(names[c->expect]);
}

static void key_of(const struct check_case *c, char *key, size_t size)
{
    int used = snprintf(key, size, "%s/%s", c->check->name, c->impl->name);
    for (int i = 0; i < c->nparams && used >= 0 && (size_t)used < size; i++)
        used += snprintf(key + used, size - (size_t)used, "%c%s=%s", i ? ',' : '/',
                         c->params[i].name, c->params[i].value);
}

int record_check(struct record *r, const struct record_run *run, const struct check_case *c)
{
    char key[512];
    json_t *o = json_object();
    key_of(c, key, sizeof key);
    json_object_set_new(o, "type", json_string("check"));
    json_object_set_new(o, "run", json_string(run->id));
    json_object_set_new(o, "key", json_string(key));
    json_object_set_new(o, "property", json_string(c->check->name));
    json_object_set_new(o, "impl", json_string(c->impl->name));
    json_object_set_new(o, "params", json_values(c->params, c->nparams));
    json_object_set_new(o, "status", json_string(cell_status_name(c->status)));
    json_object_set_new(o, "reason", c->status == TL_OK ? json_null() : json_text(c->reason));
    json_object_set_new(o, "signal", json_text(c->signal));
    json_object_set_new(o, "notes", json_text(c->notes));
    json_object_set_new(o, "mutant", json_text(c->mutant ? c->mutant->name : NULL));
    json_object_set_new(o, "expected", expected_json(c));
    json_object_set_new(o, "expected_why", json_text(c->expect_why));
    json_object_set_new(o, "as_expected", json_boolean(check_as_expected(c)));
    json_object_set_new(o, "seed", json_u64(c->seed));
    json_object_set_new(o, "wall_ns", json_u64(c->wall_ns));
    return record_write(r, o);
}

/* check_plan.c - see check_plan.h. */
#include "check_plan.h"

#include "names.h"
#include "ops.h"
#include "registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PUs that a check gets at most: more make races no likelier. */
#define CHECK_PUS 4

const struct tl_impl check_kernel = {.abi = TL_ABI, .name = "-", .model = "kernel"};

bool check_is_control(const struct tl_impl *impl)
{
    return impl != &check_kernel && !(impl->traits & TL_CONCURRENT);
}

/* ---- one case -------------------------------------------------------------------------------- */

static void set_param(struct check_case *c, const struct tl_impl *impl, const char *name, size_t n,
                      const char *value, size_t size)
{
    for (const struct tl_param *p = impl->params; p && p->name; p++) {
        if (strlen(p->name) != n || strncmp(p->name, name, n) != 0)
            continue;
        for (int i = 0; i < c->nparams; i++)
            if (strcmp(c->params[i].name, p->name) == 0)
                snprintf(c->params[i].value, sizeof c->params[i].value, "%.*s", (int)size, value);
    }
}

/* "a=b,c=d" */
static void set_params(struct check_case *c, const struct tl_impl *impl, const char *list)
{
    while (list && *list) {
        size_t n = strcspn(list, "=,"), whole = strcspn(list, ",");
        if (n < whole)
            set_param(c, impl, list, n, list + n + 1, whole - n - 1);
        list += whole + (list[whole] == ',');
    }
}

static const char *value_in(const struct check_case *c, const char *name)
{
    for (int i = 0; i < c->nparams; i++)
        if (strcmp(c->params[i].name, name) == 0)
            return c->params[i].value;
    return NULL;
}

static uint32_t promised(const struct check_case *c)
{
    uint32_t traits = c->impl->traits;
    for (const struct tl_param *p = c->impl->params; p && p->name; p++)
        if (p->traits)
            traits = p->traits(value_in(c, p->name), traits);
    return traits;
}

/* Does it need something that a value takes away? Then says so. */
static bool taken_away(struct check_case *c)
{
    char why[160];
    for (const struct tl_param *p = c->impl->params; p && p->name; p++) {
        const char *lacks = p->lacks ? p->lacks(value_in(c, p->name)) : NULL;
        size_t n = lacks ? strlen(lacks) : 0;
        for (const char *at = c->check->needs ? c->check->needs : ""; lacks && *at;
             at += strcspn(at, " "), at += strspn(at, " "))
            if (strncmp(at, lacks, n) == 0 && strchr(" .", at[n])) {
                ops_why_not(c->impl, lacks, why, sizeof why);
                snprintf(c->refused, sizeof c->refused, "%s: %s", lacks, why);
                c->excused = true;
                return true;
            }
    }
    return false;
}

/* Is it to be asked of another mode than the property is one of? */
static bool other_mode(struct check_case *c, const struct check_case *wanted)
{
    for (int i = 0; i < c->nparams; i++)
        if (strcmp(c->params[i].value, wanted->params[i].value) != 0) {
            snprintf(c->refused, sizeof c->refused, "a property of %s=%s, and %s is asked for",
                     c->params[i].name, wanted->params[i].value, c->params[i].value);
            c->excused = true;
            return true;
        }
    return false;
}

static void refuse(struct check_case *c, unsigned pus)
{
    char missing[64], why[160];
    const struct tl_check *check = c->check;
    if (ops_missing(c->impl, check->needs, missing, sizeof missing)) {
        ops_why_not(c->impl, missing, why, sizeof why);
        snprintf(c->refused, sizeof c->refused, "%s: %s", missing, why);
        return;
    }
    uint32_t lacks = check_is_control(c->impl) ? 0 : check->traits & ~promised(c);
    for (unsigned bit = 0; ops_trait_name(bit); bit++)
        if (lacks & (1u << bit)) {
            ops_why_not(c->impl, ops_trait_name(bit), why, sizeof why);
            snprintf(c->refused, sizeof c->refused, "not %s: %s", ops_trait_name(bit), why);
            c->excused = c->impl->traits & (1u << bit);
            return;
        }
    c->excused = check->pus > pus;
    if (c->excused)
        snprintf(c->refused, sizeof c->refused, "needs %u PUs, this process may use %u", check->pus,
                 pus);
}

void check_case_make(const struct tl_impl *impl, const struct tl_check *check,
                     const struct cell_value *given, int ngiven, unsigned pus, uint64_t seed,
                     struct check_case *c)
{
    memset(c, 0, sizeof *c);
    c->impl = impl;
    c->check = check;
    c->seed = seed;
    c->deadline_ns =
        (uint64_t)(check->deadline_s ? check->deadline_s : CHECK_DEADLINE_S) * 1000000000u;
    for (const struct tl_param *p = impl->params; p && p->name && c->nparams < CELL_VALUES; p++) {
        struct cell_value *v = &c->params[c->nparams++];
        snprintf(v->name, sizeof v->name, "%s", p->name);
        snprintf(v->value, sizeof v->value, "%.*s", (int)strcspn(p->values, ","), p->values);
    }
    set_params(c, impl, check->prefers);
    set_params(c, impl, check->params);
    for (int i = 0; i < ngiven; i++)
        set_param(c, impl, given[i].name, strlen(given[i].name), given[i].value,
                  strlen(given[i].value));
    struct check_case wanted = *c;
    set_params(&wanted, impl, check->params);
    if (impl == &check_kernel)
        return;
    if (check_is_control(impl) && (check->flags & TL_CHECK_CONCURRENT))
        c->expect = EXPECT_FAIL;
    if (!other_mode(c, &wanted) && !taken_away(c))
        refuse(c, pus);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static int check_impls(const struct request *request, char *error, size_t size)
{
    const struct tl_impl *const *impls;
    size_t n = registry_impls(&impls);
    const char **names = calloc(n + 1, sizeof *names);
    if (!names)
        return ENOMEM;
    for (size_t i = 0; i < n; i++)
        names[i] = impls[i]->name;
    int e = names_check("implementation", "impls", &request->impls, names, n, error, size);
    free(names);
    return e;
}

static int check_properties(const struct request *request, char *error, size_t size)
{
    const struct tl_check *const *checks;
    size_t n = registry_checks(&checks);
    const char **names = calloc(n + 1, sizeof *names);
    if (!names)
        return ENOMEM;
    for (size_t i = 0; i < n; i++)
        names[i] = checks[i]->name;
    int e = names_check("property", "checks", &request->checks, names, n, error, size);
    free(names);
    return e;
}

/* --set NAME=VALUE of a check run is a parameter with one value, which some implementation knows.
 */
static int given_values(const struct request *request, struct cell_value *given, char *error,
                        size_t size)
{
    const struct tl_impl *const *impls;
    size_t ni = registry_impls(&impls);
    for (size_t i = 0; i < request->nsets; i++) {
        bool known = false;
        for (size_t j = 0; j < ni && !known; j++)
            for (const struct tl_param *p = impls[j]->params; p && p->name && !known; p++)
                known = names_selected(&request->impls, impls[j]->name) &&
                        strcmp(p->name, request->sets[i].name) == 0 &&
                        names_in_list(p->values, request->sets[i].values);
        if (!known || i == CELL_VALUES) {
            snprintf(error, size,
                     "--set %s=%s: no implementation that is to be checked has a parameter with "
                     "this one value (see threadlab list impls)",
                     request->sets[i].name, request->sets[i].values);
            return EINVAL;
        }
        snprintf(given[i].name, sizeof given[i].name, "%s", request->sets[i].name);
        snprintf(given[i].value, sizeof given[i].value, "%s", request->sets[i].values);
    }
    return 0;
}

static int by_group(const void *a, const void *b)
{
    const struct check_case *x = a, *y = b;
    int d = strcmp(x->impl->name, y->impl->name);
    d = d ? d : strcmp(x->check->group, y->check->group);
    return d ? d : strcmp(x->check->name, y->check->name);
}

int check_plan_begin(const struct request *request, const struct place_topology *topology, int pus,
                     struct check_plan *plan, struct cell_value *given, char *error, size_t size)
{
    int one[1], allowed = place_allowed(topology, one, 1);
    memset(plan, 0, sizeof *plan);
    plan->seed = request->seed;
    int e = check_impls(request, error, size);
    if (!e)
        e = given_values(request, given, error, size);
    if (e)
        return e;
    if (request->places.n > 1) {
        snprintf(error, size, "check: --place once: all checks have the same place");
        return EINVAL;
    }
    int want = allowed < pus ? allowed : pus;
    do /* as many as there are siblings, or neighbours in a cache */
        e = place_resolve(topology, request->places.n ? request->places.items[0] : "compact", want,
                          &plan->place);
    while (e == ENOTSUP && --want > 0);
    if (e) {
        snprintf(error, size, "%s", plan->place.reason);
        return EINVAL;
    }
    return 0;
}

int check_plan_make(const struct request *request, const struct place_topology *topology,
                    struct check_plan *plan, char *error, size_t size)
{
    const struct tl_impl *const *impls;
    const struct tl_check *const *checks;
    struct cell_value given[CELL_VALUES + 1];
    size_t ni = registry_impls(&impls), nc = registry_checks(&checks);
    int e = check_plan_begin(request, topology, CHECK_PUS, plan, given, error, size);
    if (!e)
        e = check_properties(request, error, size);
    if (e)
        return e;
    plan->cases = calloc((ni + 1) * nc + 1, sizeof *plan->cases);
    if (!plan->cases)
        return ENOMEM;
    for (size_t i = 0; i < ni; i++)
        for (size_t j = 0; j < nc; j++)
            if (!(checks[j]->flags & TL_CHECK_KERNEL) &&
                names_selected(&request->impls, impls[i]->name) &&
                names_selected(&request->checks, checks[j]->name))
                check_case_make(impls[i], checks[j], given, (int)request->nsets,
                                (unsigned)plan->place.ncpus, plan->seed, &plan->cases[plan->n++]);
    for (size_t j = 0; j < nc; j++) /* once, and only where no implementation was chosen */
        if ((checks[j]->flags & TL_CHECK_KERNEL) && request->impls.n == 0 &&
            names_selected(&request->checks, checks[j]->name))
            check_case_make(&check_kernel, checks[j], NULL, 0, (unsigned)plan->place.ncpus,
                            plan->seed, &plan->cases[plan->n++]);
    check_plan_sort(plan);
    return 0;
}

void check_plan_sort(struct check_plan *plan)
{
    qsort(plan->cases, plan->n, sizeof *plan->cases, by_group);
}

void check_plan_free(struct check_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++)
        free(plan->cases[i].notes);
    free(plan->cases);
}

bool check_as_expected(const struct check_case *c)
{
    bool failed = c->status != TL_OK && c->status != TL_UNSUPPORTED;
    if (c->excused)
        return c->status == TL_UNSUPPORTED;
    switch (c->expect) {
    case EXPECT_PROMISED:
        return !failed;
    case EXPECT_PASS:
        return c->status == TL_OK;
    case EXPECT_FAIL:
        return failed || c->refused[0];
    case EXPECT_UNSUPPORTED:
        return c->status == TL_UNSUPPORTED;
    default:
        return true;
    }
}

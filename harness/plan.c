/* plan.c - see plan.h. */
#include "plan.h"
#include "names.h"
#include "registry.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES 64
#define ALL_PAIRS_UP_TO 64 /* PUs: 2,016 pairs; a larger machine is sampled by topology */

struct maker {
    const struct request *request;
    const struct place_topology *topology;
    const struct plan_limits *limits;
    struct plan *plan;
    size_t capacity;
    bool set_used[CLI_LIST];
    char *error;
    size_t size;
};

/* One dimension while a product is being expanded. */
struct dimension {
    char name[32];
    char values[MAX_VALUES][32];
    int n;
    bool is_param;
    const char *refusal; /* not NULL: the implementation does not take the value */
};

bool plan_integer(const char *text, int64_t *value)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    int shift = *end == 'k' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (shift)
        end++;
    if (errno || *end || v > INT64_MAX >> shift)
        return false;
    *value = v << shift;
    return true;
}

static int fail(struct maker *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct maker *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(m->error, m->size, format, args);
    va_end(args);
    return EINVAL;
}

/* ---- selection ------------------------------------------------------------------------------ */

static int check_names(struct maker *m)
{
    const struct tl_impl *const *impls;
    const struct tl_bench *const *benches;
    size_t ni = registry_impls(&impls), nb = registry_benches(&benches);
    const char **names = calloc(ni + nb + 1, sizeof *names);
    if (!names)
        return ENOMEM;
    for (size_t i = 0; i < ni; i++)
        names[i] = impls[i]->name;
    int e =
        names_check("implementation", "impls", &m->request->impls, names, ni, m->error, m->size);
    for (size_t i = 0; i < nb; i++)
        names[i] = benches[i]->name;
    if (!e)
        e = names_check("benchmark", "benches", &m->request->benches, names, nb, m->error, m->size);
    free(names);
    return e;
}

/* ---- values --------------------------------------------------------------------------------- */

static int split(struct maker *m, const char *list, struct dimension *d)
{
    d->n = 0;
    for (const char *p = list; p;) {
        size_t n = strcspn(p, ",");
        if (n == 0 || n >= sizeof d->values[0])
            return fail(m, "%s=%s: an empty or overlong value", d->name, list);
        if (d->n == MAX_VALUES)
            return fail(m, "%s: more than %d values", d->name, MAX_VALUES);
        snprintf(d->values[d->n++], sizeof d->values[0], "%.*s", (int)n, p);
        p = p[n] ? p + n + 1 : NULL;
    }
    return 0;
}

static const char *preset_values(const struct tl_axis *axis, enum cli_preset preset)
{
    const char *list = axis->quick;
    if (preset >= PRESET_STANDARD && axis->standard)
        list = axis->standard;
    if (preset >= PRESET_FULL && axis->full)
        list = axis->full;
    return list;
}

static const struct cli_set *user_set(struct maker *m, const char *name)
{
    for (size_t i = 0; i < m->request->nsets; i++)
        if (strcmp(m->request->sets[i].name, name) == 0) {
            m->set_used[i] = true;
            return &m->request->sets[i];
        }
    return NULL;
}

/* The values of an axis; integers are written out, so that 64k and 65536 are one cell. */
static int axis_values(struct maker *m, const struct tl_bench *bench, const struct tl_axis *axis,
                       struct dimension *d)
{
    const struct cli_set *set = user_set(m, axis->name);
    struct dimension all = {0};
    int64_t v;
    snprintf(d->name, sizeof d->name, "%s", axis->name);
    snprintf(all.name, sizeof all.name, "%s", axis->name);
    int e = split(m, set ? set->values : preset_values(axis, m->request->preset), d);
    if (!e)
        e = split(m, preset_values(axis, PRESET_FULL), &all);
    if (e)
        return e;
    bool integers = true;
    for (int i = 0; i < all.n; i++)
        integers &= plan_integer(all.values[i], &v);
    for (int i = 0; i < d->n; i++) {
        if (integers) {
            if (!plan_integer(d->values[i], &v) || v > INT64_C(1) << 40)
                return fail(m, "%s=%s: %s wants whole numbers from 0 to 1024G, like %s", d->name,
                            d->values[i], bench->name, preset_values(axis, PRESET_FULL));
            snprintf(d->values[i], sizeof d->values[i], "%lld", (long long)v);
        } else if (!names_in_list(axis->quick, d->values[i]) &&
                   !(axis->standard && names_in_list(axis->standard, d->values[i])) &&
                   !(axis->full && names_in_list(axis->full, d->values[i]))) {
            return fail(m, "%s=%s: %s knows %s", d->name, d->values[i], bench->name,
                        preset_values(axis, PRESET_FULL));
        }
    }
    return 0;
}

static int param_values(struct maker *m, const struct tl_bench *bench, const struct tl_param *p,
                        struct dimension *d)
{
    const struct cli_set *set = user_set(m, p->name);
    struct dimension kept;
    snprintf(d->name, sizeof d->name, "%s", p->name);
    d->is_param = true;
    int e = split(m, set ? set->values : p->values, d);
    if (e)
        return e;
    if (!set) {
        if (!bench->vary || !names_in_list(bench->vary, p->name))
            d->n = 1; /* the default */
        return 0;
    }
    kept = *d;
    kept.n = 0;
    for (int i = 0; i < d->n; i++)
        if (names_in_list(p->values, d->values[i]))
            memcpy(kept.values[kept.n++], d->values[i], sizeof kept.values[0]);
    if (kept.n == 0) /* none of them: one cell that says so */
        d->refusal = p->values;
    else
        *d = kept;
    return 0;
}

/* ---- refusals ------------------------------------------------------------------------------- */

static const char *missing_need(const struct tl_bench *b, const struct tl_impl *impl)
{
    const struct {
        uint32_t need;
        bool offered;
        const char *what;
    } needs[] = {
        {TL_NEED_MUTEX, impl->mutex, "mutex"},
        {TL_NEED_COND, impl->cond, "cond"},
        {TL_NEED_SEM, impl->sem, "sem"},
        {TL_NEED_SIGNAL, impl->signal, "signal"},
        {TL_NEED_SIGWAIT, impl->signal && impl->signal->wait, "signal.wait"},
        {TL_NEED_FORK, impl->fork, "fork"},
        {TL_NEED_SLEEP, impl->sleep, "sleep"},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if ((b->needs & needs[i].need) && !needs[i].offered)
            return needs[i].what;
    return NULL;
}

/* Writes why the cell cannot be run, if it cannot. */
static void refuse(struct maker *m, const struct tl_bench *b, const struct tl_impl *impl,
                   struct cell_spec *c)
{
    char *why = c->refused;
    size_t size = sizeof c->refused;
    if (c->place.ncpus == 0) {
        snprintf(why, size, "%s", c->place.reason);
        return;
    }
    if (!impl)
        return;
    const char *what = missing_need(b, impl);
    if (what) {
        const char *reason = impl->why_not ? impl->why_not(what) : NULL;
        snprintf(why, size, "%s", reason ? reason : "not offered by this implementation");
        return;
    }
    bool parallel = impl->traits & TL_PARALLEL;
    if (!parallel && ((b->needs & TL_NEED_PARALLEL) || c->place.ncpus > 1)) {
        snprintf(why, size, "%s (%s) runs all its threads on one kernel thread: it cannot use %s",
                 impl->name, impl->model,
                 c->place.ncpus > 1 ? "more than one PU" : "threads in parallel");
        return;
    }
    if (b->kernel_threads && (impl->traits & TL_ONE_TO_ONE) && m->limits->kernel_threads)
        for (int i = 0; i < c->naxes; i++)
            if (strcmp(c->axes[i].name, b->kernel_threads) == 0 &&
                strtoull(c->axes[i].value, NULL, 10) > m->limits->kernel_threads)
                snprintf(why, size, "%s threads: each is a kernel thread here, and %s allows %llu",
                         c->axes[i].value, m->limits->which,
                         (unsigned long long)m->limits->kernel_threads);
}

/* ---- expansion ------------------------------------------------------------------------------ */

static int add_cell(struct maker *m, const struct tl_bench *b, const struct tl_impl *impl,
                    const struct place *place, const struct dimension *dims, const int *at, int n)
{
    struct plan *plan = m->plan;
    if (plan->n == m->capacity) {
        size_t capacity = m->capacity ? m->capacity * 2 : 256;
        struct cell_spec *cells = realloc(plan->cells, capacity * sizeof *cells);
        if (!cells)
            return ENOMEM;
        plan->cells = cells;
        m->capacity = capacity;
    }
    struct cell_spec *c = &plan->cells[plan->n];
    memset(c, 0, sizeof *c);
    snprintf(c->bench, sizeof c->bench, "%s", b->name);
    snprintf(c->impl, sizeof c->impl, "%s", impl ? impl->name : "-");
    c->place = *place;
    int used = snprintf(c->key, sizeof c->key, "%s/%s/%s/", c->bench, c->impl, place->policy);
    for (int i = 0; i < n; i++) {
        const char *value = dims[i].values[at[i]];
        struct cell_value *v = dims[i].is_param ? &c->params[c->nparams++] : &c->axes[c->naxes++];
        snprintf(v->name, sizeof v->name, "%s", dims[i].name);
        snprintf(v->value, sizeof v->value, "%s", value);
        used += snprintf(c->key + used, sizeof c->key - (size_t)used, "%s%s=%s", i ? "," : "",
                         dims[i].name, value);
        if (dims[i].refusal && !c->refused[0])
            snprintf(c->refused, sizeof c->refused, "%s has no %s=%s; it knows %s", impl->name,
                     dims[i].name, value, dims[i].refusal);
    }
    if (!c->refused[0])
        refuse(m, b, impl, c);
    plan->n++;
    return 0;
}

/* Every combination of the dimensions' values: counts like an odometer. */
static int add_product(struct maker *m, const struct tl_bench *b, const struct tl_impl *impl,
                       const struct place *place, const struct dimension *dims, int n)
{
    int at[2 * CELL_VALUES] = {0};
    for (;;) {
        int e = add_cell(m, b, impl, place, dims, at, n);
        if (e)
            return e;
        int i = n - 1;
        while (i >= 0 && ++at[i] == dims[i].n)
            at[i--] = 0;
        if (i < 0)
            return 0;
    }
}

static int add_impl(struct maker *m, const struct tl_bench *b, const struct tl_impl *impl,
                    const struct place *places, size_t nplaces)
{
    struct dimension *dims = calloc(2 * CELL_VALUES, sizeof *dims);
    int n = 0, e = dims ? 0 : ENOMEM;
    for (const struct tl_axis *a = b->axes; !e && a && a->name; a++)
        e = n == CELL_VALUES ? fail(m, "%s has more than %d axes", b->name, CELL_VALUES)
                             : axis_values(m, b, a, &dims[n++]);
    int naxes = n;
    for (const struct tl_param *p = impl ? impl->params : NULL; !e && p && p->name; p++)
        e = n - naxes == CELL_VALUES
                ? fail(m, "%s has more than %d parameters", impl->name, CELL_VALUES)
                : param_values(m, b, p, &dims[n++]);
    for (size_t i = 0; !e && i < nplaces; i++)
        e = add_product(m, b, impl, &places[i], dims, n);
    free(dims);
    return e;
}

/* ---- places --------------------------------------------------------------------------------- */

struct places {
    struct place *items;
    size_t n;
};

static int add_place(struct maker *m, const char *policy, int want, bool by_default,
                     struct places *list)
{
    struct place *items = realloc(list->items, (list->n + 1) * sizeof *items);
    if (!items)
        return ENOMEM;
    list->items = items;
    struct place *p = &items[list->n];
    int e = place_resolve(m->topology, policy, want, p);
    if (e == EINVAL)
        return fail(m, "%s", p->reason);
    if (e && e != ENOTSUP)
        return e;
    /* A policy may give a wider relation than its name (cross-numa with one node a package): then
     * that relation's own policy gives the same PUs. */
    if (!by_default || (e == 0 && strcmp(p->relation, policy) == 0))
        list->n++;
    return 0;
}

static int add_pairs(struct maker *m, struct places *list)
{
    int(*pairs)[2], e = 0;
    size_t n = place_pairs(m->topology, ALL_PAIRS_UP_TO, &pairs);
    for (size_t i = 0; !e && i < n; i++) {
        char policy[64];
        snprintf(policy, sizeof policy, "cpus=%d,%d", pairs[i][0], pairs[i][1]);
        e = add_place(m, policy, 2, false, list);
    }
    free(pairs);
    if (!e && n == 0) /* one PU: the benchmark says why it cannot */
        e = add_place(m, "same-pu", 1, false, list);
    return e;
}

static int find_places(struct maker *m, const struct tl_bench *b, struct places *list)
{
    static const char *const relations[] = {"smt",      "shared-l2",  "shared-l3",
                                            "cross-l3", "cross-numa", "cross-package"};
    int want = b->workers ? (int)b->workers : 1, e = 0;
    const struct cli_list *asked = &m->request->places;
    if (asked->n > 0) {
        for (size_t i = 0; !e && i < asked->n; i++)
            e = add_place(m, asked->items[i], want, false, list);
    } else if (b->flags & TL_ALL_PAIRS) {
        e = add_pairs(m, list);
    } else if (b->places) {
        struct dimension d = {.name = "places"};
        e = split(m, b->places, &d);
        for (int i = 0; !e && i < d.n; i++)
            e = add_place(m, d.values[i], want, false, list);
    } else {
        e = add_place(m, "same-pu", want, false, list);
        for (size_t i = 0; !e && want > 1 && i < sizeof relations / sizeof *relations; i++)
            e = add_place(m, relations[i], want, true, list);
    }
    return e;
}

static int add_bench(struct maker *m, const struct tl_bench *b)
{
    const struct tl_impl *const *impls;
    size_t ni = registry_impls(&impls);
    struct places list = {0};
    int e = find_places(m, b, &list);
    if (!e && (b->flags & TL_NO_IMPL))
        e = add_impl(m, b, NULL, list.items, list.n);
    for (size_t i = 0; !e && !(b->flags & TL_NO_IMPL) && i < ni; i++)
        if (names_selected(&m->request->impls, impls[i]->name))
            e = add_impl(m, b, impls[i], list.items, list.n);
    free(list.items);
    return e;
}

static int by_key(const void *a, const void *b)
{
    const struct cell_spec *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static void drop_duplicates(struct plan *plan)
{
    size_t kept = 0;
    qsort(plan->cells, plan->n, sizeof *plan->cells, by_key);
    for (size_t i = 0; i < plan->n; i++)
        if (i == 0 || strcmp(plan->cells[i].key, plan->cells[kept - 1].key) != 0)
            plan->cells[kept++] = plan->cells[i];
    plan->n = kept;
}

static int check_sets(struct maker *m)
{
    for (size_t i = 0; i < m->request->nsets; i++)
        if (!m->set_used[i])
            return fail(m,
                        "--set %s=%s: no selected benchmark has such an axis, no selected "
                        "implementation such a parameter (see threadlab list benches)",
                        m->request->sets[i].name, m->request->sets[i].values);
    return 0;
}

static int check_refusals(struct maker *m)
{
    /* A parameter's value that every cell refuses is a spelling mistake, not a property. */
    for (size_t s = 0; s < m->request->nsets; s++) {
        size_t n = 0, refused = 0;
        for (size_t i = 0; i < m->plan->n; i++)
            for (int j = 0; j < m->plan->cells[i].nparams; j++)
                if (strcmp(m->plan->cells[i].params[j].name, m->request->sets[s].name) == 0) {
                    n++;
                    refused += strstr(m->plan->cells[i].refused, "; it knows ") != NULL;
                }
        if (n && n == refused)
            return fail(m,
                        "--set %s=%s: no selected implementation has that value (see threadlab "
                        "list impls)",
                        m->request->sets[s].name, m->request->sets[s].values);
    }
    return 0;
}

int plan_make(const struct request *request, const struct place_topology *topology,
              const struct plan_limits *limits, struct plan *plan, char *error, size_t size)
{
    static const struct {
        int rounds;
        uint64_t budget_s;
    } presets[] = {
        [PRESET_QUICK] = {2, 70}, [PRESET_STANDARD] = {4, 205}, [PRESET_FULL] = {10, 2400}};
    struct maker m = {.request = request,
                      .topology = topology,
                      .limits = limits,
                      .plan = plan,
                      .error = error,
                      .size = size};
    const struct tl_bench *const *benches;
    size_t nb = registry_benches(&benches);

    memset(plan, 0, sizeof *plan);
    plan->seed = request->seed;
    plan->rounds = request->rounds ? request->rounds : presets[request->preset].rounds;
    plan->budget_ns = request->budget_ns ? request->budget_ns
                                         : presets[request->preset].budget_s * UINT64_C(1000000000);
    int e = check_names(&m);
    for (size_t i = 0; !e && i < nb; i++)
        if (names_selected(&request->benches, benches[i]->name))
            e = add_bench(&m, benches[i]);
    if (!e)
        e = check_sets(&m);
    if (!e)
        e = check_refusals(&m);
    if (!e && plan->n == 0)
        e = fail(&m, "nothing is selected: no benchmark is left to run");
    if (e == ENOMEM)
        snprintf(error, size, "out of memory while planning");
    if (e)
        plan_free(plan);
    else
        drop_duplicates(plan);
    return e;
}

void plan_free(struct plan *plan)
{
    free(plan->cells);
    plan->cells = NULL;
    plan->n = 0;
}

void plan_order(const struct plan *plan, int round, size_t *order)
{
    uint64_t state = plan->seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)round + 1;
    for (size_t i = 0; i < plan->n; i++)
        order[i] = i;
    for (size_t i = plan->n; i > 1; i--) {
        size_t j = tl_random(&state) % i, swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

/*
 * place_policy.c - placement policies: which PUs of a topology's table, for how many slots. Pure.
 *
 * Three families. A relation (smt ... cross-package) names the widest boundary that lies between
 * its slots. An order (same-pu, compact, spread) takes PUs one after the other. cpus=LIST takes
 * what it is told. The choice depends on nothing but the table, so that the same machine gives the
 * same PUs each time.
 *
 * Hybrid machines: the PUs of one placement are of one kind wherever that is possible, the fastest
 * kind that can do it; only then are kinds mixed.
 */
#include "place_policy.h"
#include "registry.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int choose_same_pu(const struct place_topology *, const struct place_policy *, int,
                          struct place *);
static int choose_compact(const struct place_topology *, const struct place_policy *, int,
                          struct place *);
static int choose_spread(const struct place_topology *, const struct place_policy *, int,
                         struct place *);

/* In canonical order: nearest first. */
static const struct place_policy policies[] = {
    {.name = "same-pu", .help = "all on one PU", .choose = choose_same_pu},
    {.name = "smt",
     .help = "SMT siblings: PUs of one core",
     .choose = place_choose_relation,
     .apart = PLACE_PU,
     .within = {PLACE_WITHIN_CORE, PLACE_WITHIN_CORE}},
    {.name = "shared-l2",
     .help = "different cores that share an L2 cache",
     .choose = place_choose_relation,
     .apart = PLACE_CORE,
     .within = {PLACE_WITHIN_L2, PLACE_WITHIN_L2}},
    {.name = "shared-l3",
     .help = "cores that share an L3 cache but no L2, on one NUMA node if possible",
     .choose = place_choose_relation,
     .apart = PLACE_L2,
     .within = {PLACE_WITHIN_L3_NODE, PLACE_WITHIN_L3}},
    {.name = "cross-l3",
     .help = "one package, one NUMA node if possible, no L3 in common (nor L2, where no L3 is "
             "reported)",
     .choose = place_choose_relation,
     .apart = PLACE_LLC,
     .in_turn = true,
     .within = {PLACE_WITHIN_NODE, PLACE_WITHIN_PACKAGE}},
    {.name = "cross-numa",
     .help = "different NUMA nodes, of one package if possible",
     .choose = place_choose_relation,
     .apart = PLACE_NODE,
     .in_turn = true,
     .within = {PLACE_WITHIN_PACKAGE, PLACE_WITHIN_ALL}},
    {.name = "cross-package",
     .help = "different packages (sockets)",
     .choose = place_choose_relation,
     .apart = PLACE_PACKAGE,
     .in_turn = true,
     .within = {PLACE_WITHIN_ALL, PLACE_WITHIN_ALL}},
    {.name = "compact",
     .help = "as near as possible: SMT siblings, then L2, L3, NUMA node, package",
     .choose = choose_compact},
    {.name = "spread",
     .help = "as far apart as possible, one PU per core before SMT siblings",
     .choose = choose_spread},
};
#define NPOLICIES (sizeof policies / sizeof *policies)

/* ---- shared with place_relation.c ---- */

int place_refuse(struct place *out, int e, const char *format, ...)
{
    va_list ap;
    out->ncpus = 0;
    va_start(ap, format);
    vsnprintf(out->reason, sizeof out->reason, format, ap);
    va_end(ap);
    return e;
}

int place_refuse_all(const struct place_topology *t, const struct place_policy *p, int want,
                     struct place *out)
{
    char list[128];
    place_list_text(t, list, sizeof list);
    return place_refuse(out, ENOTSUP, "%s: %d PUs wanted, %zu allowed here (%s)", p->name, want,
                        t->n, list);
}

void place_take(struct place *out, const struct place_entry *e)
{
    out->cpus[out->ncpus++] = e->pu.cpu;
}

/* Walks the kinds from the fastest to the slowest, then PLACE_ANY_KIND; true until all have been.
 */
bool place_next_kind(const struct place_topology *t, int *kind, bool *started)
{
    if (!*started) {
        *started = true;
        *kind = t->kinds ? t->kinds - 1 : PLACE_ANY_KIND;
        return true;
    }
    if (*kind == PLACE_ANY_KIND)
        return false;
    *kind = *kind > 0 ? *kind - 1 : PLACE_ANY_KIND;
    return true;
}

bool place_is_kind(const struct place_entry *e, int kind)
{
    return kind == PLACE_ANY_KIND || e->pu.kind == kind;
}

bool place_shares(const struct place_entry *a, const struct place_entry *b, unsigned levels)
{
    for (int l = 0; l < PLACE_LEVELS; l++)
        if ((levels & PLACE_BIT(l)) && a->id[l] != b->id[l])
            return false;
    return true;
}

/* True if no PU of that kind before i is in the same group. */
bool place_opens_group(const struct place_topology *t, size_t i, unsigned levels, int kind)
{
    if (!place_is_kind(&t->pus[i], kind))
        return false;
    for (size_t j = 0; j < i; j++)
        if (place_is_kind(&t->pus[j], kind) && place_shares(&t->pus[i], &t->pus[j], levels))
            return false;
    return true;
}

/* ---- orders --------------------------------------------------------------------------------- */

static int count_kind(const struct place_topology *t, int kind, bool cores)
{
    int n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += place_is_kind(&t->pus[i], kind) && !(cores && t->pus[i].sibling);
    return n;
}

static int choose_same_pu(const struct place_topology *t, const struct place_policy *p, int want,
                          struct place *out)
{
    bool started = false;
    int kind;

    (void)p, (void)want;
    while (out->ncpus == 0 && place_next_kind(t, &kind, &started))
        for (size_t i = 0; out->ncpus == 0 && i < t->n; i++)
            if (place_is_kind(&t->pus[i], kind))
                place_take(out, &t->pus[i]);
    return 0;
}

/* The tightest group that holds all; within it the tree's own order, which fills cores, then L2
 * and so on. */
static int choose_compact(const struct place_topology *t, const struct place_policy *p, int want,
                          struct place *out)
{
    static const unsigned tightest_first[] = {PLACE_WITHIN_CORE,    PLACE_WITHIN_L2,
                                              PLACE_WITHIN_L3_NODE, PLACE_WITHIN_NODE,
                                              PLACE_WITHIN_PACKAGE, PLACE_WITHIN_ALL};
    bool started = false;
    int kind;

    while (place_next_kind(t, &kind, &started)) {
        if (count_kind(t, kind, false) < want)
            continue;
        for (size_t w = 0; w < sizeof tightest_first / sizeof *tightest_first; w++)
            for (size_t i = 0; i < t->n; i++) {
                if (!place_opens_group(t, i, tightest_first[w], kind))
                    continue;
                out->ncpus = 0;
                for (size_t j = i; j < t->n && out->ncpus < want; j++)
                    if (place_is_kind(&t->pus[j], kind) &&
                        place_shares(&t->pus[j], &t->pus[i], tightest_first[w]))
                        place_take(out, &t->pus[j]);
                if (out->ncpus == want)
                    return 0;
            }
    }
    return place_refuse_all(t, p, want, out);
}

/* Each next PU is the one that shares least with those taken: compared are how many of them are in
 * its core, then package, node, L3, L2; then the faster kind, then the tree's order. */
static int choose_spread(const struct place_topology *t, const struct place_policy *p, int want,
                         struct place *out)
{
    static const enum place_level order[] = {PLACE_CORE, PLACE_PACKAGE, PLACE_NODE, PLACE_LLC,
                                             PLACE_L2};
    enum { N = sizeof order / sizeof *order };
    bool started = false;
    int kind;

    if ((size_t)want > t->n)
        return place_refuse_all(t, p, want, out);
    /* A kind alone, only where it has a core for each. */
    while (place_next_kind(t, &kind, &started) && kind != PLACE_ANY_KIND)
        if (count_kind(t, kind, true) >= want)
            break;
    int(*sharing)[PLACE_LEVELS] = calloc(t->n, sizeof *sharing);
    if (!sharing)
        return ENOMEM;
    while (out->ncpus < want) {
        size_t best = t->n;
        for (size_t i = 0; i < t->n; i++) {
            int c = 0;
            if (!place_is_kind(&t->pus[i], kind) || sharing[i][PLACE_PU])
                continue;
            for (int l = 0; best < t->n && c == 0 && l < N; l++)
                c = sharing[i][order[l]] - sharing[best][order[l]];
            if (best == t->n || c < 0 || (c == 0 && t->pus[i].pu.kind > t->pus[best].pu.kind))
                best = i;
        }
        place_take(out, &t->pus[best]);
        for (size_t i = 0; i < t->n; i++)
            for (int l = 0; l < PLACE_LEVELS; l++)
                sharing[i][l] += t->pus[i].id[l] == t->pus[best].id[l];
    }
    free(sharing);
    return 0;
}

/* ---- cpus=LIST ------------------------------------------------------------------------------ */

static int refuse_list(struct place *out, const char *policy, const char *why)
{
    return place_refuse(out, EINVAL,
                        "%.60s%s: %s (right: cpus=0,4-6, PU numbers of the operating system)",
                        policy, strlen(policy) > 60 ? "..." : "", why);
}

/* Reads a number; false if there is none. Anything huge becomes INT_MAX, which no PU is. */
static bool read_number(const char **text, int *value)
{
    long long n = 0;
    const char *p = *text;
    while (*p >= '0' && *p <= '9') {
        n = n * 10 + (*p++ - '0');
        if (n > INT_MAX)
            n = INT_MAX;
    }
    *value = (int)n;
    bool any = p > *text;
    *text = p;
    return any;
}

static int choose_list(const struct place_topology *t, const char *policy, struct place *out)
{
    const char *p = policy + strlen("cpus=");

    do {
        int first, last;
        if (!read_number(&p, &first))
            return refuse_list(out, policy, "not a list of numbers and ranges");
        last = first;
        if (*p == '-' && (p++, !read_number(&p, &last)))
            return refuse_list(out, policy, "a range has no end");
        if (first == INT_MAX || last == INT_MAX)
            return refuse_list(out, policy, "a number is too large");
        if (last < first)
            return refuse_list(out, policy, "a range runs backwards");
        for (int cpu = first;; cpu++) {
            const struct place_entry *e = place_find(t, cpu);
            if (!e) {
                char list[128];
                place_list_text(t, list, sizeof list);
                return place_refuse(out, ENOTSUP, "%.60s: PU %d is not allowed here (allowed: %s)",
                                    policy, cpu, list);
            }
            for (int i = 0; i < out->ncpus; i++)
                if (out->cpus[i] == cpu)
                    return refuse_list(out, policy, "a PU is named twice");
            if (out->ncpus == PLACE_MAX)
                return refuse_list(out, policy, "too many PUs");
            place_take(out, e);
            if (cpu == last)
                break;
        }
    } while (*p == ',' && p++);
    return *p ? refuse_list(out, policy, "not a list of numbers and ranges") : 0;
}

/* ---- all ------------------------------------------------------------------------------------ */

static int unknown_policy(const char *policy, struct place *out)
{
    const char *names[NPOLICIES + 1], *nearest;
    char list[160] = "";

    for (size_t i = 0; i < NPOLICIES; i++) {
        names[i] = policies[i].name;
        strcat(strcat(list, policies[i].name), ", ");
    }
    names[NPOLICIES] = "cpus=LIST";
    strcat(list, "cpus=LIST");
    nearest = registry_nearest(policy, names, NPOLICIES + 1);
    return place_refuse(out, EINVAL, "%.30s%s: no such placement policy%s%s (policies: %s)", policy,
                        strlen(policy) > 30 ? "..." : "", nearest ? "; nearest is " : "",
                        nearest ? nearest : "", list);
}

static void measure(const struct place_topology *t, struct place *out)
{
    const struct place_entry *first = place_find(t, out->cpus[0]);
    enum place_level widest = PLACE_LEVELS;

    /* What all share with the first they share with each other. */
    for (int i = 1; i < out->ncpus; i++) {
        enum place_level l = place_boundary(first, place_find(t, out->cpus[i]));
        widest = l < widest ? l : widest;
    }
    snprintf(out->relation, sizeof out->relation, "%s", place_relation_name(widest));
    out->node = first->os_node;
}

int place_resolve(const struct place_topology *topology, const char *policy, int want,
                  struct place *out)
{
    const struct place_policy *p = policies;
    int e;

    memset(out, 0, sizeof *out);
    out->node = -1;
    if (strlen(policy) >= sizeof out->policy)
        return place_refuse(out, EINVAL, "%.60s...: longer than the %zu characters of a policy",
                            policy, sizeof out->policy - 1);
    memcpy(out->policy, policy, strlen(policy) + 1);
    if (strncmp(policy, "cpus=", 5) == 0) {
        e = choose_list(topology, policy, out);
    } else {
        while (p < policies + NPOLICIES && strcmp(p->name, policy) != 0)
            p++;
        if (p == policies + NPOLICIES)
            return unknown_policy(policy, out);
        if (want < 1)
            return place_refuse(out, EINVAL, "%s: %d PUs wanted, at least 1 is right", policy,
                                want);
        if (want > PLACE_MAX)
            return place_refuse(out, ENOTSUP, "%s: %d PUs wanted, a placement has at most %d",
                                policy, want, PLACE_MAX);
        e = p->choose(topology, p, want, out);
    }
    if (!e)
        measure(topology, out);
    return e;
}

const char *const *place_policies(void)
{
    static const char *names[NPOLICIES + 1];

    for (size_t i = 0; i < NPOLICIES; i++)
        names[i] = policies[i].name;
    return names;
}

const char *place_help(const char *policy)
{
    for (size_t i = 0; i < NPOLICIES; i++)
        if (strcmp(policies[i].name, policy) == 0)
            return policies[i].help;
    return strncmp(policy, "cpus=", 5) == 0 ? "these PUs, in this order: 0,4-6" : NULL;
}

/*
 * place_query.c - what else is asked of a topology's table: how two PUs relate, which pairs to
 * measure, the tree as text. Pure.
 */
#include "place_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Origins of each relation in a sample of pairs. Two partners for each: about 100 pairs in all,
 * whatever the size of the machine. */
#define SAMPLE_ORIGINS 8

const struct place_entry *place_find(const struct place_topology *t, int cpu)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->pus[i].pu.cpu == cpu)
            return &t->pus[i];
    return NULL;
}

enum place_level place_boundary(const struct place_entry *a, const struct place_entry *b)
{
    int level = PLACE_PACKAGE;
    while (level < PLACE_LEVELS && a->id[level] == b->id[level])
        level++;
    return level;
}

const char *place_relation_name(enum place_level boundary)
{
    static const char *const names[] = {
        [PLACE_PACKAGE] = "cross-package", [PLACE_NODE] = "cross-numa", [PLACE_LLC] = "cross-l3",
        [PLACE_L2] = "shared-l3",          [PLACE_CORE] = "shared-l2",  [PLACE_PU] = "smt",
        [PLACE_LEVELS] = "same-pu"};
    return names[boundary];
}

const char *place_relation(const struct place_topology *topology, int cpu_a, int cpu_b)
{
    const struct place_entry *a = place_find(topology, cpu_a), *b = place_find(topology, cpu_b);
    return a && b ? place_relation_name(place_boundary(a, b)) : NULL;
}

int place_describe(const struct place_topology *topology, int cpu, struct place_pu *out)
{
    const struct place_entry *e = place_find(topology, cpu);
    if (!e)
        return EINVAL;
    *out = e->pu;
    return 0;
}

/* ---- the allowed PUs ------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int *sorted_cpus(const struct place_topology *t)
{
    int *cpus = calloc(t->n, sizeof *cpus);
    for (size_t i = 0; cpus && i < t->n; i++)
        cpus[i] = t->pus[i].pu.cpu;
    if (cpus)
        qsort(cpus, t->n, sizeof *cpus, ascending);
    return cpus;
}

int place_allowed(const struct place_topology *topology, int *cpus, int max)
{
    int *all = sorted_cpus(topology);
    for (int i = 0; all && i < max && (size_t)i < topology->n; i++)
        cpus[i] = all[i];
    free(all);
    return all ? (int)topology->n : 0;
}

void place_list_text(const struct place_topology *t, char *text, size_t size)
{
    int *cpus = sorted_cpus(t);
    size_t used = 0;

    *text = '\0';
    for (size_t i = 0, j; cpus && i < t->n; i = j + 1) {
        char range[32];
        for (j = i; j + 1 < t->n && cpus[j + 1] == cpus[j] + 1; j++)
            ;
        int n = snprintf(range, sizeof range, j > i ? "%s%d-%d" : "%s%d", i ? "," : "", cpus[i],
                         cpus[j]);
        if (used + (size_t)n + sizeof ",..." > size) {
            snprintf(text + used, size - used, ",...");
            break;
        }
        memcpy(text + used, range, (size_t)n + 1);
        used += (size_t)n;
    }
    free(cpus);
}

/* ---- pairs ---------------------------------------------------------------------------------- */

struct pair_list {
    int (*pairs)[2];
    size_t n;
};

static void add_pair(struct pair_list *list, int a, int b)
{
    list->pairs[list->n][0] = a < b ? a : b;
    list->pairs[list->n][1] = a < b ? b : a;
    list->n++;
}

static int by_pair(const void *a, const void *b)
{
    const int *x = a, *y = b;
    int c = ascending(&x[0], &y[0]);
    return c ? c : ascending(&x[1], &y[1]);
}

/* The k-th partner of PU i at that level, counted from i onward and round; t->n if there is none.
 */
static size_t partner(const struct place_topology *t, size_t i, enum place_level level, size_t k)
{
    size_t seen = 0;
    for (size_t step = 1; step < t->n; step++) {
        size_t j = (i + step) % t->n;
        if (place_boundary(&t->pus[i], &t->pus[j]) == level && seen++ == k)
            return j;
    }
    return t->n;
}

static size_t count_partners(const struct place_topology *t, size_t i, enum place_level level)
{
    size_t n = 0;
    for (size_t j = 0; j < t->n; j++)
        n += j != i && place_boundary(&t->pus[i], &t->pus[j]) == level;
    return n;
}

/* For each relation: origins evenly spaced among the PUs that have it, each with the next partner
 * in the tree and the one half way round. */
static void sample(const struct place_topology *t, struct pair_list *list)
{
    for (int level = PLACE_PACKAGE; level < PLACE_LEVELS; level++) {
        size_t have = 0, seen = 0, taken = 0;
        for (size_t i = 0; i < t->n; i++)
            have += partner(t, i, level, 0) < t->n;
        for (size_t i = 0; i < t->n && taken < SAMPLE_ORIGINS; i++) {
            size_t next = partner(t, i, level, 0);
            if (next == t->n || seen++ < taken * have / SAMPLE_ORIGINS)
                continue;
            taken++;
            add_pair(list, t->pus[i].pu.cpu, t->pus[next].pu.cpu);
            size_t far = partner(t, i, level, count_partners(t, i, level) / 2);
            add_pair(list, t->pus[i].pu.cpu, t->pus[far].pu.cpu);
        }
    }
}

size_t place_pairs(const struct place_topology *topology, int all_up_to, int (**pairs)[2])
{
    const struct place_topology *t = topology;
    bool all = all_up_to >= 0 && t->n <= (size_t)all_up_to;
    size_t max = all ? t->n * (t->n - 1) / 2 : 2 * SAMPLE_ORIGINS * PLACE_LEVELS, kept = 0;
    struct pair_list list = {.pairs = calloc(max ? max : 1, sizeof *list.pairs)};

    *pairs = list.pairs;
    if (!list.pairs)
        return 0;
    if (all) {
        for (size_t i = 0; i < t->n; i++)
            for (size_t j = i + 1; j < t->n; j++)
                add_pair(&list, t->pus[i].pu.cpu, t->pus[j].pu.cpu);
    } else {
        sample(t, &list);
    }
    qsort(list.pairs, list.n, sizeof *list.pairs, by_pair);
    for (size_t i = 0; i < list.n; i++)
        if (kept == 0 || by_pair(list.pairs[i], list.pairs[kept - 1]) != 0)
            memmove(list.pairs[kept++], list.pairs[i], sizeof *list.pairs);
    return kept;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_bytes(FILE *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1024;
    if (bytes)
        fprintf(out, value < 100 && (uint64_t)value != value ? ", %.1f %s" : ", %.0f %s", value,
                units[unit]);
}

static void print_count(FILE *out, int n, const char *what)
{
    if (n)
        fprintf(out, ", %d %s%s", n, what, n == 1 ? "" : "s");
}

/* One line each for what the PU is the first of; then, on a line of its core's own, the core. */
static void print_entry(FILE *out, const struct place_topology *t, size_t i)
{
    const struct place_entry *e = &t->pus[i], *before = i ? e - 1 : NULL;
    int boundary = before ? (int)place_boundary(before, e) : PLACE_PACKAGE;

    if (boundary <= PLACE_PACKAGE && e->pu.package >= 0)
        fprintf(out, "\npackage %d", e->pu.package);
    if (boundary <= PLACE_NODE && e->pu.node >= 0) {
        fprintf(out, "\n  NUMA node %d", e->os_node);
        print_bytes(out, e->node_bytes);
    }
    if (boundary <= PLACE_LLC && e->pu.l3 >= 0) {
        fprintf(out, "\n    L3 %d", e->pu.l3);
        print_bytes(out, e->l3_bytes);
    } else if (boundary <= PLACE_LLC && t->l3s && (!before || before->pu.l3 >= 0)) {
        fprintf(out, "\n    no L3");
    }
    if (boundary <= PLACE_L2 && e->pu.l2 >= 0) {
        fprintf(out, "\n      L2 %d", e->pu.l2);
        print_bytes(out, e->l2_bytes);
        fprintf(out, ": ");
    } else if (boundary <= PLACE_L2) {
        fprintf(out, "\n      ");
    }
    if (boundary <= PLACE_CORE) {
        if (boundary == PLACE_CORE)
            fprintf(out, "; ");
        if (e->pu.core >= 0)
            fprintf(out, "core %d ", e->pu.core);
        if (e->pu.kind >= 0)
            fprintf(out, "(kind %d) ", e->pu.kind);
        fprintf(out, "PU");
    }
    fprintf(out, " %d", e->pu.cpu);
}

char *place_text(const struct place_topology *topology)
{
    const struct place_topology *t = topology;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    fprintf(out, "%s: %zu PU%s", t->source, t->n, t->n == 1 ? "" : "s");
    print_count(out, t->cores, "core");
    print_count(out, t->l2s, "L2 cache");
    print_count(out, t->l3s, "L3 cache");
    print_count(out, t->nodes, "NUMA node");
    print_count(out, t->packages, "package");
    print_count(out, t->kinds, "kind");
    if (t->kinds)
        fprintf(out, " of core (%d: the fastest)", t->kinds - 1);
    for (size_t i = 0; i < t->n; i++)
        print_entry(out, t, i);
    fprintf(out, "\n");
    if (t->l3s == 0)
        fprintf(out, "No L3 cache is reported: cross-l3 means cores of one NUMA node with no "
                     "cache in common.\n");
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/*
 * place_relation.c - the policies that name a relation: smt, shared-*, cross-*. Pure.
 *
 * A relation says what its slots share (`within`) and what they do not (`apart`). The PUs that
 * share the first form a group, those of a group that share the second too form a domain; slots
 * are put into different domains of one group.
 */
#include "place_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

/* A domain: the PUs of a group that share the level `apart`. Slots lie in different ones. */
struct domain {
    const struct place_entry *first;
    int pus;
};

static int find_domains(const struct place_topology *t, const struct place_entry *group,
                        unsigned within, enum place_level apart, int kind, struct domain *domains)
{
    int n = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct place_entry *e = &t->pus[i];
        int d = 0;
        if (!place_is_kind(e, kind) || !place_shares(e, group, within))
            continue;
        while (d < n && domains[d].first->id[apart] != e->id[apart])
            d++;
        if (d == n)
            domains[n++] = (struct domain){.first = e};
        domains[d].pus++;
    }
    return n;
}

/* The k-th PU of a domain: one of each core first, then their siblings. */
static const struct place_entry *nth_pu(const struct place_topology *t, const struct domain *domain,
                                        unsigned levels, int kind, int k)
{
    for (int sibling = 0; sibling < (int)t->n; sibling++)
        for (size_t i = 0; i < t->n; i++)
            if (t->pus[i].sibling == sibling && place_is_kind(&t->pus[i], kind) &&
                place_shares(&t->pus[i], domain->first, levels) && k-- == 0)
                return &t->pus[i];
    return NULL;
}

/* Moves to the front `use` domains such that slot i fits into domain i % use. */
static bool arrange(struct domain *domains, int n, int use, int want)
{
    int few = want / use, more = want % use ? want % use : use, kept = 0;
    int many = (want + use - 1) / use; /* PUs in each of the first `more` domains; else few */

    for (int pass = 0; pass < 2; pass++) {
        int need = pass == 0 ? many : few;
        for (int d = kept; d < n && kept < use; d++)
            if (domains[d].pus >= need) {
                struct domain found = domains[d];
                memmove(&domains[kept + 1], &domains[kept], (size_t)(d - kept) * sizeof found);
                domains[kept++] = found;
            }
        if (pass == 0 && kept < more)
            return false;
    }
    return kept == use;
}

/* Deals `want` slots to the domains of one group. Raises *most to what the group has. */
static bool deal(const struct place_topology *t, const struct place_policy *p, unsigned within,
                 int kind, struct domain *domains, int n, int want, int *most, struct place *out)
{
    int use = n < want ? n : want;

    if (n > *most)
        *most = n;
    if (n < 2 || (n < want && !p->in_turn))
        return false;
    while (use >= 2 && !arrange(domains, n, use, want))
        use--;
    if (use < 2)
        return false;
    for (int slot = 0; slot < want; slot++)
        place_take(out,
                   nth_pu(t, &domains[slot % use], within | PLACE_BIT(p->apart), kind, slot / use));
    return true;
}

static int say_too_few(const struct place_topology *t, const struct place_policy *p, int want,
                       int most, struct place *out)
{
    const char *name = p->name;
    int cores = t->cores ? t->cores : (int)t->n;

    switch (p->apart) {
    case PLACE_PU:
        if (most < 2)
            return place_refuse(out, ENOTSUP, "%s: no core has two PUs here (%d core%s, %zu PUs)",
                                name, cores, plural(cores), t->n);
        return place_refuse(out, ENOTSUP, "%s: %d PUs of one core wanted, at most %d here", name,
                            want, most);
    case PLACE_CORE:
        if (t->l2s == 0)
            return place_refuse(out, ENOTSUP, "%s: no L2 cache is reported here", name);
        if (most < 2)
            return place_refuse(
                out, ENOTSUP, "%s: no two cores share an L2 cache here (%d core%s, %d L2 cache%s)",
                name, cores, plural(cores), t->l2s, plural(t->l2s));
        return place_refuse(out, ENOTSUP, "%s: %d cores wanted, at most %d share an L2 cache here",
                            name, want, most);
    case PLACE_L2:
        if (t->l3s == 0)
            return place_refuse(out, ENOTSUP, "%s: no L3 cache is reported here", name);
        if (most < 2)
            return place_refuse(
                out, ENOTSUP,
                "%s: no two cores share an L3 cache and no L2 here (%d core%s, %d L2 "
                "cache%s, %d L3 cache%s)",
                name, cores, plural(cores), t->l2s, plural(t->l2s), t->l3s, plural(t->l3s));
        return place_refuse(out, ENOTSUP,
                            "%s: %d cores wanted, at most %d share an L3 cache and no L2 here",
                            name, want, most);
    case PLACE_LLC:
        if (t->l3s == 0)
            return place_refuse(out, ENOTSUP,
                                "%s: no L3 cache is reported here, and no package has two %s", name,
                                t->l2s ? "L2 caches" : "cores");
        return place_refuse(out, ENOTSUP,
                            "%s: no package has two L3 caches here (%d package%s, %d L3 cache%s)",
                            name, t->packages, plural(t->packages), t->l3s, plural(t->l3s));
    case PLACE_NODE:
        return place_refuse(out, ENOTSUP, "%s: only one NUMA node here", name);
    default:
        return place_refuse(out, ENOTSUP, "%s: only one package here", name);
    }
}

/* True if it can be done, and then out has the PUs. *most: the domains of the best group. */
static bool find(const struct place_topology *t, const struct place_policy *p, int want,
                 struct domain *domains, int *most, struct place *out)
{
    bool done = false;

    *most = 0;
    /* The relation comes before the kind of PU. */
    for (int w = 0; !done && w < 2; w++) {
        bool started = false;
        int kind;
        while (!done && place_next_kind(t, &kind, &started))
            for (size_t i = 0; !done && i < t->n; i++)
                if (place_opens_group(t, i, p->within[w], kind)) {
                    memset(domains, 0, t->n * sizeof *domains);
                    int n = find_domains(t, &t->pus[i], p->within[w], p->apart, kind, domains);
                    done = deal(t, p, p->within[w], kind, domains, n, want, most, out);
                }
    }
    return done;
}

/* The most slots that can be dealt out in turn, known to be at least 2 and fewer than `want`. What
 * can be done for n slots can be done for fewer. */
static int most_in_turn(const struct place_topology *t, const struct place_policy *p, int want,
                        struct domain *domains, struct place *scratch)
{
    int low = 2, high = want, most;
    while (low + 1 < high) {
        int middle = low + (high - low) / 2;
        scratch->ncpus = 0;
        if (find(t, p, middle, domains, &most, scratch))
            low = middle;
        else
            high = middle;
    }
    return low;
}

int place_choose_relation(const struct place_topology *t, const struct place_policy *p, int want,
                          struct place *out)
{
    struct domain *domains = calloc(t->n + 1, sizeof *domains);
    int most, e = 0;

    if (!domains)
        return ENOMEM;
    if (want < 2)
        want = 2; /* one PU has no relation */
    if (!find(t, p, want, domains, &most, out)) {
        if (t->n < 2 || (most >= 2 && (size_t)want > t->n))
            e = place_refuse_all(t, p, want, out);
        else if (most >= 2 && p->in_turn)
            e = place_refuse(out, ENOTSUP,
                             "%s: %d PUs wanted, at most %d can be dealt out in turn here", p->name,
                             want, most_in_turn(t, p, want, domains, out));
        else
            e = say_too_few(t, p, want, most, out);
    }
    free(domains);
    return e;
}

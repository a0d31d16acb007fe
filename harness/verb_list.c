/* verb_list.c - `threadlab list [impls|benches|checks|mutants|places|events|topology]`. */
#include "pmu.h"
#include "record.h"
#include "registry.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void list_impls(void)
{
    const struct tl_impl *const *impls;
    size_t n = registry_impls(&impls);
    puts("Implementations (--impl):");
    for (size_t i = 0; i < n; i++) {
        printf("  %-10s %-5s %s\n", impls[i]->name, impls[i]->model, impls[i]->summary);
        for (const struct tl_param *p = impls[i]->params; p && p->name; p++)
            printf("  %17s--set %s=%s: %s\n", "", p->name, p->values, p->help);
    }
}

static void list_benches(void)
{
    const struct tl_bench *const *benches;
    size_t n = registry_benches(&benches);
    puts("Benchmarks (--bench):");
    for (size_t i = 0; i < n; i++) {
        const struct tl_bench *b = benches[i];
        printf("  %-18s %s\n  %18s op: %s\n", b->name, b->title, "", b->op);
        for (const struct tl_axis *a = b->axes; a && a->name; a++)
            printf("  %18s --set %s=%s  %s\n", "", a->name,
                   a->full       ? a->full
                   : a->standard ? a->standard
                                 : a->quick,
                   a->help ? a->help : "");
    }
}

static void list_checks(void)
{
    const struct tl_check *const *checks;
    size_t n = registry_checks(&checks);
    puts("Properties (threadlab check PROPERTY...):");
    for (size_t i = 0; i < n; i++)
        printf("  %-24s %s\n  %24s [%s]\n", checks[i]->name, checks[i]->promise, "",
               checks[i]->source);
}

static void list_mutants(void)
{
    const struct tl_mutant *const *mutants;
    size_t n = registry_mutants(&mutants);
    puts("Mutants (threadlab check --mutant NAME), with the properties that catch them:");
    for (size_t i = 0; i < n; i++)
        printf("  %-28s %s\n  %28s of %s; caught by %s\n", mutants[i]->name, mutants[i]->fault, "",
               mutants[i]->of ? mutants[i]->of : "nptl", mutants[i]->kills);
}

static void list_places(const struct place_topology *topology)
{
    static struct place place;
    puts("Placement policies (--place), with the PUs that two workers get here:");
    for (const char *const *p = place_policies(); *p; p++) {
        if (place_resolve(topology, *p, 2, &place)) {
            printf("  %-14s unsupported: %s\n", *p, place.reason);
            continue;
        }
        printf("  %-14s PU", *p);
        for (int i = 0; i < place.ncpus; i++)
            printf("%s%d", i ? "," : " ", place.cpus[i]);
        printf("  (%s)\n", place_help(*p));
    }
    puts("  cpus=LIST      exactly these, in this order: cpus=0,4-6");
}

static int print_event(const char *name, const char *help, void *arg)
{
    (void)arg;
    printf("  %-40s %s\n", name, help ? help : "");
    return 0;
}

static void list_events(void)
{
    puts("Counted by default (--events replaces them):");
    for (const char *const *e = pmu_default_events(); *e; e++) {
        char why[PMU_REASON_SIZE];
        printf("  %-26s %s\n", *e, pmu_check(*e, why, sizeof why) ? why : "available");
    }
    puts("\nAll that libpfm4 and this kernel know (append :u or :k for user or kernel only):");
    pmu_list(false, print_event, NULL);
    puts("\nTracepoints are named like raw_syscalls:sys_enter.");
}

static void list_topology(const struct place_topology *topology)
{
    int cpus[PLACE_MAX], n = place_allowed(topology, cpus, PLACE_MAX);
    char *tree = place_text(topology);
    if (tree)
        printf("%s\n", tree);
    free(tree);
    printf("%5s %5s %5s %5s %5s %8s %5s   (logical indexes; - unknown)\n", "PU", "core", "L2", "L3",
           "node", "package", "kind");
    for (int i = 0; i < n && i < PLACE_MAX; i++) {
        struct place_pu pu;
        if (place_describe(topology, cpus[i], &pu))
            continue;
        const int fields[] = {pu.cpu, pu.core, pu.l2, pu.l3, pu.node, pu.package, pu.kind};
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
            char text[16] = "-";
            if (fields[k] >= 0)
                snprintf(text, sizeof text, "%d", fields[k]);
            printf("%*s%s", k == 5 ? 8 : 5, text, k == 6 ? "\n" : " ");
        }
    }
}

int verb_list(const struct request *request)
{
    static const char *const things[] = {"impls",  "benches", "checks",  "mutants",
                                         "places", "events",  "topology"};
    const char *what = request->what;
    char error[512];
    bool known = !what;
    for (size_t i = 0; what && i < sizeof things / sizeof *things; i++)
        known |= strcmp(things[i], what) == 0;
    if (!known)
        cli_die("list %s: expected impls, benches, checks, mutants, places, events or topology",
                what);

    struct place_topology *topology = place_open(request->topology, error, sizeof error);
    if (!topology)
        cli_die("%s", error);
    if (request->json) {
        record_print_list(what, topology);
    } else {
        if (!what || strcmp(what, "impls") == 0)
            list_impls();
        if (!what || strcmp(what, "benches") == 0)
            list_benches();
        if (what && strcmp(what, "checks") == 0)
            list_checks();
        if (what && strcmp(what, "mutants") == 0)
            list_mutants();
        if (!what || strcmp(what, "places") == 0)
            list_places(topology);
        if (what && strcmp(what, "events") == 0)
            list_events();
        if (what && strcmp(what, "topology") == 0)
            list_topology(topology);
    }
    place_close(topology);
    return 0;
}

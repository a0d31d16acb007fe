/* check_gate.c - see check_gate.h. */
#include "check_gate.h"

#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GATE_PUS 4

static bool same_params(const struct check_case *c, const struct cell_spec *spec)
{
    if (strcmp(c->impl->name, spec->impl) != 0)
        return false;
    for (int i = 0; i < spec->nparams; i++)
        for (int k = 0; k < c->nparams; k++)
            if (strcmp(c->params[k].name, spec->params[i].name) == 0 &&
                strcmp(c->params[k].value, spec->params[i].value) != 0)
                return false;
    return true;
}

static struct check_case *find(const struct check_gate *gate, const struct cell_spec *spec,
                               const struct tl_check *check)
{
    for (size_t i = 0; i < gate->plan.n; i++)
        if (gate->plan.cases[i].check == check && same_params(&gate->plan.cases[i], spec))
            return &gate->plan.cases[i];
    return NULL;
}

/* The names that a cell's benchmark rests on; never NULL. */
static const char *const *rests_on(const struct cell_spec *spec)
{
    static const char *const nothing[] = {NULL};
    const struct tl_bench *bench = registry_bench(spec->bench);
    return bench && bench->rests_on && registry_impl(spec->impl) ? bench->rests_on : nothing;
}

static int add(struct check_gate *gate, size_t *room, const struct cell_spec *spec,
               const struct tl_check *check)
{
    if (gate->plan.n == *room) {
        size_t more = *room ? 2 * *room : 64;
        struct check_case *grown = realloc(gate->plan.cases, more * sizeof *grown);
        if (!grown)
            return ENOMEM;
        gate->plan.cases = grown;
        *room = more;
    }
    check_case_make(registry_impl(spec->impl), check, spec->params, spec->nparams,
                    (unsigned)gate->plan.place.ncpus, gate->plan.seed,
                    &gate->plan.cases[gate->plan.n++]);
    return 0;
}

int check_gate_make(const struct plan *plan, const struct place_topology *topology,
                    struct check_gate *gate)
{
    int one[1], allowed = place_allowed(topology, one, 1);
    size_t room = 0;
    memset(gate, 0, sizeof *gate);
    gate->plan.seed = plan->seed;
    int e = place_resolve(topology, "compact", allowed < GATE_PUS ? allowed : GATE_PUS,
                          &gate->plan.place);
    for (size_t i = 0; !e && i < plan->n; i++)
        for (const char *const *name = rests_on(&plan->cells[i]);
             !e && *name && !plan->cells[i].refused[0]; name++) {
            const struct tl_check *check = registry_check(*name);
            if (check && !find(gate, &plan->cells[i], check))
                e = add(gate, &room, &plan->cells[i], check);
        }
    return e;
}

size_t check_gate_unsafe(const struct check_gate *gate, const struct cell_spec *spec,
                         void (*each)(const char *property, void *arg), void *arg)
{
    size_t n = 0;
    for (const char *const *name = rests_on(spec); *name; name++) {
        const struct tl_check *check = registry_check(*name);
        const struct check_case *c = check ? find(gate, spec, check) : NULL;
        if (c && (c->status == TL_OK || c->status == TL_UNSUPPORTED))
            continue;
        if (each)
            each(*name, arg);
        n++;
    }
    return n;
}

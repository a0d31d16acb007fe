/*
 * verb_torture.c - `threadlab check --torture TIME --seed N`: random programs of threads, one seed
 * after the other, each in a process of its own; one that fails is made small and printed. Where
 * --set gives several values, the seed chooses, too.
 *
 * Making small is delta debugging (Zeller and Hildebrandt 2002, "Simplifying and Isolating
 * Failure-Inducing Input", section 3): leave out half of the parts, then quarters ... as long as
 * the rest still fails. A race does not fail each time: a candidate is tried several times at once
 * and counts as failing if one of them does.
 */
#include "check_exec.h"
#include "check_plan.h"
#include "check_print.h"
#include "check_run.h"
#include "names.h"
#include "place.h"
#include "record.h"
#include "registry.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEADLINE_NS UINT64_C(60000000000)
#define TRIES 4                                 /* of a candidate */
#define SHRINK_BUDGET_NS UINT64_C(40000000000)  /* for one failure */
#define SHRINK_DEADLINE_NS UINT64_C(5000000000) /* of one try, where hanging is the failure */
#define BATCH_PER_JOB 8

struct torture {
    struct request *request;
    struct cli_set lists[CLI_LIST]; /* --set, with all values */
    struct check_plan plan;         /* one case for each implementation and program check */
    unsigned jobs;
    struct check_case *batch;
    size_t played, refused; /* ended; of those: not in this build, or on this kernel */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool fails(const struct check_case *c)
{
    return c->done && c->status != TL_OK && c->status != TL_UNSUPPORTED;
}

static void execute(struct torture *t, struct check_case *cases, size_t n)
{
    int stopped = 0, e = check_exec(cases, n, &t->plan.place, t->jobs, &t->request->plugins, NULL,
                                    NULL, &stopped);
    if (stopped) {
        printf("Bail out! interrupted by SIG%s\n", sigabbrev_np(stopped));
        exit(128 + stopped);
    }
    if (e)
        cli_die("cannot run checks: %s", strerror(e));
}

/* ---- making small ---------------------------------------------------------------------------- */

static bool is_out(const struct check_case *c, unsigned part)
{
    return c->without[part / 64] >> part % 64 & 1;
}

/* Leaves out `count` parts from `from` on, of those that are still in. Returns how many. */
static unsigned leave_out(struct check_case *c, unsigned parts, unsigned from, unsigned count)
{
    unsigned seen = 0, out = 0;
    for (unsigned p = 0; p < parts; p++) {
        if (is_out(c, p))
            continue;
        if (seen >= from && seen < from + count) {
            c->without[p / 64] |= UINT64_C(1) << p % 64;
            out++;
        }
        seen++;
    }
    return out;
}

/* True: the candidate fails as well; *c becomes it. */
static bool still_fails(struct torture *t, struct check_case *c, const struct check_case *candidate)
{
    struct check_case tries[TRIES];
    for (int i = 0; i < TRIES; i++) {
        tries[i] = *candidate;
        tries[i].done = false;
        tries[i].notes = NULL;
        tries[i].deadline_ns = SHRINK_DEADLINE_NS;
    }
    execute(t, tries, TRIES);
    for (int i = 0; i < TRIES; i++)
        if (fails(&tries[i])) {
            *c = tries[i];
            return true;
        }
    return false;
}

static void shrink(struct torture *t, struct check_case *c)
{
    unsigned parts = check_parts(c->check, c->impl, c->seed), left = parts;
    uint64_t until = now_ns() + SHRINK_BUDGET_NS;
    for (unsigned size = left / 2; size >= 1 && now_ns() < until;) {
        bool smaller = false;
        for (unsigned from = 0; from < left && now_ns() < until;) {
            struct check_case candidate = *c;
            unsigned out = leave_out(&candidate, parts, from, size);
            if (out && still_fails(t, c, &candidate)) {
                left -= out;
                smaller = true;
            } else {
                from += size;
            }
        }
        if (size > 1)
            size /= 2;
        else if (!smaller)
            break;
    }
}

/* ---- reporting ------------------------------------------------------------------------------- */

static void print_line(const char *text, void *arg)
{
    (void)arg;
    printf("#     %s\n", text);
}

static void report(struct torture *t, struct check_case *c, size_t number)
{
    struct check_case small = *c;
    check_tap_result(c, number);
    if (c->check->parts) {
        shrink(t, &small);
        printf("# a smaller program that fails (%s: %s):\n", check_verdict(small.status),
               small.reason);
        check_print_program(small.check, small.impl, small.seed, small.without, print_line, NULL);
    }
    fflush(stdout);
}

/* Sets those of the parameters that --set lists values of, out of what the implementation knows. */
static void draw(const struct torture *t, struct check_case *c)
{
    for (size_t s = 0; s < t->request->nsets; s++)
        for (int i = 0; i < c->nparams; i++) {
            const struct tl_param *p = c->impl->params;
            char known[32][sizeof c->params[i].value];
            unsigned n = 0;
            uint64_t random = c->seed * 31 + s;
            if (strcmp(c->params[i].name, t->lists[s].name) != 0)
                continue;
            while (strcmp(p->name, t->lists[s].name) != 0)
                p++;
            for (const char *at = t->lists[s].values; *at && n < 32; at += *at == ',') {
                size_t length = strcspn(at, ",");
                snprintf(known[n], sizeof known[n], "%.*s", (int)length, at);
                n += names_in_list(p->values, known[n]);
                at += length;
            }
            if (n)
                memcpy(c->params[i].value, known[tl_random(&random) % n], sizeof known[0]);
        }
}

/* The plan of the first values; each has to be one that is known. */
static void make_plan(struct torture *t, const struct place_topology *topology)
{
    struct cli_set *sets = t->request->sets;
    char error[512] = "out of memory";
    memcpy(t->lists, sets, sizeof t->lists);
    for (size_t s = 0; s < t->request->nsets; s++) {
        char *copy = strdup(t->lists[s].values), *rest = copy;
        while (copy && (sets[s].values = strsep(&rest, ",")))
            if (check_plan_make(t->request, topology, &t->plan, error, sizeof error))
                cli_die("%s", error);
            else
                check_plan_free(&t->plan);
        sets[s].values = copy; /* the first; lives as long as the request */
    }
    if (check_plan_make(t->request, topology, &t->plan, error, sizeof error))
        cli_die("%s", error);
}

/* One batch of seeds on one implementation. Returns the failing case, or NULL. */
static struct check_case *play(struct torture *t, const struct check_case *model, uint64_t seed,
                               size_t n)
{
    for (size_t i = 0; i < n; i++) {
        t->batch[i] = *model;
        t->batch[i].seed = seed + i;
        draw(t, &t->batch[i]);
        t->batch[i].deadline_ns = t->request->deadline_ns ? t->request->deadline_ns : DEADLINE_NS;
    }
    execute(t, t->batch, n);
    t->played += n;
    for (size_t i = 0; i < n; i++)
        t->refused += t->batch[i].status == TL_UNSUPPORTED;
    for (size_t i = 0; i < n; i++)
        if (fails(&t->batch[i]))
            return &t->batch[i];
    return NULL;
}

/* Only checks that play programs; without the control, which plays nothing. */
static void choose(struct torture *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->plan.n; i++)
        if (t->plan.cases[i].check->parts && !check_is_control(t->plan.cases[i].impl))
            t->plan.cases[n++] = t->plan.cases[i];
    t->plan.n = n;
    if (!n)
        cli_die("--torture: nothing to do for these implementations and properties; programs are "
                "played by torture.*, not on the control");
}

int verb_torture(struct request *request)
{
    struct torture t = {.request = request};
    char error[512] = "out of memory";
    if (!request->seed_given)
        request->seed = record_random_seed();
    struct place_topology *topology = place_open(NULL, error, sizeof error);
    if (!topology)
        cli_die("%s", error);
    make_plan(&t, topology);
    const struct tl_mutant *mutant = request->mutant ? registry_mutant(request->mutant) : NULL;
    if (request->mutant && !mutant)
        cli_die("no mutant is called '%s' (see threadlab list mutants)", request->mutant);
    choose(&t);
    t.jobs = request->jobs ? (unsigned)request->jobs : (unsigned)t.plan.place.ncpus * 2;
    size_t batch = (size_t)t.jobs * BATCH_PER_JOB, failed = 0;
    t.batch = calloc(batch, sizeof *t.batch);
    if (!t.batch)
        cli_die("out of memory");

    check_tap_plan(&t.plan);
    uint64_t until = now_ns() + request->torture_ns;
    bool *down = calloc(t.plan.n, sizeof *down);
    uint64_t seed = request->seed;
    do {
        for (size_t i = 0; i < t.plan.n; i++) {
            t.plan.cases[i].mutant = mutant;
            struct check_case *bad = down[i] ? NULL : play(&t, &t.plan.cases[i], seed, batch);
            if (!bad)
                continue;
            down[i] = true; /* one failure of each is enough */
            failed++;
            report(&t, bad, i + 1);
        }
        seed += batch;
    } while (now_ns() < until && failed < t.plan.n);
    for (size_t i = 0; i < t.plan.n; i++)
        if (!down[i])
            printf("ok %zu - %s %s\n", i + 1, t.plan.cases[i].impl->name,
                   t.plan.cases[i].check->name);
    printf("# %zu programs, seeds %llu to %llu", t.played, (unsigned long long)request->seed,
           (unsigned long long)(seed - 1));
    if (t.refused)
        printf("; %zu not played: this build or kernel has not what --set chose", t.refused);
    putchar('\n');
    free(down);
    free(t.batch);
    check_plan_free(&t.plan);
    place_close(topology);
    return failed ? 1 : 0;
}

/*
 * verb_torture.c - `threadlab check --torture TIME --seed N`: random programs of threads, one seed
 * after the other, each in a process of its own; one that fails is made small and printed. Where
 * --set gives several values, the seed chooses, too.
 *
 * No program begins when TIME is over, but the first of each implementation. What fails then takes
 * at most patience_ns more to be sure that it hangs, and as much to be made small.
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

/* A program takes some ms; 1 s under ThreadSanitizer on a machine with more to do. */
#define PATIENCE_MIN_NS UINT64_C(10000000000)
#define PATIENCE_MAX_NS UINT64_C(60000000000)
#define TRIES 4                                    /* of a candidate */
#define SHRINK_BUDGET_NS UINT64_C(40000000000)     /* for one failure, as far as there is time */
#define SHRINK_DEADLINE_MIN_NS UINT64_C(500000000) /* of one try, where hanging is the failure */
#define SHRINK_DEADLINE_MAX_NS UINT64_C(5000000000)
#define BATCH_PER_JOB 8

struct torture {
    struct request *request;
    struct cli_set lists[CLI_LIST]; /* --set, with all values */
    struct check_plan plan;         /* one case for each implementation and program check */
    unsigned jobs;
    struct check_case *batch;
    size_t *of;       /* of each case of the batch: the case of the plan */
    bool *down;       /* of each case of the plan: it has failed, which is enough */
    bool *sound;      /* likewise: a program has passed */
    size_t live;      /* of which it is not true */
    size_t next;      /* case of the plan to play */
    uint64_t seed;    /* to play it with */
    uint64_t highest; /* that was played */
    uint64_t until_ns, patience_ns;
    uint64_t longest_ns;    /* that a program has taken which passed */
    size_t played, refused; /* ended; of those: not in this build, or on this kernel */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t clamp(uint64_t x, uint64_t min, uint64_t max)
{
    return x < min ? min : x > max ? max : x;
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

/* True: the candidate fails as well; *c becomes it. No try begins after until_ns. */
static bool still_fails(struct torture *t, struct check_case *c, const struct check_case *candidate,
                        uint64_t until_ns)
{
    struct check_case tries[TRIES];
    for (int i = 0; i < TRIES; i++) {
        tries[i] = *candidate;
        tries[i].done = false;
        tries[i].notes = NULL;
        tries[i].deadline_ns =
            clamp(10 * t->longest_ns, SHRINK_DEADLINE_MIN_NS, SHRINK_DEADLINE_MAX_NS);
        tries[i].not_after_ns = until_ns;
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
    uint64_t last = t->until_ns + 2 * t->patience_ns - SHRINK_DEADLINE_MAX_NS;
    if (until > last)
        until = last;
    for (unsigned size = left / 2; size >= 1 && now_ns() < until;) {
        bool smaller = false;
        for (unsigned from = 0; from < left && now_ns() < until;) {
            struct check_case candidate = *c;
            unsigned out = leave_out(&candidate, parts, from, size);
            if (out && still_fails(t, c, &candidate, until)) {
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
    check_tap_result(c, number, t->request);
    if (c->check->parts) {
        shrink(t, &small);
        printf("# a smaller program that fails (%s: %s):\n", check_verdict(small.status),
               small.reason);
        check_print_program(small.check, small.impl, small.seed, small.without, print_line, NULL);
    }
    fflush(stdout);
}

/* With what its programs said. played: one of them at least. */
static void report_sound(const struct check_case *c, size_t number, bool played)
{
    printf("ok %zu - %s %s%s%s\n", number, c->impl->name, c->check->name, played ? "" : " # SKIP ",
           played ? "" : c->reason);
    check_tap_notes(c);
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
    for (size_t s = 0; s < t->request->nsets; s++) /* live as long as the request */
        if (!(sets[s].values = strndup(sets[s].values, strcspn(sets[s].values, ","))))
            cli_die("%s", error);
    for (size_t s = 0; s < t->request->nsets; s++) {
        char *copy = strdup(t->lists[s].values), *rest = copy, *first = sets[s].values;
        while (copy && (sets[s].values = strsep(&rest, ",")))
            if (check_plan_make(t->request, topology, &t->plan, error, sizeof error))
                cli_die("%s", error);
            else
                check_plan_free(&t->plan);
        sets[s].values = first;
        free(copy);
    }
    if (check_plan_make(t->request, topology, &t->plan, error, sizeof error))
        cli_die("%s", error);
}

/* Fills the batch: each seed on each implementation that has not failed yet. Those that are the
 * first of their implementation may begin when the time is over. */
static size_t fill(struct torture *t, size_t size, const struct tl_mutant *mutant)
{
    size_t n = 0;
    while (n < size && t->live) {
        struct check_case *c = &t->batch[n];
        if (!t->down[t->next]) {
            free(c->notes);
            *c = t->plan.cases[t->next];
            c->notes = NULL;
            c->mutant = mutant;
            c->seed = t->seed;
            c->deadline_ns = t->request->deadline_ns ? t->request->deadline_ns : t->patience_ns;
            c->not_after_ns = t->seed == t->request->seed ? 0 : t->until_ns;
            draw(t, c);
            t->of[n++] = t->next;
        }
        t->next = (t->next + 1) % t->plan.n;
        t->seed += t->next == 0;
    }
    return n;
}

/* One batch. Returns how many implementations have failed in it. */
static size_t play(struct torture *t, size_t n)
{
    size_t failed = 0;
    execute(t, t->batch, n);
    for (size_t i = 0; i < n; i++) {
        struct check_case *c = &t->batch[i];
        t->played += c->done;
        if (c->done && c->status == TL_OK) {
            char **said = &t->plan.cases[t->of[i]].notes;
            *said = *said || !c->notes ? *said : strdup(c->notes);
            t->sound[t->of[i]] = true;
            t->longest_ns = c->wall_ns > t->longest_ns ? c->wall_ns : t->longest_ns;
        }
        if (c->done && c->status == TL_UNSUPPORTED) {
            t->refused++;
            memcpy(t->plan.cases[t->of[i]].reason, c->reason, sizeof c->reason);
        }
        if (c->done && c->seed > t->highest)
            t->highest = c->seed;
        if (!fails(c) || t->down[t->of[i]])
            continue;
        t->down[t->of[i]] = true; /* one failure of each is enough */
        t->live--;
        failed++;
        report(t, c, t->of[i] + 1);
    }
    return failed;
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
    if (batch < t.plan.n)
        batch = t.plan.n; /* each at least once */
    t.batch = calloc(batch, sizeof *t.batch);
    t.of = calloc(batch, sizeof *t.of);
    t.down = calloc(t.plan.n, sizeof *t.down);
    t.sound = calloc(t.plan.n, sizeof *t.sound);
    if (!t.batch || !t.of || !t.down || !t.sound)
        cli_die("out of memory");
    t.live = t.plan.n;
    t.seed = t.highest = request->seed;
    t.patience_ns = clamp(request->torture_ns / 4, PATIENCE_MIN_NS, PATIENCE_MAX_NS);

    check_tap_plan(&t.plan);
    t.until_ns = now_ns() + request->torture_ns;
    do
        failed += play(&t, fill(&t, batch, mutant));
    while (t.live && now_ns() < t.until_ns);
    for (size_t i = 0; i < t.plan.n; i++)
        if (!t.down[i])
            report_sound(&t.plan.cases[i], i + 1, t.sound[i]);
    printf("# %zu programs, seeds %llu to %llu", t.played, (unsigned long long)request->seed,
           (unsigned long long)t.highest);
    if (t.refused)
        printf("; %zu not played: this build or kernel has not what --set chose", t.refused);
    putchar('\n');
    free(t.sound);
    free(t.down);
    free(t.of);
    free(t.batch);
    check_plan_free(&t.plan);
    place_close(topology);
    return failed ? 1 : 0;
}

/*
 * verb_run.c - `threadlab run`: plan, measure every cell of every round in a process of its own,
 * record, summarise.
 *
 * Time: the budget is divided anew before every process, (what is left) / (processes left) less
 * what a process has cost beside its timed windows so far; so a slow start or dear cells are made
 * good, and no cell is left out. Bounds keep a window long enough to mean something and short
 * enough that a small selection does not take the whole budget.
 */
#include "check_exec.h"
#include "check_gate.h"
#include "env.h"
#include "exact.h"
#include "kernel_limits.h"
#include "measure.h"
#include "plan.h"
#include "progress.h"
#include "record.h"
#include "registry.h"
#include "tally.h"
#include "verbs.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define TARGET_MIN_NS UINT64_C(5000000)      /* 5 ms: 8 batches of 0.4 ms and more */
#define OVERHEAD_GUESS_NS UINT64_C(20000000) /* of the first process; measured from then on */

/* With --ops: one window of n, one of 2 n; that is enough to be judged. */
#define OPS_BATCHES 2

/* Timed windows of one process, at the most. */
static const uint64_t target_max_ns[] = {[PRESET_QUICK] = 80 * 1000000u,
                                         [PRESET_STANDARD] = 250 * 1000000u,
                                         [PRESET_FULL] = 1000 * 1000000u};

struct session {
    struct request *request;
    struct plan plan;
    struct tally tally;
    struct exact exact; /* with --ops */
    struct record *record;
    struct record_run run;
    struct measure measure;
    struct env env;
    struct check_gate gate;
    bool checked;         /* gate has its verdicts */
    int stopped;          /* signal that came while checking */
    uint64_t started_ns;  /* monotonic */
    uint64_t timed_ns;    /* sum of the timed windows */
    uint64_t overhead_ns; /* sum of the rest, over `measured` processes */
    size_t measured;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- before the first cell ------------------------------------------------------------------- */

static void choose_events(struct session *s)
{
    const struct cli_list *asked = &s->request->events;
    if (s->request->callgrind) {
        snprintf(s->run.events[0].event, sizeof s->run.events[0].event, CALLGRIND_EVENT);
        s->run.nevents = 1;
        return;
    }
    const char *const *defaults = pmu_default_events();
    size_t n = asked->n;
    if (n == 0)
        while (defaults[n])
            n++;
    if (n > PMU_MAX_EVENTS)
        cli_die("--events: more than %d events", PMU_MAX_EVENTS);
    for (size_t i = 0; i < n; i++) {
        const char *name = asked->n ? asked->items[i] : defaults[i];
        char why[PMU_REASON_SIZE] = "";
        int e = pmu_check(name, why, sizeof why);
        if (e == EINVAL)
            cli_die("--events %s: %s", name, why);
        snprintf(s->run.events[i].event, sizeof s->run.events[i].event, "%s", name);
        snprintf(s->run.events[i].reason, sizeof s->run.events[i].reason, "%s", e ? why : "");
    }
    s->run.nevents = (int)n;
}

static void make_plan(struct session *s, const struct place_topology *topology)
{
    struct plan_limits limits = {0, ""};
    char error[512];
    if (place_is_this_system(topology))
        kernel_limits_threads(&limits);
    if (plan_make(s->request, topology, &limits, &s->plan, error, sizeof error))
        cli_die("%s", error);
}

static void print_plan(const struct session *s)
{
    const struct plan *p = &s->plan;
    size_t refused = 0;
    if (s->request->json) {
        record_print_plan(p);
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        const struct cell_spec *c = &p->cells[i];
        refused += c->refused[0] != '\0';
        printf("%s", c->key);
        if (c->refused[0]) {
            printf("  unsupported: %s\n", c->refused);
            continue;
        }
        printf("  PU");
        for (int k = 0; k < c->place.ncpus; k++)
            printf("%s%d", k ? "," : " ", c->place.cpus[k]);
        printf(" (%s)\n", c->place.relation);
    }
    printf("%zu cells (%zu unsupported) x %d rounds = %zu records; seed %llu; budget %.0f s\n",
           p->n, refused, p->rounds, p->n * (size_t)p->rounds, (unsigned long long)p->seed,
           (double)p->budget_ns / 1e9);
}

static void open_record(struct session *s)
{
    char error[512];
    s->record = record_start(&s->run, s->request->out, error, sizeof error);
    if (!s->record)
        cli_die("%s", error);
}

/* ---- a cell ---------------------------------------------------------------------------------- */

static uint64_t next_target(const struct session *s, size_t processes_left)
{
    uint64_t spent = now_ns() - s->started_ns;
    uint64_t left = s->plan.budget_ns > spent ? s->plan.budget_ns - spent : 0;
    uint64_t overhead = s->measured ? s->overhead_ns / s->measured : OVERHEAD_GUESS_NS;
    uint64_t each = left / (processes_left ? processes_left : 1);
    uint64_t target = each > overhead ? each - overhead : 0;
    uint64_t most = target_max_ns[s->request->preset];
    return target < TARGET_MIN_NS ? TARGET_MIN_NS : target > most ? most : target;
}

/* One cell of one round: measure, judge, record. Returns 0, EINTR, or the error of the record. */
static int do_cell(struct session *s, size_t index, int round, size_t position,
                   size_t processes_left)
{
    const struct cell_spec *spec = &s->plan.cells[index];
    struct measured m;
    uint64_t at_ns = now_ns() - s->started_ns;

    if (spec->refused[0]) {
        measure_refused(spec, round, &m);
    } else {
        const struct measure_order order = {.spec = spec,
                                            .round = round,
                                            .target_ns = next_target(s, processes_left),
                                            .n = s->request->ops,
                                            .batches = s->request->ops ? OPS_BATCHES : 0,
                                            .count_n = s->request->ops,
                                            .count = round == 0};
        if (measure_cell(&s->measure, &order, &m))
            return EINTR;
    }
    if (m.sample.timed) {
        s->timed_ns += m.timed_ns;
        s->overhead_ns += m.wall_ns > m.timed_ns ? m.wall_ns - m.timed_ns : 0;
        s->measured++;
    }
    if (s->request->ops)
        exact_add(&s->exact, index, &m.sample);
    m.sample.position = position;
    m.sample.at_ns = at_ns;
    m.sample.gate = s->checked ? &s->gate : NULL;
    tally_add(&s->tally, index, round, m.outcome.status, m.value,
              m.sample.judgement && m.judgement.trusted, m.outcome.reason);
    return record_sample(s->record, &s->run, &m.sample);
}

static size_t runnable(const struct plan *plan)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n; i++)
        n += plan->cells[i].refused[0] == '\0';
    return n;
}

/* All that is not done yet. Returns 0, EINTR, or the error of the record file. */
static int do_rounds(struct session *s)
{
    size_t n = s->plan.n, total = n * (size_t)s->plan.rounds;
    size_t *order = calloc(n, sizeof *order);
    size_t left = 0;
    if (!order)
        return ENOMEM;
    for (size_t i = 0; i < n; i++)
        for (int r = 0; r < s->plan.rounds; r++)
            left += !s->plan.cells[i].refused[0] && !tally_has(&s->tally, i, r);
    progress_start(total, s->tally.records);
    int e = 0;
    for (int round = 0; !e && round < s->plan.rounds; round++) {
        plan_order(&s->plan, round, order);
        for (size_t position = 0; !e && position < n; position++) {
            size_t index = order[position];
            const struct cell_spec *spec = &s->plan.cells[index];
            if (tally_has(&s->tally, index, round))
                continue;
            if (!spec->refused[0]) {
                uint64_t each = s->measured ? (s->overhead_ns + s->timed_ns) / s->measured
                                            : OVERHEAD_GUESS_NS + target_max_ns[PRESET_QUICK];
                progress_step(s->tally.records, (double)(each * left) / 1e9, spec->key);
            }
            e = do_cell(s, index, round, position, left);
            left -= !spec->refused[0];
        }
    }
    progress_end();
    free(order);
    return e;
}

/* ---- after the last cell ----------------------------------------------------------------------
 */

static int finish(struct session *s, int e)
{
    uint64_t wall = now_ns() - s->started_ns;
    int signal_number = s->stopped ? s->stopped : cell_interrupted(s->measure.runner);
    char why[64] = "";
    if (e == EINTR)
        snprintf(why, sizeof why, "interrupted by SIG%s", sigabbrev_np(signal_number));
    measure_close(&s->measure);
    if (!e || e == EINTR) {
        int write_error =
            record_end(s->record, &s->run, &s->tally, wall, s->timed_ns, e ? why : NULL);
        if (write_error)
            e = write_error;
    }
    if (e == EINTR) {
        fprintf(
            stderr,
            "threadlab: %s; %zu records are in %s; complete it with: threadlab run --resume %s\n",
            why, s->tally.records, record_path(s->record), record_path(s->record));
        return 128 + signal_number;
    }
    if (!e)
        e = record_finish(s->record);
    if (e) {
        fprintf(stderr,
                "threadlab: cannot write %s: %s; what was measured before is readable; make room "
                "and complete it with: threadlab run --resume %s\n",
                record_path(s->record), strerror(e), record_path(s->record));
        return 2;
    }
    double share = wall ? 1 - (double)s->timed_ns / (double)wall : (double)NAN;
    if (s->request->json) {
        record_print_end(s->record, &s->tally, share);
    } else {
        /* Their times are not those of any machine, and of windows too short. */
        if (!env_emulated() && !s->request->callgrind)
            tally_print(&s->tally);
        if (s->request->ops)
            exact_print(&s->exact);
        printf("%.0f s, of which %.0f%% outside timed windows; seed %llu\n", (double)wall / 1e9,
               100 * share, (unsigned long long)s->plan.seed);
        printf("To share this run, attach this one file: %s\n", record_path(s->record));
    }
    const size_t *by = s->tally.by_status;
    return by[TL_FAILED] + by[TL_CRASHED] + by[TL_TIMEOUT] ? 1 : 0;
}

/* ---- before the first cell: what the numbers rest on -------------------------------------------
 */

static void note_unsafe(const struct check_case *c, void *arg)
{
    (void)arg;
    if (c->status != TL_OK && c->status != TL_UNSUPPORTED)
        fprintf(stderr, "unsafe: %s fails %s: %s\n", c->impl->name, c->check->name, c->reason);
}

/* Returns 0, EINTR, or the error of starting processes or of the record. */
static int check_promises(struct session *s)
{
    struct check_plan *checks = &s->gate.plan;
    int stopped = 0, e = 0;
    fprintf(stderr, "checking %zu promises that the numbers rest on\n", checks->n);
    e = check_exec(checks->cases, checks->n, &checks->place, (unsigned)checks->place.ncpus * 2,
                   &s->request->plugins, note_unsafe, NULL, &stopped);
    for (size_t i = 0; !e && i < checks->n; i++)
        e = record_check(s->record, &s->run, &checks->cases[i]);
    s->tally.gate = &s->gate;
    s->checked = !e;
    s->stopped = stopped;
    return e;
}

int verb_run(struct request *request)
{
    struct session s = {.request = request};
    char error[512];
    int rounds = 0;
    uint64_t budget_ns = 0;

    if (request->resume) {
        s.record = record_reopen(request->resume, request, &s.run, &rounds, &budget_ns, error,
                                 sizeof error);
        if (!s.record)
            cli_die("%s", error);
        request->rounds = rounds;
        request->budget_ns = budget_ns;
        for (size_t i = 0; i < request->plugins.n; i++)
            if (registry_load(request->plugins.items[i], error, sizeof error))
                cli_die("%s", error);
    }
    if (!request->seed_given)
        request->seed = record_random_seed();
    struct place_topology *topology = place_open(request->topology, error, sizeof error);
    if (!topology)
        cli_die("%s", error);
    make_plan(&s, topology);
    if (request->dry_run) {
        print_plan(&s);
        return 0;
    }

    if (!s.record) {
        record_name(&s.run);
        choose_events(&s);
    }
    if (env_collect(&s.env) || tally_init(&s.tally, &s.plan) || exact_init(&s.exact, &s.plan))
        cli_die("out of memory");
    if (!request->no_checks && check_gate_make(&s.plan, topology, &s.gate))
        cli_die("out of memory");
    if (!request->no_checks)
        s.run.checks = &s.gate.plan;
    s.run.env = &s.env;
    s.run.clock = &s.measure.clock;
    s.run.topology = topology;
    s.measure.seed = request->seed;
    s.measure.plugins = &request->plugins;
    s.measure.callgrind = request->callgrind;
    if (measure_open(&s.measure, &s.run, error, sizeof error))
        cli_die("%s", error);
    int e;
    if (s.record) {
        if (record_replay(s.record, &s.tally, error, sizeof error))
            cli_die("%s", error);
        e = record_resumed(s.record, &s.run, s.tally.records);
    } else {
        open_record(&s);
        e = record_header(s.record, &s.run, request, &s.plan);
    }
    if (e)
        cli_die("cannot write %s: %s", record_path(s.record), strerror(e));

    fprintf(stderr, "%zu cells (%zu can run here) x %d rounds, seed %llu -> %s\n", s.plan.n,
            runnable(&s.plan), s.plan.rounds, (unsigned long long)s.plan.seed,
            record_path(s.record));
    if (!request->no_checks)
        e = check_promises(&s);
    s.started_ns = now_ns();
    if (!e)
        e = do_rounds(&s);
    int status = finish(&s, e);
    record_close(s.record);
    tally_free(&s.tally);
    exact_free(&s.exact);
    check_plan_free(&s.gate.plan);
    plan_free(&s.plan);
    env_free(&s.env);
    place_close(topology);
    return status;
}

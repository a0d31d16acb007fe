/*
 * verb_check.c - `threadlab check [PROPERTY...]`: does each implementation keep its promises?
 */
#include "check_exec.h"
#include "check_plan.h"
#include "check_print.h"
#include "env.h"
#include "expect.h"
#include "place.h"
#include "program.h"
#include "program_run.h"
#include "record.h"
#include "registry.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* At once, for each PU: most of a check's time is waiting for processes and for clocks. */
#define JOBS_PER_PU 2

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What each result goes to. */
struct sink {
    bool tap;
    size_t number;
    const struct request *request;
    struct record *record; /* NULL: no record */
    const struct record_run *run;
    int error; /* the first one of writing the record */
};

static void take_result(const struct check_case *c, void *arg)
{
    struct sink *sink = arg;
    sink->number++;
    if (sink->tap)
        check_tap_result(c, sink->number, sink->request);
    if (sink->record && !sink->error)
        sink->error = record_check(sink->record, sink->run, c);
}

static void apply_request(const struct request *request, struct check_plan *plan)
{
    const struct tl_mutant *mutant = NULL;
    if (request->mutant) {
        mutant = registry_mutant(request->mutant);
        if (!mutant)
            cli_die("no mutant is called '%s' (see threadlab list mutants)", request->mutant);
    }
    for (size_t i = 0; i < plan->n; i++) {
        plan->cases[i].mutant = mutant;
        if (request->deadline_ns)
            plan->cases[i].deadline_ns = request->deadline_ns;
    }
}

/* Opens the record, if one is wanted, and writes its header. */
static void begin_record(struct request *request, struct record_run *run, struct sink *sink)
{
    char error[512] = "out of memory";
    if (!request->out && !request->json)
        return;
    record_name(run);
    sink->record =
        request->out ? record_start(run, request->out, error, sizeof error) : record_stdout();
    if (!sink->record)
        cli_die("%s", error);
    sink->run = run;
    sink->error = record_header(sink->record, run, request, NULL);
}

static void end_record(struct sink *sink, uint64_t wall_ns, const char *why_incomplete)
{
    if (!sink->record)
        return;
    if (!sink->error)
        sink->error = record_end(sink->record, sink->run, NULL, wall_ns, 0, why_incomplete);
    if (!sink->error && *record_path(sink->record))
        sink->error = record_finish(sink->record);
    if (sink->error)
        cli_die("cannot write the record %s: %s", record_path(sink->record), strerror(sink->error));
    record_close(sink->record);
}

static int status_of(const struct check_plan *plan)
{
    int status = 0;
    for (size_t i = 0; i < plan->n; i++)
        status |= !check_as_expected(&plan->cases[i]);
    return status;
}

static int make_plan(const struct request *request, const struct place_topology *topology,
                     struct check_plan *plan, struct programs **programs, char *error, size_t size)
{
    if (!request->programs.n && request->include.n)
        cli_die("-I is for --programs");
    if (!request->programs.n)
        return check_plan_make(request, topology, plan, error, size);
    if (request->mutant)
        cli_die("--mutant: a program brings its own implementation with it");
    for (size_t i = 0; i < request->programs.n; i++) {
        int e = programs_add(programs, request->programs.items[i], error, size);
        if (e)
            return e;
    }
    for (size_t i = 0; i < request->include.n; i++) {
        int e = programs_include(*programs, request->include.items[i], error, size);
        if (e)
            return e;
    }
    return programs_plan(*programs, request, topology, plan, error, size);
}

int verb_check(struct request *request)
{
    struct check_plan plan;
    struct clock_info clock;
    struct env env;
    struct record_run run = {.clock = &clock, .env = &env, .checks = &plan};
    struct sink sink = {.tap = !request->json, .request = request};
    char error[512] = "out of memory", why[64] = "";
    struct programs *programs = NULL;
    int stopped = 0;

    if (!request->seed_given)
        request->seed = record_random_seed();
    struct place_topology *topology = place_open(NULL, error, sizeof error);
    if (!topology || make_plan(request, topology, &plan, &programs, error, sizeof error))
        cli_die("%s", error);
    if (request->expect &&
        expect_read(request->expect, programs ? "programs.expected" : "conformance.expected", &plan,
                    error, sizeof error))
        cli_die("%s", error);
    apply_request(request, &plan);
    if (clock_calibrate(&clock))
        cli_die("%s", clock.reason);
    if (env_collect(&env))
        cli_die("out of memory");
    run.topology = topology;
    begin_record(request, &run, &sink);

    unsigned jobs =
        request->jobs ? (unsigned)request->jobs : (unsigned)plan.place.ncpus * JOBS_PER_PU;
    if (sink.tap)
        check_tap_plan(&plan);
    uint64_t start = now_ns();
    int e = programs ? programs_exec(programs, &plan, jobs, take_result, &sink, &stopped)
                     : check_exec(plan.cases, plan.n, &plan.place, jobs, &request->plugins,
                                  take_result, &sink, &stopped);
    uint64_t wall = now_ns() - start;
    if (stopped)
        snprintf(why, sizeof why, "interrupted by SIG%s", sigabbrev_np(stopped));
    if (sink.tap)
        check_tap_end(&plan, wall);
    if (stopped && sink.tap)
        printf("Bail out! %s\n", why);
    end_record(&sink, wall, stopped ? why : NULL);
    if (stopped)
        return 128 + stopped;
    if (e)
        cli_die("cannot run checks: %s", strerror(e));
    if (request->junit && (e = check_junit(&plan, request->junit)))
        cli_die("cannot write %s: %s", request->junit, strerror(e));
    int status = status_of(&plan);
    check_plan_free(&plan);
    programs_free(programs);
    env_free(&env);
    place_close(topology);
    return status;
}

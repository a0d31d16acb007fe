/*
 * verb_check.c - `threadlab check [PROPERTY...]`: does each implementation keep its promises?
 */
#include "check_exec.h"
#include "check_plan.h"
#include "check_print.h"
#include "place.h"
#include "registry.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* At once, for each PU: most of a check's time is waiting for processes and for clocks. */
#define JOBS_PER_PU 2

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void seed(struct request *request)
{
    uint32_t value;
    if (request->seed_given)
        return;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        value = (uint32_t)time(NULL);
    request->seed = value;
}

struct printer {
    size_t number;
};

static void print_result(const struct check_case *c, void *arg)
{
    struct printer *p = arg;
    check_tap_result(c, ++p->number);
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

int verb_check(struct request *request)
{
    struct check_plan plan;
    struct printer printer = {0};
    char error[512] = "out of memory";
    int stopped = 0;

    seed(request);
    struct place_topology *topology = place_open(NULL, error, sizeof error);
    if (!topology || check_plan_make(request, topology, &plan, error, sizeof error))
        cli_die("%s", error);
    apply_request(request, &plan);
    unsigned jobs =
        request->jobs ? (unsigned)request->jobs : (unsigned)plan.place.ncpus * JOBS_PER_PU;
    check_tap_plan(&plan);
    uint64_t start = now_ns();
    int e = check_exec(plan.cases, plan.n, &plan.place, jobs, &request->plugins, print_result,
                       &printer, &stopped);
    check_tap_end(&plan, now_ns() - start);
    if (stopped) {
        printf("Bail out! interrupted by SIG%s\n", sigabbrev_np(stopped));
        return 128 + stopped;
    }
    if (e)
        cli_die("cannot run checks: %s", strerror(e));
    if (request->junit && (e = check_junit(&plan, request->junit)))
        cli_die("cannot write %s: %s", request->junit, strerror(e));
    int status = 0;
    for (size_t i = 0; i < plan.n; i++)
        status |= !check_as_expected(&plan.cases[i]);
    check_plan_free(&plan);
    place_close(topology);
    return status;
}

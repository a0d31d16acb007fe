/* verb_doctor.c - `threadlab doctor`: what spoils numbers here, and what mends it. Changes nothing.
 */
#include "doctor.h"
#include "pmu.h"
#include "verbs.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CPUS 1024

static json_t *text(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *commands(const char *lines)
{
    json_t *array = json_array();

    while (*lines) {
        size_t size = strcspn(lines, "\n");

        json_array_append_new(array, json_stringn(lines, size));
        lines += size;
        lines += *lines == '\n';
    }
    return array;
}

static void print_json(const struct doctor_finding *findings, int n, int warnings)
{
    json_t *list = json_array(), *all;

    for (int i = 0; i < n; i++) {
        const struct doctor_finding *f = &findings[i];

        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "name",
                                              f->name, "state", doctor_state_name(f->state), "text",
                                              f->text, "cost", text(f->cost), "remedy",
                                              text(f->remedy), "commands", commands(f->command),
                                              "undo", commands(f->undo)));
    }
    all = json_pack("{s:i, s:i, s:o}", "warnings", warnings, "examined", n, "findings", list);
    if (!all)
        cli_die("out of memory");
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

/* Sleeps for a second, so that what runs meanwhile is others' work. */
static int observe(const struct env *env, struct noise *noise)
{
    const struct env_fact *allowed = env_find(env, "cpu", "allowed_list");
    struct timespec second = {1, 0};
    struct noise_snapshot before;
    int cpus[CPUS], n;

    n = allowed && allowed->known ? env_list_cpus(allowed->text, cpus, CPUS) : 0;
    if (n <= 0)
        cli_die("doctor: the CPUs allowed are not known: %s",
                allowed ? allowed->reason : "was not read");
    n = n > CPUS ? CPUS : n;
    noise_begin(cpus, n, &before);
    while (nanosleep(&second, &second) != 0)
        ;
    noise_end(cpus, n, &before, noise);
    return n;
}

int verb_doctor(const struct request *request)
{
    struct doctor_finding findings[DOCTOR_MAX];
    char pmu_reason[PMU_REASON_SIZE] = "";
    struct doctor_input in = {.pmu_reason = pmu_reason};
    struct noise noise;
    struct env env;
    int n, warnings = 0;

    if (env_collect(&env))
        cli_die("out of memory");
    in.env = &env;
    in.cpus = observe(&env, &noise);
    in.noise = &noise;
    if (pmu_check("instructions:u", pmu_reason, sizeof(pmu_reason)) == 0)
        pmu_reason[0] = '\0';
    else if (!pmu_reason[0])
        snprintf(pmu_reason, sizeof(pmu_reason), "the kernel gives no reason");

    n = doctor_judge(&in, findings);
    for (int i = 0; i < n; i++)
        warnings += findings[i].state == DOCTOR_WARN;
    if (request->json)
        print_json(findings, n, warnings);
    else
        doctor_print(stdout, findings, n);
    env_free(&env);
    return warnings > 0;
}

/* verb_doctor.c - `threadlab doctor`: what spoils numbers here, and what mends it. Changes nothing.
 */
#include "doctor.h"
#include "pmu.h"
#include "verbs.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WIDTH 80
#define FIELD 11 /* columns before the text of a field */
#define CPUS 1024

/* Words in lines of at most WIDTH columns, beside `label` and from column `indent` on. A command
 * that needs several lines stays one for the shell: each but the last ends in a backslash. */
static void print_words(int indent, const char *label, const char *text, int size, bool command)
{
    int column = printf("%-*s", indent, label);
    bool first = true;
    const char *end = text + size;

    while (text < end) {
        int length = (int)strcspn(text, " ");
        int room = command ? WIDTH - 2 : WIDTH;

        if (length > end - text)
            length = (int)(end - text);
        if (!first && column + 1 + length > room) {
            printf("%s\n%*s", command ? " \\" : "", indent, "");
            column = indent;
            first = true;
        }
        column += printf("%s%.*s", first ? "" : " ", length, text);
        first = false;
        text += length;
        text += text < end;
    }
    putchar('\n');
}

static void print_commands(const char *label, const char *lines)
{
    while (*lines) {
        int size = (int)strcspn(lines, "\n");

        print_words(FIELD, label, lines, size, true);
        lines += size;
        lines += *lines == '\n';
        label = "";
    }
}

static void print_field(const char *label, const char *text)
{
    if (*text)
        print_words(FIELD, label, text, (int)strlen(text), false);
}

static void print(const struct doctor_finding *f)
{
    char head[32];

    if (f->state == DOCTOR_GOOD) {
        snprintf(head, sizeof(head), "good  %s ", f->name);
        print_words(25, head, f->text, (int)strlen(f->text), false);
        return;
    }
    printf("%s  %s\n", doctor_state_name(f->state), f->name);
    print_field(f->state == DOCTOR_WARN ? "  found" : "  reason", f->text);
    print_field("  costs", f->cost);
    print_field("  mend", f->remedy);
    print_commands(f->remedy[0] ? "" : "  mend", f->command);
    print_commands("  undo", f->undo);
    putchar('\n');
}

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
    int n, count[3] = {0, 0, 0};

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
        count[findings[i].state]++;
    if (request->json) {
        print_json(findings, n, count[DOCTOR_WARN]);
    } else {
        for (int i = 0; i < n; i++)
            print(&findings[i]);
        printf("\n%d of %d spoil numbers; %d unknown\n", count[DOCTOR_WARN], n,
               count[DOCTOR_UNKNOWN]);
    }
    env_free(&env);
    return count[DOCTOR_WARN] > 0;
}

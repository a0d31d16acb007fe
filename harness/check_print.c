/*
 * check_print.c - see check_print.h.
 *
 * TAP 13: testanything.org/tap-version-13-specification, directives SKIP and TODO, YAML blocks.
 * JUnit: the subset that CI systems read (testsuites, testsuite, testcase, failure, skipped).
 */
#include "check_print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *check_verdict(enum tl_status status)
{
    static const char *const names[] = {"pass", "unsupported", "invalid",
                                        "fail", "crashed",     "hung"};
    return names[status];
}

/* ---- TAP ------------------------------------------------------------------------------------- */

void check_tap_plan(const struct check_plan *plan)
{
    printf("TAP version 13\n1..%zu\n", plan->n);
    printf("# seed %llu\n# place %s: PUs", (unsigned long long)plan->seed, plan->place.policy);
    for (int i = 0; i < plan->place.ncpus; i++)
        printf("%s%d", i ? "," : " ", plan->place.cpus[i]);
    putchar('\n');
    fflush(stdout);
}

/* In a TAP line a # begins a directive; in a YAML string " and \ are escaped. */
static void print_escaped(const char *text, char special)
{
    for (; *text; text++) {
        if (*text == '\n' || *text == '\r') {
            putchar(' ');
            continue;
        }
        if (*text == special || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

static const char *impl_name(const struct check_case *c)
{
    return c->impl == &check_kernel ? "kernel" : c->impl->name;
}

static void print_params(const struct check_case *c)
{
    for (int i = 0; i < c->nparams; i++)
        printf("%s%s=%s", i ? "," : "", c->params[i].name, c->params[i].value);
}

/* An option and its value as the shell reads them. */
static void print_option(const char *option, const char *value)
{
    bool plain = value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789_./,:=+-")] == '\0';
    printf(plain ? " %s " : " %s '", option);
    print_escaped(value, '"');
    if (!plain)
        putchar('\'');
}

static void print_list(const char *option, const struct cli_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        print_option(option, list->items[i]);
}

/* What differs from that check's parameters and deadline where nobody says any. */
static void print_options(const struct check_case *c)
{
    struct check_case plain;
    check_case_make(c->impl, c->check, NULL, 0, 1, 0, &plain);
    for (int i = 0; i < c->nparams; i++)
        if (strcmp(plain.params[i].value, c->params[i].value) != 0)
            printf(" --set %s=%s", c->params[i].name, c->params[i].value);
    if (c->deadline_ns != plain.deadline_ns)
        printf(" --deadline %llums", (unsigned long long)c->deadline_ns / 1000000);
}

static void print_again(const struct check_case *c, const struct request *request)
{
    printf("  again: \"threadlab check --seed %llu", (unsigned long long)c->seed);
    if (c->impl != &check_kernel)
        printf(" --impl %s", c->impl->name);
    print_list("--plugin", &request->plugins);
    print_list("--place", &request->places);
    print_list("-I", &request->include);
    print_list("--program", &request->programs);
    print_options(c);
    if (c->mutant)
        printf(" --mutant %s", c->mutant->name);
    printf(" %s\"\n", c->check->name);
}

void check_tap_notes(const struct check_case *c)
{
    for (const char *line = c->notes; line && *line;) {
        size_t n = strcspn(line, "\n");
        printf("#   %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

void check_tap_result(const struct check_case *c, size_t number, const struct request *request)
{
    bool failed = c->status != TL_OK && c->status != TL_UNSUPPORTED;
    bool expected = check_as_expected(c);
    /* Unexpected is `not ok`, whichever way; a failure that is known stays `not ok` with TODO. */
    printf("%s %zu - %s %s", failed || !expected ? "not ok" : "ok", number, impl_name(c),
           c->check->name);
    if (c->mutant)
        printf(" (mutant %s)", c->mutant->name);
    if (failed && expected) {
        printf(" # TODO %s", c->expect_why ? c->expect_why : "the control has to fail");
    } else if (c->status == TL_UNSUPPORTED && expected) {
        printf(" # SKIP ");
        print_escaped(c->reason, '#');
    }
    putchar('\n');
    check_tap_notes(c);
    if (failed || !expected) {
        printf("  ---\n  verdict: %s\n", check_verdict(c->status));
        printf("  message: \"");
        if (!failed)
            printf("unexpected: %s; ", c->expect == EXPECT_FAIL ? "it was to fail"
                                       : c->expect == EXPECT_UNSUPPORTED
                                           ? "it was to be unsupported"
                                           : "it was to pass");
        print_escaped(c->reason, '"');
        printf("\"\n  promise: \"");
        print_escaped(c->check->promise, '"');
        printf("\"\n  source: \"");
        print_escaped(c->check->source, '"');
        printf("\"\n  seed: %llu\n", (unsigned long long)c->seed);
        if (c->nparams) {
            printf("  parameters: \"");
            print_params(c);
            printf("\"\n");
        }
        print_again(c, request);
        printf("  ...\n");
    }
    fflush(stdout);
}

void check_tap_end(const struct check_plan *plan, uint64_t wall_ns)
{
    size_t by[6] = {0}, unexpected = 0, done = 0;
    for (size_t i = 0; i < plan->n; i++)
        if (plan->cases[i].done) {
            by[plan->cases[i].status]++;
            unexpected += !check_as_expected(&plan->cases[i]);
            done++;
        }
    printf("# %zu checks in %.1f s: %zu passed, %zu failed, %zu crashed, %zu hung, %zu invalid, "
           "%zu unsupported; %zu not as expected\n",
           done, (double)wall_ns / 1e9, by[TL_OK], by[TL_FAILED], by[TL_CRASHED], by[TL_TIMEOUT],
           by[TL_INVALID], by[TL_UNSUPPORTED], unexpected);
}

/* ---- JUnit ----------------------------------------------------------------------------------- */

/* XML 1.0 has no way to write most control characters. */
static void xml(FILE *f, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fputc((unsigned char)*text < 32 ? ' ' : *text, f);
        }
}

static void junit_case(FILE *f, const struct check_case *c)
{
    bool failed = c->status != TL_OK && c->status != TL_UNSUPPORTED;
    bool expected = check_as_expected(c);
    fprintf(f, "    <testcase classname=\"threadlab.%s\" name=\"%s\" time=\"%.3f\"", impl_name(c),
            c->check->name, (double)c->wall_ns / 1e9);
    if (c->status == TL_OK && expected) {
        fputs("/>\n", f);
        return;
    }
    /* An expected failure is neither a success nor a reason to stop: JUnit's nearest is skipped. */
    const char *element = expected ? "skipped" : "failure";
    fprintf(f, ">\n      <%s message=\"%s%s: ", element,
            expected && failed     ? "expected: "
            : !expected && !failed ? "unexpected "
                                   : "",
            check_verdict(c->status));
    xml(f, c->reason);
    fputs("\">", f);
    xml(f, c->check->promise);
    fprintf(f, "</%s>\n    </testcase>\n", element);
}

static void junit_suite(FILE *f, const struct check_plan *plan, size_t from, size_t to)
{
    size_t failures = 0, skipped = 0;
    uint64_t wall_ns = 0;
    for (size_t i = from; i < to; i++) {
        bool expected = check_as_expected(&plan->cases[i]);
        failures += !expected;
        skipped += expected && plan->cases[i].status != TL_OK;
        wall_ns += plan->cases[i].wall_ns;
    }
    fprintf(f,
            "  <testsuite name=\"%s\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\" "
            "time=\"%.3f\">\n",
            impl_name(&plan->cases[from]), to - from, failures, skipped, (double)wall_ns / 1e9);
    for (size_t i = from; i < to; i++)
        junit_case(f, &plan->cases[i]);
    fputs("  </testsuite>\n", f);
}

int check_junit(const struct check_plan *plan, const char *path)
{
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp", path) >= sizeof temporary)
        return ENAMETOOLONG;
    FILE *f = fopen(temporary, "w");
    if (!f)
        return errno;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"threadlab\">\n", f);
    for (size_t from = 0, to; from < plan->n; from = to) {
        for (to = from; to < plan->n && plan->cases[to].impl == plan->cases[from].impl; to++)
            ;
        junit_suite(f, plan, from, to);
    }
    fputs("</testsuites>\n", f);
    int e = ferror(f) ? EIO : 0;
    if (fclose(f) && !e)
        e = errno;
    if (!e && rename(temporary, path))
        e = errno;
    if (e)
        remove(temporary);
    return e;
}

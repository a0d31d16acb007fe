/* tally.c - see tally.h. */
#include "tally.h"
#include "registry.h"
#include "stats.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 80
#define LABEL 30 /* of a row */
#define CELL 10  /* of a column */
#define MAX_COLUMNS ((COLUMNS - LABEL) / CELL)

int tally_init(struct tally *t, const struct plan *plan)
{
    memset(t, 0, sizeof *t);
    t->plan = plan;
    t->entries = calloc(plan->n * (size_t)plan->rounds, sizeof *t->entries);
    return t->entries ? 0 : ENOMEM;
}

void tally_free(struct tally *t)
{
    free(t->entries);
    t->entries = NULL;
}

static struct tally_entry *entry(const struct tally *t, size_t cell, int round)
{
    return &t->entries[cell * (size_t)t->plan->rounds + (size_t)round];
}

bool tally_has(const struct tally *t, size_t cell, int round)
{
    return entry(t, cell, round)->done;
}

void tally_add(struct tally *t, size_t cell, int round, enum tl_status status, double value,
               bool trusted, const char *why)
{
    struct tally_entry *e = entry(t, cell, round);
    *e = (struct tally_entry){true, trusted, status, status == TL_OK ? value : (double)NAN, ""};
    snprintf(e->why, sizeof e->why, "%s", why);
    t->by_status[status]++;
    t->untrusted += status == TL_OK && !trusted;
    t->records++;
}

/* Three significant digits and a unit, in at most 8 characters: "5.41 ns", "19.3 us". */
static void time_text(double ns, char *text, size_t size)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    int unit = 0;
    while (ns >= 999.5 && unit < 3) {
        ns /= 1000;
        unit++;
    }
    int decimals = ns < 9.995 ? 2 : ns < 99.95 ? 1 : 0;
    snprintf(text, size, "%.*f %s", decimals, ns, units[unit]);
}

/* One cell over its rounds: the median of the processes' values, or a word for what stood in the
 * way. A mark behind it says that some sample failed a self-check. */
static void cell_text(const struct tally *t, size_t cell, char *text, size_t size)
{
    static const char *const words[] = {"", "unsupp.", "invalid", "FAILED", "CRASHED", "TIMEOUT"};
    double values[1000];
    size_t n = 0;
    bool doubt = false;
    enum tl_status worst = TL_OK;
    bool any = false;
    for (int r = 0; r < t->plan->rounds; r++) {
        const struct tally_entry *e = entry(t, cell, r);
        if (!e->done)
            continue;
        any = true;
        if (e->status > worst)
            worst = e->status;
        if (e->status == TL_OK)
            values[n++] = e->value;
        doubt |= e->status == TL_OK && !e->trusted;
    }
    if (!any) {
        snprintf(text, size, "not run");
    } else if (worst != TL_OK) {
        snprintf(text, size, "%s", words[worst]);
    } else {
        char number[24];
        time_text(stats_median(values, n), number, sizeof number);
        bool unsafe = t->gate && check_gate_unsafe(t->gate, &t->plan->cells[cell], NULL, NULL);
        snprintf(text, size, "%s%s%s", number, doubt ? "?" : "", unsafe ? "!" : "");
    }
}

static bool is_default(const struct tl_impl *impl, const struct cell_value *value)
{
    for (const struct tl_param *p = impl ? impl->params : NULL; p && p->name; p++)
        if (strcmp(p->name, value->name) == 0) {
            size_t n = strlen(value->value);
            return strncmp(p->values, value->value, n) == 0 &&
                   (p->values[n] == ',' || p->values[n] == '\0');
        }
    return false;
}

static void append(char *text, size_t size, const char *name, const char *value)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s%s%s", used ? " " : "", name, *name ? "=" : "", value);
}

/* What tells this row from the others of its benchmark: the axes, the parameters that are not the
 * implementation's default, the place. So the defaults of all implementations stand in one row. */
static void row_label(const struct cell_spec *c, char *label, size_t size)
{
    const struct tl_impl *impl = registry_impl(c->impl);
    *label = '\0';
    for (int i = 0; i < c->naxes; i++)
        append(label, size, c->axes[i].name, c->axes[i].value);
    for (int i = 0; i < c->nparams; i++)
        if (!is_default(impl, &c->params[i]))
            append(label, size, c->params[i].name, c->params[i].value);
    if (strcmp(c->place.policy, "same-pu") != 0)
        append(label, size, "", c->place.policy);
    if (!*label)
        snprintf(label, size, "-");
}

static void print_rows(const struct tally *t, size_t first, size_t last, const char *const *impls,
                       size_t nimpls)
{
    bool *printed = calloc(last - first, sizeof *printed);
    if (!printed)
        return;
    for (size_t i = first; i < last; i++) {
        if (printed[i - first])
            continue;
        char label[512], other[512], text[32];
        row_label(&t->plan->cells[i], label, sizeof label);
        if (strlen(label) >= LABEL)
            printf("  %s\n%*s", label, LABEL, "");
        else
            printf("  %-*s", LABEL - 2, label);
        for (size_t k = 0; k < nimpls; k++) {
            const char *shown = "";
            for (size_t j = i; j < last; j++) {
                row_label(&t->plan->cells[j], other, sizeof other);
                if (strcmp(t->plan->cells[j].impl, impls[k]) != 0 || strcmp(label, other) != 0)
                    continue;
                cell_text(t, j, text, sizeof text);
                shown = text;
                printed[j - first] = true;
            }
            printf("%*s", CELL, shown);
        }
        putchar('\n');
    }
    free(printed);
}

/* Breaks the text between words so that it fits. */
static void print_wrapped(const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > 0 && column + 1 + n > COLUMNS - 1) {
            fputs("\n ", stdout);
            column = 1;
        }
        column += (size_t)printf("%s%.*s", column ? " " : "", (int)n, text);
        text += n + (text[n] == ' ');
    }
    putchar('\n');
}

static void print_bench(const struct tally *t, size_t first, size_t last)
{
    const struct tl_bench *bench = registry_bench(t->plan->cells[first].bench);
    const char *impls[64];
    size_t n = 0;
    for (size_t i = first; i < last; i++) {
        size_t k = 0;
        while (k < n && strcmp(impls[k], t->plan->cells[i].impl) != 0)
            k++;
        if (k == n && n < 64)
            impls[n++] = t->plan->cells[i].impl;
    }
    char title[512];
    snprintf(title, sizeof title, "%s: time per op; op = %s", bench->name, bench->op);
    putchar('\n');
    print_wrapped(title);
    for (size_t k = 0; k < n; k += MAX_COLUMNS) {
        size_t some = n - k < MAX_COLUMNS ? n - k : MAX_COLUMNS;
        printf("%*s", LABEL, "");
        for (size_t j = k; j < k + some; j++)
            printf("%*s", CELL, strcmp(impls[j], "-") == 0 ? "machine" : impls[j]);
        putchar('\n');
        print_rows(t, first, last, impls + k, some);
    }
}

/* Whose numbers rest on promises that are not kept. */
static void print_unsafe(const struct tally *t)
{
    const struct check_plan *checks = t->gate ? &t->gate->plan : NULL;
    bool title = false;
    for (size_t i = 0; checks && i < checks->n; i++) {
        const struct check_case *c = &checks->cases[i];
        if (c->status == TL_OK || c->status == TL_UNSUPPORTED)
            continue;
        if (!title)
            puts("\nUnsafe (!): the number rests on a promise that is not kept:");
        title = true;
        printf("  %s fails %s\n", c->impl->name, c->check->name);
    }
}

static void print_reasons(const struct tally *t)
{
    bool title = false;
    for (size_t i = 0; i < t->plan->n; i++)
        for (int r = 0; r < t->plan->rounds; r++) {
            const struct tally_entry *e = entry(t, i, r);
            if (!e->done || e->status < TL_FAILED)
                continue;
            if (!title)
                puts("\nWhat failed:");
            title = true;
            printf("  %s (round %d): %s: %s\n", t->plan->cells[i].key, r,
                   cell_status_name(e->status), e->why);
            break;
        }
}

static bool in_scope(const struct cell_spec *c, enum tally_scope scope)
{
    return scope == TALLY_ALL || (scope == TALLY_SAME_PU) == (c->place.ncpus == 1);
}

/* |ln(b / a)| of a cell's values in this round and the next; NAN where there is no such pair. */
static double pair(const struct tally *t, size_t cell, int round)
{
    const struct tally_entry *a = entry(t, cell, round), *b = entry(t, cell, round + 1);
    bool both = a->done && b->done && a->status == TL_OK && b->status == TL_OK;
    return both && a->value > 0 && b->value > 0 ? fabs(log(b->value / a->value)) : (double)NAN;
}

void tally_aa(const struct tally *t, enum tally_scope scope, struct tally_aa *aa)
{
    static const char *const none[] = {"no cell was ok in two consecutive rounds",
                                       "no cell on one PU was ok in two consecutive rounds",
                                       "no cell across PUs was ok in two consecutive rounds"};
    size_t steps = (size_t)t->plan->rounds - 1;
    double *d = steps && t->plan->n ? calloc(t->plan->n * steps, sizeof *d) : NULL;

    *aa = (struct tally_aa){0, NAN, NAN, NAN, steps == 0 ? "there is one round only" : none[scope]};
    if (steps && t->plan->n && !d)
        aa->reason = "out of memory";
    for (size_t i = 0; d && i < t->plan->n; i++)
        for (int r = 0; in_scope(&t->plan->cells[i], scope) && r < (int)steps; r++) {
            d[aa->pairs] = pair(t, i, r);
            aa->pairs += !isnan(d[aa->pairs]);
        }
    if (aa->pairs) {
        aa->median = 100 * expm1(stats_median(d, aa->pairs));
        aa->p95 = 100 * expm1(stats_percentile(d, aa->pairs, 95));
        aa->max = 100 * expm1(stats_percentile(d, aa->pairs, 100));
        aa->reason = NULL;
    }
    free(d);
}

/* Two significant digits, none behind the point that mean nothing. */
static void percent_text(double percent, char *text, size_t size)
{
    snprintf(text, size, "%.*f%%", percent < 0.095 ? 2 : percent < 9.95 ? 1 : 0, percent);
}

static void print_aa(const struct tally *t)
{
    static const char *const where[] = {"", "; on one PU by", ", across PUs by"};
    char text[512], median[32], p95[32];
    struct tally_aa aa;
    size_t used = 0;

    tally_aa(t, TALLY_ALL, &aa);
    if (aa.reason) {
        printf("A/A: how much a cell differs between two processes is not known:\n %s\n",
               aa.reason);
        return;
    }
    for (int scope = TALLY_ALL; scope <= TALLY_CROSS_PU; scope++) {
        tally_aa(t, (enum tally_scope)scope, &aa);
        if (aa.reason)
            continue;
        percent_text(aa.median, median, sizeof median);
        percent_text(aa.p95, p95, sizeof p95);
        if (scope == TALLY_ALL)
            used += (size_t)snprintf(text, sizeof text,
                                     "A/A: the same cell in two processes differed by %s (median), "
                                     "%s (95th percentile) in %zu pairs",
                                     median, p95, aa.pairs);
        else
            used += (size_t)snprintf(text + used, sizeof text - used, "%s %s, %s", where[scope],
                                     median, p95);
    }
    print_wrapped(text);
}

void tally_print(const struct tally *t)
{
    size_t n = t->plan->n;
    for (size_t first = 0, last; first < n; first = last) {
        for (last = first + 1; last < n; last++)
            if (strcmp(t->plan->cells[last].bench, t->plan->cells[first].bench) != 0)
                break;
        print_bench(t, first, last);
    }
    print_unsafe(t);
    print_reasons(t);
    printf("\n%zu records:", t->records);
    for (int s = TL_OK; s <= TL_TIMEOUT; s++)
        if (t->by_status[s] || s == TL_OK)
            printf(" %zu %s%s", t->by_status[s], cell_status_name((enum tl_status)s),
                   s < TL_TIMEOUT ? "," : "");
    printf(" %zu untrusted (?)\n", t->untrusted);
    print_aa(t);
}

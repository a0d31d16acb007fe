/*
 * verb_mutants.c - `threadlab mutants [MUTANT...]`: can the checks fail? Mutation analysis after
 * DeMillo, Lipton, Sayward 1978, "Hints on Test Data Selection", section "The coupling effect".
 *
 * Each mutant is asked all properties of the groups that it claims to break, in the first of its
 * implementations, and those that it claims in the others (--claims: only those). It is killed by a
 * check that passes on the sound implementation and does not on the mutant. Fails: a claim that
 * does not hold, a check that kills no mutant, a check that the control passes although it needs
 * concurrency.
 */
#include "check_exec.h"
#include "check_plan.h"
#include "check_print.h"
#include "names.h"
#include "place.h"
#include "registry.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Hanging is a way to be killed: the deadline is short, but far above what the sound one took. */
#define DEADLINE_NS UINT64_C(4000000000)
#define DEADLINE_FACTOR 10
/* More at a time than checks of sound implementations: many mutants do nothing but hang. */
#define JOBS_PER_PU 4
#define RETRIES 8 /* of a claim that did not hold */

struct list {
    struct check_case *cases;
    size_t n, room;
};

struct session {
    struct request *request;
    struct place place;
    struct list sound, broken;
};

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; *(p += strspn(p, " ")); p += strcspn(p, " "))
        if (strcspn(p, " ") == n && strncmp(p, word, n) == 0)
            return true;
    return false;
}

static const char *of(const struct tl_mutant *m)
{
    return m->of ? m->of : "nptl";
}

static struct check_case *find(const struct list *list, const struct tl_impl *impl,
                               const struct tl_check *check, const struct tl_mutant *mutant)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->cases[i].impl == impl && list->cases[i].check == check &&
            list->cases[i].mutant == mutant)
            return &list->cases[i];
    return NULL;
}

static void add(struct session *s, struct list *list, const struct tl_impl *impl,
                const struct tl_check *check, const struct tl_mutant *mutant)
{
    if (find(list, impl, check, mutant))
        return;
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 1024;
        list->cases = realloc(list->cases, list->room * sizeof *list->cases);
        if (!list->cases)
            cli_die("out of memory");
    }
    struct check_case *c = &list->cases[list->n++];
    check_case_make(impl, check, NULL, 0, (unsigned)s->place.ncpus, s->request->seed, c);
    c->mutant = mutant;
}

/* The mutant breaks a property of this group. */
static bool in_group(const struct tl_mutant *m, const struct tl_check *check)
{
    const struct tl_check *const *checks;
    size_t n = registry_checks(&checks);
    for (size_t i = 0; i < n; i++)
        if (has_word(m->kills, checks[i]->name) && strcmp(checks[i]->group, check->group) == 0)
            return true;
    return false;
}

/* Fills both lists. Every name that a mutant gives has to exist. */
static void make_lists(struct session *s)
{
    const struct tl_mutant *const *mutants;
    const struct tl_check *const *checks;
    size_t nm = registry_mutants(&mutants), nc = registry_checks(&checks), chosen = 0;
    for (size_t m = 0; m < nm; m++) {
        char *names = strdup(of(mutants[m])), *rest = names, *name;
        bool first = true;
        if (!names_selected(&s->request->checks, mutants[m]->name))
            continue;
        chosen++;
        while ((name = strsep(&rest, " "))) {
            const struct tl_impl *impl = strcmp(name, "-") == 0 ? &check_kernel
                                         : *name                ? registry_impl(name)
                                                                : NULL;
            if (!*name)
                continue;
            if (!impl)
                cli_die("mutant %s is of '%s', which is no implementation", mutants[m]->name, name);
            for (size_t c = 0; c < nc; c++)
                if (has_word(mutants[m]->kills, checks[c]->name) ||
                    (first && !s->request->claims && in_group(mutants[m], checks[c]) &&
                     (impl == &check_kernel) == !!(checks[c]->flags & TL_CHECK_KERNEL))) {
                    add(s, &s->sound, impl, checks[c], NULL);
                    add(s, &s->broken, impl, checks[c], mutants[m]);
                }
            first = false;
        }
        free(names);
    }
    if (!chosen)
        cli_die("no mutant matches (see threadlab list mutants)");
}

static bool fails(const struct check_case *c)
{
    return c->status != TL_OK && c->status != TL_UNSUPPORTED;
}

static bool killed(const struct session *s, const struct check_case *c)
{
    const struct check_case *sound = find(&s->sound, c->impl, c->check, NULL);
    return fails(c) && sound && sound->status == TL_OK;
}

static void execute(struct session *s, struct list *list, unsigned jobs)
{
    int stopped = 0, e = check_exec(list->cases, list->n, &s->place, jobs, &s->request->plugins,
                                    NULL, NULL, &stopped);
    if (stopped)
        exit(128 + stopped);
    if (e)
        cli_die("cannot run checks: %s", strerror(e));
}

/* A fault that comes up now and then, on a machine that is busy, may be missed once: what survives
 * against its claim is tried again, alone, with other seeds. */
static void try_again(struct session *s)
{
    for (int attempt = 1; attempt <= RETRIES; attempt++)
        for (size_t i = 0; i < s->broken.n; i++) {
            struct check_case *c = &s->broken.cases[i];
            const struct check_case *sound = find(&s->sound, c->impl, c->check, NULL);
            if (!has_word(c->mutant->kills, c->check->name) || killed(s, c) ||
                sound->status != TL_OK)
                continue;
            struct list one = {c, 1, 1};
            c->seed += (uint64_t)attempt;
            execute(s, &one, 1);
        }
}

/* ---- the matrix ------------------------------------------------------------------------------ */

#define COLUMNS 22 /* of one table, in 80 columns */

static char mark(const struct session *s, const struct tl_mutant *m, const struct tl_check *check)
{
    char found = ' ';
    for (size_t i = 0; i < s->broken.n; i++) {
        const struct check_case *c = &s->broken.cases[i];
        if (c->mutant != m || c->check != check)
            continue;
        if (killed(s, c))
            return 'X';
        found = c->status == TL_UNSUPPORTED ? '-' : fails(c) ? '?' : '.';
    }
    return found;
}

static void print_table(const struct session *s, const struct tl_check *const *columns, size_t n)
{
    const struct tl_mutant *const *mutants;
    size_t nm = registry_mutants(&mutants);
    printf("\n%s\n%-34s", columns[0]->group, "");
    for (size_t c = 0; c < n; c++)
        printf(" %c", (char)('a' + c));
    putchar('\n');
    for (size_t m = 0; m < nm; m++) {
        char row[2 * COLUMNS + 1] = "";
        bool any = false;
        for (size_t c = 0; c < n; c++) {
            row[2 * c] = ' ';
            row[2 * c + 1] = mark(s, mutants[m], columns[c]);
            any |= row[2 * c + 1] != ' ';
        }
        if (any)
            printf("%-34.34s%.*s\n", mutants[m]->name, (int)(2 * n), row);
    }
    for (size_t c = 0; c < n; c++)
        printf("  %c %s\n", (char)('a' + c), columns[c]->name);
}

static void print_matrix(const struct session *s)
{
    const struct tl_check *const *checks, *columns[COLUMNS];
    size_t nc = registry_checks(&checks), n = 0;
    bool *shown = calloc(nc + 1, sizeof *shown);
    if (!shown)
        cli_die("out of memory");
    puts("X: killed  .: survives  -: unsupported there  ?: fails on the sound one, too");
    for (size_t first = 0; first < nc; first++) {
        n = 0;
        for (size_t i = first; i < nc && n < COLUMNS; i++) {
            bool used = false;
            for (size_t k = 0; k < s->sound.n && !used; k++)
                used = s->sound.cases[k].check == checks[i];
            if (!shown[i] && used && (n == 0 || strcmp(checks[i]->group, columns[0]->group) == 0)) {
                columns[n++] = checks[i];
                shown[i] = true;
            }
        }
        if (n)
            print_table(s, columns, n);
    }
    free(shown);
    putchar('\n');
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static size_t count_survivors(const struct session *s)
{
    size_t survivors = 0;
    for (size_t i = 0; i < s->broken.n; i++) {
        const struct check_case *c = &s->broken.cases[i];
        const struct check_case *sound = find(&s->sound, c->impl, c->check, NULL);
        if (!has_word(c->mutant->kills, c->check->name) || killed(s, c))
            continue;
        if (sound->status == TL_UNSUPPORTED) {
            printf("not tried: %s of %s: %s: %s\n", c->mutant->name, c->impl->name, c->check->name,
                   sound->reason);
            continue;
        }
        survivors++;
        printf("survives: %s of %s: %s says %s%s%s%s\n", c->mutant->name, c->impl->name,
               c->check->name, check_verdict(c->status), c->reason[0] ? ": " : "", c->reason,
               fails(c) && sound->status != TL_OK ? " (and does not pass on the sound one)" : "");
    }
    return survivors;
}

/* Checks that no mutant is killed by; only when all mutants were tried. */
static size_t count_toothless(const struct session *s)
{
    const struct tl_check *const *checks;
    size_t nc = registry_checks(&checks), toothless = 0;
    for (size_t i = 0; i < nc; i++) {
        bool kills = false, tried = false, offered = false;
        for (size_t k = 0; k < s->broken.n && !kills; k++)
            kills = s->broken.cases[k].check == checks[i] && killed(s, &s->broken.cases[k]);
        for (size_t k = 0; k < s->sound.n && !offered; k++)
            if (s->sound.cases[k].check == checks[i]) {
                tried = true;
                offered = s->sound.cases[k].status != TL_UNSUPPORTED;
            }
        if (kills)
            continue;
        if (tried && !offered) {
            printf("idle: %s: no implementation that has a mutant of it offers it\n",
                   checks[i]->name);
            continue;
        }
        printf("toothless: %s kills no mutant\n", checks[i]->name);
        toothless++;
    }
    return toothless;
}

/* The control is a mutant of its own: it has to fail all that needs concurrency. */
static size_t count_fooled(struct session *s, unsigned jobs)
{
    const struct tl_impl *const *impls;
    const struct tl_check *const *checks;
    size_t ni = registry_impls(&impls), nc = registry_checks(&checks), fooled = 0;
    struct list control = {0};
    int stopped;
    for (size_t i = 0; i < ni; i++)
        for (size_t c = 0; check_is_control(impls[i]) && c < nc; c++)
            if (checks[c]->flags & TL_CHECK_CONCURRENT)
                add(s, &control, impls[i], checks[c], NULL);
    int e = check_exec(control.cases, control.n, &s->place, jobs, &s->request->plugins, NULL, NULL,
                       &stopped);
    if (e)
        cli_die("cannot run checks: %s", strerror(e));
    size_t failed = 0, absent = 0;
    for (size_t i = 0; i < control.n; i++) {
        const struct check_case *c = &control.cases[i];
        absent += c->status == TL_UNSUPPORTED;
        failed += fails(c);
        if (c->status != TL_OK)
            continue;
        printf("fooled: %s passes %s, which needs concurrency\n", c->impl->name, c->check->name);
        fooled++;
    }
    printf("the control fails %zu of %zu checks that need concurrency, passes %zu, does not offer "
           "%zu\n",
           failed, control.n, fooled, absent);
    free(control.cases);
    return fooled;
}

int verb_mutants(struct request *request)
{
    struct session s = {.request = request};
    char error[512];
    int one[1];
    struct place_topology *topology = place_open(NULL, error, sizeof error);
    if (!topology)
        cli_die("%s", error);
    int allowed = place_allowed(topology, one, 1);
    if (place_resolve(topology, "compact", allowed < 4 ? allowed : 4, &s.place))
        cli_die("%s", s.place.reason);
    make_lists(&s);
    unsigned jobs = request->jobs ? (unsigned)request->jobs : (unsigned)s.place.ncpus * JOBS_PER_PU;
    time_t start = time(NULL);
    execute(&s, &s.sound, jobs);
    for (size_t i = 0; i < s.broken.n; i++) {
        struct check_case *c = &s.broken.cases[i];
        const struct check_case *sound = find(&s.sound, c->impl, c->check, NULL);
        uint64_t least = DEADLINE_FACTOR * sound->wall_ns;
        c->deadline_ns = least > DEADLINE_NS ? least : DEADLINE_NS;
    }
    execute(&s, &s.broken, jobs);
    try_again(&s);
    print_matrix(&s);
    size_t bad = count_survivors(&s);
    if (!request->checks.n) {
        bad += count_toothless(&s);
        bad += count_fooled(&s, jobs);
    }
    printf("%zu runs of mutants in %.0f s, seed %llu: %s\n", s.broken.n,
           difftime(time(NULL), start), (unsigned long long)request->seed,
           bad ? "NOT all as claimed" : "every claim holds");
    free(s.sound.cases);
    free(s.broken.cases);
    place_close(topology);
    return bad ? 1 : 0;
}

/* program.c - what programs there are, and their plan: see program.h. */
#include "program.h"

#include "names.h"
#include "program_params.h"
#include "program_run.h"
#include "registry.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what there is --------------------------------------------------------------------------- */

static const char *suffix_of(const char *path)
{
    const char *base = strrchr(path, '/'), *dot = strrchr(base ? base : path, '.');

    return dot ? dot : "";
}

static bool is_source(const char *path)
{
    const char *s = suffix_of(path);

    return !strcmp(s, ".c") || !strcmp(s, ".cc") || !strcmp(s, ".cpp");
}

/* The first line of the comment at its head, from behind "NAME - " on; NULL: there is none. */
static char *promise_of(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[512], *text = NULL;

    while (f && !text && fgets(line, sizeof line, f)) {
        char *from = line + strspn(line, "/* \t\n");

        if (!*from)
            continue;
        if (from == line) /* no comment */
            break;
        from = strstr(from, " - ") ? strstr(from, " - ") + 3 : from;
        from[strcspn(from, "\n")] = '\0';
        for (size_t n = strlen(from); n && strchr("*/ ", from[n - 1]); n--)
            from[n - 1] = '\0';
        text = strdup(from);
    }
    if (f)
        fclose(f);
    return text;
}

/* "pthread_join/1-2.c" of a folder becomes program.pthread_join.1-2. */
static char *name_of(const char *path, const char *folder)
{
    const char *rest = folder ? path + strlen(folder) : strrchr(path, '/');
    char *name;

    rest = rest ? rest + (*rest == '/') : path;
    if (asprintf(&name, "program.%.*s", (int)(strlen(rest) - strlen(suffix_of(rest))), rest) < 0)
        return NULL;
    for (char *c = name; *c; c++)
        if (*c == '/')
            *c = '.';
    return name;
}

static int add(struct programs *p, const char *path, const char *folder)
{
    struct program *grown = realloc(p->items, (p->n + 1) * sizeof *grown), *new;

    if (!grown)
        return ENOMEM;
    p->items = grown;
    new = &p->items[p->n];
    memset(new, 0, sizeof *new);
    new->path = realpath(path, NULL);
    new->source = is_source(path);
    new->check.abi = TL_ABI;
    new->check.name = name_of(path, folder);
    new->check.group = "Programs";
    new->check.promise = new->source ? promise_of(path) : NULL;
    if (!new->check.promise)
        new->check.promise = "ends with status 0";
    new->check.source = "the program itself";
    new->check.method = "compiled through the veneer and run; its exit status is the verdict";
    new->check.meaning = "what the program checks";
    if (!new->path || !new->check.name)
        return ENOMEM;
    p->n++;
    return 0;
}

/* A program has a main; the others of a folder are parts of one that includes them. */
static bool has_main(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[1024];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f)) {
        const char *at = strstr(line, "main");

        found = at && (at == line || !(isalnum((unsigned char)at[-1]) || at[-1] == '_')) &&
                at[4 + strspn(at + 4, " \t")] == '(';
    }
    if (f)
        fclose(f);
    return found;
}

static int add_folder(struct programs *p, const char *path, const char *top)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort), e = n < 0 ? errno : 0;

    for (int i = 0; i < n; i++) {
        char inner[PATH_MAX];
        struct stat st;

        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (!e && entries[i]->d_name[0] != '.' && !stat(inner, &st)) {
            if (S_ISDIR(st.st_mode))
                e = add_folder(p, inner, top);
            else if (is_source(inner) && has_main(inner))
                e = add(p, inner, top);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return e;
}

/* ENODATA: there is none. */
static int add_all(struct programs *p, const char *folder)
{
    size_t before = p->n;
    int e = add_folder(p, folder, folder);

    return e ? e : p->n == before ? ENODATA : 0;
}

int programs_add(struct programs **programs, const char *path, char *error, size_t size)
{
    struct stat st;
    int e = 0;

    if (!*programs)
        *programs = calloc(1, sizeof **programs);
    if (!*programs)
        e = ENOMEM;
    else if (stat(path, &st))
        e = errno;
    else if (S_ISDIR(st.st_mode))
        e = add_all(*programs, path);
    else if (access(path, is_source(path) ? R_OK : X_OK))
        e = errno;
    else
        e = add(*programs, path, NULL);
    if (e == ENODATA)
        snprintf(error, size, "%s: no C or C++ source with a main is in there", path);
    else if (e)
        snprintf(error, size, "%s: %s", path, strerror(e));
    return e;
}

int programs_include(struct programs *p, const char *path, char *error, size_t size)
{
    const char **more = realloc(p->include, (p->includes + 1) * sizeof *more);
    char *absolute = realpath(path, NULL), *option = NULL;
    int e = absolute ? 0 : errno;

    if (more)
        p->include = more;
    if (!e && (!more || asprintf(&option, "-I%s", absolute) < 0))
        e = ENOMEM;
    if (e)
        snprintf(error, size, "-I %s: %s", path, strerror(e));
    else
        p->include[p->includes++] = option;
    free(absolute);
    return e;
}

void programs_free(struct programs *p)
{
    for (size_t i = 0; p && i < p->includes; i++)
        free((char *)p->include[i]);
    if (p)
        free(p->include);
    for (size_t i = 0; p && i < p->n; i++) {
        free(p->items[i].path);
        free((char *)p->items[i].check.name);
    }
    if (p) {
        free(p->items);
        free(p->params);
    }
    free(p);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static int check_programs(const struct programs *p, const struct request *request, char *error,
                          size_t size)
{
    const char **names = calloc(p->n + 1, sizeof *names);
    int e;

    if (!names)
        return ENOMEM;
    for (size_t i = 0; i < p->n; i++)
        names[i] = p->items[i].check.name;
    e = names_check("program", NULL, &request->checks, names, p->n, error, size);
    free(names);
    return e;
}

/* A compiled program runs on the implementation that is in it. */
static bool runs_on(const struct tl_impl *impl, const char *inside)
{
    char object[PATH_MAX + 96];

    return *inside ? !strcmp(inside, impl->name)
                   : !program_veneer(impl->name, object, sizeof object);
}

/* inside: of a compiled one, its implementation; of a source "". */
static size_t plan_one(const struct program *p, const char *inside, const struct request *request,
                       const struct cell_value *given, struct check_plan *plan)
{
    const struct tl_impl *const *impls;
    size_t ni = registry_impls(&impls), before = plan->n;

    for (size_t i = 0; i < ni; i++) {
        struct check_case *c = &plan->cases[plan->n];

        if (!names_selected(&request->impls, impls[i]->name) || !runs_on(impls[i], inside))
            continue;
        check_case_make(impls[i], &p->check, given, (int)request->nsets,
                        (unsigned)plan->place.ncpus, plan->seed, c);
        c->deadline_ns = (uint64_t)PROGRAM_DEADLINE_S * 1000000000u;
        plan->n++;
    }
    return plan->n - before;
}

int programs_plan(struct programs *p, const struct request *request,
                  const struct place_topology *topology, struct check_plan *plan, char *error,
                  size_t size)
{
    const struct tl_impl *const *impls;
    struct cell_value given[CELL_VALUES + 1];
    const char *params = getenv("THREADLAB_PARAMS");
    int e = check_plan_begin(request, topology, PLACE_MAX, plan, given, error, size);

    if (!e)
        e = check_programs(p, request, error, size);
    if (!e && asprintf(&p->params, "%s,%s", PROGRAM_PARAMS, params ? params : "") < 0)
        e = ENOMEM;
    if (e)
        return e;
    plan->cases = calloc(registry_impls(&impls) * p->n + 1, sizeof *plan->cases);
    if (!plan->cases)
        return ENOMEM;
    for (size_t j = 0; j < p->n; j++) {
        struct program *one = &p->items[j];
        char inside[32] = "";

        one->check.prefers = p->params;
        if (!names_selected(&request->checks, one->check.name))
            continue;
        if (!one->source && program_asks(one->path, inside, sizeof inside)) {
            snprintf(error, size, "%s was not compiled by threadlab cc", one->path);
            return EINVAL;
        }
        if (plan_one(one, inside, request, given, plan))
            continue;
        if (one->source)
            snprintf(error, size,
                     "no implementation that is to be checked has a veneer: make "
                     "veneer");
        else
            snprintf(error, size, "%s was compiled for %s, which is not to be checked", one->path,
                     inside);
        return EINVAL;
    }
    check_plan_sort(plan);
    return 0;
}

/* expect.c - see expect.h. */
#include "expect.h"

#include "registry.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool verdict_of(const char *word, enum check_expect *expect)
{
    static const struct {
        const char *word;
        enum check_expect expect;
    } words[] = {{"pass", EXPECT_PASS},
                 {"fail", EXPECT_FAIL},
                 {"unsupported", EXPECT_UNSUPPORTED},
                 {"any", EXPECT_ANY}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, word) == 0) {
            *expect = words[i].expect;
            return true;
        }
    return false;
}

/* A line that names nothing was true of a check that is gone. */
static bool names_a_check(const char *glob, const struct check_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(glob, cases[i].check->name, 0) == 0)
            return true;

    const struct tl_check *const *checks;
    size_t n = registry_checks(&checks);
    for (size_t i = 0; i < n; i++)
        if (fnmatch(glob, checks[i]->name, 0) == 0)
            return true;
    return false;
}

static int apply(struct check_case *cases, size_t n, const char *glob, enum check_expect expect,
                 const char *why)
{
    char *kept = *why ? strdup(why) : NULL; /* lives as long as the process */
    if (*why && !kept)
        return ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (fnmatch(glob, cases[i].check->name, 0) == 0) {
            cases[i].expect = expect;
            cases[i].expect_why = kept;
        }
    return 0;
}

/* cases: those of one implementation. */
static int read_file(FILE *f, const char *path, struct check_case *cases, size_t n, char *error,
                     size_t size)
{
    char *line = NULL;
    size_t room = 0;
    int e = 0;
    for (size_t i = 0; i < n; i++)
        if (cases[i].expect == EXPECT_PROMISED)
            cases[i].expect = EXPECT_PASS;
    for (int number = 1; !e && getline(&line, &room, f) >= 0; number++) {
        char word[16] = "", glob[64] = "";
        enum check_expect expect;
        int used = 0;
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " \t")] == '\0' || line[0] == '#')
            continue;
        if (sscanf(line, "%15s %63s %n", word, glob, &used) < 2 || !verdict_of(word, &expect)) {
            snprintf(error, size,
                     "%s:%d: expected `VERDICT PROPERTY WHY`, VERDICT one of pass, fail, "
                     "unsupported, any",
                     path, number);
            e = EINVAL;
        } else if (!names_a_check(glob, cases, n)) {
            snprintf(error, size, "%s:%d: no check is called %s", path, number, glob);
            e = EINVAL;
        } else {
            e = apply(cases, n, glob, expect, line + used);
        }
    }
    free(line);
    return e;
}

int expect_read(const char *dir, const char *file, struct check_plan *plan, char *error,
                size_t size)
{
    int e = 0;
    for (size_t from = 0, to; !e && from < plan->n; from = to) {
        char path[4096];
        for (to = from; to < plan->n && plan->cases[to].impl == plan->cases[from].impl; to++)
            ;
        snprintf(path, sizeof path, "%s/%s/%s", dir, plan->cases[from].impl->name, file);
        FILE *f = fopen(path, "r");
        if (!f)
            continue;
        e = read_file(f, path, &plan->cases[from], to - from, error, size);
        fclose(f);
    }
    return e;
}

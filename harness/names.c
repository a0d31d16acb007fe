/* names.c - see names.h. */
#include "names.h"

#include "registry.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

bool names_selected(const struct cli_list *globs, const char *name)
{
    for (size_t i = 0; i < globs->n; i++)
        if (fnmatch(globs->items[i], name, 0) == 0)
            return true;
    return globs->n == 0;
}

int names_check(const char *what, const char *list, const struct cli_list *globs,
                const char *const *names, size_t n, char *error, size_t size)
{
    for (size_t i = 0; i < globs->n; i++) {
        bool hit = false;
        for (size_t j = 0; j < n; j++)
            hit |= fnmatch(globs->items[i], names[j], 0) == 0;
        if (hit)
            continue;
        const char *near = registry_nearest(globs->items[i], names, n);
        snprintf(error, size, "no %s matches '%s'%s%s%s%s%s%s", what, globs->items[i],
                 near ? "; did you mean " : "", near ? near : "", near ? "?" : "",
                 list ? " (see threadlab list " : "", list ? list : "", list ? ")" : "");
        return EINVAL;
    }
    return 0;
}

bool names_in_list(const char *list, const char *word)
{
    size_t n = strcspn(word, ",");
    for (const char *p = list; p && !word[n]; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

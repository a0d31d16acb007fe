/* program_run.h - between program.c and program_run.c: what a program is, how one is run. */
#ifndef HARNESS_PROGRAM_RUN_H
#define HARNESS_PROGRAM_RUN_H

#include "check.h"
#include "check_plan.h"

#include <stddef.h>

struct program {
    struct tl_check check; /* its name, promise ... */
    char *path;            /* of the source, or of the program */
    bool source;
};

struct programs {
    struct program *items;
    size_t n;
    const char **include; /* "-IFOLDER", of sources, besides their own folder; absolute */
    size_t includes;
    char *params; /* values that they have unless others are asked for; NULL before the plan */
};

/* As check_exec. Sources are compiled by `threadlab cc`, each once for each implementation, into a
 * folder below TMPDIR that is gone afterwards. */
int programs_exec(const struct programs *programs, struct check_plan *plan, unsigned jobs,
                  void (*done)(const struct check_case *c, void *arg), void *arg, int *stopped);

/* The object that a program is linked with. ENOENT: this implementation has none. */
int program_veneer(const char *impl, char *object, size_t size);

/* Which implementation a compiled program was linked with. EINVAL: with none. */
int program_asks(const char *path, char *impl, size_t size);

#endif

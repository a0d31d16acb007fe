/*
 * verb_script.c - hands over to a script: `threadlab compare` to scripts/compare, which builds,
 * decides and reports with scipy, and has `threadlab serve` of either build do the measuring;
 * `threadlab run --lab`, `check --lab` and `compare --lab` to scripts/lab, which boots a machine
 * and runs the same there.
 */
#include "verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the scripts are, seen from the folder of the binary: in a checkout, and installed. */
static const char *const places[] = {"../../scripts", "../share/threadlab/scripts"};

int verb_script(const struct request *request)
{
    const char *script = request->verb == CLI_LAB ? "lab" : "compare";
    char exe[PATH_MAX], path[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0)
        cli_die("cannot tell where this program is: %s", strerror(errno));
    exe[n] = '\0';
    setenv("THREADLAB", exe, 1);
    int folder = (int)(strrchr(exe, '/') - exe);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%.*s/%s/%s", folder, exe, places[i], script);
        if (access(path, X_OK))
            continue;
        request->rest[0] = path;
        execv(path, request->rest);
        cli_die("cannot run %s: %s", path, strerror(errno));
    }
    cli_die("the script `%s` is neither in %s nor in %s of %.*s", script, places[0], places[1],
            folder, exe);
}

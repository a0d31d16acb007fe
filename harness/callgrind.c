/* callgrind.c - see callgrind.h. */
#include "callgrind.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT "out" /* of the window: out.1 */

static char program[4096];

static int find(const char *name)
{
    const char *path = getenv("PATH");

    for (size_t n; path && *path; path += n + (path[n] == ':')) {
        n = strcspn(path, ":");
        int length = snprintf(program, sizeof program, "%.*s/%s", (int)n, path, name);
        if (length > 0 && (size_t)length < sizeof program && access(program, X_OK) == 0)
            return 0;
    }
    return ENOENT;
}

int callgrind_open(char folder[CALLGRIND_PATH], char *error, size_t size)
{
    const char *tmp = getenv("TMPDIR");

    if (find("valgrind")) {
        snprintf(error, size,
                 "--counts callgrind: valgrind is not installed: `make deps-lab` installs it");
        return ENOENT;
    }
    int n = snprintf(folder, CALLGRIND_PATH, "%s/threadlab-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n >= CALLGRIND_PATH || !mkdtemp(folder)) {
        int e = n >= CALLGRIND_PATH ? ENAMETOOLONG : errno;
        snprintf(error, size, "--counts callgrind: no folder for its files: %s", strerror(e));
        return e;
    }
    return 0;
}

/* What comes after the window, and what children leave, lies in files of other names. */
static void sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, OUT, strlen(OUT)) == 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

void callgrind_close(const char *folder)
{
    sweep(folder);
    rmdir(folder);
}

const char *callgrind_argv(const char *folder, const char **argv)
{
    static char out[CALLGRIND_PATH + 32];

    snprintf(out, sizeof out, "--callgrind-out-file=%s/" OUT, folder);
    const char *const words[CALLGRIND_ARGS] = {program,
                                               "--quiet",
                                               "--tool=callgrind",
                                               out,
                                               "--zero-before=callgrind_begins",
                                               "--dump-before=callgrind_ends",
                                               "--dump-line=no", /* a shorter file */
                                               "--vgdb=no"};
    memcpy(argv, words, sizeof words);
    return program;
}

int callgrind_count(const char *folder, uint64_t *instructions)
{
    char file[CALLGRIND_PATH + 16], line[512];
    int e = ENODATA;

    snprintf(file, sizeof file, "%s/" OUT ".1", folder);
    FILE *dump = fopen(file, "r");
    while (dump && fgets(line, sizeof line, dump))
        if (sscanf(line, "totals: %" SCNu64, instructions) == 1)
            e = 0;
    if (dump)
        fclose(dump);
    sweep(folder);
    return e;
}

/* Not merged, though they do the same: callgrind tells them by their names. */
__attribute__((noipa)) void callgrind_begins(void)
{
    __asm__ volatile("# window");
}

__attribute__((noipa)) void callgrind_ends(void)
{
    __asm__ volatile("# end of the window");
}

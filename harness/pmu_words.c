/*
 * pmu_words.c - see pmu_words.h.
 */
#include "pmu_words.h"

#include "pmu.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NEAREST 3

struct search {
    char wanted[PMU_NAME_SIZE];
    char best[NEAREST][PMU_NAME_SIZE];
    unsigned distance[NEAREST]; /* ascending */
};

static unsigned min2(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edit distance where swapping two neighbours is one edit (Damerau 1964, in the restricted form of
 * Oommen & Loke 1997), whatever the case. Both are shorter than PMU_NAME_SIZE. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][PMU_NAME_SIZE + 1], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

    for (unsigned j = 0; j <= lb; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);

            row[j] = min2(min2(row[j - 1], above[j]) + 1, above[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]))
                row[j] = min2(row[j], above2[j - 2] + 1);
        }
    }
    return rows[la % 3][lb];
}

static int compare(const char *name, const char *help, void *arg)
{
    struct search *search = arg;
    const char *colon = strchr(name, ':');
    unsigned d;
    int at = NEAREST;

    (void)help;
    if (strlen(name) >= PMU_NAME_SIZE)
        return 0;
    d = distance(search->wanted, name);
    /* The event of a tracepoint, or a unit mask, without what stands before the colon. */
    if (colon && !strchr(search->wanted, ':'))
        d = min2(d, distance(search->wanted, colon + 1) + 1);
    while (at > 0 && d < search->distance[at - 1])
        at--;
    if (at == NEAREST)
        return 0;
    for (int i = NEAREST - 1; i > at; i--) {
        memcpy(search->best[i], search->best[i - 1], sizeof(search->best[i]));
        search->distance[i] = search->distance[i - 1];
    }
    snprintf(search->best[at], sizeof(search->best[at]), "%s", name);
    search->distance[at] = d;
    return 0;
}

void pmu_words_unknown(const char *name, pmu_each *each, char *reason, size_t size)
{
    struct search search = {.distance = {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    const char *colon = strrchr(name, ':'), *suffix = "";
    int n;

    snprintf(search.wanted, sizeof(search.wanted), "%s", name);
    if (colon && colon[1] && !colon[1 + strspn(colon + 1, "ukh")]) {
        suffix = colon;
        search.wanted[colon - name] = '\0';
    }
    each(compare, &search);

    n = snprintf(reason, size, "unknown event \"%.63s\"", name);
    for (int i = 0; i < NEAREST && n < (int)size; i++) {
        /* A name that shares hardly a letter is no help. */
        if (search.distance[i] > 2 + strlen(search.wanted) / 3)
            break;
        n += snprintf(reason + n, size - (size_t)n, "%s %.50s%s",
                      i ? "," : "; nearest:", search.best[i], suffix);
    }
    if (search.distance[0] > 2 + strlen(search.wanted) / 3 && n < (int)size)
        snprintf(reason + n, size - (size_t)n, "; `threadlab list events` names them all");
}

static int paranoid_level(void)
{
    FILE *file = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
    int level = -100;

    if (!file)
        return -100;
    if (fscanf(file, "%d", &level) != 1)
        level = -100;
    fclose(file);
    return level;
}

void pmu_words_refused(int error, const struct pmu_asked *asked, char *reason, size_t size)
{
    int level, needed = asked->kernel ? 1 : 2;
    const char *text = strerror(error);

    switch (error) {
    case EACCES:
        level = paranoid_level();
        if (level > needed)
            snprintf(reason, size,
                     "perf_event_paranoid is %d: run as root, or sysctl "
                     "kernel.perf_event_paranoid=%d (perf_event_open: %s)",
                     level, needed, text);
        else
            snprintf(reason, size,
                     "a security policy forbids it, not perf_event_paranoid (perf_event_open: %s)",
                     text);
        break;
    case EPERM:
        snprintf(reason, size,
                 "forbidden, as by a container's seccomp filter: allow perf_event_open or add "
                 "CAP_PERFMON (perf_event_open: %s)",
                 text);
        break;
    case ENOSYS:
        snprintf(reason, size,
                 "no perf_event_open in this kernel, or a seccomp filter hides it "
                 "(perf_event_open: %s)",
                 text);
        break;
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
        if (!asked->hardware)
            snprintf(reason, size, "this kernel lacks the event (perf_event_open: %s)", text);
        else if (asked->pmu_present)
            snprintf(reason, size, "this PMU lacks the event (perf_event_open: %s)", text);
        else
            snprintf(reason, size, "the kernel offers no hardware PMU here (perf_event_open: %s)",
                     text);
        break;
    case EINVAL:
        snprintf(reason, size, "it cannot be counted for a process%s (perf_event_open: %s)",
                 asked->own_pmu ? ", perhaps only for a whole package" : "", text);
        break;
    case EMFILE:
        snprintf(reason, size, "too many open files: raise ulimit -n (perf_event_open: %s)", text);
        break;
    default:
        snprintf(reason, size, "perf_event_open: %s", text);
    }
}

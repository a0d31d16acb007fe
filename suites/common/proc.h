/*
 * proc.h - what the kernel says about the memory of this process.
 */
#ifndef SUITES_PROC_H
#define SUITES_PROC_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The number of KiB behind a key of a /proc file, as bytes; -1: not there. */
static inline int64_t proc_bytes(const char *path, const char *key)
{
    FILE *f = fopen(path, "re");
    char line[256];
    int64_t kib = -1;

    if (!f)
        return -1;
    while (kib < 0 && fgets(line, sizeof(line), f)) {
        if (strncmp(line, key, strlen(key)) == 0 &&
            sscanf(line + strlen(key), "%" SCNd64, &kib) != 1)
            break;
    }
    fclose(f);
    return kib < 0 ? -1 : kib * 1024;
}

/* Resident user memory. Walks the page tables: exact, unlike statm, whose per-CPU counters may be
 * some hundred KiB off. */
static inline int64_t proc_resident(void)
{
    return proc_bytes("/proc/self/smaps_rollup", "Rss:");
}

/* Lines of a /proc file; -1: it cannot be read. */
static inline long proc_lines(const char *path)
{
    FILE *f = fopen(path, "re");
    long lines = 0;

    if (!f)
        return -1;
    for (int c; (c = fgetc(f)) != EOF;)
        lines += c == '\n';
    fclose(f);
    return lines;
}

static inline int64_t proc_page_tables(void)
{
    return proc_bytes("/proc/self/status", "VmPTE:");
}

#endif

/*
 * address-space.h - how much this process has mapped, and a limit to what it may map besides.
 */
#ifndef SUITES_ADDRESS_SPACE_H
#define SUITES_ADDRESS_SPACE_H

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Bytes; 0: not known. */
static inline size_t space_mapped(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    size_t pages = 0;

    if (f) {
        if (fscanf(f, "%zu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The process may map `more` bytes from now on. before: takes the limit as it was, for setrlimit.
 * Answers 0 or an error number. */
static inline int space_limit(size_t more, struct rlimit *before)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, before))
        return errno;
    limit = *before;
    limit.rlim_cur = (rlim_t)space_mapped() + more;
    return setrlimit(RLIMIT_AS, &limit) ? errno : 0;
}

#endif

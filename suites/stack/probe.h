/*
 * probe.h - what of a stack can be read, without touching what cannot: the kernel copies a byte
 * and answers EFAULT (process_vm_readv(2) on oneself).
 */
#ifndef SUITES_STACK_PROBE_H
#define SUITES_STACK_PROBE_H

#include "check.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

static inline size_t probe_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Linux 3.2; a container's seccomp filter may forbid it. */
static inline bool probe_works(void)
{
    char byte = 1, copy = 0;
    struct iovec to = {&copy, 1}, from = {&byte, 1};

    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

static inline bool probe_readable(uintptr_t address)
{
    char copy;
    struct iovec to = {&copy, 1}, from = {(void *)address, 1};
    int saved = errno;
    bool readable = process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;

    errno = saved;
    return readable;
}

/* The lowest address that can be read without a gap from `inside` down, at most `limit` below. */
static inline uintptr_t probe_low(uintptr_t inside, size_t limit)
{
    uintptr_t page = probe_page(), at = inside & ~(page - 1), end = at > limit ? at - limit : page;

    while (at > end && probe_readable(at - page))
        at -= page;
    return at;
}

/* The bytes right below `low` that cannot be read, at most `limit`. */
static inline size_t probe_gap(uintptr_t low, size_t limit)
{
    size_t page = probe_page(), gap = 0;

    while (gap < limit && !probe_readable(low - gap - page))
        gap += page;
    return gap;
}

#endif

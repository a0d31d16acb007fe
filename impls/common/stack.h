/*
 * stack.h - memory for thread stacks, with guards that cost no mapping of their own.
 *
 * A guard is made by madvise(MADV_GUARD_INSTALL) (Linux 6.13): page-table markers, so that a
 * guarded stack needs no VMA of its own and 1,000,000 of them stay far below vm.max_map_count.
 * Older kernels answer EINVAL: then it is mprotect(PROT_NONE), which costs two VMAs a stack and
 * ends with ENOMEM at about 32,000 stacks. stack_guard_method() tells which of the two is in use.
 *
 * One stack:             stack_map, stack_unmap.
 * Many of equal size:    stack_slab_map (one mapping, guards in one system call per 512),
 *                        stack_slab_get, stack_slab_unmap.
 *
 * Any thread; no state but the method found. Nothing here touches errno or the pages themselves.
 *
 *     base                low                                   high
 *     |<---- guard ------>|<-------------- usable ------------->|      stacks grow down from high
 */
#ifndef TL_STACK_H
#define TL_STACK_H

#include <stddef.h>

/* Invariants: base <= low < high; low - base == guard; base, low and high are page-aligned, unless
 * it is a part of a slab without guards (then low and high are aligned to 64). */
struct stack {
    void *base;
    size_t map_size;
    void *low, *high;
    size_t guard;
};

enum stack_guard_method {
    STACK_GUARD_UNKNOWN, /* no guard was asked for yet */
    STACK_GUARD_MARKER,  /* MADV_GUARD_INSTALL */
    STACK_GUARD_PROTECT, /* mprotect(PROT_NONE) */
};

/* usable and guard are rounded up to pages. guard 0: none. Returns 0, EINVAL (usable is 0 or the
 * sum overflows), ENOMEM (memory or the number of mappings). */
int stack_map(struct stack *s, size_t usable, size_t guard);
void stack_unmap(struct stack *s);

/* The guard where none is asked for: the step in which compilers probe frames larger than a page
 * (GCC, -fstack-clash-protection): 64 KiB on aarch64, whose pages may be as large, else 4 KiB. */
static inline size_t stack_guard_default(size_t page)
{
#if defined(__aarch64__)
    return page > 65536 ? page : 65536;
#else
    return page;
#endif
}

/* Makes [base, base + size), which is page-aligned, fault. 0 or an error number. */
int stack_guard_install(void *base, size_t size);
enum stack_guard_method stack_guard_method(void);
/* For tests: the method to use from now on (PROTECT), UNKNOWN: find out again. */
void stack_guard_force(enum stack_guard_method method);

/* n stacks in one mapping. Invariants: stride == guard + usable; with a guard, both are multiples
 * of the page size; without, usable is a multiple of 64 and may be less than a page. */
struct stack_slab {
    void *base;
    size_t map_size;
    size_t stride, guard;
    size_t n;
};

int stack_slab_map(struct stack_slab *slab, size_t n, size_t usable, size_t guard);
void stack_slab_get(const struct stack_slab *slab, size_t i, struct stack *s);
void stack_slab_unmap(struct stack_slab *slab);

#endif

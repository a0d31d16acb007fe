/*
 * private-errno.h - for the checks of errno and their mutants.
 */
#ifndef SUITES_PRIVATE_ERRNO_H
#define SUITES_PRIVATE_ERRNO_H

#include "../common/crowd.h"
#include "../common/opaque.h"

#include <errno.h>

/* Where errno lives is asked anew each time: the compiler may keep the address within a function,
 * which is no fault of the implementation. */
static OPAQUE void errno_set(int value)
{
    errno = value;
}

static OPAQUE int errno_get(void)
{
    return errno;
}

/* No error has these numbers, and each thread has its own. */
static inline int errno_of(unsigned i)
{
    return 10001 + (int)i;
}

/* False: noted. Puts errno right again, so that one leak is one reason. */
static inline bool errno_kept(struct tl_ctx *ctx, unsigned i, const char *where)
{
    int got = errno_get();
    bool kept = TL_EXPECT(ctx, got == errno_of(i), "thread %u: errno is %d %s, it was %d", i, got,
                          where, errno_of(i));

    errno_set(errno_of(i));
    return kept;
}

/* For mutants: a call during which errno is not kept with the thread, but in one place for all. */
static __attribute__((unused)) _Atomic int errno_shared;

#define ERRNO_LEAKS(call)                      \
    ({                                         \
        atomic_store(&errno_shared, errno);    \
        __auto_type result_ = (call);          \
        errno_set(atomic_load(&errno_shared)); \
        result_;                               \
    })

#endif

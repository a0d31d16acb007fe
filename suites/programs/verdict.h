/*
 * verdict.h - for programs that check one clause each: the exit status is the verdict, the last
 * line the reason (harness/program.h). They include nothing of threadlab: any compiler for pthread
 * programs compiles them, and `threadlab cc` puts them on an implementation.
 */
#ifndef PROGRAMS_VERDICT_H
#define PROGRAMS_VERDICT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PASS, FAIL, UNRESOLVED, UNSUPPORTED = 4, UNTESTED };

/* Ends the process. */
#define FAILED(...) (printf(__VA_ARGS__), putchar('\n'), fflush(stdout), _Exit(FAIL))

/* The call answers what is right: an error number, or 0. */
#define ANSWERS(call, right)                                                                  \
    do {                                                                                      \
        int got_ = (call);                                                                    \
        if (got_ != (right))                                                                  \
            FAILED("%s answered %d (%s), right is %d", #call, got_, strerror(got_), (right)); \
    } while (0)

/* The call fails with errno; the call works. */
#define FAILS(call, right)                                                                     \
    do {                                                                                       \
        errno = 0;                                                                             \
        if ((call) != -1 || errno != (right))                                                  \
            FAILED("%s left errno %d (%s), right is -1 and %d", #call, errno, strerror(errno), \
                   (right));                                                                   \
    } while (0)
#define WORKS(call)                                          \
    do {                                                     \
        errno = 0;                                           \
        if ((call) == -1)                                    \
            FAILED("%s failed: %s", #call, strerror(errno)); \
    } while (0)

#define HOLDS(condition)                      \
    do {                                      \
        if (!(condition))                     \
            FAILED("not so: %s", #condition); \
    } while (0)

/* What the program is to look at cannot be brought about. */
#define NEEDS(call)                                                             \
    do {                                                                        \
        int got_ = (call);                                                      \
        if (got_) {                                                             \
            printf("%s answered %d (%s)\n", #call, got_, strerror(got_));       \
            exit(got_ == ENOTSUP || got_ == ENOSYS ? UNSUPPORTED : UNRESOLVED); \
        }                                                                       \
    } while (0)

static inline __attribute__((unused)) struct timespec after_ms(clockid_t clock, long ms)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static inline __attribute__((unused)) int is_past(clockid_t clock, const struct timespec *t)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec > t->tv_sec || (now.tv_sec == t->tv_sec && now.tv_nsec >= t->tv_nsec);
}

#endif

/*
 * posix.h - between the conventions of the C library (errno, struct timespec) and those of the
 * contract (positive error numbers, nanoseconds, errno left alone), for implementations that call
 * it.
 */
#ifndef TL_POSIX_H
#define TL_POSIX_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

static inline struct timespec posix_time(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

/* CLOCK_MONOTONIC, as one number. */
static inline uint64_t posix_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* For a function that answers by errno: result is not 0 if it failed, saved is errno of before. */
static inline int posix_answer(int result, int saved)
{
    int err = result ? errno : 0;

    errno = saved;
    return err;
}

/* sigtimedwait(2), but what is left of the time after a handler has run is waited for, too: no
 * EINTR, as in sigwait. info may be NULL. EAGAIN: none of the set came. */
static inline int posix_sigtimedwait(const sigset_t *set, siginfo_t *info, uint64_t ns)
{
    uint64_t begin = posix_now(), gone = 0;
    int saved = errno, err;

    do {
        struct timespec left = posix_time(gone < ns ? ns - gone : 0);

        err = posix_answer(sigtimedwait(set, info, &left) < 0, saved);
        gone = posix_now() - begin;
    } while (err == EINTR);
    return err;
}

/* sigsuspend(2), for which to have been ended by a handler is success. */
static inline int posix_sigsuspend(const sigset_t *mask)
{
    int saved = errno, err = posix_answer(sigsuspend(mask), saved);

    return err == EINTR ? 0 : err;
}

static inline int posix_sigpending(sigset_t *set)
{
    int saved = errno;

    return posix_answer(sigpending(set), saved);
}

/* For ns, whatever handlers run meanwhile. */
static inline int posix_sleep(uint64_t ns)
{
    struct timespec left = posix_time(ns);
    int err;

    do {
        err = clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left);
    } while (err == EINTR);
    return err;
}

#endif

/*
 * epoll.c - epoll_wait and its like, which event loops live in. An epoll instance is a file that
 * can be polled: it is waited for as one is (wait.c), and then asked without waiting.
 */
#include "veneer.h"

#include <poll.h>
#include <sys/epoll.h>
#include <time.h>

#define MS 1000000u

/* Until fd is readable, or the clock is at `end`, or veneer_handled() is not `before`: 1, 0, or -1
 * and errno. The jacket does not know what that was: where a mask has let signals in since, it is
 * asked in slices. In a point. */
static int await(int fd, uint64_t end, bool masked, uint32_t before)
{
    const struct tl_io_ops *io = veneer.impl->io;
    struct veneer_thread *self = veneer_self();
    struct pollfd one = {.fd = fd, .events = POLLIN};
    uint64_t now, left,
        slice = veneer.blocks_alone || masked ? VENEER_SLICE_NS : 1000000 * (uint64_t)MS;
    bool jacket = !veneer.blocks_alone && io && io->poll;
    int n, err;

    for (;;) {
        if (veneer_handled(self) != before)
            return veneer_answer(EINTR);
        now = veneer_now(CLOCK_MONOTONIC);
        left = end > now ? end - now : 0;
        if (left > slice)
            left = slice;
        if (jacket) {
            err = io->poll(&one, 1, (int)((left + MS - 1) / MS), &n);
            if (err)
                n = veneer_answer(err);
        } else {
            n = poll(&one, 1, veneer.blocks_alone ? (int)((left + MS - 1) / MS) : 0);
        }
        if (n || now >= end)
            return n;
        veneer_test();
        if (!jacket && !veneer.blocks_alone)
            veneer_pause(left < VENEER_POLL_NS ? left : VENEER_POLL_NS);
    }
}

static long wait_now(const long *a)
{
    int fd = (int)a[0], max = (int)a[2], n;
    struct epoll_event *events = (void *)a[1];
    const struct timespec *timeout = (void *)a[3];
    const sigset_t *mask = (void *)a[4];
    uint64_t end = timeout ? veneer_now(CLOCK_MONOTONIC) + veneer_ns(timeout) : UINT64_MAX;
    bool none = timeout && !veneer_ns(timeout);
    sigset_t old;
    uint32_t before = veneer_open(mask, &old);

    /* What made it readable may be another thread's by now. */
    do
        n = epoll_wait(fd, events, max, 0);
    while (!n && !none && (n = await(fd, end, mask, before)) > 0);
    if (!n && veneer_handled(veneer_self()) != before)
        n = veneer_answer(EINTR);
    if (mask)
        veneer.impl->signal->mask(SIG_SETMASK, &old, NULL);
    return n;
}

int WRAP(epoll_pwait2)(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
                       const sigset_t *mask);
int WRAP(epoll_pwait2)(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
                       const sigset_t *mask)
{
    if (!veneer.running || (mask && !veneer.impl->signal))
        return epoll_pwait2(fd, events, max, timeout, mask);
    if (timeout && (!veneer_time_ok(timeout) || timeout->tv_sec < 0))
        return veneer_answer(EINVAL);
    return (int)POINT(wait_now, fd, (long)events, max, (long)timeout, (long)mask);
}

int WRAP(epoll_pwait)(int fd, struct epoll_event *events, int max, int ms, const sigset_t *mask);
int WRAP(epoll_pwait)(int fd, struct epoll_event *events, int max, int ms, const sigset_t *mask)
{
    struct timespec timeout = veneer_timespec(ms < 0 ? 0 : (uint64_t)ms * MS);

    return __wrap_epoll_pwait2(fd, events, max, ms < 0 ? NULL : &timeout, mask);
}

int WRAP(epoll_wait)(int fd, struct epoll_event *events, int max, int ms);
int WRAP(epoll_wait)(int fd, struct epoll_event *events, int max, int ms)
{
    return __wrap_epoll_pwait(fd, events, max, ms, NULL);
}

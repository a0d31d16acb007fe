/*
 * wait.c - waiting for time, for files and for processes.
 *
 * Two ways, by what the implementation offers: a call stops its caller only, and is made in slices,
 * between which a request of cancellation is looked for; or it would stop the others, and is made
 * without waiting, with a sleep of the implementation's in between (its own jackets, where it has
 * them).
 */
#include "veneer.h"

#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000u

uint64_t veneer_now(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return veneer_ns(&now);
}

bool veneer_time_ok(const struct timespec *t)
{
    return t->tv_nsec >= 0 && t->tv_nsec < (long)NS;
}

/* The longest that fits is 584 years. */
uint64_t veneer_ns(const struct timespec *t)
{
    if (t->tv_sec < 0)
        return 0;
    if ((uint64_t)t->tv_sec >= UINT64_MAX / 2 / NS)
        return UINT64_MAX / 2;
    return (uint64_t)t->tv_sec * NS + (uint64_t)t->tv_nsec;
}

struct timespec veneer_timespec(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / NS), (long)(ns % NS)};
}

/* ---- a moment -------------------------------------------------------------------------------- */

void veneer_pause(uint64_t ns)
{
    struct veneer_thread *self = veneer_self();
    bool point = atomic_load(&self->points);
    struct timespec time = veneer_timespec(ns);

    if (!veneer.running || veneer.blocks_alone) {
        /* Not a cancellation point of the C library's, and ended by a handler. */
        ppoll(NULL, 0, &time, NULL);
    } else {
        int old = point ? TL_CANCEL_ENABLE : veneer_cancel_off();

        veneer.impl->sleep(ns);
        if (!point)
            veneer_cancel_back(old);
    }
    if (point)
        veneer_test();
}

#define BREATH 64 /* calls; a guess: rare enough to cost nothing, often enough to be fair */

void veneer_breathe(void)
{
    static unsigned calls;

    if (veneer.impl->traits & TL_PREEMPTIVE || !veneer.running || !veneer_own ||
        atomic_load(&veneer_own->in_handler))
        return;
    if (++calls % BREATH == 0)
        veneer.impl->yield();
}

/* In a point. Until the clock says so: 0 or EINTR. */
static int sleep_until(clockid_t clock, uint64_t end)
{
    struct veneer_thread *self = veneer_self();
    uint32_t handled = veneer_handled(self);
    uint64_t now, left;

    while ((now = veneer_now(clock)) < end) {
        left = end - now;
        if (veneer_handled(self) != handled)
            return EINTR;
        veneer_pause(left < VENEER_SLICE_NS ? left : VENEER_SLICE_NS);
    }
    return 0;
}

/* ---- sleep ----------------------------------------------------------------------------------- */

static long sleep_now(const long *a)
{
    clockid_t clock = (clockid_t)a[0];
    int flags = (int)a[1];
    const struct timespec *time = (void *)a[2];
    struct timespec *left = (void *)a[3];
    uint64_t end, now;
    int err;

    end = veneer_ns(time);
    if (!(flags & TIMER_ABSTIME)) {
        /* The remainder of a relative sleep is not the wall clock's, which may be set. */
        if (clock == CLOCK_REALTIME)
            clock = CLOCK_MONOTONIC;
        end += veneer_now(clock);
    }
    err = sleep_until(clock, end);
    if (err && left && !(flags & TIMER_ABSTIME)) {
        now = veneer_now(clock);
        *left = veneer_timespec(now < end ? end - now : 0);
    }
    return err;
}

static int sleep_for(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    return (int)POINT(sleep_now, clock, flags, (long)time, (long)left);
}

int WRAP(clock_nanosleep)(clockid_t clock, int flags, const struct timespec *time,
                          struct timespec *left);
int WRAP(clock_nanosleep)(clockid_t clock, int flags, const struct timespec *time,
                          struct timespec *left)
{
    struct timespec now;

    if (!veneer_time_ok(time) || time->tv_sec < 0)
        return EINVAL;
    /* What the kernel refuses, it refuses here, too: an unknown clock, one that cannot be slept on.
     */
    if (clock == CLOCK_THREAD_CPUTIME_ID || clock_gettime(clock, &now))
        return EINVAL;
    return sleep_for(clock, flags, time, left);
}

int WRAP(nanosleep)(const struct timespec *time, struct timespec *left);
int WRAP(nanosleep)(const struct timespec *time, struct timespec *left)
{
    if (!veneer_time_ok(time) || time->tv_sec < 0)
        return veneer_answer(EINVAL);
    return veneer_answer(sleep_for(CLOCK_REALTIME, 0, time, left));
}

unsigned WRAP(sleep)(unsigned seconds);
unsigned WRAP(sleep)(unsigned seconds)
{
    struct timespec time = {(time_t)seconds, 0}, left = {0};

    if (!sleep_for(CLOCK_REALTIME, 0, &time, &left))
        return 0;
    return (unsigned)left.tv_sec + (left.tv_nsec >= (long)NS / 2);
}

int WRAP(usleep)(useconds_t us);
int WRAP(usleep)(useconds_t us)
{
    struct timespec time = veneer_timespec((uint64_t)us * 1000);

    return veneer_answer(sleep_for(CLOCK_REALTIME, 0, &time, NULL));
}

int WRAP(sched_yield)(void);
int WRAP(sched_yield)(void)
{
    if (veneer.running)
        veneer.impl->yield();
    return 0;
}

int WRAP(pthread_yield)(void);
int WRAP(pthread_yield)(void)
{
    return __wrap_sched_yield();
}

/* ---- files ----------------------------------------------------------------------------------- */

/* When a wait for it is over by SO_RCVTIMEO or SO_SNDTIMEO. */
static uint64_t limit_of(int fd, short events)
{
    struct timeval limit = {0};
    socklen_t size = sizeof limit;

    if (getsockopt(fd, SOL_SOCKET, events & POLLOUT ? SO_SNDTIMEO : SO_RCVTIMEO, &limit, &size) ||
        (!limit.tv_sec && !limit.tv_usec))
        return UINT64_MAX;
    return veneer_now(CLOCK_MONOTONIC) + (uint64_t)limit.tv_sec * NS +
           (uint64_t)limit.tv_usec * 1000;
}

int veneer_wait_fd(int fd, short events)
{
    struct veneer_thread *self = veneer_self();
    uint32_t interrupted = veneer_interrupted(self);
    const struct tl_io_ops *io = veneer.impl->io;
    struct pollfd one = {.fd = fd, .events = events};
    bool jacket = !veneer.blocks_alone && io && io->poll;
    uint64_t end, now, slice = jacket ? 10 * VENEER_SLICE_NS : VENEER_SLICE_NS, left;
    int n, saved = errno, err, ms;

    if (!veneer.running)
        return 0;
    n = poll(&one, 1, 0);
    end = n > 0 ? 0 : limit_of(fd, events);
    for (;;) {
        errno = saved;
        if (n > 0)
            return 0; /* an error, too: the call tells which */
        veneer_test();
        if (veneer_interrupted(self) != interrupted)
            return EINTR;
        now = end == UINT64_MAX ? 0 : veneer_now(CLOCK_MONOTONIC);
        if (now >= end)
            return EAGAIN;
        left = end - now < slice ? end - now : slice;
        ms = (int)((left + 999999) / 1000000);
        if (jacket) {
            err = io->poll(&one, 1, ms, &n);
            if (err && err != EINTR)
                return err;
            if (err)
                n = -1;
        } else {
            if (!veneer.blocks_alone)
                veneer_pause(left < VENEER_POLL_NS ? left : VENEER_POLL_NS);
            n = poll(&one, 1, veneer.blocks_alone ? ms : 0);
        }
    }
}

/* look(): > 0 found, 0 not yet, < 0 an error in errno. end 0: for ever. count() was `before` when
 * the wait began; another number ends it. The last answer. */
static int look_until(int (*look)(void *arg), void *arg, uint64_t end,
                      uint32_t (*count)(const struct veneer_thread *), uint32_t before)
{
    struct veneer_thread *self = veneer_self();
    uint64_t pause = VENEER_POLL_NS / 20, now;
    int n;

    for (;;) {
        n = look(arg);
        if (n)
            return n;
        if (count(self) != before)
            return veneer_answer(EINTR);
        now = veneer_now(CLOCK_MONOTONIC);
        if (end && now >= end)
            return 0;
        veneer_pause(end && end - now < pause ? end - now : pause);
        if (pause < 5 * VENEER_POLL_NS)
            pause *= 2;
    }
}

static uint64_t end_of(const struct timespec *timeout)
{
    uint64_t now = veneer_now(CLOCK_MONOTONIC);

    return timeout ? now + veneer_ns(timeout) + !(now + veneer_ns(timeout)) : 0;
}

uint32_t veneer_open(const sigset_t *mask, sigset_t *old)
{
    uint32_t before = veneer_handled(veneer_self());

    if (mask)
        veneer.impl->signal->mask(SIG_SETMASK, mask, old);
    return before;
}

struct polled {
    struct pollfd *fds;
    nfds_t n;
};

/* A signal of the implementation's own (a quantum is over) makes a call that does not wait answer
 * EINTR, too; whether a handler of the program's ran the count tells. */
static int quiet(int n)
{
    return n < 0 && errno == EINTR ? 0 : n;
}

static int look_poll(void *arg)
{
    const struct polled *p = arg;

    return quiet(poll(p->fds, p->n, 0));
}

/* The same by the implementation's jacket. It does not know what the count was before: with a mask
 * it waits in slices. */
static int jacket_poll(const struct polled *p, uint64_t end, bool sliced, uint32_t before)
{
    struct veneer_thread *self = veneer_self();
    uint64_t now, left, slice = sliced ? VENEER_SLICE_NS : UINT64_C(1000000) * NS;
    int n, err;

    for (;;) {
        now = veneer_now(CLOCK_MONOTONIC);
        left = !end ? slice : end > now ? end - now : 0;
        left = left < slice ? left : slice;
        err = veneer.impl->io->poll(p->fds, p->n, (int)((left + 999999) / 1000000), &n);
        if (err)
            return veneer_answer(err);
        if (n)
            return n;
        if (sliced && veneer_handled(self) != before)
            return veneer_answer(EINTR);
        if (end && veneer_now(CLOCK_MONOTONIC) >= end)
            return 0;
        veneer_test();
    }
}

static long poll_now(const long *a)
{
    struct polled p = {(void *)a[0], (nfds_t)a[1]};
    const struct timespec *timeout = (void *)a[2];
    const sigset_t *mask = (void *)a[3];
    const struct tl_io_ops *io = veneer.impl->io;
    uint64_t end = end_of(timeout);
    sigset_t old;
    uint32_t before = veneer_open(mask, &old);
    int n;

    if (io && io->poll)
        n = jacket_poll(&p, end, mask, before);
    else
        n = look_until(look_poll, &p, end, veneer_handled, before);
    if (mask)
        veneer.impl->signal->mask(SIG_SETMASK, &old, NULL);
    return n;
}

int WRAP(ppoll)(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
int WRAP(ppoll)(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    if (timeout && !veneer_time_ok(timeout))
        return veneer_answer(EINVAL);
    return (int)POINT(poll_now, (long)fds, (long)n, (long)timeout, (long)mask);
}

int WRAP(poll)(struct pollfd *fds, nfds_t n, int ms);
int WRAP(poll)(struct pollfd *fds, nfds_t n, int ms)
{
    struct timespec timeout = veneer_timespec((uint64_t)(ms < 0 ? 0 : ms) * 1000000);

    return (int)POINT(poll_now, (long)fds, (long)n, (long)(ms < 0 ? NULL : &timeout), 0);
}

struct selected {
    int n;
    fd_set *sets[3], given[3];
};

static int look_select(void *arg)
{
    struct selected *s = arg;
    struct timeval none = {0};
    int n;

    for (int i = 0; i < 3; i++)
        if (s->sets[i])
            *s->sets[i] = s->given[i];
    n = select(s->n, s->sets[0], s->sets[1], s->sets[2], &none);
    for (int i = 0; i < 3; i++)
        if (n < 0 && s->sets[i])
            FD_ZERO(s->sets[i]); /* which that leaves as they are */
    return quiet(n);
}

static long select_now(const long *a)
{
    struct selected s = {.n = (int)a[0], .sets = {(void *)a[1], (void *)a[2], (void *)a[3]}};
    const struct timespec *timeout = (void *)a[4];
    const sigset_t *mask = (void *)a[5];
    uint64_t end = end_of(timeout);
    sigset_t old;
    uint32_t before = veneer_open(mask, &old);
    int n;

    for (int i = 0; i < 3; i++)
        if (s.sets[i])
            s.given[i] = *s.sets[i];
    n = look_until(look_select, &s, end, veneer_handled, before);
    for (int i = 0; n < 0 && i < 3; i++)
        if (s.sets[i])
            *s.sets[i] = s.given[i];
    if (mask)
        veneer.impl->signal->mask(SIG_SETMASK, &old, NULL);
    return n;
}

int WRAP(pselect)(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
                  const sigset_t *mask);
int WRAP(pselect)(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
                  const sigset_t *mask)
{
    if (timeout && (!veneer_time_ok(timeout) || timeout->tv_sec < 0))
        return veneer_answer(EINVAL);
    return (int)POINT(select_now, n, (long)r, (long)w, (long)e, (long)timeout, (long)mask);
}

int WRAP(select)(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout);
int WRAP(select)(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
    struct timespec time;

    if (!timeout)
        return __wrap_pselect(n, r, w, e, NULL, NULL);
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
        return veneer_answer(EINVAL);
    time.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
    time.tv_nsec = timeout->tv_usec % 1000000 * 1000;
    return __wrap_pselect(n, r, w, e, &time, NULL);
}

/* ---- processes ------------------------------------------------------------------------------- */

struct waited {
    pid_t pid, got;
    int *status, options;
    struct rusage *usage;
};

static int look_wait(void *arg)
{
    struct waited *w = arg;

    w->got = wait4(w->pid, w->status, w->options | WNOHANG, w->usage);
    return w->got < 0 ? -1 : w->got > 0;
}

static long wait_now(const long *a)
{
    struct waited w = {(pid_t)a[0], 0, (int *)a[1], (int)a[2], (void *)a[3]};
    const struct tl_io_ops *io = veneer.impl->io;
    int err;

    if (w.options & WNOHANG)
        return wait4(w.pid, w.status, w.options, w.usage);
    if (io && io->waitpid && !w.usage) {
        err = io->waitpid(w.pid, w.status, w.options, &w.got);
        if (!err)
            return w.got;
        errno = err;
        return -1;
    }
    return look_until(look_wait, &w, 0, veneer_interrupted, veneer_interrupted(veneer_self())) < 0
               ? -1
               : w.got;
}

pid_t veneer_waitpid(pid_t pid, int *status)
{
    return (pid_t)wait_now((const long[]){pid, (long)status, 0, 0});
}

pid_t WRAP(wait4)(pid_t pid, int *status, int options, struct rusage *usage);
pid_t WRAP(wait4)(pid_t pid, int *status, int options, struct rusage *usage)
{
    return (pid_t)POINT(wait_now, pid, (long)status, options, (long)usage);
}

pid_t WRAP(waitpid)(pid_t pid, int *status, int options);
pid_t WRAP(waitpid)(pid_t pid, int *status, int options)
{
    return __wrap_wait4(pid, status, options, NULL);
}

pid_t WRAP(wait)(int *status);
pid_t WRAP(wait)(int *status)
{
    return __wrap_wait4(-1, status, 0, NULL);
}

pid_t WRAP(wait3)(int *status, int options, struct rusage *usage);
pid_t WRAP(wait3)(int *status, int options, struct rusage *usage)
{
    return __wrap_wait4(-1, status, options, usage);
}

struct waited_id {
    idtype_t type;
    id_t id;
    siginfo_t *info;
    int options;
};

static int look_waitid(void *arg)
{
    struct waited_id *w = arg;

    w->info->si_pid = 0;
    return waitid(w->type, w->id, w->info, w->options | WNOHANG) ? -1 : w->info->si_pid > 0;
}

static long waitid_now(const long *a)
{
    siginfo_t none;
    struct waited_id w = {(idtype_t)a[0], (id_t)a[1], a[2] ? (siginfo_t *)a[2] : &none, (int)a[3]};

    if (w.options & WNOHANG)
        return waitid(w.type, w.id, (siginfo_t *)a[2], w.options);
    return look_until(look_waitid, &w, 0, veneer_interrupted, veneer_interrupted(veneer_self())) < 0
               ? -1
               : 0;
}

int WRAP(waitid)(idtype_t type, id_t id, siginfo_t *info, int options);
int WRAP(waitid)(idtype_t type, id_t id, siginfo_t *info, int options)
{
    return (int)POINT(waitid_now, (long)type, (long)id, (long)info, options);
}

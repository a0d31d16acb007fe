/*
 * detect.c - the monitor of the detectors of detect.h: one loop for all kinds.
 */
#include "detect_kind.h"

#include "sys.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BELL (~0u)
#define CALL_TICKS 2 /* of CPU time: 10 to 20 ms. A call that takes more is not waited for */
#define FOREVER UINT64_MAX

static const struct detect_ops *const kinds[DETECT_KINDS] = {
    [DETECT_PROC] = &detect_proc,
    [DETECT_PERF] = &detect_perf,
    [DETECT_SECCOMP] = &detect_seccomp,
};

enum detect_kind detect_kind_of(const char *name)
{
    unsigned i = 0;

    while (i < DETECT_KINDS && strcmp(kinds[i]->name, name))
        i++;
    return i;
}

const char *detect_name(enum detect_kind kind)
{
    return kinds[kind]->name;
}

/* ---- opening and closing --------------------------------------------------------------------- */

int detect_watch(struct detect *d, int fd, unsigned key)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = key};

    return (int)-SYS_CALL(SYS_epoll_ctl, d->poll, EPOLL_CTL_ADD, fd, &event, 0, 0);
}

static void free_all(struct detect *d)
{
    if (d->poll >= 0)
        close(d->poll);
    if (d->bell >= 0)
        close(d->bell);
    free(d->buffer);
    pthread_mutex_destroy(&d->lock);
    sem_destroy(&d->silent);
    free(d);
}

int detect_open(enum detect_kind kind, struct detect **out, char *reason, size_t size)
{
    int error = kinds[kind]->probe(reason, size);
    struct detect *d;

    if (error)
        return error;
    d = calloc(1, sizeof(*d));
    if (!d) {
        snprintf(reason, size, "no memory for the detector");
        return ENOMEM;
    }
    d->ops = kinds[kind];
    pthread_mutex_init(&d->lock, NULL);
    sem_init(&d->silent, 0, 0);
    d->poll = epoll_create1(EPOLL_CLOEXEC);
    d->bell = d->poll < 0 ? -1 : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    error = d->bell < 0 ? errno : detect_watch(d, d->bell, BELL);
    if (!error && d->ops->open)
        error = d->ops->open(d);
    if (error) {
        snprintf(reason, size, "descriptors of the detector: %s", strerror(error));
        free_all(d);
        return error;
    }
    *out = d;
    return 0;
}

/* A timer, and not an eventfd: it is rung by a call that seccomp does not stop, since the ringer
 * may hold a lock that a call of detect_calls waits for. */
void detect_kick(struct detect *d)
{
    const struct itimerspec now = {.it_value = {0, 1}};

    SYS_CALL(SYS_timerfd_settime, d->bell, 0, &now, NULL, 0, 0);
}

static void free_slots(struct detect *d)
{
    for (unsigned i = 0; i < d->slots; i++) {
        if (!d->slot[i].flag)
            continue;
        if (d->ops->leave)
            d->ops->leave(d, &d->slot[i]);
        close(d->slot[i].stat);
        d->slot[i].flag = NULL;
    }
}

void detect_stop(struct detect *d)
{
    if (!d->running || atomic_exchange(&d->stopping, true))
        return;
    detect_kick(d);
    while (sem_wait(&d->silent) && errno == EINTR)
        ;
}

void detect_close(struct detect *d)
{
    detect_stop(d);
    bool left = d->running && d->ops->outlives; /* the monitor frees it, maybe at once */

    if (left)
        pthread_detach(d->monitor);
    else if (d->running)
        pthread_join(d->monitor, NULL);
    pthread_mutex_lock(&d->lock);
    free_slots(d);
    d->ended = true;
    detect_kick(d);
    pthread_mutex_unlock(&d->lock);
    if (!left)
        free_all(d);
}

int detect_may_fork(const struct detect *d)
{
    return d->ops->outlives ? ENOTSUP : 0;
}

/* The lock may be held by a thread that is not here. The rings of perf are not copied by fork. */
void detect_forget(struct detect *d)
{
    for (unsigned i = 0; i < d->slots; i++) {
        if (!d->slot[i].flag)
            continue;
        close(d->slot[i].stat);
        if (d->slot[i].fd >= 0)
            close(d->slot[i].fd);
    }
    close(d->poll);
    close(d->bell);
    free(d->buffer);
    free(d);
}

/* ---- the LWP's side -------------------------------------------------------------------------- */

/* It may wait for our lock. */
static void hide(struct detect_flag *flag)
{
    if (!(atomic_load_explicit(&flag->seq, memory_order_relaxed) & 1))
        detect_hide(flag);
}

int detect_adopt(struct detect *d, unsigned lwp, struct detect_flag *flag)
{
    struct detect_slot fresh = {.flag = flag, .fd = -1, .look = d->ops->look};
    int error;

    if (lwp >= DETECT_LWPS)
        return EINVAL;
    hide(flag);
    fresh.tid = (pid_t)SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0);
    error = detect_stat_open(&fresh);
    if (error)
        return error;
    struct detect_slot *s = &d->slot[lwp];

    pthread_mutex_lock(&d->lock);
    error = s->flag ? EINVAL : 0;
    if (!error) {
        fresh.blocked = s->blocked; /* its predecessor's: to be taken back */
        *s = fresh;
        error = d->ops->adopt ? d->ops->adopt(d, s) : 0;
        if (error)
            s->flag = NULL;
        else if (d->slots <= lwp)
            d->slots = lwp + 1;
    }
    pthread_mutex_unlock(&d->lock);
    if (error) {
        close(fresh.stat);
        return error;
    }
    if (d->ops->look == DETECT_ALWAYS) {
        flag->idle = &d->idle;
        flag->detect = d;
    }
    detect_show(flag);
    return 0;
}

void detect_leave(struct detect *d, unsigned lwp, struct detect_flag *flag)
{
    struct detect_slot *s = &d->slot[lwp];
    bool reported;

    hide(flag);
    flag->detect = NULL;
    pthread_mutex_lock(&d->lock);
    if (d->ops->leave)
        d->ops->leave(d, s);
    close(s->stat);
    s->flag = NULL;
    s->blocks = false;
    reported = s->blocked;
    pthread_mutex_unlock(&d->lock);
    if (reported)
        detect_kick(d);
}

/* ---- the monitor ----------------------------------------------------------------------------- */

/* Not by ppoll in front of epoll_wait: a perf event answers only once that it is readable. Before
 * Linux 5.11 the time is rounded up to milliseconds. */
static int wait_events(struct detect *d, struct epoll_event *events, int max, uint64_t ns)
{
#ifdef SYS_epoll_pwait2
    struct timespec timeout = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    long n =
        SYS_CALL(SYS_epoll_pwait2, d->poll, events, max, ns == FOREVER ? NULL : &timeout, NULL, 0);

    if (n != -ENOSYS)
        return (int)n;
#endif
    return epoll_wait(d->poll, events, max, ns == FOREVER ? -1 : (int)(ns / 1000000) + 1);
}

/* Takes what has come within the time; answers whether anything has. */
static bool take_events(struct detect *d, uint64_t ns)
{
    struct epoll_event events[16];
    int n = wait_events(d, events, 16, ns);
    uint64_t rings;

    for (int i = 0; i < n; i++) {
        if (events[i].data.u32 == BELL) {
            SYS_CALL(SYS_read, d->bell, &rings, sizeof(rings), 0, 0, 0);
            continue;
        }
        d->ops->event(d, events[i].data.u32, !(events[i].events & EPOLLIN));
    }
    return n > 0;
}

/* Whether there is something to sample. Lock held. */
static bool must_look(struct detect *d)
{
    for (unsigned i = 0; i < d->slots; i++) {
        const struct detect_slot *s = &d->slot[i];

        /* What was reported has to be taken back once it is hidden. */
        if (s->flag && s->blocked && (s->look || d->ops->again))
            return true;
        if (s->flag && s->look && !detect_hidden(detect_seq(s)))
            return true;
        /* Nor does it ring the bell: its kind did not mean it to be sampled. */
        if (s->flag && s->look == DETECT_ALWAYS && !d->ops->look)
            return true;
    }
    return false;
}

/* Whether there is; if not, who shows itself from now on rings the bell. Partner: detect_show. */
static bool goes_idle(struct detect *d)
{
    bool looks;

    pthread_mutex_lock(&d->lock);
    looks = must_look(d);
    if (!looks) {
        atomic_store(&d->idle, 1);
        looks = must_look(d);
    }
    pthread_mutex_unlock(&d->lock);
    return !looks;
}

/* Something has happened that the loop has not seen yet. */
static bool events_pending(const struct detect *d)
{
    struct pollfd any = {.fd = d->poll, .events = POLLIN};

    return poll(&any, 1, 0) > 0;
}

/* Samples what is to be sampled, and writes down who has changed. Answers how many. */
static unsigned find_changes(struct detect *d, unsigned *changed)
{
    unsigned n = 0;

    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < d->slots; i++) {
        struct detect_slot *s = &d->slot[i];

        if (s->flag && s->look) {
            detect_sample(s);
            /* It may wait for nobody but us. */
            if (s->look == DETECT_CALL && s->blocks && !s->blocked && events_pending(d))
                s->blocks = false;
            /* What runs on has left its call, or will not block in it. */
            if (s->look == DETECT_CALL && !s->blocks && s->ticks - s->ticks_at_call >= CALL_TICKS)
                s->look = DETECT_NOT;
        }
        if (s->flag && s->blocked && d->ops->again)
            d->ops->again(s);
        if (s->blocks != s->blocked) {
            s->blocked = s->blocks;
            changed[n++] = 2 * i + s->blocks;
        }
    }
    pthread_mutex_unlock(&d->lock);
    return n;
}

static void report(const struct detect_calls *calls, const unsigned *changed, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (changed[i] & 1 ? calls->blocked : calls->unblocked)(calls->arg, changed[i] / 2);
}

static void watch(struct detect *d)
{
    uint64_t period = d->ops->min_ns;
    unsigned changed[DETECT_LWPS];

    while (!atomic_load(&d->stopping)) {
        bool idle = goes_idle(d);
        bool events = take_events(d, idle ? FOREVER : period);
        unsigned n;

        atomic_store(&d->idle, 0);
        n = find_changes(d, changed);
        if (n || events)
            period = d->ops->min_ns;
        else if (period < d->ops->max_ns)
            period = 2 * period < d->ops->max_ns ? 2 * period : d->ops->max_ns;
        if (!atomic_load(&d->stopping))
            report(&d->calls, changed, n);
    }
}

/* The filters of seccomp stay as long as their threads. */
static void serve(struct detect *d)
{
    bool needed;

    do {
        pthread_mutex_lock(&d->lock);
        needed = d->listeners || !d->ended;
        pthread_mutex_unlock(&d->lock);
        if (needed)
            take_events(d, FOREVER);
    } while (needed);
}

static void *monitor(void *arg)
{
    struct detect *d = arg;

    /* Otherwise each wait lasts 50 us longer than asked for. */
    prctl(PR_SET_TIMERSLACK, 1000UL);
    if (d->calls.begin)
        d->calls.begin(d->calls.arg);
    watch(d);
    sem_post(&d->silent);
    if (d->ops->outlives) {
        serve(d);
        free_all(d);
    }
    return NULL;
}

int detect_run(struct detect *d, const struct detect_calls *calls)
{
    sigset_t all, old;
    int error;

    if (d->running || d->slots)
        return EBUSY;
    d->calls = *calls;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_create(&d->monitor, NULL, monitor, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!error) {
        pthread_setname_np(d->monitor, "detect");
        d->running = true;
    }
    return error;
}

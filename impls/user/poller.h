/*
 * poller.h - who waits for a descriptor, and the one who looks. Included by user.h only.
 *
 * One epoll instance, made when the first thread waits. A thread puts itself on the list of its
 * descriptor, arms the descriptor for all who are on that list, and parks in USER_WAITS_IO. Whoever
 * idles waits in the poller for the next event or the next deadline (M:N: the lookout of lwp.h);
 * while threads keep the PU busy, whoever gives it up looks once in USER_POLL_EVERY times, and only
 * while somebody waits.
 *
 * EPOLLONESHOT: an event disarms its descriptor, makes ready the first who waits for each of its
 * bits, and arms it again for those who are left. As epoll looks at the state when it is armed
 * (level), what the first one leaves, or does not come to because it is cancelled, wakes the next:
 * no wake-up is lost, and no herd comes. Who is made ready tries its call again and may have to
 * wait again. The list's lock is held while its descriptor is armed, so that what is armed is what
 * the list says.
 *
 * Descriptors are closed and their numbers used again without our knowledge. So nothing is
 * remembered about them: each wait arms anew (MOD, or ADD where the kernel knows nothing of it). An
 * event for what is no longer meant by its number wakes a thread in vain, at most once. A thread
 * that waits for a descriptor which another one closes waits on, as in the kernel: POSIX leaves it
 * open.
 *
 * Sources: epoll(7), epoll_ctl(2); the order "try, and wait if it would block" is that of Stein and
 * Shah 1992, "Implementing Lightweight Threads" (non-blocking system calls under a library), and of
 * the network poller of Go (runtime/netpoll.go).
 */
#ifndef TL_USER_POLLER_H
#define TL_USER_POLLER_H

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define POLLER_BUCKETS 256
#define POLLER_EVENTS 64 /* taken at a time */

/* What a signal handler did to who waits: bits of uthread_rest.io_handled. */
enum {
    USER_HANDLED = 1u << 0,    /* one has run in it */
    USER_NO_RESTART = 1u << 1, /* one without SA_RESTART */
};

/* Invariants: a thread on buckets[i].list waits for rest->io_fd, with io_fd % POLLER_BUCKETS == i,
 * and its descriptor is armed for rest->io_events or has an event that nobody has taken yet.
 * `waiting` counts the threads within poller_wait, slow.io tells that it is not 0; both, and `open`
 * becoming true, are guarded by `lock`. */
static struct {
    bool open;
    int epoll, kick; /* M:N: kick, an eventfd in it, wakes an LWP that sleeps there */
    size_t waiting;
    struct user_lock lock;
    struct {
        struct queue list;
        uint32_t turn; /* see io_turn_take */
    } buckets[POLLER_BUCKETS];
} poller;

static inline unsigned poller_bucket(int fd)
{
    return (unsigned)fd % POLLER_BUCKETS;
}

/* ---- the instance ---------------------------------------------------------------------------- */

static void poller_close(void)
{
    if (!poller.open)
        return;
    SYS_CALL(SYS_close, poller.epoll, 0, 0, 0, 0, 0);
    SYS_CALL(SYS_close, poller.kick, 0, 0, 0, 0, 0);
    poller.open = false;
}

/* It stays ready until the LWP that it is for has read it: others who look see it, too. */
static int kick_open(int epoll, int *kick)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = -1}};
    long fd = SYS_CALL(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0, 0, 0, 0), answer;

    if (fd < 0)
        return (int)-fd;
    answer = SYS_CALL(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event, 0, 0);
    if (answer)
        SYS_CALL(SYS_close, fd, 0, 0, 0, 0, 0);
    *kick = (int)fd;
    return (int)-answer;
}

static void poller_kick(void)
{
    uint64_t one = 1;

    SYS_CALL(SYS_write, poller.kick, &one, sizeof(one), 0, 0, 0);
}

/* The lock is held. */
static int poller_open(void)
{
    long fd;
    int err;

    if (USER_LIKELY(poller.open))
        return 0;
    fd = SYS_CALL(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
    if (fd < 0)
        return (int)-fd;
    err = kick_open((int)fd, &poller.kick);
    if (err) {
        SYS_CALL(SYS_close, fd, 0, 0, 0, 0, 0);
        return err;
    }
    poller.epoll = (int)fd;
    poller.open = true;
    return 0;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* A fault to try the checks with: what a number meant once, it means for ever. */
static inline bool poller_remembers(int fd)
{
    if (USER_MUTANT("user-poller-remembers") && fd < 64) {
        static uint64_t known;
        bool knew = known >> fd & 1;

        known |= UINT64_C(1) << fd;
        return knew;
    }
    return false;
}

/* Arms fd for those who are on its list, whose lock is held, and for `more`. EPERM: it cannot be
 * waited for (a regular file). */
static int poller_arm(int fd, uint32_t more)
{
    struct epoll_event event = {.events = EPOLLONESHOT | more, .data = {.fd = fd}};
    long answer;

    for (const struct uthread *t = poller.buckets[poller_bucket(fd)].list.head; t; t = t->next)
        if (t->rest->io_fd == fd)
            event.events |= t->rest->io_events;
    answer = SYS_CALL(SYS_epoll_ctl, poller.epoll, EPOLL_CTL_MOD, fd, &event, 0, 0);
    if (answer == -ENOENT && !poller_remembers(fd))
        answer = SYS_CALL(SYS_epoll_ctl, poller.epoll, EPOLL_CTL_ADD, fd, &event, 0, 0);
    return (int)-answer;
}

/* fd is disarmed and has `events`. */
static void poller_event(struct lwp *lwp, int fd, uint32_t events)
{
    struct queue *list = &poller.buckets[poller_bucket(fd)].list, woken = {NULL, NULL};
    struct uthread *t, *next;
    uint32_t left = events;
    bool others = false;

    list_lock(list);
    for (t = list->head; t; t = next) {
        next = t->next;
        if (t->rest->io_fd != fd)
            continue;
        /* An error or a hang-up is for everybody, and was not asked for. */
        if (events & (EPOLLERR | EPOLLHUP) || t->rest->io_events & left) {
            left &= ~t->rest->io_events;
            queue_remove(list, t);
            waits_no_more(t);
            queue_push(&woken, t);
        } else {
            others = true;
        }
    }
    /* It cannot fail for want of memory: the kernel knows fd. If it was closed meanwhile, nobody
     * can be helped. */
    if (others && !USER_MUTANT("user-poller-forgets"))
        poller_arm(fd, 0);
    list_unlock(list);
    while ((t = queue_pop(&woken)))
        make_ready(lwp, t);
}

/* What poller_take came across, beside what threads wait for. */
enum {
    POLLER_KICKED = 1u << 0,
};

/* Takes what has happened; timeout: NULL, for ever. */
static unsigned poller_take(struct lwp *lwp, const struct timespec *timeout)
{
    struct epoll_event events[POLLER_EVENTS];
    unsigned met = 0;
    long n = SYS_CALL(SYS_epoll_pwait2, poller.epoll, events, POLLER_EVENTS, timeout, NULL, 0);

    if (n == -ENOSYS) { /* before Linux 5.11: late by up to a millisecond */
        int64_t ms = timeout ? timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000 : -1;

        n = SYS_CALL(SYS_epoll_pwait, poller.epoll, events, POLLER_EVENTS,
                     ms > INT32_MAX ? INT32_MAX : ms, NULL, 0);
    }
    for (long i = 0; i < n; i++)
        if (events[i].data.fd >= 0)
            poller_event(lwp, events[i].data.fd, events[i].events);
        else
            met |= POLLER_KICKED;
    return met;
}

/* See look_around(). */
static __attribute__((noinline)) void poller_look(struct lwp *lwp)
{
    lwp->io_tick = 0;
    poller_take(lwp, &(struct timespec){0, 0});
}

/* The LWP has nothing to run: sleeps until an event, a handler, or deadline_ns (CLOCK_MONOTONIC).
 */
static void poller_sleep(struct lwp *lwp, uint64_t deadline_ns)
{
    struct timespec left, *timeout = NULL;
    unsigned met;

    if (deadline_ns < USER_NS_NEVER) {
        uint64_t now = clock_now_ns(CLOCK_MONOTONIC),
                 ns = deadline_ns > now ? deadline_ns - now : 0;

        left = (struct timespec){(time_t)(ns / USER_NS_PER_S), (long)(ns % USER_NS_PER_S)};
        timeout = &left;
    }
    met = poller_take(lwp, timeout);
    /* Before another LWP can be the one that sleeps here: it is not that one's. */
    if (met & POLLER_KICKED)
        SYS_CALL(SYS_read, poller.kick, &(uint64_t){0}, sizeof(uint64_t), 0, 0, 0);
}

/* As token_wait or idle_sleep, in the poller. Either this sees the token or the signal, or who sets
 * it sees `polls` and kicks (all sequentially consistent; pairs with lwp_claim and signal_later).
 */
static void poller_doze(struct lwp *lwp, uint64_t until_ns)
{
    bool stay = until_ns != 0;

    atomic_store(&lwp->polls, 1);
#if USER_MN
    stay = stay && !atomic_load(&lwp->token);
#else
    stay = stay && !USER_LOAD(lib.slow.signals);
#endif
    if (stay)
        poller_sleep(lwp, until_ns);
    atomic_store(&lwp->polls, 0);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static int poller_enter(void)
{
    int err;

    lock_take(&poller.lock);
    err = poller_open();
    if (!err) {
        poller.waiting++;
        USER_STORE_RELEASE(lib.slow.io, 1); /* who acts on it finds the instance */
    }
    lock_release(&poller.lock);
    return err;
}

static void poller_leave(void)
{
    lock_take(&poller.lock);
    if (!--poller.waiting)
        USER_STORE(lib.slow.io, 0);
    lock_release(&poller.lock);
}

/* The caller goes on the list of fd. */
static int poller_list(struct uthread *self, struct queue *list, int fd, uint32_t events)
{
    int err = 0;

    list_lock(list);
    if (fd >= 0)
        err = poller_arm(fd, events);
    if (!err) {
        self->rest->io_handled = 0;
        self->rest->io_fd = fd;
        self->rest->io_events = events;
        wait_on(lwp_self(), self, list, USER_WAITS_IO);
    }
    list_unlock(list);
    return err;
}

/* Parks the caller until fd may be ready for one of `events` (EPOLLIN, EPOLLOUT ...), or, with fd
 * -1, until something else ends the wait. Not a cancellation point, but a request ends it.
 * 0: look again; it may be for nothing. ETIMEDOUT; until: NULL, for ever. EPERM: fd is always
 * ready. EINTR: a handler has run; *restart: as the kernel would, goes on with most calls. */
static int poller_wait(int fd, uint32_t events, const struct user_deadline *until, bool *restart)
{
    struct uthread *self = lwp_self()->current;
    struct uthread_rest *rest = self->rest;
    bool early;
    int err = poller_enter();

    if (err)
        return err;
    err = poller_list(self, &poller.buckets[poller_bucket(fd)].list, fd, events);
    if (err) {
        poller_leave();
        return err;
    }
    USER_POINT("user.poller.before-park");
    deadline_arm(self, until);
#if USER_MN
    lookout_poll();
    /* A signal that came before it was on the list: see park(), which looks for requests. */
    if (USER_UNLIKELY((uintptr_t)USER_LOAD(self->tp) & USER_TP_TAG))
        interrupt(lwp_self(), self);
#endif
    early = park(self);
    deadline_disarm(self, until);
    poller_leave();
    if (!early || personal_due(&rest->personal))
        return 0;
    if (rest->io_handled) {
        *restart = !(rest->io_handled & USER_NO_RESTART);
        return EINTR;
    }
    return until && deadline_due(until) ? ETIMEDOUT : 0;
}

/* In the child of a fork: the instance is the parent's, and shared. all: who waited still waits. */
static void poller_fork(bool all)
{
    if (USER_MUTANT("user-poller-shared"))
        return;
    poller_close();
    poller.lock.held = 0;
    for (unsigned i = 0; i < POLLER_BUCKETS; i++)
        poller.buckets[i].turn = 0;
    if (!all) {
        poller.waiting = 0;
        lib.slow.io = 0;
        return;
    }
    if (!poller.waiting)
        return;
    poller_open();
    for (unsigned i = 0; i < POLLER_BUCKETS; i++)
        for (const struct uthread *t = poller.buckets[i].list.head; t; t = t->next)
            if (t->rest->io_fd >= 0)
                poller_arm(t->rest->io_fd, 0);
}

#endif

/*
 * signal.c - handlers, masks, and waiting for signals.
 *
 * Each handler of the program's is called by one of ours, which counts: waits that POSIX has ended
 * by a handler look at the count. Masks are the implementation's.
 */
#include "veneer.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The handler that the program has set last, by number, as it was given. SIG_DFL and SIG_IGN are
 * not noted: a signal that was on its way when they were set runs the handler still. Invariants:
 * written with all signals blocked, so nobody interrupts a writer on its kernel thread; version is
 * odd meanwhile, and another after it, so a reader tells that it has read halves. */
static struct {
    _Atomic uint32_t version;
    _Atomic uint64_t words[(sizeof(struct sigaction) + 7) / 8];
} actions[NSIG];

union action {
    struct sigaction action;
    uint64_t words[sizeof actions[0].words / sizeof(uint64_t)];
};

static struct sigaction noted(int sig)
{
    union action copy;
    uint32_t version;

    do {
        version = atomic_load_explicit(&actions[sig].version, memory_order_acquire);
        for (size_t i = 0; i < sizeof copy.words / sizeof *copy.words; i++)
            copy.words[i] = atomic_load_explicit(&actions[sig].words[i], memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire); /* with the release of who writes a word */
    } while (version & 1 || atomic_load(&actions[sig].version) != version);
    return copy.action;
}

static void note(int sig, const struct sigaction *action)
{
    union action copy = {.action = *action};
    uint32_t version = atomic_load(&actions[sig].version) & ~1u;

    while (!atomic_compare_exchange_weak(&actions[sig].version, &version, version + 1))
        version &= ~1u; /* another writes */
    for (size_t i = 0; i < sizeof copy.words / sizeof *copy.words; i++)
        atomic_store_explicit(&actions[sig].words[i], copy.words[i], memory_order_release);
    atomic_store(&actions[sig].version, version + 2);
}

/* Answers what it was. No handler comes in between, which might note, too. The implementation is
 * not called meanwhile: what it tells the kernel of the mask is to stay. */
static struct sigaction renote(int sig, const struct sigaction *action)
{
    struct sigaction before;
    sigset_t all, mask;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    before = noted(sig);
    note(sig, action);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return before;
}

/* ---- handlers -------------------------------------------------------------------------------- */

/* Where the masks are not the kernel's, signals for faults are the kernel's still (and those that
 * were sent with such a number): it knows which of them wait. */
bool veneer_is_fault(int sig)
{
    return !(veneer.impl->traits & TL_ONE_TO_ONE) &&
           (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP ||
            sig == SIGSYS);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    struct veneer_thread *self = veneer_here();
    struct sigaction action = noted(sig);
    bool masks = veneer.running && veneer_is_fault(sig) && veneer.impl->signal;
    sigset_t mask;

    if (self) {
        atomic_fetch_add(&self->in_handler, 1);
        atomic_fetch_add(&self->handled, 1);
        if (!(action.sa_flags & SA_RESTART))
            atomic_fetch_add(&self->interrupted, 1);
    } else {
        atomic_fetch_add(&veneer.orphaned, 1);
    }
    atomic_fetch_add(&veneer.handled, 1);
    if (masks)
        veneer.impl->signal->mask(SIG_BLOCK, &action.sa_mask, &mask);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(sig, info, context);
    else
        action.sa_handler(sig);
    if (masks)
        veneer.impl->signal->mask(SIG_SETMASK, &mask, NULL);
    if (self)
        atomic_fetch_sub(&self->in_handler, 1);
}

static int install(int sig, const struct sigaction *action, struct sigaction *old)
{
    const struct tl_signal_ops *ops = veneer.impl ? veneer.impl->signal : NULL;

    if (ops && ops->action && veneer.running)
        return ops->action(sig, action, old);
    return sigaction(sig, action, old) ? errno : 0;
}

static bool is_ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_signal;
}

int WRAP(sigaction)(int sig, const struct sigaction *action, struct sigaction *old);
int WRAP(sigaction)(int sig, const struct sigaction *action, struct sigaction *old)
{
    struct sigaction ours, was, given, before;
    bool handles;
    int err;

    if (sig <= 0 || sig >= NSIG || (action && (sig == SIGKILL || sig == SIGSTOP)))
        return veneer_answer(EINVAL);
    if (!action) {
        err = install(sig, NULL, &was);
        if (!err && old)
            *old = is_ours(&was) ? noted(sig) : was;
        return veneer_answer(err);
    }
    given = *action; /* may be old's own memory */
    ours = given;
    handles = given.sa_handler != SIG_DFL && given.sa_handler != SIG_IGN;
    if (handles) {
        ours.sa_sigaction = on_signal;
        ours.sa_flags |= SA_SIGINFO;
    }
    before = handles ? renote(sig, &given) : noted(sig); /* before a signal can come */
    err = install(sig, &ours, &was);
    if (err && handles)
        renote(sig, &before);
    if (!err && old)
        *old = is_ours(&was) ? before : was;
    return veneer_answer(err);
}

static void (*set_handler(int sig, void (*handler)(int), int flags))(int)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;

    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (!(flags & SA_NODEFER) && sig > 0 && sig < NSIG)
        sigaddset(&action.sa_mask, sig);
    return __wrap_sigaction(sig, &action, &old) ? SIG_ERR : old.sa_handler;
}

void (*WRAP(signal)(int sig, void (*handler)(int)))(int);
void (*WRAP(signal)(int sig, void (*handler)(int)))(int)
{
    return set_handler(sig, handler, SA_RESTART);
}

void (*WRAP(bsd_signal)(int sig, void (*handler)(int)))(int);
void (*WRAP(bsd_signal)(int sig, void (*handler)(int)))(int)
{
    return set_handler(sig, handler, SA_RESTART);
}

void (*WRAP(__sysv_signal)(int sig, void (*handler)(int)))(int);
void (*WRAP(__sysv_signal)(int sig, void (*handler)(int)))(int)
{
    return set_handler(sig, handler, (int)SA_RESETHAND | SA_NODEFER | SA_INTERRUPT);
}

int WRAP(siginterrupt)(int sig, int interrupts);
int WRAP(siginterrupt)(int sig, int interrupts)
{
    struct sigaction action;

    if (__wrap_sigaction(sig, NULL, &action))
        return -1;
    action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
    return __wrap_sigaction(sig, &action, NULL);
}

int WRAP(sigignore)(int sig);
int WRAP(sigignore)(int sig)
{
    return __wrap_signal(sig, SIG_IGN) == SIG_ERR ? -1 : 0;
}

/* ---- masks ----------------------------------------------------------------------------------- */

int WRAP(pthread_sigmask)(int how, const sigset_t *set, sigset_t *old);
int WRAP(pthread_sigmask)(int how, const sigset_t *set, sigset_t *old)
{
    if (set && how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK)
        return EINVAL;
    if (veneer.running && veneer.impl->signal)
        return veneer.impl->signal->mask(how, set, old);
    return pthread_sigmask(how, set, old);
}

int WRAP(sigprocmask)(int how, const sigset_t *set, sigset_t *old);
int WRAP(sigprocmask)(int how, const sigset_t *set, sigset_t *old)
{
    return veneer_answer(__wrap_pthread_sigmask(how, set, old));
}

static int change_mask(int how, int sig)
{
    sigset_t set;

    sigemptyset(&set);
    return sigaddset(&set, sig) ? -1 : __wrap_sigprocmask(how, &set, NULL);
}

int WRAP(sighold)(int sig);
int WRAP(sighold)(int sig)
{
    return change_mask(SIG_BLOCK, sig);
}

int WRAP(sigrelse)(int sig);
int WRAP(sigrelse)(int sig)
{
    return change_mask(SIG_UNBLOCK, sig);
}

void (*WRAP(sigset)(int sig, void (*handler)(int)))(int);
void (*WRAP(sigset)(int sig, void (*handler)(int)))(int)
{
    struct sigaction action = {0}, old;
    sigset_t set, was;

    sigemptyset(&set);
    if (sigaddset(&set, sig))
        return SIG_ERR;
    if (handler == SIG_HOLD) {
        if (__wrap_sigprocmask(SIG_BLOCK, &set, &was) || __wrap_sigaction(sig, NULL, &old))
            return SIG_ERR;
        return sigismember(&was, sig) ? SIG_HOLD : old.sa_handler;
    }
    action.sa_handler = handler;
    if (__wrap_sigaction(sig, &action, &old) || __wrap_sigprocmask(SIG_UNBLOCK, &set, &was))
        return SIG_ERR;
    return sigismember(&was, sig) ? SIG_HOLD : old.sa_handler;
}

int WRAP(sigpending)(sigset_t *set);
int WRAP(sigpending)(sigset_t *set)
{
    sigset_t kernel;
    int err;

    if (!veneer.running || !veneer.impl->signal || !veneer.impl->signal->pending)
        return sigpending(set);
    err = veneer.impl->signal->pending(set);
    if (!err && !sigpending(&kernel))
        for (int sig = 1; sig < SIGRTMIN; sig++)
            if (veneer_is_fault(sig) && sigismember(&kernel, sig))
                sigaddset(set, sig);
    return veneer_answer(err);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void let_run(void);

static int send(pthread_t handle, int sig, const union sigval *value)
{
    struct veneer_thread *t = veneer_find(handle);
    int err;

    if (!t)
        return ESRCH;
    if (sig < 0 || sig >= NSIG)
        return EINVAL;
    if (!sig || atomic_load(&t->life) != VENEER_LIVE)
        return 0;        /* it has ended, but its lifetime has not: it is not joined */
    if (!veneer.running) /* before main: the caller, the only thread */
        return value ? pthread_sigqueue(pthread_self(), sig, *value)
                     : pthread_kill(pthread_self(), sig);
    if (!veneer.impl->signal)
        return ENOTSUP;
    err = veneer.impl->signal->kill(t->impl, sig, value);
    let_run();
    return err;
}

int WRAP(pthread_kill)(pthread_t handle, int sig);
int WRAP(pthread_kill)(pthread_t handle, int sig)
{
    return send(handle, sig, NULL);
}

int WRAP(pthread_sigqueue)(pthread_t handle, int sig, const union sigval value);
int WRAP(pthread_sigqueue)(pthread_t handle, int sig, const union sigval value)
{
    return send(handle, sig, &value);
}

/* A signal to the process may be for another thread. Where a thread runs until it gives up the PU,
 * that one would never get to it. */
static void let_run(void)
{
    if (veneer.running && !(veneer.impl->traits & TL_PREEMPTIVE) && veneer_own &&
        !atomic_load(&veneer_own->in_handler))
        veneer.impl->yield();
}

/* To this process, through an implementation that wants to know of it. */
static bool is_own(pid_t pid, int sig)
{
    return veneer.running && veneer.impl->signal && veneer.impl->signal->send && veneer_own &&
           veneer_own->known && sig > 0 && sig < NSIG && pid == getpid() && pid == veneer.pid;
}

int WRAP(kill)(pid_t pid, int sig);
int WRAP(kill)(pid_t pid, int sig)
{
    int result =
        is_own(pid, sig) ? veneer_answer(veneer.impl->signal->send(sig, NULL)) : kill(pid, sig);
    int saved = errno;

    let_run();
    errno = saved;
    return result;
}

int WRAP(sigqueue)(pid_t pid, int sig, const union sigval value);
int WRAP(sigqueue)(pid_t pid, int sig, const union sigval value)
{
    int result = is_own(pid, sig) ? veneer_answer(veneer.impl->signal->send(sig, &value))
                                  : sigqueue(pid, sig, value);
    int saved = errno;

    let_run();
    errno = saved;
    return result;
}

int WRAP(raise)(int sig);
int WRAP(raise)(int sig)
{
    struct veneer_thread *self = veneer_own;

    if (!veneer.running || !self || !self->known || !veneer.impl->signal)
        return raise(sig);
    if (sig <= 0 || sig >= NSIG)
        return sig ? veneer_answer(EINVAL) : 0;
    return veneer_answer(veneer.impl->signal->kill(self->impl, sig, NULL));
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* One slice of waiting, of which ns are left: the signal, or 0 with EAGAIN or EINTR in *err. */
static int take_slice(const sigset_t *set, siginfo_t *info, uint64_t ns, int *err)
{
    const struct tl_signal_ops *ops = veneer.impl->signal;
    struct timespec slice = veneer_timespec(ns);
    int sig;

    if (!veneer.blocks_alone && ops && ops->timedwait) {
        *err = ops->timedwait(set, info, ns);
        return *err ? 0 : info->si_signo;
    }
    if (!veneer.blocks_alone) {
        if (veneer.running)
            veneer_pause(ns < VENEER_POLL_NS ? ns : VENEER_POLL_NS);
        slice = (struct timespec){0};
    }
    sig = sigtimedwait(set, info, &slice);
    *err = sig < 0 ? errno : 0;
    return sig < 0 ? 0 : sig;
}

/* a: set, info, whether there is a limit, its end in CLOCK_MONOTONIC, whether a handler ends it.
 * The signal's number, or minus an error number. */
static long take(const long *a)
{
    const sigset_t *set = (void *)a[0];
    struct veneer_thread *self = veneer_self();
    uint32_t handled = veneer_handled(self);
    siginfo_t info;
    uint64_t now, left = 0;
    int sig, err, saved = errno;

    for (;;) {
        now = veneer_now(CLOCK_MONOTONIC);
        left = 5 * VENEER_SLICE_NS;
        if (a[2])
            left = (uint64_t)a[3] <= now         ? 0
                   : (uint64_t)a[3] - now < left ? (uint64_t)a[3] - now
                                                 : left;
        memset(&info, 0, sizeof(info));
        sig = take_slice(set, &info, left, &err);
        errno = saved;
        if (sig) {
            if (info.si_code == SI_TKILL)
                info.si_code = SI_USER; /* as the C library has it of raise and pthread_kill */
            if (a[1])
                *(siginfo_t *)a[1] = info;
            return sig;
        }
        if (err != EAGAIN && err != EINTR && err != ETIMEDOUT)
            return -err;
        veneer_test();
        if (a[4] && veneer_handled(self) != handled)
            return -EINTR;
        if (a[2] && veneer_now(CLOCK_MONOTONIC) >= (uint64_t)a[3])
            return -EAGAIN;
    }
}

static void unblock(void *mask)
{
    __wrap_pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* Between two slices a signal that is not blocked would go to its handler. */
static long take_blocked(const sigset_t *set, siginfo_t *info, bool limited, uint64_t end,
                         bool interruptible)
{
    sigset_t mask;
    long got;

    __wrap_pthread_sigmask(SIG_BLOCK, set, &mask);
    got =
        veneer_point(take, (const long[]){(long)set, (long)info, limited, (long)end, interruptible},
                     unblock, &mask);
    unblock(&mask);
    return got;
}

static int answer(long got)
{
    return got < 0 ? veneer_answer((int)-got) : (int)got;
}

int WRAP(sigwait)(const sigset_t *set, int *sig);
int WRAP(sigwait)(const sigset_t *set, int *sig)
{
    long got = take_blocked(set, NULL, false, 0, false);

    if (got < 0)
        return (int)-got;
    *sig = (int)got;
    return 0;
}

int WRAP(sigwaitinfo)(const sigset_t *set, siginfo_t *info);
int WRAP(sigwaitinfo)(const sigset_t *set, siginfo_t *info)
{
    return answer(take_blocked(set, info, false, 0, true));
}

int WRAP(sigtimedwait)(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
int WRAP(sigtimedwait)(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    uint64_t end;

    if (!timeout)
        return __wrap_sigwaitinfo(set, info);
    if (!veneer_time_ok(timeout) || timeout->tv_sec < 0)
        return veneer_answer(EINVAL);
    end = veneer_now(CLOCK_MONOTONIC) + veneer_ns(timeout);
    return answer(take_blocked(set, info, true, end, true));
}

static long suspend(const long *a)
{
    const sigset_t *mask = (void *)a[0];
    const struct tl_signal_ops *ops = veneer.impl->signal;
    struct veneer_thread *self = veneer_self();
    uint64_t handled;
    sigset_t old;

    if (veneer.running && ops && ops->suspend)
        return ops->suspend(mask) ?: EINTR;
    /* The mask is the kernel thread's: a handler that runs in any thread ends it. */
    handled = atomic_load(&veneer.handled);
    __wrap_pthread_sigmask(SIG_SETMASK, mask, &old);
    while (atomic_load(&veneer.handled) == handled)
        veneer_pause(VENEER_POLL_NS);
    __wrap_pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)self;
    return EINTR;
}

int WRAP(sigsuspend)(const sigset_t *mask);
int WRAP(sigsuspend)(const sigset_t *mask)
{
    return POINT_ERRNO(suspend, (long)mask);
}

int WRAP(pause)(void);
int WRAP(pause)(void)
{
    sigset_t mask;

    __wrap_pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return __wrap_sigsuspend(&mask);
}

int WRAP(__xpg_sigpause)(int sig);
int WRAP(__xpg_sigpause)(int sig)
{
    sigset_t mask;

    __wrap_pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (sigdelset(&mask, sig))
        return -1;
    return __wrap_sigsuspend(&mask);
}

int WRAP(sigpause)(int mask);
int WRAP(sigpause)(int mask)
{
    sigset_t set;

    sigemptyset(&set);
    memcpy(&set, &mask, sizeof(mask));
    return __wrap_sigsuspend(&set);
}

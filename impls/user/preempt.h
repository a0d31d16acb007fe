/*
 * preempt.h - preemption: a thread that does not give up the PU loses it at the end of its quantum.
 * Included by user.h only.
 *
 * After Shiina, Iwasaki, Taura, Balaji 2021, "Lightweight Preemptive User-Level Threads"
 * (signal-yield): each LWP has a timer, whose signal goes to it alone (SIGEV_THREAD_ID), and the
 * phases of the timers are spread over the quantum. The handler runs on the stack of the thread
 * that it interrupts and simply yields there. The thread goes to the end of the run queue with its
 * context inside the handler; when its turn comes the handler returns, and the kernel restores all
 * registers, vectors included, from the frame that it wrote there. All signals are masked in the
 * handler, and opened right before the switch: ticks that come faster than they are answered do not
 * pile up frames on the stack, and no other handler takes this one, or its way back to the kernel
 * (a few instructions of the C library), for code of the user's, while the library is below it.
 * errno and the thread pointer go by switch.h.
 *
 * The frame also has the signal mask and the alternate stack of the kernel thread as they were.
 * They belong to the kernel thread that returns from the handler, at that time: they are asked for
 * and written to the frame after each switch.
 *
 * With several LWPs and tls=errno an interrupted thread goes on on the same LWP: it may be between
 * asking where errno is and writing to it. With tls=full that is its own, and it goes where it is
 * taken to. The LWPs of bound threads have no ticks: the kernel preempts those.
 *
 * Not now, if
 *  - the program counter is not in the user's text (text.h): the library, or the C library;
 *  - the thread is in a call of critical.h (a callback of stdio, say);
 *  - the stack is not the thread's (an alternate stack);
 *  - lwp->hold: the library is in a call that leaves its text.
 * Handlers of the user's are not interrupted at all: below them there may be any call of the C
 * library. Those that it has set past this one have the signal in their masks (critical.h); those
 * of faults are known by the mask that the kernel gave them (in_fault_handler). The tick is then
 * tried again soon (PREEMPT_RETRY_NS), and a thread that leaves a critical call yields there. So
 * whoever is mostly inside loses the PU, too, unless all its time between two ticks is one call of
 * the C library.
 *
 * policy=priority: a thread that is made ready takes the place of the least urgent one that runs,
 * if that is less urgent: its LWP gets the signal, and its thread stays the first among its equals.
 * What runs where is read without a lock; what that misses is seen at the next tick.
 *
 * clock: the kernel looks at timers of CPU time at its own tick only (4 ms at HZ=250), so that
 * shorter quanta need CLOCK_MONOTONIC. That clock goes on while the LWP does not run: an LWP stops
 * its timer while it is idle. And it interrupts
 * plain system calls: those that SA_RESTART does not restart (nanosleep, poll) answer EINTR.
 *
 * The signal is SIGPWR, which POSIX does not know, and which init is told of a failing power supply
 * by: it must not be used, and cannot be masked. (The real-time signals belong to programs, to the
 * last one.)
 */
#ifndef TL_USER_PREEMPT_H
#define TL_USER_PREEMPT_H

#include "../common/critical.h"
#include "../common/sys.h"
#include "inject.h"

#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>

#define PREEMPT_SIGNAL SIGPWR
#define PREEMPT_RETRY_NS 50000
#define PREEMPT_PHASES 8 /* LWPs whose ticks are spread over one quantum */

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define PREEMPT_HANDLER_ROOM 1024 /* bytes: the frames of the handler itself */

/* Broken on purpose, for the checks of suites/preempt; all false in a normal build. */
struct preempt_faults {
    bool never, anywhere, in_calls, in_handlers, keeps_errno, keeps_mask, spoils_vectors;
    bool not_urgent, not_the_least;
};

/* Written before there is a second thread. */
static struct {
    bool on;
    clockid_t clock;
    uint64_t quantum_ns;
    struct preempt_faults faults;
} preempt;

/* ---- timers ---------------------------------------------------------------------------------- */

static void preempt_arm(int timer, int flags, uint64_t first_ns, uint64_t every_ns)
{
    struct itimerspec time = {
        {(time_t)(every_ns / USER_NS_PER_S), (long)(every_ns % USER_NS_PER_S)},
        {(time_t)(first_ns / USER_NS_PER_S), (long)(first_ns % USER_NS_PER_S)},
    };

    SYS_CALL(SYS_timer_settime, timer, flags, &time, NULL, 0, 0);
}

/* The next tick of the LWP: at its own phase of the quantum. */
static void preempt_go(struct lwp *lwp)
{
    uint64_t quantum = preempt.quantum_ns, first, phase;

    phase = quantum * (lwp->preempt.number % PREEMPT_PHASES) / PREEMPT_PHASES;
    if (preempt.clock == CLOCK_MONOTONIC) {
        first = clock_now_ns(CLOCK_MONOTONIC) / quantum * quantum + quantum + phase;
        preempt_arm(lwp->preempt.timer, TIMER_ABSTIME, first, quantum);
    } else {
        preempt_arm(lwp->preempt.timer, 0, quantum + phase, quantum);
    }
    lwp->preempt.stopped = false;
}

/* By the LWP itself: the timers are for the calling kernel thread. */
static int preempt_start(struct lwp *lwp, unsigned number)
{
    /* sigevent has no portable name for the TID. */
    struct sigevent event = {.sigev_signo = PREEMPT_SIGNAL, .sigev_notify = SIGEV_THREAD_ID};
    int *timers[] = {&lwp->preempt.timer, &lwp->preempt.retry};

    if (!preempt.on)
        return 0;
    event._sigev_un._tid = (pid_t)SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0);
    for (unsigned i = 0; i < 2; i++) {
        long err = SYS_CALL(SYS_timer_create, preempt.clock, &event, timers[i], 0, 0, 0);

        if (err) {
            if (i)
                SYS_CALL(SYS_timer_delete, lwp->preempt.timer, 0, 0, 0, 0, 0);
            return (int)-err;
        }
    }
    lwp->preempt.number = number;
    lwp->preempt.armed = true;
    preempt_go(lwp);
    return 0;
}

/* By the LWP itself, before it ends. A last tick may still be pending. */
static void preempt_stop(struct lwp *lwp)
{
    if (!lwp->preempt.armed)
        return;
    lwp->preempt.armed = false;
    SYS_CALL(SYS_timer_delete, lwp->preempt.timer, 0, 0, 0, 0, 0);
    SYS_CALL(SYS_timer_delete, lwp->preempt.retry, 0, 0, 0, 0, 0);
}

/* The child of fork, which inherits no timers. */
static int preempt_forked(struct lwp *lwp)
{
    lwp->preempt.armed = false;
    return preempt_start(lwp, lwp->preempt.number);
}

/* The LWP has nobody to run, and is about to sleep: without ticks, which would look like signals of
 * the user's. One that comes before the timer is stopped finds it idle. */
static inline void preempt_idle(struct lwp *lwp)
{
    lwp->preempt.idle = true;
    lwp->preempt.late = false;
    if (USER_LIKELY(!lwp->preempt.armed) || lwp->preempt.stopped ||
        preempt.clock != CLOCK_MONOTONIC)
        return;
    lwp->preempt.stopped = true;
    preempt_arm(lwp->preempt.timer, 0, 0, 0);
    preempt_arm(lwp->preempt.retry, 0, 0, 0);
}

/* It runs somebody again. */
static inline void preempt_busy(struct lwp *lwp)
{
    lwp->preempt.idle = false;
    if (USER_UNLIKELY(lwp->preempt.stopped))
        preempt_go(lwp);
}

/* ---- the tick -------------------------------------------------------------------------------- */

static bool preempt_on_own_stack(const struct uthread_rest *rest, uintptr_t sp)
{
    /* The first thread's stack is not the library's. */
    return !rest->high || (sp < (uintptr_t)rest->high && sp >= (uintptr_t)stack_low_of(rest));
}

static bool preempt_safe(const struct lwp *lwp, const void *frame)
{
    const struct uthread *self = lwp->current;
    enum text text = text_of(text_interrupted(frame));

    if (lwp->hold || !self || !self->rest || text == TEXT_LIBRARY)
        return false;
#if USER_MN
    if (self == lwp->idle) /* it calls the harness, and has no place in a queue */
        return false;
#endif
    if (text == TEXT_FOREIGN && !preempt.faults.anywhere)
        return false;
    if ((self->rest->in_handler || in_fault_handler(frame)) && !preempt.faults.in_handlers)
        return false;
    if (self->rest->critical && !preempt.faults.in_calls && !preempt.faults.anywhere)
        return false;
    if (!preempt_on_own_stack(self->rest, text_stack_pointer(frame)))
        return false;
    locks_none(lwp);
    return true;
}

static void preempt_retry(struct lwp *lwp)
{
    if (lwp->preempt.idle)
        return;
    lwp->preempt.late = true;
    preempt_arm(lwp->preempt.retry, 0, PREEMPT_RETRY_NS, 0);
}

/* By a thread that ends in a handler, which has the signal masked. */
static inline void preempt_unmask(void)
{
    uint64_t set = UINT64_C(1) << (PREEMPT_SIGNAL - 1);

    if (preempt.on)
        SYS_CALL(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, _NSIG / 8, 0, 0);
}

/* What sigreturn is to restore of the kernel thread: what it has now. From here on nothing comes
 * before sigreturn: a handler of the user's would have interrupted nobody's code, and might leave
 * the kernel thread that this is about. */
static void preempt_renew(ucontext_t *frame)
{
    uint64_t all = ~UINT64_C(0);

    if (preempt.faults.spoils_vectors) {
#ifdef __x86_64__
        memset(frame->uc_mcontext.fpregs->_xmm, 0, sizeof(frame->uc_mcontext.fpregs->_xmm));
#endif
    }
    if (preempt.faults.keeps_errno)
        errno = EINTR;
    if (preempt.faults.keeps_mask)
        return;
    SYS_CALL(SYS_rt_sigprocmask, SIG_BLOCK, &all, &frame->uc_sigmask, _NSIG / 8, 0, 0);
    SYS_CALL(SYS_sigaltstack, NULL, &frame->uc_stack, 0, 0, 0, 0);
}

/* To another thread, if there is one; urgent: if there is a more urgent one. With several LWPs, and
 * one TLS block for all threads of an LWP, the thread goes on on the same: it may have the address
 * of errno in a register. */
static void preempt_switch(struct lwp *lwp, bool urgent)
{
    if (urgent) {
        yield_to_higher(lwp, lwp->current, true);
        return;
    }
#if USER_MN
    struct uthread *self = lwp->current, *next;

    if (!lib.full_tls) {
        next = pick_own(lwp);
        if (next) {
            queue_push(&lwp->preempt.here, self);
            switch_to(lwp, self, next);
        }
        return;
    }
#endif
    user_yield();
}

/* Of a tick, or of preempt_for on another LWP. */
static void preempt_handler(int sig, siginfo_t *info, void *frame)
{
    struct lwp *lwp = lwp_self();

    (void)sig;
    if (!lwp || !lwp->preempt.armed || preempt.faults.never)
        return;
    if (info->si_code != SI_TIMER && (info->si_code != SI_TKILL || info->si_pid != lib.pid) &&
        (info->si_code != SI_USER || info->si_pid)) /* the same without room: see is_retry */
        return;
    if (!preempt_safe(lwp, frame)) {
        preempt_retry(lwp);
        return;
    }
    lwp->preempt.late = false;
    kernel_mask(SIG_SETMASK, bits_of(&((ucontext_t *)frame)->uc_sigmask));
    if (USER_LOAD(lib.slow.timers))
        wake_due(lwp);
    preempt_switch(lwp, info->si_code != SI_TIMER);
    preempt_renew(frame);
}

/* ---- priorities ------------------------------------------------------------------------------ */

#if USER_MN
/* The LWP whose thread is the least urgent, and less so than `level`; NULL: there is none, or one
 * looks for work. What is read may be over by then. */
static struct lwp *preempt_least_urgent(const struct lwp *caller, unsigned level)
{
    struct lwp *least = NULL;
    unsigned its_level = 0;

    if (atomic_load(&lib.sleepers) || atomic_load(&lib.searching))
        return NULL;
    for (unsigned i = 0; i < USER_LOAD(lib.lwps_used); i++) {
        struct lwp *lwp = USER_LOAD_ACQUIRE(lib.lwp[i]);
        struct uthread *current = lwp ? USER_LOAD(lwp->current) : NULL;
        unsigned now;

        if (!current || current == lwp->idle || USER_LOAD(lwp->outside))
            continue;
        now = USER_LOAD(current->level);
        if (now >= level)
            continue;
        /* Rather not the caller's, which would have to leave the library first. */
        if (!least || (now < its_level) != preempt.faults.not_the_least ||
            (now == its_level && least == caller)) {
            its_level = now;
            least = lwp;
        }
    }
    return least;
}
#endif

/* A thread is ready that may be more urgent than one that runs: it takes that one's place at once,
 * or, if that one is in the library or in a critical call, soon. Async-signal-safe. */
static __attribute__((noinline)) void preempt_for(struct lwp *caller)
{
#if USER_MN
    uint32_t occupied = USER_LOAD(lib.queue.occupied);
    struct lwp *lwp =
        occupied ? preempt_least_urgent(caller, 31 - (unsigned)__builtin_clz(occupied)) : NULL;

    if (lwp && lwp != caller)
        SYS_CALL(SYS_tgkill, lib.pid, lwp->tid, PREEMPT_SIGNAL, 0, 0, 0);
#else
    const struct uthread *self = caller->current;
    struct lwp *lwp =
        state_of(self) == USER_ACTIVE && caller->queue.occupied >> self->rest->priority >> 1
            ? caller
            : NULL;
#endif
    if (lwp && lwp == caller && !caller->preempt.late)
        preempt_retry(caller);
}

/* caller: NULL: it is no LWP. */
static inline void preempt_urgent(struct lwp *caller)
{
    if (USER_UNLIKELY(preempt.on) && lib.policy == USER_PRIORITY && !preempt.faults.not_urgent)
        preempt_for(caller);
}

/* ---- critical calls -------------------------------------------------------------------------- */

static void preempt_enter(void)
{
    struct lwp *lwp = lwp_self();

    if (lwp && lwp->current)
        lwp->current->rest->critical++;
}

static void preempt_leave(bool from_user)
{
    struct lwp *lwp = lwp_self();

    if (!lwp || !lwp->current || --lwp->current->rest->critical || !from_user)
        return;
    if (USER_UNLIKELY(lwp->preempt.late) && !lwp->hold) {
        lwp->preempt.late = false;
        preempt_switch(lwp, false);
    }
}

static bool preempt_is_user(const void *caller)
{
    return text_of((uintptr_t)caller) == TEXT_USER;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static const char *preempt_missing(void)
{
#if defined(USER_ASAN) || defined(USER_TSAN)
    return "a sanitizer's own runtime is not to be interrupted by a switch";
#endif
    if (USER_MN && !lib.full_tls && lib.policy == USER_PRIORITY)
        return "with policy=priority only by tls=full: a thread that goes on on the LWP where it "
               "was is out of the order";
    return text_known() ? NULL : "this build has not put the library's text into a section";
}

/* Bytes that a stack needs more. 0: it is off. */
static size_t preempt_room(void)
{
    unsigned long frame = getauxval(AT_MINSIGSTKSZ);

    return preempt.on ? (frame ? frame : MINSIGSTKSZ) + PREEMPT_HANDLER_ROOM : 0;
}

/* mode: the parameter "preempt". */
static int preempt_boot(const char *mode, const char *quantum_us)
{
    static const struct critical_hooks hooks = {PREEMPT_SIGNAL, preempt_enter, preempt_leave,
                                                preempt_is_user};
    struct sigaction action = {.sa_sigaction = preempt_handler,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    const char *missing = preempt_missing();

    preempt.on = !strcmp(mode, "timer") || !strcmp(mode, "cputime");
    if (!preempt.on)
        return 0;
    if (missing) {
        fprintf(stderr, "threadlab: " USER_NAME ": preempt=%s: %s\n", mode, missing);
        return ENOTSUP;
    }
    preempt.clock = strcmp(mode, "cputime") ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    preempt.quantum_ns = strtoull(quantum_us, NULL, 10) * 1000;
    preempt.faults = (struct preempt_faults){
        .never = USER_MUTANT("preempt-never"),
        .anywhere = USER_MUTANT("preempt-anywhere"),
        .in_calls = USER_MUTANT("preempt-in-callbacks"),
        .in_handlers = USER_MUTANT("preempt-in-handlers"),
        .keeps_errno = USER_MUTANT("preempt-keeps-errno"),
        .keeps_mask = USER_MUTANT("preempt-keeps-mask"),
        .spoils_vectors = USER_MUTANT("preempt-spoils-vectors"),
        .not_urgent = USER_MUTANT("preempt-not-urgent"),
        .not_the_least = USER_MUTANT("preempt-not-the-least"),
    };
    text_boot();
    bits_to(SIGNALS_OURS, &action.sa_mask);
    if (sigaction(PREEMPT_SIGNAL, &action, NULL))
        return errno;
    lib.reserved = UINT64_C(1) << (PREEMPT_SIGNAL - 1);
    critical_hooks = &hooks;
    critical_adopt_handlers();
    return 0;
}

/* After the last LWP's preempt_stop. A tick that is still pending is lost. */
static void preempt_end(void)
{
    if (!preempt.on)
        return;
    critical_hooks = NULL;
    preempt.on = false;
    lib.reserved = 0;
    signal(PREEMPT_SIGNAL, SIG_IGN);
}

#endif

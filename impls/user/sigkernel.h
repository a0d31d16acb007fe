/*
 * sigkernel.h - signals, the kernel's side: what its mask is to be, what it has delivered and
 * nobody has looked at yet, and whether a handler has interrupted the library. Included by user.h
 * only.
 *
 * The masks of the threads are the library's (signals.h). The kernel's mask is open, but for the
 * signals that wait here because no thread has them open ("lowered" lazily: Stein, Shah 1992,
 * "Implementing Lightweight Threads", on signals): a flood of them stays with the kernel.
 *
 * The library's handler (sigaction.h) may interrupt anything. It never touches a list or runs a
 * user's handler while it has interrupted the library between two writes: it leaves the signal in
 * the ring of its LWP, marks lib.slow, and the library looks at it when its data is whole again.
 * Whether it has is decided by three questions, none of which costs the fast paths anything:
 *   - is the interrupted instruction in the library's own code? All of it lies in one section
 *     (USER_TEXT, see the Makefile);
 *   - is lwp->hold set? It is around what the library calls outside that section (malloc, the
 *     kernel) while its data is not whole;
 *   - does the thread whose stack this is wait or end? Then it only idles there.
 * So that a thread which goes on to compute, and calls the library no more, gets its signal, too, a
 * timer of the LWP asks again after USER_RETRY_NS.
 */
#ifndef TL_USER_SIGKERNEL_H
#define TL_USER_SIGKERNEL_H

#include "../common/sys.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* 20 us: as much as ten deliveries by the kernel cost, so that the questions stay rare. */
#define USER_RETRY_NS 20000

/* Carries the retries: nothing else on Linux sends it. Told by its si_code and value. */
#define USER_RETRY_SIGNAL SIGSTKFLT

/* A set of signals: bit sig - 1, as the kernel has it. */
static inline uint64_t signal_bit(int sig)
{
    return UINT64_C(1) << (sig - 1);
}

static inline uint64_t bits_of(const sigset_t *set)
{
    uint64_t bits;

    memcpy(&bits, set, sizeof(bits));
    return bits;
}

static inline void bits_to(uint64_t bits, sigset_t *set)
{
    memcpy(set, &bits, sizeof(bits));
}

/* For what a thread does itself: to the kernel, and at once. */
#define SIGNALS_FAULTS                                                                    \
    (signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGFPE) | signal_bit(SIGILL) | \
     signal_bit(SIGTRAP) | signal_bit(SIGSYS))
/* Nobody can block them; 32 and 33 are the C library's own, `reserved` is that of preempt.h. */
#define SIGNALS_NEVER \
    (signal_bit(SIGKILL) | signal_bit(SIGSTOP) | signal_bit(32) | signal_bit(33) | lib.reserved)
/* The library stands between the kernel and the threads. */
#define SIGNALS_OURS (~(SIGNALS_FAULTS | SIGNALS_NEVER))
#define SIGNALS_STANDARD ((UINT64_C(1) << 31) - 1)

/* ---- the kernel's mask ----------------------------------------------------------------------- */

static inline uint64_t kernel_wanted(const struct lwp *lwp)
{
    if (USER_UNLIKELY(lwp->signals.flooded))
        return SIGNALS_OURS & ~signal_bit(USER_RETRY_SIGNAL);
    return lwp->signals.full ? SIGNALS_OURS : USER_LOAD(lib.lowered);
}

static long kernel_mask(int how, uint64_t bits)
{
    return SYS_CALL(SYS_rt_sigprocmask, how, &bits, NULL, sizeof(bits), 0, 0);
}

/* The handler may change what is wanted at any moment, also between the two stores here: it then
 * tells the kernel, which is told the old again by this. So what was told is compared. */
static void kernel_sync(struct lwp *lwp)
{
    uint64_t wanted = lwp->signals.kernel;

    while (wanted != kernel_wanted(lwp) || wanted != lwp->signals.kernel) {
        wanted = kernel_wanted(lwp);
        lwp->signals.kernel = wanted;
        atomic_signal_fence(memory_order_seq_cst);
        kernel_mask(SIG_SETMASK, wanted);
        atomic_signal_fence(memory_order_seq_cst);
    }
}

/* ---- the ring -------------------------------------------------------------------------------- */

/* The release of `in` makes the place before it whole for who takes it, on another LWP perhaps; the
 * release of `out` says that the place may be written again. */
static inline bool ring_empty(const struct lwp *lwp)
{
    return USER_LOAD_ACQUIRE(lwp->signals.in) == USER_LOAD(lwp->signals.out);
}

/* In the handler, which nothing interrupts. The kernel keeps what comes after the last place. */
static void ring_put(struct lwp *lwp, const siginfo_t *info)
{
    struct lwp_signals *s = &lwp->signals;
    unsigned in = USER_LOAD(s->in);

    s->ring[in % USER_RING] = *info;
    USER_STORE_RELEASE(s->in, in + 1);
    if (in + 1 - USER_LOAD_ACQUIRE(s->out) == USER_RING)
        s->full = true;
    USER_STORE_RELEASE(lib.slow.signals, 1); /* see signals_look */
}

/* The oldest, which stays. NULL: none. ring_lock is held. */
static const siginfo_t *ring_first(struct lwp *lwp)
{
    struct lwp_signals *s = &lwp->signals;

    return ring_empty(lwp) ? NULL : &s->ring[USER_LOAD(s->out) % USER_RING];
}

static void ring_drop(struct lwp *lwp)
{
    USER_STORE_RELEASE(lwp->signals.out, USER_LOAD(lwp->signals.out) + 1);
}

/* ---- inside the library ---------------------------------------------------------------------- */

/* The section that the objects of the library have their code in, put there by the Makefile. */
extern const char __start_tl_user_text[] __attribute__((visibility("hidden")));
extern const char __stop_tl_user_text[] __attribute__((visibility("hidden")));

#ifdef USER_ASAN
extern const char __executable_start[], etext[];
#endif

static inline bool is_library_code(uintptr_t pc)
{
#if defined(USER_TSAN)
    /* That sanitizer calls handlers when it likes, with the pc of another moment. */
    (void)pc;
    return true;
#elif defined(USER_ASAN)
    /* What the library calls may be a part of the sanitizer. */
    if (pc < (uintptr_t)__executable_start || pc >= (uintptr_t)etext)
        return true;
#endif
    return pc >= (uintptr_t)__start_tl_user_text && pc < (uintptr_t)__stop_tl_user_text;
}

static inline uintptr_t pc_of(const ucontext_t *uc)
{
#if defined(__x86_64__)
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return uc->uc_mcontext.pc;
#endif
}

/* In the handler of a fault, which the kernel has called and has blocked the signal for. Who gives
 * up the PU there leaves it blocked for the next thread, whose own fault then ends the process; and
 * it may have interrupted any call of the C library. */
static inline bool in_fault_handler(const ucontext_t *uc)
{
    return bits_of(&uc->uc_sigmask) & SIGNALS_FAULTS & ~lib.mask_at_boot;
}

static inline bool is_inside(const struct lwp *lwp, const ucontext_t *uc)
{
    if (USER_MUTANT("user-handlers-anywhere") || USER_MUTANT("user-handlers-anywhere-stepped"))
        return false;
#if USER_MN
    /* Where the detector has seen it block, the thread is in code of its own: a call that the
     * signal interrupts, or already after it. */
    if (lwp->current == lwp->idle || (USER_LOAD(lwp->outside) & OUTSIDE_SAID))
        return true;
#endif
    if (lwp->hold || state_of(lwp->current) != USER_ACTIVE || is_library_code(pc_of(uc)))
        return true;
    locks_none(lwp);
    return false;
}

#if USER_MN
/* A handler may have interrupted malloc, whose lock fork(3) takes, and want a lock of the
 * library's, which the thread that forks has taken before that. So who forks lets the handlers end
 * first that are over other code, and none begins until it has done; not for longer than
 * FORK_PATIENCE_NS, as a handler may wait for something.
 *
 * Invariant: lib.over is the sum of over of all threads. Who begins counts and then looks at
 * forking, who forks counts there and then looks at over: one of both sees the other. */
static bool over_begin(struct uthread *self)
{
    atomic_fetch_add(&lib.over, 1);
    if (atomic_load(&lib.forking)) {
        atomic_fetch_sub(&lib.over, 1);
        return false;
    }
    self->rest->over++;
    return true;
}

static void over_end(struct uthread *self)
{
    self->rest->over--;
    atomic_fetch_sub(&lib.over, 1);
}

static inline uint32_t over_of(const struct uthread *self)
{
    return self->rest->over;
}

/* The frames of its handlers beyond the first `most` are gone. */
static inline void over_drop(struct uthread *self, uint32_t most)
{
    while (USER_UNLIKELY(self->rest->over > most))
        over_end(self);
}
#else
#define over_begin(self) true
#define over_end(self) ((void)0)
#define over_of(self) 0
#define over_drop(self, most) ((void)(most))
#endif

/* Once, soon. In the handler: no call but the kernel's. */
static void retry_soon(struct lwp *lwp)
{
    struct itimerspec soon = {.it_value.tv_nsec = USER_RETRY_NS};
    struct sigevent event;

    if (lwp->signals.armed)
        return;
    if (!lwp->signals.has_timer) {
        memset(&event, 0, sizeof(event));
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = USER_RETRY_SIGNAL;
        event.sigev_value.sival_ptr = &lib;
        event._sigev_un._tid = lwp->tid;
        if (SYS_CALL(SYS_timer_create, CLOCK_MONOTONIC, &event, &lwp->signals.timer, 0, 0, 0))
            return;
        lwp->signals.has_timer = true;
    }
    lwp->signals.armed = true;
    SYS_CALL(SYS_timer_settime, lwp->signals.timer, 0, &soon, NULL, 0, 0);
}

/* The timer's, or from another LWP: see signal_poke. Where RLIMIT_SIGPENDING leaves no room the
 * kernel sends it all the same, and forgets whose it is: as from nobody. */
static inline bool is_retry(const siginfo_t *info)
{
    return info->si_signo == USER_RETRY_SIGNAL &&
           ((info->si_code == SI_TIMER && info->si_value.sival_ptr == &lib) ||
            (info->si_code == SI_TKILL && info->si_pid == lib.pid) ||
            (info->si_code == SI_USER && !info->si_pid));
}

#if USER_MN
static inline void light(void); /* doze.h */
#endif

/* A signal that comes after the mask was stored is treated by that; one that came before is seen
 * when the caller looks for it after this: see signals_assign. */
static inline void mask_changed(void)
{
#if USER_MN
    light();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* signals.h */
static void signals_look(struct lwp *lwp);
static void signals_left(uint64_t bits);
static void signals_deliver(struct uthread *self, ucontext_t *uc);
static void pipe_broken(struct uthread *self); /* sigmask.h */
#if !USER_MN
static bool signals_may_come(void);
#endif

#if USER_UCONTEXT
static inline __attribute__((always_inline)) void context_leaves(ucontext_t *to)
{
    struct lwp *lwp = lwp_self();

    lwp->hold++;
    bits_to(lwp->signals.kernel, &to->uc_sigmask);
}

static inline __attribute__((always_inline)) void context_arrives(void)
{
    lwp_self()->hold--;
}
#endif

#if USER_MN
/* A new kernel thread has the mask of the one that made it. */
static void signals_begin_lwp(struct lwp *lwp)
{
    uint64_t mask = 0;

    SYS_CALL(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask), 0, 0);
    lwp->signals.kernel = mask & SIGNALS_OURS;
    kernel_sync(lwp);
}

/* It is about to sleep while others run: the kernel is to choose one of those. What it gives to a
 * sleeping one would be pending for nobody until that has woken up. kernel_sync opens it again. */
static void signals_asleep(struct lwp *lwp)
{
    kernel_mask(SIG_BLOCK, SIGNALS_OURS);
    atomic_signal_fence(memory_order_seq_cst);
    lwp->signals.kernel = SIGNALS_OURS; /* not before: a handler that comes in between opens all */
}

/* It goes: others look at what is left in its ring, and one of them has open what it had. */
static void signals_end_lwp(struct lwp *lwp)
{
    kernel_mask(SIG_BLOCK, SIGNALS_OURS);
    lwp->signals.kernel = SIGNALS_OURS;
    if (lwp->signals.has_timer)
        SYS_CALL(SYS_timer_delete, lwp->signals.timer, 0, 0, 0, 0, 0);
    lwp->signals.has_timer = lwp->signals.armed = false;
    lwp->signals.flooded = 0;
    USER_STORE(lwp->tid, 0); /* it may be another thread's soon */
    USER_STORE(lib.slow.signals, 1);
}
#endif

#endif

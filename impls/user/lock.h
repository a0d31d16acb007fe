/*
 * lock.h - the library's own locks. Included by user.h only. In M:1 they are nothing.
 *
 * A lock is held for a few instructions by code that does not switch, so waiting for it is
 * spinning; a kernel thread that was displaced while it holds one gets its turn by sched_yield.
 * While there is only one LWP nobody else can want one (lib.multi; as the C library does with
 * SINGLE_THREAD_P): it becomes true before the second is started, at a moment when none is held.
 *
 * Wait lists lie in objects of the user's, which may be gone when somebody wants to take a thread
 * off; so the lock of a list is found by the list's address, in an array of the library's (as the
 * kernel does for futexes). A thread that waits to join another is "at" that thread, whose own lock
 * guards `joiner`.
 *
 * Order: at most one of them is held at a time, but for the pairs that say so.
 */
#ifndef TL_USER_LOCK_H
#define TL_USER_LOCK_H

#include <sched.h>
#include <stdlib.h>

#if USER_MN

#define USER_LOCKS 256 /* two LWPs that need different lists meet by chance once in 256 */

static struct {
    struct user_lock lock;
} __attribute__((aligned(64))) list_locks[USER_LOCKS];

static inline void cpu_relax(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    __asm__ volatile("isb" ::: "memory");
#endif
}

static __attribute__((noinline)) void lock_wait(struct user_lock *l)
{
    unsigned spins = 0;

    do {
        while (USER_LOAD(l->held)) {
            cpu_relax();
            if (++spins % 256 == 0)
                SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        }
    } while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE));
}

/* A handler of the user's, or the thread that takes the PU of a preempted one, may want the lock
 * that was held where it came: so none is, but in the library's own code and under hold(). Builds
 * with faults count them, and end the process where that is not so. */
#ifdef TL_INJECT
static inline void locks_count(int by)
{
    struct lwp *lwp = lwp_self();

    if (lwp) /* NULL: a kernel thread that runs no threads */
        lwp->locks += by;
}

static void locks_none(const struct lwp *lwp)
{
    static const char text[] = "threadlab: the library is left while it holds a lock of its own\n";

    if (!lwp->locks)
        return;
    SYS_CALL(SYS_write, STDERR_FILENO, text, sizeof(text) - 1, 0, 0, 0);
    abort();
}
#else
#define locks_count(by) ((void)0)
#endif

/* Pairs with the release in lock_release. */
static inline void lock_take(struct user_lock *l)
{
    locks_count(1);
    if (USER_LIKELY(!lib.multi))
        return;
    if (USER_UNLIKELY(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
        lock_wait(l);
}

static inline bool lock_try(struct user_lock *l)
{
    if (lib.multi && __atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE))
        return false;
    locks_count(1);
    return true;
}

static inline void lock_release(struct user_lock *l)
{
    USER_STORE_RELEASE(l->held, 0);
    locks_count(-1);
}

/* at: a wait list, or a thread that is waited for. */
static inline struct user_lock *lock_of(const void *at)
{
    uintptr_t address = (uintptr_t)at;

    if (address - (uintptr_t)lib.table < lib.table_size * sizeof(struct uthread))
        return &((struct uthread *)(address & ~(uintptr_t)(sizeof(struct uthread) - 1)))->lock;
    return &list_locks[(address >> 6 ^ address >> 14) % USER_LOCKS].lock;
}

static inline void list_lock(const void *at)
{
    if (USER_UNLIKELY(lib.multi))
        lock_take(lock_of(at));
}

static inline void list_unlock(const void *at)
{
    if (USER_UNLIKELY(lib.multi))
        lock_release(lock_of(at));
}

#else

#define lock_take(l) ((void)0)
#define lock_release(l) ((void)0)

static inline void list_lock(const void *at)
{
    (void)at;
}

static inline void list_unlock(const void *at)
{
    (void)at;
}

#endif

#if !USER_MN || !defined(TL_INJECT)
#define locks_none(lwp) ((void)0)
#endif

/* Of one thread: see struct uthread. */
#if USER_MN
#define thread_lock(t) lock_take(&(t)->lock)
#define thread_unlock(t) lock_release(&(t)->lock)
#else
#define thread_lock(t) ((void)(t))
#define thread_unlock(t) ((void)(t))
#endif

/* Around what is called outside the library's own code while its data is not whole: no signal is
 * handled and nobody is preempted there. (In its own code they see that by the instruction.) */
static inline void hold(struct lwp *lwp)
{
    if (lwp) /* NULL: a kernel thread of the library that runs no threads */
        lwp->hold++;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void release(struct lwp *lwp)
{
    atomic_signal_fence(memory_order_seq_cst);
    if (lwp)
        lwp->hold--;
}

/* TL_POINT and TL_MUTANT, which are code of the program's. */
#ifdef TL_INJECT
#define USER_POINT(name)     \
    do {                     \
        hold(lwp_self());    \
        TL_POINT(name);      \
        release(lwp_self()); \
    } while (0)
#define USER_MUTANT(name)         \
    (__extension__({              \
        bool chosen;              \
        hold(lwp_self());         \
        chosen = TL_MUTANT(name); \
        release(lwp_self());      \
        chosen;                   \
    }))
#else
#define USER_POINT(name) ((void)0)
#define USER_MUTANT(name) false
#endif

#endif

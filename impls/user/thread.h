/*
 * thread.h - a thread: its data, its states, and queues of threads. Included by types.h, which has
 * included what it names.
 */
#ifndef TL_USER_THREAD_H
#define TL_USER_THREAD_H

/* Word by word access to what other LWPs may look at without a lock. In M:1 they are plain moves.
 */
#define USER_LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define USER_LOAD_ACQUIRE(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define USER_STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define USER_STORE_RELEASE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

/* Where a thread is. WAITS_...: on the wait list of something, whose owner will make it ready. */
enum user_state {
    USER_FREE,   /* the slot names no thread; it is in the free list (or never used) */
    USER_ACTIVE, /* runs, or is in the run queue */
    USER_EARLY,  /* likewise, but what it waited for has not come: it was interrupted (sched.h) */
    USER_EARLY_SEM, /* likewise, in WAITS_SEM */
    USER_WAITS_MUTEX,
    USER_WAITS_AGAIN, /* for the mutex of a condition that was signalled: not interrupted any more
                       */
    USER_WAITS_COND,
    USER_WAITS_SEM,       /* does not ask whether it was interrupted: see arrive() */
    USER_WAITS_SEM_TIMED, /* asks */
    USER_WAITS_JOIN,
    USER_WAITS_IO,     /* for a descriptor: poller.h */
    USER_WAITS_ALL,    /* the first thread, after its entry returned */
    USER_SLEEPS,       /* in the timer heap only */
    USER_WAITS_SIGNAL, /* sigwait: on the list of those */
    USER_SUSPENDED,    /* until a handler has run in it; on no list */
    USER_ENDED,        /* not joined yet; has neither stack nor rest */
    USER_STATES
};

#include "count.h"

enum user_flag {
    USER_DETACHED = 1u << 0,
    USER_CANCELLED =
        1u << 1,           /* cancel was called for it; personal_due knows whether it is to act */
    USER_STRICT = 1u << 2, /* M:N: no LWP but its home will do, not even another of the same PU */
};

/* In tp: something is to be done before a thread that does not run goes on. A switch to it sees the
 * tag by the comparison that it makes anyway, and calls arrive() on its stack. */
#define USER_TP_TAG 1u

struct uthread_rest;
struct deque_ring;
struct user_mutex;
struct user_signal;
struct lwp;

/* Held for a few instructions by library code (lock.h); nothing in M:1. */
struct user_lock {
    uint32_t held;
};

struct queue {
    struct uthread *head, *tail; /* tail is meaningless while head is NULL */
};

/* A thread: what the scheduler touches, in one cache line of an array that holds nothing else. The
 * rest lies at the top of the thread's stack, whose page is touched anyway.
 * Invariants: in at most one queue (run queue, wait list, free list) at a time, linked by next;
 * context is valid only while it does not run; rest is valid until it ends; tp and the generation
 * outlive the thread, for the next one in this slot.
 *
 * With several LWPs a second line holds what the others look at, in memory that is never unmapped,
 * so that a stale pointer at worst finds another thread. Invariants: generation, rest becoming
 * NULL, state becoming ENDED or FREE, flags and joiner change under `lock` (a new thread's before
 * its ID is told); waits_at is not NULL just while it is on a wait list, and changes under the lock
 * of that list (lock.h); context.pc is NULL while it runs or is being saved (once lib.multi). */
struct uthread {
    union {
        struct context context;
        void *value; /* USER_ENDED: for the joiner */
    };
    struct uthread *next;
    void *tp;                  /* thread pointer (TLS register) it runs with; see the tag */
    struct uthread_rest *rest; /* NULL: ended */
    int err;                   /* its errno while it does not run */
    uint32_t generation;       /* high half of the ID; see table.h */
#if USER_MN
    void *waits_at __attribute__((aligned(64))); /* lock_of() takes it; NULL: on no list */
    struct uthread *joiner;
    struct lwp *home; /* it, or another one of the same PU, is to run it; NULL: any */
    struct user_lock lock;
    uint8_t tries; /* for a mutex: how often it was woken in vain; see barge.h */
    uint8_t level; /* its priority, for other LWPs; see preempt.h */
#endif
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct uthread) == (USER_MN ? 128 : 64), "whole cache lines");

/* SIGPIPE comes while the library writes: it is for the writer, and not for the process. */
enum pipe_state { PIPE_NONE, PIPE_WRITES, PIPE_BROKEN };

/* Invariants: `held` lists the ROBUST and PI mutexes that it owns; waits means something in
 * WAITS_MUTEX, _COND, _SEM (list) and _JOIN (target) only; timed: it is in the timer heap, whose
 * node child, sibling and previous are (previous: parent of a first child, else left sibling). */
struct uthread_rest {
    /* What create writes: two cache lines, and what is zero side by side. */
#if !USER_MN
    struct uthread *joiner;
#endif
    struct user_mutex *held;
    void *(*entry)(void *);
    void *arg;
    void *high;                  /* end of its stack */
    struct stack_pool *pool;     /* that it goes back to; NULL: alone, as below */
    struct user_signal *signals; /* pending for it alone, in the order of delivery */
    uint64_t mask;               /* signals that it has blocked; changed by itself only */
    uint64_t pending;            /* those in signals */
    uint64_t sigwait;            /* USER_WAITS_SIGNAL: what it waits for */
    struct personal personal;
    uint8_t priority, base_priority; /* with what it was lent by PI mutexes, and without */
    uint32_t critical;               /* calls of common/critical.h that it is in */

    union {
        struct queue *list;
        struct uthread *target;
    } waits;
    uint64_t deadline_ns;         /* CLOCK_MONOTONIC */
    uint32_t handled, in_handler; /* handlers that have returned, and that have not */
#if USER_MN
    uint32_t over; /* of those, the ones that the kernel has called: see over_begin */
#endif
    struct uthread *child, *sibling, *previous;
    bool timed;
    volatile uint8_t pipe; /* enum pipe_state: of a write of its own */
    uint8_t io_handled;    /* by signal handlers while it waited in WAITS_IO: poller.h */
    int io_fd;             /* WAITS_IO: for this, for one of */
    uint32_t io_events;
    struct stack alone; /* base NULL: the caller's memory */
#if USER_UCONTEXT
    ucontext_t uc;
#endif
#ifdef USER_ASAN
    void *fake_stack;
#endif
#ifdef USER_TSAN
    void *fiber;
#endif
};

/* Who waits for the end of t: `joiner` of the second line, or of the rest. */
#if USER_MN
#define USER_JOINER(t) ((t)->joiner)
#else
#define USER_JOINER(t) ((t)->rest->joiner)
#endif

static inline enum user_state state_of(const struct uthread *t)
{
    return (enum user_state)USER_LOAD(t->context.state);
}

static inline void state_set(struct uthread *t, enum user_state state)
{
    USER_STORE(t->context.state, (uint8_t)state);
}

static inline void queue_push(struct queue *q, struct uthread *t)
{
    USER_STORE(t->next, NULL); /* any_work looks at it without the lock */
    if (q->head)
        USER_STORE(q->tail->next, t);
    else
        USER_STORE(q->head, t);
    q->tail = t;
}

static inline void queue_push_front(struct queue *q, struct uthread *t)
{
    USER_STORE(t->next, q->head);
    if (!q->head)
        q->tail = t;
    USER_STORE(q->head, t);
}

static inline struct uthread *queue_pop(struct queue *q)
{
    struct uthread *t = q->head;

    if (t)
        USER_STORE(q->head, t->next);
    return t;
}

/* Takes t, which may be anywhere in it: linear. False: it is not in it. */
static inline bool queue_remove(struct queue *q, struct uthread *t)
{
    struct uthread *before = NULL, *at = q->head;

    while (at && at != t) {
        before = at;
        at = at->next;
    }
    if (!at)
        return false;
    if (before)
        USER_STORE(before->next, t->next);
    else
        USER_STORE(q->head, t->next);
    if (q->tail == t)
        q->tail = before;
    return true;
}

/* Appends all of `from`, which becomes empty. */
static inline void queue_append(struct queue *to, struct queue *from)
{
    if (!from->head)
        return;
    if (to->head)
        USER_STORE(to->tail->next, from->head);
    else
        USER_STORE(to->head, from->head);
    to->tail = from->tail;
    USER_STORE(from->head, NULL);
}

#endif

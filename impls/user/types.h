/*
 * types.h - the data of the user-level library: struct uthread, struct lwp, struct library.
 * Included by user.h only.
 */
#ifndef TL_USER_TYPES_H
#define TL_USER_TYPES_H

#include "../common/personal.h"
#include "../common/stack.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#if USER_UCONTEXT
#include "context_uc.h"
#else
#include "../common/context.h"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define USER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define USER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define USER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define USER_TSAN 1
#endif
#endif

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
    USER_WAITS_ALL, /* the first thread, after its entry returned */
    USER_SLEEPS,    /* in the timer heap of its LWP only */
    USER_ENDED,     /* not joined yet; has neither stack nor rest */
    USER_STATES
};

enum user_flag {
    USER_DETACHED = 1u << 0,
    USER_CANCELLED =
        1u << 1, /* cancel was called for it; personal_due knows whether it is to act */
};

/* In tp: something is to be done before a thread that does not run goes on. A switch to it sees the
 * tag by the comparison that it makes anyway, and calls arrive() on its stack. */
#define USER_TP_TAG 1u

struct uthread_rest;
struct user_mutex;
struct user_signal;

struct queue {
    struct uthread *head, *tail; /* tail is meaningless while head is NULL */
};

/* A thread: what the scheduler touches, in one cache line of an array that holds nothing else. The
 * rest lies at the top of the thread's stack, whose page is touched anyway.
 * Invariants: in at most one queue (run queue, wait list, free list) at a time, linked by next;
 * context is valid only while it does not run; rest is valid until it ends; tp and the generation
 * outlive the thread, for the next one in this slot. */
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
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct uthread) == 64, "one cache line");

/* Invariants: `held` lists the ROBUST and PI mutexes that it owns; waits means something in
 * WAITS_MUTEX, _COND, _SEM (list) and _JOIN (target) only; timed: it is in the timer heap, whose
 * node child, sibling and previous are (previous: parent of a first child, else left sibling). */
struct uthread_rest {
    /* What create writes: two cache lines, and what is zero side by side. */
    struct uthread *joiner;
    struct user_mutex *held;
    void *(*entry)(void *);
    void *arg;
    void *high;                  /* end of its stack */
    struct stack_pool *pool;     /* that it goes back to; NULL: alone, as below */
    struct user_signal *signals; /* pending for it alone, in the order of delivery */
    struct personal personal;
    uint8_t priority, base_priority; /* with what it was lent by PI mutexes, and without */

    union {
        struct queue *list;
        struct uthread *target;
    } waits;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    struct uthread *child, *sibling, *previous;
    bool timed;
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

/* The order of the run queue: tl_param "policy". */
enum user_policy { USER_FIFO, USER_LIFO, USER_PRIORITY };
#define USER_PRIORITIES 32 /* 0 (default) to 31 (first) */

/* Why giving up the PU takes the slow path: bytes of one word, so that the fast path looks at all
 * of them at once. */
union user_slow {
    uint32_t any;
    struct {
        uint8_t timers; /* somebody is in the timer heap */
        uint8_t policy; /* it is not USER_FIFO */
    };
};

/* A kernel thread that runs user-level threads.
 * Invariants: current is the thread whose stack it is on; err is where errno lives for code that
 * runs on it (in mode tls=full each thread has its own errno, and err points to `no_err`); with
 * USER_PRIORITY the run queue is `levels`, of which bit p of `occupied` tells that p is not empty,
 * and `ready` is empty. */
struct lwp {
    struct uthread *current;
    struct queue ready;
    int *err;
    union user_slow slow;
    unsigned tick;          /* switches since the clock was last looked at */
    struct uthread *timers; /* pairing heap by deadline, NULL: nobody is in it */
    int no_err;
    enum user_policy policy;
    uint32_t occupied;
    struct queue levels[USER_PRIORITIES];
} __attribute__((aligned(128)));

/* Guard and size of its stacks are equal, so that any free one will do. */
struct stack_pool {
    struct free_stack *free;
    struct stack_slab fresh; /* the newest slab */
    size_t fresh_used;       /* of its stacks; those after were never used */
    size_t usable, guard;    /* bytes */
};

/* The sizes are powers of two from 2 KiB to 64 GiB, with and without a guard of one page. */
#define USER_SIZE_MIN_LOG2 11
#define USER_SIZE_MAX_LOG2 36
#define USER_SIZES (USER_SIZE_MAX_LOG2 - USER_SIZE_MIN_LOG2 + 1)
#define USER_STACK_DEFAULT (64u * 1024)

struct library {
    struct uthread *table; /* reserved address space; pages are touched as the threads come */
    size_t table_size;     /* slots */
    size_t table_used;     /* slots 0..used-1 were used at least once */
    struct uthread *table_free;
    size_t live;           /* threads that have not ended */
    struct uthread *first; /* runs entry; NULL in a forked child of another thread */
    void *first_value;     /* what its entry returned, or it exited with */
    jmp_buf first_exit;    /* to the end of its entry */
    bool recycle;          /* stacks and TLS blocks are kept for the next thread */
    bool full_tls;
    bool fsgsbase; /* the TLS register can be written without the kernel */
    int tid;       /* of the kernel thread */
    int pid;
    size_t signals; /* kept for threads that do not run */
    struct user_signal *signals_free;
    size_t page;
    void *tp; /* the kernel thread's own thread pointer */
    struct slab_node *slabs;
    struct stack_pool pools[2][USER_SIZES]; /* [guarded] */
};

static struct library lib;
static struct lwp the_lwp;

/* The LWP that the caller runs on. With several of them this must not be cached across a switch. */
static inline struct lwp *lwp_self(void)
{
    return &the_lwp;
}

static inline enum user_state state_of(const struct uthread *t)
{
    return (enum user_state)t->context.state;
}

static inline void queue_push(struct queue *q, struct uthread *t)
{
    t->next = NULL;
    if (q->head)
        q->tail->next = t;
    else
        q->head = t;
    q->tail = t;
}

static inline void queue_push_front(struct queue *q, struct uthread *t)
{
    t->next = q->head;
    if (!q->head)
        q->tail = t;
    q->head = t;
}

static inline struct uthread *queue_pop(struct queue *q)
{
    struct uthread *t = q->head;

    if (t)
        q->head = t->next;
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
        before->next = t->next;
    else
        q->head = t->next;
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
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
    from->head = NULL;
}

#endif

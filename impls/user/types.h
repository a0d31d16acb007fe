/*
 * types.h - the data of the user-level library: struct uthread, struct lwp, struct library.
 * Included by user.h only.
 */
#ifndef TL_USER_TYPES_H
#define TL_USER_TYPES_H

#include "../common/stack.h"

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
    USER_WAITS_MUTEX,
    USER_WAITS_COND,
    USER_WAITS_SEM,
    USER_WAITS_JOIN,
    USER_WAITS_ALL, /* the first thread, after its entry returned */
    USER_SLEEPS,    /* in the timer heap of its LWP */
    USER_ENDED,     /* not joined yet; has neither stack nor rest */
    USER_STATES
};

enum user_flag {
    USER_DETACHED = 1u << 0,
};

struct uthread_rest;

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
    void *tp;                  /* thread pointer (TLS register) it runs with */
    struct uthread_rest *rest; /* NULL: ended */
    int err;                   /* its errno while it does not run */
    uint32_t generation;       /* high half of the ID; see table.h */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct uthread) == 64, "one cache line");

struct uthread_rest {
    struct uthread *joiner;
    void *(*entry)(void *);
    void *arg;
    void *high;              /* end of its stack */
    struct stack_pool *pool; /* that it goes back to; NULL: mapped alone, as `alone` says */
    struct stack alone;
    /* USER_SLEEPS: node of the timer heap */
    uint64_t deadline_ns;
    struct uthread *child, *sibling;
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

struct queue {
    struct uthread *head, *tail; /* tail is meaningless while head is NULL */
};

/* A kernel thread that runs user-level threads.
 * Invariants: current is the thread whose stack it is on; err is where errno lives for code that
 * runs on it (in mode tls=full each thread has its own errno, and err points to `no_err`). */
struct lwp {
    struct uthread *current;
    struct queue ready;
    int *err;
    struct uthread *timers; /* pairing heap by deadline, NULL: nobody sleeps */
    unsigned tick;          /* switches since the clock was last looked at */
    int no_err;
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
    void *first_value;     /* what its entry returned */
    bool recycle;          /* stacks and TLS blocks are kept for the next thread */
    bool full_tls;
    bool fsgsbase; /* the TLS register can be written without the kernel */
    int tid;       /* of the kernel thread */
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

/*
 * types.h - the data of the user-level library: struct lwp, struct library; with thread.h, struct
 * uthread. Included by user.h only.
 */
#ifndef TL_USER_TYPES_H
#define TL_USER_TYPES_H

#include "../common/personal.h"
#include "../common/stack.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#if USER_MN
#include "../common/detect.h"

#include <pthread.h>
#endif

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

#include "thread.h"

/* The order of the run queue: tl_param "policy". STEAL: each LWP has queues of its own, and takes
 * from the others what they do not get to (M:N only). */
enum user_policy { USER_FIFO, USER_LIFO, USER_PRIORITY, USER_STEAL };
#define USER_PRIORITIES 32 /* 0 (default) to 31 (first) */

/* Why giving up the PU takes the slow path: bytes of one word, so that the fast path looks at all
 * of them at once. */
union user_slow {
    uint64_t any;
    struct {
        /* The first four are a word that M:1 sleeps on (idle_sleep). */
        uint8_t timers;  /* somebody is in the timer heap */
        uint8_t policy;  /* it is not the common one */
        uint8_t surplus; /* M:N: more LWPs are active than wanted */
        uint8_t signals; /* the ring is not empty, or somebody is to be asked again */
        uint8_t yields;  /* they are counted: somebody has asked (inspect.h) */
        uint8_t io;      /* somebody waits for a descriptor */
        uint8_t stop;    /* M:N: LWPs are to come to rest: world.h */
    };
};

/* Signals that the kernel has delivered on an LWP while the library was at work.
 * Invariants: in is written by the signal handler, out by the library; full: all that the library
 * stands for is blocked until the ring has been looked at; kernel: what the kernel's mask is now.
 * They belong to this LWP alone, but that others take out of the ring (ring_lock). */
#define USER_RING 32
struct lwp_signals {
    volatile uint64_t kernel;
    volatile unsigned in, out;
    volatile bool full;
    bool has_timer;
    volatile bool armed;       /* the timer runs */
    volatile unsigned flooded; /* by timers of the program, for that many retries: flood_count */
    unsigned flood;            /* what that is to be the next time */
    unsigned timers;           /* signals of these, up to USER_FLOOD */
    uint64_t timers_since;     /* CLOCK_MONOTONIC */
    bool leaves;               /* its thread gives up the PU and takes none: see open_tell */
    unsigned heard;            /* grows with each retry: see signals_settle */
    int timer;                 /* the kernel's number; see retry_soon */
    siginfo_t ring[USER_RING];
};

/* Ready threads in the order of the policy. Invariants: with USER_PRIORITY they are in `levels`, of
 * which bit p of `occupied` tells that p is not empty, and `ready` is empty; else in `ready`. */
struct run_queue {
    struct queue ready;
    uint32_t occupied;
    struct queue levels[USER_PRIORITIES];
};

/* The sizes are powers of two from 2 KiB to 64 GiB, with and without the default guard. */
#define USER_SIZE_MIN_LOG2 11
#define USER_SIZE_MAX_LOG2 36
#define USER_SIZES (USER_SIZE_MAX_LOG2 - USER_SIZE_MIN_LOG2 + 1)
#define USER_STACK_DEFAULT (64u * 1024)
#define USER_LWPS_MAX 64 /* of unbound threads: bits of a word */

/* Of one LWP, in front of what is shared. */
struct stack_cache {
    struct free_stack *free;
    unsigned n;
};

struct slot_cache {
    struct uthread *free;
    unsigned n;
};

#if USER_MN
/* See deque.h. Invariants: it holds the items top..bottom-1; bottom is written by the owner only,
 * top only grows. */
struct deque {
    _Atomic int64_t top;
    _Atomic(struct deque_ring *) ring;
    _Atomic int64_t bottom __attribute__((aligned(64)));
};
#endif

/* See preempt.h. Written by its LWP and, on that, by the handler. */
struct lwp_preempt {
    int timer, retry; /* of the kernel: each quantum; once, after a tick that came at a bad time */
    unsigned number;
    bool armed;   /* the timers exist */
    bool late;    /* a tick came at a bad time */
    bool idle;    /* the LWP has nobody to run */
    bool stopped; /* a tick came then, and stopped the timer */
#if USER_MN
    struct queue here; /* interrupted, and to go on here: only this LWP takes them */
#endif
};

/* Bits of lwp.outside: its thread has said so; the detector has, at some moment before. */
#define OUTSIDE_SAID 1u
#define OUTSIDE_SEEN 2u

/* A kernel thread that runs user-level threads.
 * Invariants: current is the thread whose stack it is on; err is where errno lives for code that
 * runs on it (in mode tls=full each thread has its own errno, and err points to `no_err`). Touched
 * by the kernel thread itself only, but for what is said to be shared. */
struct lwp {
    struct uthread *current;
    int *err;
    unsigned tick;    /* switches since the clock was last looked at */
    unsigned io_tick; /* since the poller was */
    int no_err;
    int tid;
    _Atomic uint32_t polls; /* it sleeps in the poller: poller_kick() wakes it */
    volatile unsigned hold; /* not 0: it must not be switched away from, and signals wait */
#if USER_MN && defined(TL_INJECT)
    int locks; /* that it holds: see lock.h */
#endif
    volatile bool bounced; /* the kernel was asked to run a handler at once (SA_ONSTACK) */
    struct lwp_signals signals;
    struct lwp_preempt preempt;
#if !USER_MN
    struct run_queue queue;
#else
    unsigned number; /* 0: the kernel thread that called run() */
    unsigned picks;  /* threads taken: now and then the oldest goes first; others read it */
    uint64_t seed;
    uint64_t fair_own_ns, fair_others_ns; /* when it last took fairly from there: steal.h */
    int64_t live; /* threads created less threads ended on it; others read it */
    void *tp;     /* thread pointer that the C library gave it */
    struct slot_cache slots;
    struct stack_cache stacks[2][USER_SIZES];
    struct uthread *idle;    /* the context that looks for work */
    struct uthread *next_up; /* which that is to go on with at once: see switch.h; NULL: none */
    /* Shared: ready threads, see sched.h. */
    struct uthread *slot __attribute__((aligned(64)));
    struct deque deque;
    struct user_lock lock __attribute__((aligned(64))); /* of the two queues, and see steal.h */
    struct queue fifo;                                  /* any LWP may take them */
    struct queue pinned;        /* their home is here: see steal.h. Outlives the kernel thread */
    struct uthread *seen;       /* its slot, when another LWP last looked */
    unsigned seen_picks;        /* ... and its picks */
    struct uthread *seen_first; /* the first of `pinned`, when the lookout last looked */
    unsigned seen_served;       /* ... and what those who serve it had picked */
    /* Shared: sleeping, see lwp.h. */
    _Atomic uint32_t token __attribute__((aligned(64)));
    _Atomic uint32_t phase; /* enum lwp_phase */
    _Atomic uint32_t started;
    _Atomic uint32_t stopped; /* the epoch of world.h in which it rests, or last did */
    _Atomic uint32_t leaving; /* SPARE, but has not handed over all of its threads */

    uint8_t outside;         /* its thread is in a call that may block: OUTSIDE_... */
    bool watched;            /* by the detector; its own */
    struct detect_flag flag; /* what it shows to the detector */
    uint8_t joinable;        /* `thread` is to be joined; guarded by lwp_lock */
    bool was_lookout;        /* until it runs a thread */
    unsigned watch;          /* as a lookout: how often in a row there was nothing */
    struct uthread *bound;   /* runs this thread only; NULL: unbound ones */
    bool ended;              /* the bound thread has, or is not bound any more */
    struct lwp *before;      /* home of the bound thread but for that; NULL: any */
    struct lwp *next_ever;   /* of those that were ever made for bound threads */
    struct lwp *next_bound;  /* of the list of bound ones, or of the free ones among them */
    int slot_of_place;       /* of tl_boot: where it is pinned; its own */
    struct lwp *serves;      /* whose `pinned` it takes; itself if bound. Written under lwp_lock */
    struct uthread idle_thread;
    struct uthread_rest idle_rest;
    pthread_t thread;
#endif
    struct user_counts counts;
    void *altstack; /* see redzone.h; NULL: the kernel thread's own, or none */
} __attribute__((aligned(128)));

/* Guard and size of its stacks are equal, so that any free one will do. In M:N the free ones are
 * the LWP's own, and the rest is shared. */
struct stack_pool {
    struct free_stack *free;
    struct stack_slab fresh; /* the newest slab */
    size_t fresh_used;       /* of its stacks; those after were never used */
    size_t usable, guard;    /* bytes */
    unsigned batch;          /* M:N: as many move between an LWP and the others at once */
};

struct library {
    union user_slow slow;
    enum user_policy policy;
    bool recycle; /* stacks and TLS blocks are kept for the next thread */
    bool full_tls;
    bool fsgsbase; /* the TLS register can be written without the kernel */
    int pid;
    size_t page;
    size_t handler_room;   /* bytes of each stack for the frame of a handler */
    struct uthread *table; /* reserved address space; pages are touched as the threads come */
    size_t table_size;     /* slots */
    size_t table_used;     /* slots 0..used-1 were used at least once */
    struct uthread *table_free;
    size_t live;           /* M:1: threads that have not ended */
    struct uthread *first; /* runs entry; NULL in a forked child of another thread */
    void *first_value;     /* what its entry returned, or it exited with */
    jmp_buf first_exit;    /* to the end of its entry */
    uint64_t reserved;     /* signals that are the library's own: a set */
    uint64_t mask_at_boot; /* the kernel's */
    bool signals_used;     /* the kernel calls the library for some */
    uint64_t lowered;      /* signals that nobody has open: the kernel is to block them */
    uint64_t pending;      /* signals to the process that nobody has taken: signals.kept */
    void *tp;              /* the first kernel thread's own thread pointer */
    pthread_t origin;      /* that kernel thread, as the C library calls it */
    struct slab_node *slabs;
    struct stack_pool pools[2][USER_SIZES]; /* [guarded] */
    /* See trim.h; guarded by pool_lock. */
    uint64_t trim_ns; /* when the next period begins */
    uint64_t trimmed; /* stacks */
    /* Stacks that nobody had used before: any LWP adds, so atomically. */
    uint64_t stacks_new;
    uint32_t period;
    bool trims;             /* there is something to do in the next period */
    struct uthread *timers; /* pairing heap by deadline, NULL: nobody is in it */
#if USER_MN
    bool multi;        /* there are, or were, several LWPs: locks are taken (lock.h) */
    bool heavy;        /* membarrier(2) works: fences are paid for by those who wait (lwp.h) */
    bool spin;         /* each LWP may have a PU to itself; on one PU none has */
    bool one_pu;       /* they all share one */
    bool last_matters; /* somebody wants to know when the last thread has ended */
    bool first_woken;  /* and was told; guarded by the first thread's lock */
    bool stopping;
    unsigned set;       /* concurrency that was asked for; 0: the library decides */
    unsigned wanted;    /* LWPs that run unbound threads at once */
    unsigned lwps_used; /* lwp[0..used-1] have existed */
    const struct tl_boot *boot;
    bool jackets;          /* blocking calls made through the library hand over */
    struct detect *detect; /* NULL: none; see watch.h */
    enum detect_kind detect_kind;
    _Atomic uint64_t seen_blocked, unwatched; /* how often it told; LWPs that it cannot watch */
    void *first_low, *first_high;             /* the first thread's stack */
    _Atomic uint32_t over, forking;           /* see over_begin */
    int64_t live_elsewhere;                   /* as lwp.live, of bound LWPs */
    uint64_t next_ns; /* the earliest deadline; USER_NS_NEVER: none. Changes under timer_lock */
    struct lwp *lwp[USER_LWPS_MAX]; /* never freed before the end: a thief may look at it */
    struct lwp *bound, *bound_free; /* guarded by lwp_lock */
    struct lwp *bound_ever;         /* all of both; only grows, and is read without that lock */
    _Atomic uint64_t sleepers
        __attribute__((aligned(64))); /* bit i: lwp[i] sleeps, or is about to */
    _Atomic uint32_t searching;       /* LWPs that look for work */
    _Atomic uint32_t lookout; /* number + 1 of the sleeping LWP that keeps the time; 0: none */
    uint8_t lookout_blind;    /* it does not look after slots meanwhile */
    uint8_t lacking;          /* fewer are active than wanted: who makes work is to add one */
    uint64_t lookout_ns;      /* until when the lookout sleeps */
    _Atomic int active;       /* LWPs for unbound threads that are not spare, gone or outside */
    _Atomic int existing;     /* those that are not gone */
    struct user_lock table_lock __attribute__((aligned(64)));
    struct user_lock pool_lock, timer_lock, signal_lock, ring_lock, lwp_lock, listed_lock;
    struct user_lock queue_lock __attribute__((aligned(64)));
    struct run_queue queue; /* policies other than STEAL */
    struct queue inbox;     /* made ready by who is no LWP for unbound threads */
#endif
};

static struct library lib;

#if USER_MN
/* The thread pointer leads to it. In mode tls=full each thread's block has its own, which a switch
 * sets. Written in C and read by lwp_self() only. */
extern _Thread_local struct lwp *user_lwp __asm__("threadlab_user_lwp")
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The LWP that the caller runs on; NULL: on none. To be asked again after whatever may switch, so
 * it must not be remembered by the compiler, nor where it was found: hence the assembly. */
static inline struct lwp *lwp_self(void)
{
    struct lwp *lwp;

#ifdef __x86_64__
    __asm__ volatile("movq threadlab_user_lwp@gottpoff(%%rip), %0\n\t"
                     "movq %%fs:(%0), %0"
                     : "=r"(lwp));
#else
    uintptr_t at;

    __asm__ volatile("adrp %0, :gottprel:threadlab_user_lwp\n\t"
                     "ldr %0, [%0, :gottprel_lo12:threadlab_user_lwp]\n\t"
                     "mrs %1, tpidr_el0\n\t"
                     "ldr %0, [%1, %0]"
                     : "=&r"(lwp), "=&r"(at));
#endif
    return lwp;
}

/* Of the thread whose block tp leads to: only with tls=full, before a switch to it. */
static inline void lwp_tell(void *tp, struct lwp *lwp)
{
    uintptr_t offset;

#ifdef __x86_64__
    __asm__("movq threadlab_user_lwp@gottpoff(%%rip), %0" : "=r"(offset));
#else
    __asm__("adrp %0, :gottprel:threadlab_user_lwp\n\t"
            "ldr %0, [%0, :gottprel_lo12:threadlab_user_lwp]"
            : "=r"(offset));
#endif
    *(struct lwp **)((uintptr_t)tp + offset) = lwp;
}

static inline struct run_queue *queue_of(struct lwp *lwp)
{
    (void)lwp;
    return &lib.queue;
}
#else
static struct lwp the_lwp;

/* The LWP that the caller runs on. With several of them this must not be cached across a switch. */
static inline struct lwp *lwp_self(void)
{
    return &the_lwp;
}

static inline struct run_queue *queue_of(struct lwp *lwp)
{
    return &lwp->queue;
}
#endif

#endif

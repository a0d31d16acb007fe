/*
 * thread.h - the threads of clone: one control block each, found by index, told apart over time by
 * a generation. pool.c keeps the blocks and what they own; thread.c is their life.
 */
#ifndef TL_CLONE_THREAD_H
#define TL_CLONE_THREAD_H

#include "impl.h"

#include "kernel.h"

#include "../common/cancel_sys.h"
#include "../common/futex_sync.h"
#include "../common/personal.h"
#include "../common/redzone.h"
#include "../common/stack.h"

#include <stdatomic.h>

/* Usable bytes of a stack where nothing was asked for. Not RLIMIT_STACK as in the C library: eight
 * stacks of this size share a page of the kernel's page table, and printf needs a tenth. */
#define CLONE_STACK_SIZE ((size_t)256 << 10)

/* The least that a user's own memory may have: a signal frame with the widest registers, twice. */
#define CLONE_STACK_MIN ((size_t)16 << 10)

/* In *tid until the kernel has written the TID: above any (PID_MAX_LIMIT is 2^22). */
#define CLONE_UNBORN 0x7fffffffu

enum clone_recycle {
    CLONE_RECYCLE_STACK,  /* an ended thread leaves its stack and TLS block to the next */
    CLONE_RECYCLE_NONE,   /* nothing */
    CLONE_RECYCLE_THREAD, /* the kernel thread as well: it parks, with all signals blocked */
};

/* Of struct thread.life. LIVE and ENDED can be joined or detached. */
/* (The prefix is long because CLONE_DETACHED is a flag of clone(2).) */
enum clone_life {
    CLONE_LIFE_FREE,          /* nobody: the id is stale */
    CLONE_LIFE_LIVE,          /* runs */
    CLONE_LIFE_ENDED,         /* has left its function */
    CLONE_LIFE_JOINED,        /* somebody joins it, and will give the block back */
    CLONE_LIFE_AWAITED_ENDED, /* the same, and it has left its function */
    CLONE_LIFE_DETACHED,      /* runs; gives its block back itself */
    CLONE_LIFE_FIRST,         /* the thread that called run() */
};

/* Of struct thread.work, where a parked kernel thread waits. */
enum clone_work {
    CLONE_IDLE,   /* none yet; the thread is awake */
    CLONE_ASLEEP, /* none yet; wake it */
    CLONE_JOB,
    CLONE_QUIT,
};

/* Of struct thread.done, where the joiner of a recycled kernel thread waits. */
enum clone_done {
    CLONE_RUNS,
    CLONE_DONE,
    CLONE_AWAITED, /* runs, and the joiner sleeps: wake it */
};

/* Of struct thread.gate, where a thread with a scheduling policy of its own waits until the creator
 * has set it. */
enum clone_gate {
    CLONE_OPEN, /* there is none */
    CLONE_SHUT,
    CLONE_STOPPED, /* the policy was refused: the thread ends */
};

/* What was asked of a stack, in bytes: one that is kept serves a thread that asks for the same. */
struct clone_form {
    size_t size, guard;
};

/* Invariants:
 *   - blocks are never freed before run() ends: any index that was ever given leads to one;
 *   - life is generation << 32 | enum clone_life and changes by compare-and-swap; whoever brings it
 *     to JOINED, or finds it DETACHED at the thread's end, owns the block from then on. The
 *     generation rises when the block is given back. Release at each change pairs with the acquire
 *     of whoever takes over;
 *   - *tid is 0 exactly while no kernel thread uses stack and tp: the kernel clears it as the last
 *     thing (CLONE_CHILD_CLEARTID). tp == NULL: there are no stack and TLS block;
 *   - parking: the kernel thread is one that can be recycled: joined by `done`, not by *tid. Then
 *     parks, valid when done is DONE, says whether it really does; otherwise it exits;
 *   - stack.base is NULL where the memory is the user's (such a block never keeps it), and in the
 *     first thread, whose stack.high is some address within its stack;
 *   - entry, arg, value, slot, mask, fp belong to the creator until the thread starts, then to the
 *     thread, and after its end to the block's owner;
 *   - senders and ending are a Dekker pair (both sides seq_cst): a kill raises senders and reads
 *     ending; the thread sets ending and waits for senders to be 0. So no signal is sent to a TID
 *     that has become somebody else's. */
struct thread {
    _Atomic uint64_t life;
    _Atomic uint32_t *tid; /* in the TLS block: what the C library believes, too */
    void *(*entry)(void *);
    void *arg, *value;
    struct thread *next; /* in the one list that the block is in */
    void *tp;
    uint32_t index;
    int slot;               /* whose PU it is pinned to */
    bool pin;               /* it has to pin itself first */
    struct clone_form form; /* of its stack, while it has one */
    bool parking, parks;    /* see above */
    _Atomic bool signaled;  /* a signal was sent to it, and may be pending still: never parked */
    /* The name or the scheduling is not as in other threads: its kernel thread never parks, and
     * those that it creates inherit that. Relaxed; any thread sets it. */
    _Atomic bool odd;
    uint64_t mask;        /* the creator's, for a parked kernel thread */
    struct fp_control fp; /* likewise */
    struct personal personal;
    struct cancel_sys cancel;
    void *jump[5];         /* __builtin_setjmp: where a thread goes that ends within its function */
    _Atomic uint32_t gate; /* enum clone_gate */
    _Alignas(64) _Atomic uint32_t work, done;
    _Atomic uint32_t senders, ending;
    struct futex_hint work_hint, done_hint;
    struct stack stack;
};

/* The process's one instance. */
struct clone_state {
    const struct tl_boot *boot;
    enum clone_recycle recycle;
    /* Threads that have not ended, but for the first; run() sleeps on it when `draining`. */
    _Atomic uint32_t live, draining;
    bool orphan; /* a forked child whose first thread is gone: ends with its last thread */
};
extern struct clone_state clone_state;

/* ---- pool.c ---------------------------------------------------------------------------------- */

int pool_init(void);
void pool_fini(void); /* when all other threads have ended: waits for the kernel, frees all */

/* The caller is the first thread: a block for it. */
int pool_adopt_first(void);

/* The block of an id that is not stale, or NULL. */
struct thread *pool_find(struct tl_thread t);
uint64_t pool_id(const struct thread *t);
/* The caller, who is t, has an alternate stack from now on: above its stack, in one mapping. Not on
 * memory of the user's. */
void pool_use_altstack(const struct thread *t);
/* f(t, arg) for each block that was ever used. Async-signal-safe, any thread. */
void pool_each(void (*f)(struct thread *t, void *arg), void *arg);

/* A block with a stack and a TLS block, which nobody uses. 0, EAGAIN, EINVAL. */
int pool_take(struct thread **t, const struct tl_attr *attr);
/* A parked kernel thread of the slot, with a stack of the form that attr asks for; NULL: none.
 * slot -1: of any. */
struct thread *pool_take_parked(int slot, const struct tl_attr *attr);
/* The owner of an ended thread's block gives it back; the kernel may still be at its stack. */
void pool_give(struct thread *t);
/* The same for one whose kernel thread parks, or is about to. */
void pool_give_parked(struct thread *t);

/* A limit was hit: frees all that is kept for later threads, parked kernel threads included, and
 * waits until the kernel has let go of it. False: there was nothing. */
bool pool_shrink(void);

/* Around fork: nobody else is within the pool. In the child, all blocks but self's and the first
 * thread's (which stays when it is self) are given back. */
void pool_lock(void);
void pool_unlock(void);
void pool_forget_others(struct thread *self);

/* ---- thread.c -------------------------------------------------------------------------------- */

struct thread *thread_self(void);
void thread_adopt(struct thread *t); /* the calling thread is t from now on */
/* The thread's function, and the end of what is personal, however it ends: by return, exit, or
 * cancellation. Its value is in t->value. */
void thread_call(struct thread *t);
void thread_exit(void *value);
int thread_create(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                  void *arg);

/* ---- join.c ---------------------------------------------------------------------------------- */

int thread_join(struct tl_thread t, void **value);
int thread_detach(struct tl_thread t);
/* Until the kernel has let go of its stack. No cancellation point. */
void thread_wait_gone(struct thread *t);

/* Keeps the thread from ending, so that its TID is its own: ESRCH where it has ended, else *tid.
 * The calling thread itself cannot end meanwhile. */
int thread_hold(struct tl_thread id, struct thread **t, int *tid);
void thread_release(struct thread *t);

/* ---- signal.c -------------------------------------------------------------------------------- */

extern const struct tl_signal_ops clone_signal;
extern const struct tl_fork_ops clone_fork;

/* ---- cancel.c, info.c, inspect.c ------------------------------------------------------------- */

extern const struct tl_cancel_ops clone_cancel;
extern const struct tl_io_ops clone_io;
extern const struct tl_info_ops clone_info;
extern const struct tl_inspect_ops clone_inspect;
/* For redzone_begin. */
bool clone_redzone_owner(const void *address, struct redzone_owner *o);
int clone_sleep(uint64_t ns);
/* sched_setscheduler(2). */
int clone_set_sched(int tid, const struct tl_sched *sched);

#endif

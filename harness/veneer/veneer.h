/*
 * veneer.h - what the parts of the veneer share: the C library's names of threads, as functions
 * over one `const struct tl_impl`, so that a program written for <pthread.h> runs on it unchanged.
 *
 * The parts are linked with one implementation into one object. `threadlab cc` links a program with
 * it and has the linker send each reference to NAME of the program's objects to our __wrap_NAME
 * (ld --wrap); what the object itself calls is renamed to __real_NAME, the C library's. The list of
 * names is read from the object: a new WRAP function is found by itself. README.md says what holds
 * for which model.
 *
 *     identity.S  nptl: straight on to the C library; the rest is for the others
 *     boot.c      main of the program becomes the first thread; the table of threads
 *     setxid.c    setuid and its like
 *     thread.c    create, join, detach, exit      np.c     scheduling, names, affinity
 *     cancel.c    cancellation, cleanup handlers  unwind.c C++ frames of a thread that ends
 *     key.c       keys                            once.c   once
 *     mutex.c     mutex, with owner, kinds, robustness on top of TL_MUTEX_BLOCK
 *     ceiling.c   the ceilings of PTHREAD_PRIO_PROTECT
 *     lent.c      stacks of the program's own under detached threads
 *     cond.c      condition variable              sem.c    semaphore
 *     sync.c      read-write lock, barrier, spin lock
 *     shared.c    waiting for what processes share
 *     futex.c     waiting for a word of this process, and syscall(SYS_futex)
 *     signal.c    handlers, masks, waiting        wait.c   sleep, select, poll, waitpid
 *     io.c        read, write, sockets            fork.c   fork
 *     epoll.c     epoll_wait                      jump.c   siglongjmp
 *     locks.c     locks of files, System V        shell.c  system, popen
 *     stdio.c     the lock of a FILE              input.c  reading from one
 *     fifo.c      open of a FIFO                  notify.c SIGEV_THREAD
 *     exec.c      exec
 *     c11.c       <threads.h>                     cxx.c    std::thread, std::condition_variable
 *
 * Objects lie in the C library's own types, where static initialisers are: its first word points to
 * the implementation's object, made at the first use; for one that processes share (PSHARED), the
 * whole state lies there.
 */
#ifndef TL_VENEER_H
#define TL_VENEER_H

#include "impl.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unwind.h>

/* A function that the linker puts in the place of the C library's. */
#define WRAP(name) __wrap_##name

/* What is left to do if the thread ends in the block. On the stack of who pushed it; the layout is
 * known to include/pthread.h. */
struct veneer_cleanup {
    void (*routine)(void *);
    void *arg;
    struct veneer_cleanup *outer;
    int done;
};

/* Bits of veneer_thread.cancel. */
enum {
    VENEER_REQUESTED = 1u << 0,
    VENEER_DISABLED = 1u << 1,
    VENEER_ASYNC = 1u << 2,
    VENEER_ENDING = 1u << 3, /* it has begun to end: no request is acted on any more */
};

enum veneer_life {
    VENEER_FREE,
    VENEER_LIVE,
    VENEER_ENDED, /* has left its function; destructors of keys may run still */
};

/* A thread of the program.
 * Invariants: records are never freed; handle is generation << 20 | index + 1 and names the thread
 * to the program (its pthread_t); the generation rises when the record is given back, so that a
 * stale handle is told. cancel: any thread sets REQUESTED, the thread itself the other bits; all
 * else but life is touched by the thread itself, or by its creator before it runs. */
struct veneer_lent;

struct veneer_thread {
    _Atomic uint64_t handle;
    _Atomic int life;
    _Atomic uint32_t cancel;
    struct tl_thread impl;
    bool known; /* impl is what the implementation calls it */
    void *(*start)(void *);
    void *arg, *value;
    struct veneer_cleanup *cleanup;
    struct veneer_last *last;   /* destructors of its thread_local objects, the next first */
    struct veneer_after *after; /* what comes after those */
    /* The frames of the program's: their first one is called from that with the address `first`,
     * `outermost` is further out. first NULL: none is left. */
    struct {
        void *first, *outermost;
        struct _Unwind_Exception exception;
    } frames;
    void (*undo)(void *); /* NULL, or: what a wait has to put right before handlers run */
    void *undo_arg;
    _Atomic uint32_t points;      /* cancellation points that it is in */
    _Atomic uint32_t handled;     /* handlers that have run in it */
    _Atomic uint32_t interrupted; /* of them, those without SA_RESTART */
    _Atomic uint32_t in_handler;  /* handlers that it is in */
    _Atomic int detached;         /* VENEER_DETACHED, VENEER_LEFT */
    _Atomic int joined;
    /* As they were asked for, any thread sets them, and the ceiling that it runs at, or 0, which it
     * sets itself: policy << 16 | priority << 8 | ceiling. See veneer_apply_sched. */
    _Atomic uint32_t sched;
    struct veneer_mutex *protected; /* mutexes with a ceiling that it holds */
    int climbs;                     /* 0, or the ceiling of the one that it is about to take */
    sigset_t mask;                  /* that it begins with, if it sets it */
    bool sets_mask;
    size_t stack_size;        /* as it was asked for; 0: not */
    struct veneer_lent *lent; /* NULL, or: its stack is the program's own */
    int tid;                  /* of its kernel thread, TL_ONE_TO_ONE only */
    uint64_t detached_handle; /* of the last thread in this record, if it ended detached */
    struct veneer_thread *next;
};

/* Whoever sets the second one of these gives the record back: the thread, when it is done with it,
 * or who detaches it. */
enum { VENEER_DETACHED = 1, VENEER_LEFT = 2 };

static inline bool veneer_is_detached(const struct veneer_thread *t)
{
    return atomic_load(&((struct veneer_thread *)t)->detached) & VENEER_DETACHED;
}

struct veneer {
    const struct tl_impl *impl;
    bool running;      /* within impl->run */
    bool blocks_alone; /* TL_BLOCKS_ALONE */
    bool preemptive;   /* by its model or its parameters: a signal gets to whoever runs */
    struct veneer_thread *main;
    unsigned forks; /* as a child, by this process and those that it is a child of */
    pid_t pid;      /* of the process that the implementation knows: not of a child of vfork */
    _Atomic uint32_t orphaned; /* handlers that ran where no thread of the program was */
    _Atomic uint64_t handled;  /* handlers that have run in any thread */
    _Atomic uint32_t live;     /* threads of the program that have not ended */
};
extern struct veneer veneer;

/* Changes when a handler has run that ends the thread's waits; without SA_RESTART. */
static inline uint32_t veneer_handled(const struct veneer_thread *t)
{
    return atomic_load(&((struct veneer_thread *)t)->handled) + atomic_load(&veneer.orphaned);
}
static inline uint32_t veneer_interrupted(const struct veneer_thread *t)
{
    return atomic_load(&((struct veneer_thread *)t)->interrupted) + atomic_load(&veneer.orphaned);
}

/* NULL: none of the program's runs here. */
struct veneer_thread *veneer_here(void);

/* The caller's record; one is made for a thread that somebody else has started. */
struct veneer_thread *veneer_self(void);
extern _Thread_local struct veneer_thread *veneer_own;

/* NULL: it names no thread (any more). */
struct veneer_thread *veneer_find(pthread_t handle);
struct veneer_thread *veneer_take(void); /* NULL: no memory */
void veneer_give(struct veneer_thread *t);
/* Why there is no such thread: EINVAL, it was detached and has ended; ESRCH. */
int veneer_missing(pthread_t handle);
/* t is `impl` to the implementation, if it is still the thread that the handle names. */
void veneer_identify(struct veneer_thread *t, pthread_t handle, struct tl_thread impl);
/* A forked child has no other thread, and self is its first. */
void veneer_forget_others(struct veneer_thread *self);

/* The implementation acts on no request in the waits between the two. */
static inline int veneer_cancel_off(void)
{
    int old = TL_CANCEL_ENABLE;

    if (veneer.impl->cancel)
        veneer.impl->cancel->set_state(TL_CANCEL_DISABLE, &old);
    return old;
}
static inline void veneer_cancel_back(int old)
{
    if (veneer.impl->cancel)
        veneer.impl->cancel->set_state(old, NULL);
}

/* A lock for what is short and never waits inside: yields between the tries. */
void veneer_lock(_Atomic int *lock);
void veneer_unlock(_Atomic int *lock);

/* For a function that answers by errno. */
static inline int veneer_answer(int err)
{
    if (!err)
        return 0;
    errno = err;
    return -1;
}

/* ---- futex.c --------------------------------------------------------------------------------- */

void veneer_futex_forget(void); /* in the child of fork: who waited is not there */

/* ---- lent.c ---------------------------------------------------------------------------------- */

/* What is kept of a thread whose stack is the program's. NULL: no memory. */
struct veneer_lent *veneer_lent_new(void *low, size_t size);
void veneer_lent_free(struct veneer_lent *l); /* its thread was joined, or never began */
/* The program has detached the thread; the implementation is not told. Takes l. */
void veneer_lent_detached(struct veneer_lent *l, struct tl_thread impl);
void veneer_lent_ended(struct veneer_lent *l); /* by the thread */
/* Waits until no detached thread is left on that memory. EAGAIN: one does not end. */
int veneer_lent_back(void *low, size_t size);
void veneer_lent_forget(void); /* in the child of fork */

/* ---- cancel.c -------------------------------------------------------------------------------- */

/* f(a) as a cancellation point. A request that is due is acted on before, inside (where f waits in
 * a call of the implementation that is one, or calls veneer_test), and not after: what f has got is
 * not lost. undo(undo_arg): NULL, or run before the cleanup handlers. */
long veneer_point(long (*f)(const long *a), const long *a, void (*undo)(void *), void *undo_arg);
#define POINT(f, ...) veneer_point(f, (const long[]){__VA_ARGS__}, NULL, NULL)
/* The same for f that answers an error number; the result by errno's convention. */
#define POINT_ERRNO(f, ...) veneer_answer((int)POINT(f, __VA_ARGS__))

void veneer_test(void); /* acts on a request that is due; mostly does not return then */
/* Leaves the frames, runs cleanup handlers, gives up what the thread holds; no request is acted on
 * from then on. Returns where no frame was to be left; else the thread ends with t->value. */
void veneer_finish(struct veneer_thread *t);
void veneer_end(struct veneer_thread *t) __attribute__((noreturn)); /* its frames are left */
void veneer_cleanup_run(struct veneer_thread *t, struct veneer_cleanup *c); /* the innermost */
void veneer_main_ended(void *value); /* the first thread, after veneer_finish */
void veneer_exit(void *value) __attribute__((noreturn));
void veneer_cancel_init(void);

/* unwind.c. Leaves the frames of t, the caller, and calls veneer_end(); returns where there is no
 * unwinder, or it fails. */
void veneer_unwind(struct veneer_thread *t);
void veneer_unwind_init(void);

void veneer_cleanup_push(struct veneer_cleanup *c, void (*routine)(void *), void *arg);
void veneer_cleanup_pop(struct veneer_cleanup *c, int execute);

/* ---- the rest, by file ----------------------------------------------------------------------- */

void veneer_key_begin(void);       /* what the first thread has set before main is its value */
void veneer_key_destroy_all(void); /* key.c: the caller's values */
void veneer_mutex_abandon(void);   /* mutex.c: robust ones that the caller holds */
/* boot.c: veneer_keep() before there is but one thread; a thread has ended. */
void veneer_keep(void);
bool veneer_one_less(void); /* it was the last one, and there is no first */

/* wait.c. Nanoseconds of a clock; times before 1970 are 0. */
uint64_t veneer_now(clockid_t clock);
bool veneer_time_ok(const struct timespec *t); /* 0 <= tv_nsec < 1e9 */
uint64_t veneer_ns(const struct timespec *t);
struct timespec veneer_timespec(uint64_t ns);
/* Lets others run for about ns; not a cancellation point, but acts on one where it is in one. */
void veneer_pause(uint64_t ns);
/* Sets the mask of a wait, NULL: none. What veneer_handled() was before: the wait is over (EINTR)
 * when it is another, unless what it is for is there. */
uint32_t veneer_open(const sigset_t *mask, sigset_t *old);
/* Where a thread runs until it gives up the PU, programs that were written for preemption would
 * starve the others: gives it up, at some of the calls. */
void veneer_breathe(void);
/* How long a wait may go on that cannot be woken by what it is to look for; see README.md. */
#define VENEER_SLICE_NS 10000000u
#define VENEER_POLL_NS 1000000u
/* Until fd is ready for `events`: 0, EINTR, EAGAIN (SO_RCVTIMEO, SO_SNDTIMEO), or an error number.
 * At once where the plain call may wait by itself. Inside POINT. */
int veneer_wait_fd(int fd, short events);

/* io.c: calls for this file wait. The same for it, by errno: false, errno says why not. */
bool veneer_waits(int fd);
bool veneer_ready(int fd, short events);
/* socket.c: all of it, where others run on the same kernel thread; sendmsg's answer. */
struct msghdr;
long veneer_send(int fd, const struct msghdr *message, int flags);

bool veneer_is_fault(int sig); /* signal.c: its mask is the kernel's, whatever keeps the others */

/* waitpid(pid, status, 0). Inside POINT, or with cancellation off. */
pid_t veneer_waitpid(pid_t pid, int *status);

/* input.c, of a FILE whose lock is held. Whether a read or write of its descriptor could stop other
 * threads; errno stays. */
bool veneer_file_may_stop(FILE *f);
/* Until it is ready for `events`, or has met an error, which its next call will tell. False: a
 * handler without SA_RESTART ran, the FILE has seen an error, errno is EINTR. No cancellation
 * point. */
bool veneer_file_wait(FILE *f, short events);

/* fifo.c: openat. Inside POINT. */
int veneer_open_file(int at, const char *path, int flags, mode_t mode);

/* np.c: what the implementation is asked for, for a policy of the program's. */
struct tl_sched veneer_sched(int policy, int priority);
/* As the program asked for them; no ceiling is in them. */
struct tl_sched veneer_sched_of(const struct veneer_thread *t);
void veneer_sched_begin(struct veneer_thread *t, struct tl_sched sched); /* before it runs */
/* It may have been set by other means, where the kernel knows the thread. */
void veneer_sched_look(struct veneer_thread *t);
int veneer_ceiling_of(const struct veneer_thread *t);
int veneer_set_ceiling(struct veneer_thread *self, int ceiling);

/* shared.c: until *word is not `value` any more, or some time has passed. */
void veneer_shared_wait(_Atomic uint32_t *word, uint32_t value);
void veneer_shared_wake(_Atomic uint32_t *word);

/* cxx.c: destroys the thread_local objects of the caller, after its cleanup handlers. */
void veneer_thread_local_end(struct veneer_thread *t);

/* futex.c: until *word is not `value` any more or the clock is at `end` (UINT64_MAX: for ever), or
 * without a cause; a wake lets all who wait go on. No cancellation point, not in a handler. */
void veneer_word_wait(_Atomic uint32_t *word, uint32_t value, clockid_t clock, uint64_t end);
void veneer_word_wake(_Atomic uint32_t *word);

/* mutex.c, for cond.c: a mutex that a wait gives up and takes again, with the count of a recursive
 * one. */
struct veneer_held {
    pthread_mutex_t *mutex;
    struct tl_mutex *object; /* NULL: the implementation's condition cannot wait with it */
    unsigned count;
};
/* Its holder is the caller: EPERM, EINVAL, ENOMEM. */
int veneer_mutex_held(pthread_mutex_t *m, struct veneer_held *held);
/* Before and after a wait in which the implementation gives up and takes `object`. retaken: 0,
 * EOWNERDEAD, ENOTRECOVERABLE (then it is not held). */
void veneer_mutex_leave(struct veneer_held *held);
int veneer_mutex_retaken(struct veneer_held *held);
/* The same, and unlocks, locks. */
void veneer_mutex_let_go(struct veneer_held *held);
int veneer_mutex_take_back(struct veneer_held *held);

/* The program's own malloc's, if it brings one, and so what the C library allocates; malloc and
 * free of the veneer are always the C library's (Makefile, HEAP). */
void *veneer_program_realloc(void *old, size_t size);
void veneer_program_free(void *p);

/* The implementation's object that *place points to, made at the first use; NULL: no memory or
 * refused, *err says. init(object) */
void *veneer_object(_Atomic(void *) *place, size_t size, int (*init)(void *object), int *err);

#endif

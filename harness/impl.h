/*
 * impl.h - contract 1: what a thread implementation gives to the harness.
 *
 * An implementation is one `const struct tl_impl`, registered by one macro at the foot of its
 * file. An optional capability is a sub-table, or NULL with the reason in `why_not`. Traits cover
 * only promises that no pointer can express.
 *
 * Conventions, for every function pointer below:
 *   - returns 0 or a positive error number (EAGAIN, EINVAL, ...) as pthreads do; never sets errno;
 *   - is called from a thread of this implementation, inside run(), unless it says otherwise;
 *   - sizes are bytes, times are nanoseconds (uint64_t, names end in _ns);
 *   - a `struct tl_mutex` and its like are owned by the caller, who does not copy or move them
 *     between init and destroy;
 *   - a deadline is absolute, in nanoseconds of the clock that is named next to it
 *     (CLOCK_REALTIME or CLOCK_MONOTONIC; EINVAL: another), and answers ETIMEDOUT.
 *
 * The shape follows POSIX.1-2017 XSH 2.9 (Threads) with the names shortened; a function says so
 * where it differs.
 */
#ifndef TL_IMPL_H
#define TL_IMPL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define TL_ABI 6 /* changes when a plugin compiled against an older header would misbehave */

/* Promises that no function pointer can express. */
enum tl_trait {
    TL_CONCURRENT = 1u << 0,    /* two threads can be alive, each half way, at the same time */
    TL_PARALLEL = 1u << 1,      /* threads run on several PUs at once */
    TL_PREEMPTIVE = 1u << 2,    /* a thread that never yields does not stop the others */
    TL_BLOCKS_ALONE = 1u << 3,  /* a blocking system call stops only the thread that made it */
    TL_ONE_TO_ONE = 1u << 4,    /* each thread is a kernel thread: the kernel's limits apply */
    TL_YIELD_IS_FIFO = 1u << 5, /* yield runs the thread that has been ready for longest */
};

/* Names a thread: a value, not a pointer. A stale or garbage one answers ESRCH where the
 * implementation can tell, which its README says. */
struct tl_thread {
    uint64_t id;
};

#define TL_SLOT_INHERIT (-1)

/* How a thread is scheduled: SCHED_OTHER, SCHED_FIFO ... of sched(7), or, for an implementation
 * that schedules by itself, what its README says. A higher priority goes first. */
struct tl_sched {
    int policy, priority;
};

/* Attributes of a new thread. Start from TL_ATTR_INIT; a NULL pointer means the same. */
struct tl_attr {
    size_t stack_size; /* usable bytes; 0: the implementation's default */
    size_t guard_size; /* bytes below the stack that fault; 0: the default (one page) */
    bool no_guard;     /* true: no guard at all, whatever guard_size says */
    bool detached;     /* true: nobody joins it; it frees itself */
    void *stack;       /* NULL, or the caller's own memory of stack_size bytes, without a guard;
                        * free to be used again once the thread is joined. ENOTSUP: not offered */
    const struct tl_sched *sched; /* NULL: as the creator's. ENOTSUP: not offered. EPERM */
    int slot;   /* place slot 0..nslots-1 whose PU it runs on; TL_SLOT_INHERIT: where its
                 * creator runs. Means nothing to an implementation without TL_PARALLEL */
    bool bound; /* true: a kernel thread of its own, for life (PTHREAD_SCOPE_SYSTEM); so is every
                 * thread of a TL_ONE_TO_ONE implementation. ENOTSUP: not offered */
};
#define TL_ATTR_INIT            \
    {                           \
        .slot = TL_SLOT_INHERIT \
    }

/* What the harness hands to run(). Valid until run() returns. Owned by the harness. */
struct tl_boot {
    unsigned nslots; /* PUs of the placement; at least 1 */

    /* Pins the calling kernel thread to the PU of `slot` and checks that it runs there. The
     * implementation calls it from each kernel thread it owns (the first one: slot 0), before that
     * runs any user code; not for a thread with TL_SLOT_INHERIT, whose affinity the kernel copies.
     * Async-signal-safe. Returns 0, EINVAL (no such slot) or the kernel's error. */
    int (*pin)(const struct tl_boot *boot, int slot);

    /* The value of one of the implementation's own parameters (see tl_param), never NULL. */
    const char *(*param)(const struct tl_boot *boot, const char *name);
};

/* A parameter of the implementation: an axis of the plan where a benchmark asks for it. */
struct tl_param {
    const char *name;
    const char *values; /* "none,stack,thread": all that are allowed; the first is the default */
    const char *help;   /* one line */
    /* NULL, or: the "NAME=VALUE" that must stand in the environment before the process starts for
     * this value to hold, or NULL if none must. Called by the driver, outside run(). */
    const char *(*env)(const char *value);
    /* NULL, or: which traits are promised with this value, of an implementation that promises
     * `traits` with the others. Of checks only; benchmarks go by struct tl_impl. */
    uint32_t (*traits)(const char *value, uint32_t traits);
    /* NULL, or: the sub-table that is not offered with this value ("fork"), or NULL. Of checks. */
    const char *(*lacks)(const char *value);
};

/* Opaque storage of the synchronisation objects. An implementation asserts that its own fits.
 * All bytes zero is an initialised TL_MUTEX_BLOCK, condition variable or once. */
#define TL_MUTEX_SIZE 64
#define TL_COND_SIZE 64
#define TL_SEM_SIZE 64
#define TL_RWLOCK_SIZE 256
#define TL_BARRIER_SIZE 256
#define TL_ONCE_SIZE 192
struct tl_mutex {
    _Alignas(64) unsigned char opaque[TL_MUTEX_SIZE];
};
struct tl_cond {
    _Alignas(64) unsigned char opaque[TL_COND_SIZE];
};
struct tl_sem {
    _Alignas(64) unsigned char opaque[TL_SEM_SIZE];
};
struct tl_rwlock {
    _Alignas(64) unsigned char opaque[TL_RWLOCK_SIZE];
};
struct tl_barrier {
    _Alignas(64) unsigned char opaque[TL_BARRIER_SIZE];
};
struct tl_once {
    _Alignas(64) unsigned char opaque[TL_ONCE_SIZE];
};

enum tl_mutex_kind {
    TL_MUTEX_BLOCK,      /* waits by giving up the PU at once; relocking it deadlocks */
    TL_MUTEX_SPIN,       /* never gives up the PU to the kernel (M:1: yields between the tries) */
    TL_MUTEX_ADAPTIVE,   /* spins while waiting may be short, then blocks (Eykholt et al. 1992) */
    TL_MUTEX_ERRORCHECK, /* lock: EDEADLK, held by the caller; unlock: EPERM, not held by it */
    TL_MUTEX_RECURSIVE,  /* counts; EPERM as above; EAGAIN: the count is at its end */
    TL_MUTEX_ROBUST, /* lock: EOWNERDEAD (and held) if its owner ended with it; see consistent */
    TL_MUTEX_PI,     /* the owner inherits the priority of who waits (Sha et al. 1990) */
    TL_MUTEX_SHARED_RECURSIVE, /* RECURSIVE, in memory that processes share */
    TL_MUTEX_KINDS
};

struct tl_mutex_ops {
    int (*init)(struct tl_mutex *m,
                enum tl_mutex_kind kind); /* ENOTSUP: this kind is not offered */
    int (*lock)(struct tl_mutex *m);      /* not a cancellation point */
    int (*trylock)(struct tl_mutex *m);   /* EBUSY: held */
    int (*unlock)(struct tl_mutex *m);
    int (*destroy)(struct tl_mutex *m); /* EBUSY: held, where the implementation can tell */
    int (*timedlock)(struct tl_mutex *m, clockid_t clock, uint64_t deadline_ns);
    int (*consistent)(struct tl_mutex *m); /* ROBUST: usable again. An unlock without it makes it
                                            * ENOTRECOVERABLE. EINVAL: was not inconsistent */
};

struct tl_cond_ops {
    int (*init)(struct tl_cond *c);
    int (*wait)(struct tl_cond *c,
                struct tl_mutex *m); /* m is TL_MUTEX_BLOCK; may wake spuriously; never EINTR */
    int (*signal)(struct tl_cond *c);
    int (*broadcast)(struct tl_cond *c);
    int (*destroy)(struct tl_cond *c); /* at once after a broadcast, while waiters still leave */
    int (*timedwait)(struct tl_cond *c, struct tl_mutex *m, clockid_t clock, uint64_t deadline_ns);
};

struct tl_sem_ops {
    int (*init)(struct tl_sem *s, unsigned count);
    int (*wait)(struct tl_sem *s);    /* EDEADLK: nobody could ever post (null). A signal handler
                                       * that ran does not end it: no EINTR */
    int (*trywait)(struct tl_sem *s); /* EAGAIN: the count is 0 */
    int (*post)(struct tl_sem *s);    /* EOVERFLOW */
    int (*destroy)(struct tl_sem *s);
    int (*timedwait)(struct tl_sem *s, clockid_t clock, uint64_t deadline_ns);
    int (*getvalue)(struct tl_sem *s, int *value); /* 0 while somebody waits */
    bool post_in_handler;                          /* post is async-signal-safe, as POSIX wants */
};

/* What is built on mutex + cond is there ready-made: impls/common/generic.h. */
struct tl_rwlock_ops {
    int (*init)(struct tl_rwlock *l);
    int (*rdlock)(struct tl_rwlock *l);
    int (*tryrdlock)(struct tl_rwlock *l); /* EBUSY */
    int (*wrlock)(struct tl_rwlock *l);    /* EDEADLK: held by the caller, where it can tell */
    int (*trywrlock)(struct tl_rwlock *l); /* EBUSY */
    int (*unlock)(struct tl_rwlock *l);
    int (*destroy)(struct tl_rwlock *l);
    int (*timedrdlock)(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns);
    int (*timedwrlock)(struct tl_rwlock *l, clockid_t clock, uint64_t deadline_ns);
    bool writer_first; /* the policy: a reader that comes after a waiting writer waits behind it */
    /* May be NULL where writer_first is false. After init, before the first use: of this lock the
     * policy is the other one, so that who reads already can come again. Answers 0. */
    int (*readers_first)(struct tl_rwlock *l);
};

#define TL_BARRIER_SERIAL (-1)
struct tl_barrier_ops {
    int (*init)(struct tl_barrier *b, unsigned n); /* EINVAL: n is 0 */
    int (*wait)(struct tl_barrier *b);             /* TL_BARRIER_SERIAL in one of the n, 0 in the
                                                    * others. EDEADLK: the others can never come */
    int (*destroy)(struct tl_barrier *b); /* at once after wait, while others still leave */
};

/* A value per thread and key. Destructors of values that are not NULL run when the thread ends, in
 * rounds until all are NULL, at most PTHREAD_DESTRUCTOR_ITERATIONS times. */
struct tl_key {
    uint64_t id;
};
struct tl_key_ops {
    int (*create)(struct tl_key *key, void (*destructor)(void *)); /* EAGAIN: PTHREAD_KEYS_MAX */
    int (*drop)(struct tl_key key); /* pthread_key_delete: no destructor runs for it. EINVAL */
    int (*set)(struct tl_key key, const void *value); /* EINVAL, ENOMEM */
    void *(*get)(struct tl_key key);                  /* NULL: never set in this thread */
};

/* Cancellation (POSIX.1-2017 XSH 2.9.5). A thread that acts on it runs its cleanup handlers, last
 * in first out, then the destructors of its keys, and its value is TL_CANCELED. */
#define TL_CANCELED ((void *)-1)
enum { TL_CANCEL_ENABLE, TL_CANCEL_DISABLE };
enum { TL_CANCEL_DEFERRED, TL_CANCEL_ASYNC };
struct tl_cancel_ops {
    int (*cancel)(struct tl_thread t);     /* ESRCH */
    int (*set_state)(int state, int *old); /* old may be NULL. EINVAL */
    int (*set_type)(int type, int *old);   /* EINVAL; ENOTSUP: TL_CANCEL_ASYNC is not offered */
    void (*test)(void);                    /* pthread_testcancel */
};

/* Signals. `set` is the C library's. Handlers are per process, installed by `action`, or, where
 * that is NULL, with sigaction(2). */
struct tl_signal_ops {
    /* Sends sig to one thread (pthread_kill); value: NULL, or the payload (pthread_sigqueue).
     * ESRCH: it has ended. EAGAIN: the queue of real-time signals is full. ENOTSUP: this model
     * cannot aim at a thread other than the caller. */
    int (*kill)(struct tl_thread t, int sig, const union sigval *value);
    int (*mask)(int how, const sigset_t *set, sigset_t *old); /* pthread_sigmask */
    int (*wait)(const sigset_t *set, int *sig); /* sigwait; NULL: would stop every thread */
    int (*timedwait)(const sigset_t *set, siginfo_t *info, uint64_t ns); /* relative. EAGAIN */
    int (*suspend)(const sigset_t *mask); /* sigsuspend: until a handler has run, then 0 */
    int (*pending)(sigset_t *set);        /* of the thread and of the process */
    /* sigaction, where the library stands between the kernel and the handler (masks that the kernel
     * does not know). The handler sees what sigaction(2) promises. EINVAL */
    int (*action)(int sig, const struct sigaction *action, struct sigaction *old);
    /* To the process: kill(getpid(), sig), or sigqueue with a value. NULL: those will do. Offered
     * where what the kernel has of a signal is not known to the library at once: when this returns,
     * it is, to all threads. EAGAIN: the queue of real-time signals is full. EINVAL */
    int (*send)(int sig, const union sigval *value);
    /* How many handlers the caller is in; all but the outer `most` of them it has left by a jump
     * (siglongjmp), UINT32_MAX: none. NULL: nothing is kept of them. */
    uint32_t (*handlers)(uint32_t most);
};

/* fork in a threaded process: fork1 semantics (only the caller lives on in the child). */
struct tl_fork_ops {
    int (*fork)(pid_t *pid); /* *pid: 0 in the child */
    int (*atfork)(void (*prepare)(void), void (*parent)(void), void (*child)(void)); /* ENOMEM */
    /* Every thread lives on in the child (Solaris forkall(2)). EAGAIN: one of them is in a system
     * call which does not come back, so that there is nothing to copy of it. */
    int (*fork_all)(pid_t *pid);
};

/* What the implementation can tell about a thread, or set in it. ESRCH in all of them. */
struct tl_info_ops {
    int (*set_name)(struct tl_thread t, const char *name); /* ERANGE: more than 15 characters */
    int (*get_name)(struct tl_thread t, char *name, size_t size); /* ERANGE: size below 16 */
    /* Usable stack [low, low + size), and the bytes below it that fault. The C library's size
     * counts the guard in or not as its version does; here it never does. */
    int (*stack)(struct tl_thread t, void **low, size_t *size, size_t *guard);
    int (*set_sched)(struct tl_thread t, const struct tl_sched *sched); /* EINVAL, EPERM, ENOTSUP */
    int (*get_sched)(struct tl_thread t, struct tl_sched *sched);
};

/* Blocking calls that stop only the caller (jackets, where the model needs them); cancellation
 * points. Any of them may be NULL. They answer what the plain call leaves in errno, EINTR where
 * POSIX has it, and *done is its result (undefined after an error). NULL as a whole in an
 * implementation with TL_BLOCKS_ALONE: the plain calls do. */
struct pollfd;
struct sockaddr;
struct tl_io_ops {
    int (*read)(int fd, void *buffer, size_t size, size_t *done);
    int (*write)(int fd, const void *buffer, size_t size, size_t *done);
    int (*accept)(int fd, struct sockaddr *address, unsigned *size, int flags, int *done);
    int (*connect)(int fd, const struct sockaddr *address, unsigned size);
    int (*poll)(struct pollfd *fds, size_t n, int timeout_ms, int *done);
    int (*waitpid)(pid_t pid, int *status, int options, pid_t *done);
    /* Any other call that may block: calls f(arg) at once, in the calling thread, which is not a
     * cancellation point and must not enter the implementation meanwhile; its kernel thread is
     * replaced by another one for as long as f takes. */
    int (*blocking)(void (*f)(void *), void *arg);
};

/* How many kernel threads (LWPs) run the unbound threads of an M:N implementation at once; 0: it
 * decides. After thr_setconcurrency of SunOS (Powell et al. 1991). */
struct tl_concurrency_ops {
    int (*set)(unsigned n); /* EAGAIN: no more kernel threads; EINVAL */
    unsigned (*get)(void);  /* what was set; 0: it decides */
    unsigned (*lwps)(void); /* kernel threads that exist now for unbound threads, idle or not */
    /* The calling thread has a kernel thread of its own from now on, on the PU where it runs now
     * (as with attr.bound), or shares those of the others again. EAGAIN: no more kernel threads */
    int (*bind)(bool bound);
};

/* What the library's own books say about a thread: one row of its table. */
struct tl_thread_row {
    struct tl_thread thread;
    char name[16];
    const char *state; /* one word: "running", "ready", "mutex", "cond", "join", "sleep" ... */
    int lwp;           /* number of the kernel thread that it runs on, from 0 (1:1: its TID); -1:
                        * on none */
    bool bound;
    const void *pc, *sp; /* where it goes on; NULL: it runs now, or that is not known */
    const void *low;     /* lowest usable byte of its stack; NULL: not known */
    size_t stack_size;   /* usable bytes from low on */
    size_t stack_used;   /* bytes above sp; 0: not known */
};

/* One count of what the library did: where its scheduler was entered, and why. */
struct tl_counter {
    const char *name; /* "yields", "waits", "wakes", "preemptions", "steals", "lwp-parks" ... */
    uint64_t value;
};

/* For who looks from outside. */
struct tl_inspect_ops {
    /* Calls row(r, arg) for each thread that has not ended. Others may run meanwhile: each row is
     * true for some moment. Async-signal-safe. */
    int (*threads)(void (*row)(const struct tl_thread_row *r, void *arg), void *arg);
    /* Fills at most n; returns how many there are. Sums over all kernel threads, not exact while
     * they run. */
    unsigned (*counters)(struct tl_counter *counters, unsigned n);
};

struct tl_impl {
    unsigned abi;                  /* TL_ABI */
    const char *name;              /* [a-z][a-z0-9-]* */
    const char *model;             /* "1:1", "M:1", "M:N", "none" */
    const char *summary;           /* one line, what it is */
    uint32_t traits;               /* enum tl_trait */
    const struct tl_param *params; /* ends with .name == NULL; NULL: none */

    /* NULL, or: can it work on this machine? 0, or an error number with one line in reason that
     * says what is missing. Called outside run(), in the child process of the cell. */
    int (*probe)(char *reason, size_t size);

    /* Boots the implementation, runs entry(arg) as its first thread, waits until every other thread
     * has ended, and tears down. *value (may be NULL) gets entry's return value. Called once in a
     * process, from its only thread. Returns 0 or an error number: then entry did not run. */
    int (*run)(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value);

    /* EAGAIN/ENOMEM: a limit was hit; the implementation remains usable. EINVAL: attributes.
     * *t is written before the new thread runs. */
    int (*create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                  void *arg);
    int (*join)(struct tl_thread t, void **value); /* ESRCH, EDEADLK, EINVAL (detached) */
    int (*detach)(struct tl_thread t);             /* ESRCH, EINVAL (detached already) */
    void (*yield)(void);
    struct tl_thread (*self)(void);
    int (*sleep)(uint64_t ns); /* stops the calling thread only; NULL: not offered */

    /* Optional, like all that follows. Ends the calling thread from any depth: cleanup handlers,
     * destructors of keys, value for the joiner. Not from the first thread of run(). */
    void (*exit)(void *value);
    /* body(body_arg) with a cleanup handler (pthread_cleanup_push, pop): routine(arg) runs if the
     * thread ends inside, and after a normal return where `execute`. */
    void (*protect)(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                    bool execute);
    int (*once)(struct tl_once *once, void (*routine)(void));

    const struct tl_mutex_ops *mutex;
    const struct tl_cond_ops *cond;
    const struct tl_sem_ops *sem;
    const struct tl_rwlock_ops *rwlock;
    const struct tl_barrier_ops *barrier;
    const struct tl_key_ops *key;
    const struct tl_cancel_ops *cancel;
    const struct tl_signal_ops *signal;
    const struct tl_fork_ops *fork;
    const struct tl_info_ops *info;
    const struct tl_io_ops *io;
    const struct tl_concurrency_ops *concurrency;
    const struct tl_inspect_ops *inspect;

    /* For what is NULL above, and for a trait that is not promised: one line that says why this
     * model does not offer it (and teaches). `what` is the member's name ("signal", "signal.wait",
     * "fork"), a mutex kind ("mutex.robust"), or the trait's ("blocks-alone", "parallel",
     * "preemptive"). NULL: no particular reason. */
    const char *(*why_not)(const char *what);
};

/* Registration: `TL_IMPL(green);` at the foot of the file, where green is a const struct tl_impl.
 * The pointer goes to a linker section that the harness walks: no list to edit. */
#define TL_IMPL(symbol)                                       \
    static const struct tl_impl *const tl_registered_##symbol \
        __attribute__((used, retain, section("tl_impls"))) = &symbol

/* What one linked object (the driver, or a plugin .so) has registered: the bounds of its own linker
 * sections. Each object gets its own copy of this function; the driver calls the plugin's by dlsym.
 */
struct tl_bench;
struct tl_check;
struct tl_mutant;
struct tl_module {
    unsigned abi;
    const struct tl_impl *const *impls, *const *impls_end;
    const struct tl_bench *const *benches, *const *benches_end;
    const struct tl_check *const *checks, *const *checks_end;
    const struct tl_mutant *const *mutants, *const *mutants_end;
};
#define TL_SECTION(type, name)                                                                    \
    extern const struct type *const __start_##name[] __attribute__((weak, visibility("hidden"))); \
    extern const struct type *const __stop_##name[] __attribute__((weak, visibility("hidden")))
TL_SECTION(tl_impl, tl_impls);
TL_SECTION(tl_bench, tl_benches);
TL_SECTION(tl_check, tl_checks);
TL_SECTION(tl_mutant, tl_mutants);
__attribute__((weak, used, visibility("default"))) struct tl_module tl_module_contents(void);
struct tl_module tl_module_contents(void)
{
    return (struct tl_module){TL_ABI,
                              __start_tl_impls,
                              __stop_tl_impls,
                              __start_tl_benches,
                              __stop_tl_benches,
                              __start_tl_checks,
                              __stop_tl_checks,
                              __start_tl_mutants,
                              __stop_tl_mutants};
}

#endif

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
 *     between init and destroy.
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

#define TL_ABI 1 /* changes when a plugin compiled against an older header would misbehave */

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

/* Attributes of a new thread. Start from TL_ATTR_INIT; a NULL pointer means the same. */
struct tl_attr {
    size_t stack_size; /* usable bytes; 0: the implementation's default */
    size_t guard_size; /* bytes below the stack that fault; 0: the default (one page) */
    bool no_guard;     /* true: no guard at all, whatever guard_size says */
    bool detached;     /* true: nobody joins it; it frees itself */
    int slot;          /* place slot 0..nslots-1 whose PU it runs on; TL_SLOT_INHERIT: where its
                        * creator runs. Means nothing to an implementation without TL_PARALLEL */
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
};

/* Opaque storage of the synchronisation objects. An implementation asserts that its own fits. */
#define TL_MUTEX_SIZE 64
#define TL_COND_SIZE 64
#define TL_SEM_SIZE 64
struct tl_mutex {
    _Alignas(64) unsigned char opaque[TL_MUTEX_SIZE];
};
struct tl_cond {
    _Alignas(64) unsigned char opaque[TL_COND_SIZE];
};
struct tl_sem {
    _Alignas(64) unsigned char opaque[TL_SEM_SIZE];
};

enum tl_mutex_kind {
    TL_MUTEX_BLOCK,    /* waits by giving up the PU at once */
    TL_MUTEX_SPIN,     /* never gives up the PU to the kernel (M:1: yields between the tries) */
    TL_MUTEX_ADAPTIVE, /* spins while waiting may be short, then blocks (Eykholt et al. 1992) */
};

struct tl_mutex_ops {
    int (*init)(struct tl_mutex *m,
                enum tl_mutex_kind kind); /* ENOTSUP: this kind is not offered */
    int (*lock)(struct tl_mutex *m);
    int (*trylock)(struct tl_mutex *m); /* EBUSY: held */
    int (*unlock)(struct tl_mutex *m);
    int (*destroy)(struct tl_mutex *m); /* EBUSY: held, where the implementation can tell */
};

struct tl_cond_ops {
    int (*init)(struct tl_cond *c);
    int (*wait)(struct tl_cond *c,
                struct tl_mutex *m); /* m is TL_MUTEX_BLOCK; may wake spuriously */
    int (*signal)(struct tl_cond *c);
    int (*broadcast)(struct tl_cond *c);
    int (*destroy)(struct tl_cond *c);
};

struct tl_sem_ops {
    int (*init)(struct tl_sem *s, unsigned count);
    int (*wait)(struct tl_sem *s);    /* EDEADLK: nobody could ever post (null) */
    int (*trywait)(struct tl_sem *s); /* EAGAIN: the count is 0 */
    int (*post)(struct tl_sem *s);    /* EOVERFLOW */
    int (*destroy)(struct tl_sem *s);
};

/* Signals. `set` is the C library's. Handlers are installed with sigaction(2), per process. */
struct tl_signal_ops {
    /* Sends sig to one thread (pthread_kill); value: NULL, or the payload (pthread_sigqueue).
     * ESRCH: it has ended. EAGAIN: the queue of real-time signals is full. ENOTSUP: this model
     * cannot aim at a thread other than the caller. */
    int (*kill)(struct tl_thread t, int sig, const union sigval *value);
    int (*mask)(int how, const sigset_t *set, sigset_t *old); /* pthread_sigmask */
    int (*wait)(const sigset_t *set, int *sig); /* sigwait; NULL: would stop every thread */
};

/* fork in a threaded process: fork1 semantics (only the caller lives on in the child). */
struct tl_fork_ops {
    int (*fork)(pid_t *pid); /* *pid: 0 in the child */
    int (*atfork)(void (*prepare)(void), void (*parent)(void), void (*child)(void)); /* ENOMEM */
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

    const struct tl_mutex_ops *mutex;
    const struct tl_cond_ops *cond;
    const struct tl_sem_ops *sem;
    const struct tl_signal_ops *signal;
    const struct tl_fork_ops *fork;

    /* For what is NULL above: one line that says why this model does not offer it (and teaches).
     * `what` is the member's name ("signal", "signal.wait", "fork"). NULL: no particular reason. */
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
struct tl_module {
    unsigned abi;
    const struct tl_impl *const *impls, *const *impls_end;
    const struct tl_bench *const *benches, *const *benches_end;
};
extern const struct tl_impl *const __start_tl_impls[] __attribute__((weak, visibility("hidden")));
extern const struct tl_impl *const __stop_tl_impls[] __attribute__((weak, visibility("hidden")));
extern const struct tl_bench *const __start_tl_benches[]
    __attribute__((weak, visibility("hidden")));
extern const struct tl_bench *const __stop_tl_benches[] __attribute__((weak, visibility("hidden")));
__attribute__((weak, used, visibility("default"))) struct tl_module tl_module_contents(void);
struct tl_module tl_module_contents(void)
{
    return (struct tl_module){TL_ABI, __start_tl_impls, __stop_tl_impls, __start_tl_benches,
                              __stop_tl_benches};
}

#endif

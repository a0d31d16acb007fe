/*
 * mutex.h - what a mutex is, for mutex.c and for the ceilings (ceiling.c).
 */
#ifndef TL_VENEER_MUTEX_H
#define TL_VENEER_MUTEX_H

#include "veneer.h"

#include <unistd.h>

/* As the C library has it: kinds 0..3 (normal, recursive, errorcheck, adaptive), or'ed with the
 * bits, all set by mutex_init; its static initialisers write the kind alone. */
enum {
    KIND = 3,
    RECURSIVE = PTHREAD_MUTEX_RECURSIVE,
    ERRORCHECK = PTHREAD_MUTEX_ERRORCHECK,
    ROBUST = 16,
    INHERIT = 32,
    PROTECT = 64,
    SHARED = 128,
    DESTROYED = -1,
};

enum fault { SOUND, INCONSISTENT, LOST };

/* Invariants: owner is 0 or names the thread that holds it (of any process: pid << 32 | index of
 * its handle, in a SHARED one); count and fault are the holder's. word, in a SHARED one:
 * 0 free, 1 held. PROTECT: it is in its holder's list `protected`; ceiling changes while the mutex
 * is held by who changes it. */
struct veneer_mutex {
    _Atomic(void *) object;
    _Atomic uint64_t owner;
    int kind; /* at byte 16, where the C library has it */
    _Atomic uint32_t word;
    uint32_t count : 30, fault : 2;
    _Atomic int ceiling;
    struct veneer_mutex *next_protected;
};
_Static_assert(sizeof(struct veneer_mutex) <= sizeof(pthread_mutex_t), "overlays it");
_Static_assert(offsetof(struct veneer_mutex, kind) == 16, "static initialisers write it");

static inline struct veneer_mutex *veneer_mutex_of(pthread_mutex_t *m)
{
    return (struct veneer_mutex *)m;
}

/* How the calling thread is called in `owner`. */
static inline uint64_t veneer_mutex_name(const struct veneer_mutex *m)
{
    uint64_t handle = atomic_load_explicit(&veneer_self()->handle, memory_order_relaxed);

    return m->kind & SHARED ? (uint64_t)getpid() << 32 | (uint32_t)handle : handle;
}

/* ---- mutex.c --------------------------------------------------------------------------------- */

/* As pthread_mutex_lock, but without regard to a ceiling. */
int veneer_mutex_lock_plainly(pthread_mutex_t *m);
int veneer_mutex_unlock(pthread_mutex_t *m);

/* ---- ceiling.c, of PROTECT ones -------------------------------------------------------------- */

/* Before it is tried to be locked: the caller runs at its ceiling. EINVAL: the caller's own
 * priority is above it; EPERM. After a success, `tried` is told if it was taken. */
int veneer_ceiling_try(struct veneer_mutex *m);
void veneer_ceiling_tried(struct veneer_mutex *m, bool taken);
/* Before and after the caller gives it up: the mutex may be gone then. */
void veneer_ceiling_unlink(struct veneer_mutex *m);
void veneer_ceiling_left(void);
/* Whether there is a priority that could be raised: 0, ENOTSUP. */
int veneer_ceiling_offered(void);

#endif

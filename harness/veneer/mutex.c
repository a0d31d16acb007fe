/*
 * mutex.c - the mutex. The waiting is the implementation's, a TL_MUTEX_BLOCK (TL_MUTEX_PI for
 * PTHREAD_PRIO_INHERIT); owner, count and kind are kept here, because a condition variable of the
 * contract takes no other kind, and POSIX has it take all.
 *
 * What processes share is a word that they wait for (shared.c), with the same owner and kind.
 *
 * Robust: the holder's list tells who ends with it; of a process that ended with one, that its ID
 * is gone.
 */
#include "mutex.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the implementation's objects ------------------------------------------------------------ */

void *veneer_object(_Atomic(void *) *place, size_t size, int (*init)(void *object), int *err)
{
    void *object = atomic_load_explicit(place, memory_order_acquire), *none = NULL;

    if (object)
        return object;
    object = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!object) {
        *err = ENOMEM;
        return NULL;
    }
    memset(object, 0, size);
    *err = init(object);
    if (*err) {
        free(object);
        return NULL;
    }
    if (!atomic_compare_exchange_strong(place, &none, object)) {
        free(object); /* another thread was first */
        object = none;
    }
    return object;
}

static int init_block(void *object)
{
    return veneer.impl->mutex->init(object, TL_MUTEX_BLOCK);
}

static int init_pi(void *object)
{
    return veneer.impl->mutex->init(object, TL_MUTEX_PI);
}

static struct tl_mutex *object_of(struct veneer_mutex *m, int *err)
{
    return veneer_object(&m->object, sizeof(struct tl_mutex),
                         m->kind & INHERIT ? init_pi : init_block, err);
}

/* ---- who holds it ---------------------------------------------------------------------------- */

/* Robust ones that the thread holds: an array, because the mutexes may lie at different addresses
 * in different processes, and have no room for two links. */
struct robust_list {
    struct veneer_mutex **held;
    unsigned n, size;
};

static _Thread_local struct robust_list robust;

static void robust_add(struct veneer_mutex *m)
{
    if (robust.n == robust.size) {
        unsigned size = robust.size ? robust.size * 2 : 8;
        struct veneer_mutex **held = realloc(robust.held, size * sizeof(*held));

        if (!held)
            return; /* not told of, if the thread ends with it */
        robust.held = held;
        robust.size = size;
    }
    robust.held[robust.n++] = m;
}

static void robust_remove(const struct veneer_mutex *m)
{
    for (unsigned i = 0; i < robust.n; i++)
        if (robust.held[i] == m)
            robust.held[i--] = robust.held[--robust.n];
}

/* Normal mutexes of the C library can be unlocked by anybody, and programs do. Where the
 * implementation lets nobody but the holder, the mutex gets another object: the held one is left to
 * its holder, and who waits for it looks again, see lock_for_ever. */
static int give_up(struct veneer_mutex *m)
{
    int err;

    atomic_store_explicit(&m->owner, 0, memory_order_relaxed);
    if (m->kind & SHARED) {
        atomic_store(&m->word, 0);
        veneer_shared_wake(&m->word);
        return 0;
    }
    err = veneer.impl->mutex->unlock(object_of(m, &err));
    if (err == EPERM)
        atomic_store(&m->object, NULL);
    return 0;
}

static int release(struct veneer_mutex *m)
{
    int err;

    if (!(m->kind & PROTECT))
        return give_up(m);
    veneer_ceiling_unlink(m);
    err = give_up(m);
    veneer_ceiling_left();
    return err;
}

void veneer_mutex_abandon(void)
{
    while (robust.n) {
        struct veneer_mutex *m = robust.held[--robust.n];

        m->count = 0;
        if (m->fault == SOUND)
            m->fault = INCONSISTENT;
        release(m);
    }
    free(robust.held);
    robust = (struct robust_list){0};
}

/* It has just been taken. */
static int taken(struct veneer_mutex *m)
{
    if (m->fault == LOST) {
        release(m);
        return ENOTRECOVERABLE;
    }
    atomic_store_explicit(&m->owner, veneer_mutex_name(m), memory_order_relaxed);
    if (!(m->kind & ROBUST))
        return 0;
    robust_add(m);
    return m->fault == INCONSISTENT ? EOWNERDEAD : 0;
}

/* ---- those that processes share -------------------------------------------------------------- */

static bool process_is_gone(pid_t pid)
{
    char path[32], line[128];
    bool gone = true;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return true;
    if (fgets(line, sizeof(line), file)) {
        const char *end = strrchr(line, ')');

        gone = end && (end[2] == 'Z' || end[2] == 'X');
    }
    fclose(file);
    return gone;
}

static bool shared_try(struct veneer_mutex *m)
{
    uint32_t expected = 0;
    uint64_t owner;

    if (atomic_compare_exchange_strong(&m->word, &expected, 1))
        return true;
    owner = atomic_load(&m->owner);
    if (!(m->kind & ROBUST) || !owner || (pid_t)(owner >> 32) == getpid() ||
        !process_is_gone((pid_t)(owner >> 32)) ||
        !atomic_compare_exchange_strong(&m->owner, &owner, veneer_mutex_name(m)))
        return false;
    m->count = 0; /* it was the process's that is gone, and is ours */
    if (m->fault == SOUND)
        m->fault = INCONSISTENT;
    return true;
}

/* ---- lock ------------------------------------------------------------------------------------ */

/* What can be said without waiting by who holds it: EBUSY, nothing; it has to be taken. */
static int relock(struct veneer_mutex *m, bool trying)
{
    if (m->kind == DESTROYED)
        return EINVAL;
    if ((m->kind & KIND) != RECURSIVE && ((m->kind & KIND) != ERRORCHECK || trying))
        return EBUSY;
    if (atomic_load_explicit(&m->owner, memory_order_relaxed) != veneer_mutex_name(m))
        return EBUSY;
    if ((m->kind & KIND) == ERRORCHECK)
        return EDEADLK;
    if (m->count == (1u << 30) - 1)
        return EAGAIN;
    m->count++;
    return 0;
}

/* In slices where its object may be replaced (release), or where a thread that can be cancelled
 * anywhere is stopped by no signal. */
static int lock_for_ever(struct veneer_mutex *m)
{
    const struct tl_mutex_ops *ops = veneer.impl->mutex;
    bool async = !veneer.preemptive && atomic_load(&veneer_self()->cancel) & VENEER_ASYNC;
    struct tl_mutex *object;
    int err;

    do {
        object = object_of(m, &err);
        if (!object)
            return err;
        if (veneer.impl->traits & TL_ONE_TO_ONE)
            return ops->lock(object);
        if (async)
            veneer_test();
        err = ops->trylock(object);
        if (err == EBUSY)
            err = ops->timedlock(object, CLOCK_MONOTONIC,
                                 veneer_now(CLOCK_MONOTONIC) + VENEER_SLICE_NS);
    } while (err == ETIMEDOUT);
    return err;
}

/* What relock says nothing about. until NULL: for ever. */
static int take_until(struct veneer_mutex *m, clockid_t clock, const struct timespec *until)
{
    struct tl_mutex *object;
    int err;

    if (!veneer.running)
        return taken(m); /* one thread */
    if (m->kind & SHARED) {
        while (!shared_try(m)) {
            if (until && !veneer_time_ok(until))
                return EINVAL;
            if (until && veneer_now(clock) >= veneer_ns(until))
                return ETIMEDOUT;
            veneer_shared_wait(&m->word, 1);
        }
        return taken(m);
    }
    if (!until) {
        err = lock_for_ever(m);
    } else {
        object = object_of(m, &err);
        if (!object)
            return err;
        err = veneer.impl->mutex->trylock(object);
        if (err == EBUSY)
            err = !veneer_time_ok(until)
                      ? EINVAL
                      : veneer.impl->mutex->timedlock(object, clock, veneer_ns(until));
    }
    return err ? err : taken(m);
}

static int lock_until(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);
    int err = relock(m, false);

    if (err != EBUSY)
        return err;
    if (!(m->kind & PROTECT))
        return take_until(m, clock, until);
    err = veneer_ceiling_try(m);
    if (!err) {
        err = take_until(m, clock, until);
        veneer_ceiling_tried(m, !err || err == EOWNERDEAD);
    }
    return err;
}

int veneer_mutex_lock_plainly(pthread_mutex_t *mutex)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);
    int err = relock(m, false);

    return err == EBUSY ? take_until(m, CLOCK_REALTIME, NULL) : err;
}

int WRAP(pthread_mutex_lock)(pthread_mutex_t *m);
int WRAP(pthread_mutex_lock)(pthread_mutex_t *m)
{
    return lock_until(m, CLOCK_REALTIME, NULL);
}

int WRAP(pthread_mutex_timedlock)(pthread_mutex_t *m, const struct timespec *until);
int WRAP(pthread_mutex_timedlock)(pthread_mutex_t *m, const struct timespec *until)
{
    return lock_until(m, CLOCK_REALTIME, until);
}

int WRAP(pthread_mutex_clocklock)(pthread_mutex_t *m, clockid_t clock,
                                  const struct timespec *until);
int WRAP(pthread_mutex_clocklock)(pthread_mutex_t *m, clockid_t clock, const struct timespec *until)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    return lock_until(m, clock, until);
}

static int take_now(struct veneer_mutex *m)
{
    struct tl_mutex *object;
    int err;

    if (!veneer.running)
        return atomic_load(&m->owner) ? EBUSY : taken(m);
    if (m->kind & SHARED)
        return shared_try(m) ? taken(m) : EBUSY;
    object = object_of(m, &err);
    if (!object)
        return err;
    err = veneer.impl->mutex->trylock(object);
    return err ? err : taken(m);
}

int WRAP(pthread_mutex_trylock)(pthread_mutex_t *mutex);
int WRAP(pthread_mutex_trylock)(pthread_mutex_t *mutex)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);
    int err = relock(m, true);

    if (err != EBUSY)
        return err;
    if (!(m->kind & PROTECT))
        return take_now(m);
    err = veneer_ceiling_try(m);
    if (!err) {
        err = take_now(m);
        veneer_ceiling_tried(m, !err || err == EOWNERDEAD);
    }
    return err;
}

int WRAP(pthread_mutex_unlock)(pthread_mutex_t *mutex);
int WRAP(pthread_mutex_unlock)(pthread_mutex_t *mutex)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);
    int err;

    if (m->kind == DESTROYED)
        return EINVAL;
    if ((m->kind & KIND) == RECURSIVE || (m->kind & KIND) == ERRORCHECK ||
        m->kind & (ROBUST | INHERIT | PROTECT))
        if (atomic_load_explicit(&m->owner, memory_order_relaxed) != veneer_mutex_name(m))
            return EPERM;
    if (m->count) {
        m->count--;
        return 0;
    }
    if (m->kind & ROBUST) {
        robust_remove(m);
        if (m->fault == INCONSISTENT)
            m->fault = LOST;
    }
    if (!veneer.running) {
        atomic_store(&m->owner, 0);
        return 0;
    }
    if (!(m->kind & SHARED) && !atomic_load_explicit(&m->owner, memory_order_relaxed))
        return 0; /* not locked: undefined for a normal one, and so in the C library */
    err = release(m);
    veneer_breathe();
    return err;
}

int veneer_mutex_unlock(pthread_mutex_t *m)
{
    return __wrap_pthread_mutex_unlock(m);
}

/* ---- init, destroy, what is left ------------------------------------------------------------- */

int WRAP(pthread_mutex_init)(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int WRAP(pthread_mutex_init)(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    int type = 0, shared = PTHREAD_PROCESS_PRIVATE, robustness = PTHREAD_MUTEX_STALLED;
    int protocol = PTHREAD_PRIO_NONE, ceiling = 0, err = 0;
    struct veneer_mutex *m = veneer_mutex_of(mutex);

    if (attr) {
        pthread_mutexattr_gettype(attr, &type);
        pthread_mutexattr_getpshared(attr, &shared);
        pthread_mutexattr_getrobust(attr, &robustness);
        pthread_mutexattr_getprotocol(attr, &protocol);
        pthread_mutexattr_getprioceiling(attr, &ceiling);
    }
    if (protocol == PTHREAD_PRIO_PROTECT)
        err = veneer_ceiling_offered();
    if (err || (protocol == PTHREAD_PRIO_INHERIT && shared == PTHREAD_PROCESS_SHARED))
        return ENOTSUP;
    memset(mutex, 0, sizeof(*mutex));
    m->kind = type | (shared == PTHREAD_PROCESS_SHARED ? SHARED : 0) |
              (robustness == PTHREAD_MUTEX_ROBUST ? ROBUST : 0) |
              (protocol == PTHREAD_PRIO_INHERIT ? INHERIT : 0) |
              (protocol == PTHREAD_PRIO_PROTECT ? PROTECT : 0);
    atomic_store(&m->ceiling, ceiling);
    if (m->kind & INHERIT && veneer.running)
        object_of(m, &err);
    return err;
}

int WRAP(pthread_mutex_destroy)(pthread_mutex_t *mutex);
int WRAP(pthread_mutex_destroy)(pthread_mutex_t *mutex)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);
    void *object;

    if (m->kind == DESTROYED)
        return EINVAL;
    if (atomic_load(&m->owner) && m->fault != LOST)
        return EBUSY;
    object = atomic_load(&m->object);
    if (object) {
        int err = veneer.impl->mutex->destroy(object);

        if (err)
            return err;
        atomic_store(&m->object, NULL);
        free(object);
    }
    m->kind = DESTROYED;
    return 0;
}

int WRAP(pthread_mutex_consistent)(pthread_mutex_t *mutex);
int WRAP(pthread_mutex_consistent)(pthread_mutex_t *mutex)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);

    if (m->kind == DESTROYED || !(m->kind & ROBUST) || m->fault != INCONSISTENT ||
        atomic_load(&m->owner) != veneer_mutex_name(m))
        return EINVAL;
    m->fault = SOUND;
    return 0;
}

/* ---- for cond.c ------------------------------------------------------------------------------ */

int veneer_mutex_held(pthread_mutex_t *mutex, struct veneer_held *held)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);
    int err = 0;

    if (m->kind == DESTROYED)
        return EINVAL;
    if (atomic_load(&m->owner) != veneer_mutex_name(m))
        return EPERM;
    *held = (struct veneer_held){.mutex = mutex, .count = m->count};
    if (!(m->kind & (SHARED | INHERIT | PROTECT)))
        held->object = object_of(m, &err);
    return err;
}

void veneer_mutex_leave(struct veneer_held *held)
{
    struct veneer_mutex *m = veneer_mutex_of(held->mutex);

    m->count = 0;
    if (m->kind & ROBUST) {
        robust_remove(m);
        if (m->fault == INCONSISTENT)
            m->fault = LOST;
    }
    atomic_store_explicit(&m->owner, 0, memory_order_relaxed);
}

int veneer_mutex_retaken(struct veneer_held *held)
{
    struct veneer_mutex *m = veneer_mutex_of(held->mutex);
    int err = taken(m);

    if (err != ENOTRECOVERABLE)
        m->count = held->count;
    return err;
}

void veneer_mutex_let_go(struct veneer_held *held)
{
    veneer_mutex_leave(held);
    release(veneer_mutex_of(held->mutex));
}

int veneer_mutex_take_back(struct veneer_held *held)
{
    int err = __wrap_pthread_mutex_lock(held->mutex);

    if (!err || err == EOWNERDEAD)
        veneer_mutex_of(held->mutex)->count = held->count;
    return err;
}

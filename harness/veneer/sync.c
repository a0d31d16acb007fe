/*
 * sync.c - read-write lock, barrier, spin lock. What processes share is a word that they wait for
 * (shared.c). A spin lock has four bytes, too few for an object of the implementation's: it yields
 * between its tries.
 */
#include "veneer.h"

#include <limits.h>
#include <string.h>
#include <time.h>

/* ---- read-write lock ------------------------------------------------------------------------- */

/* Invariants: writer names the thread that holds it for writing, 0: none. word, in a shared one:
 * 0 free, WRITER, or the number of readers. readers counts who holds it for reading. kind, where
 * the C library has it, too: a static initialiser sets it. */
struct veneer_rwlock {
    _Atomic(void *) object;
    _Atomic uint64_t writer;
    _Atomic uint32_t word, readers;
    uint32_t shared, destroyed;
    uint32_t unused[4];
    uint32_t kind;
};
_Static_assert(sizeof(struct veneer_rwlock) <= sizeof(pthread_rwlock_t), "overlays it");
_Static_assert(offsetof(struct veneer_rwlock, kind) ==
                   offsetof(pthread_rwlock_t, __data) +
                       offsetof(__typeof__(((pthread_rwlock_t *)0)->__data), __flags),
               "as the C library's");
#define WRITER UINT32_MAX

static struct veneer_rwlock *lock_of(pthread_rwlock_t *l)
{
    return (struct veneer_rwlock *)l;
}

static int init_rwlock(void *object)
{
    return veneer.impl->rwlock->init(object);
}

/* The C library's default kind, which lets who reads already come again. */
static int init_for_readers(void *object)
{
    const struct tl_rwlock_ops *ops = veneer.impl->rwlock;
    int err = ops->init(object);

    return err || !ops->readers_first ? err : ops->readers_first(object);
}

static struct tl_rwlock *rwlock_object(struct veneer_rwlock *l, int *err)
{
    bool for_writers = l->kind == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;

    return veneer_object(&l->object, sizeof(struct tl_rwlock),
                         for_writers ? init_rwlock : init_for_readers, err);
}

static uint64_t own(void)
{
    return atomic_load_explicit(&veneer_self()->handle, memory_order_relaxed);
}

int WRAP(pthread_rwlock_init)(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr);
int WRAP(pthread_rwlock_init)(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr)
{
    int shared = PTHREAD_PROCESS_PRIVATE, kind = PTHREAD_RWLOCK_DEFAULT_NP;

    if (attr) {
        pthread_rwlockattr_getpshared(attr, &shared);
        pthread_rwlockattr_getkind_np(attr, &kind);
    }
    memset(lock, 0, sizeof(*lock));
    lock_of(lock)->shared = shared == PTHREAD_PROCESS_SHARED;
    lock_of(lock)->kind = (uint32_t)kind;
    return 0;
}

int WRAP(pthread_rwlock_destroy)(pthread_rwlock_t *lock);
int WRAP(pthread_rwlock_destroy)(pthread_rwlock_t *lock)
{
    struct veneer_rwlock *l = lock_of(lock);
    void *object = atomic_load(&l->object);

    if (l->destroyed)
        return EINVAL;
    /* A held one: POSIX leaves it open, and the C library answers 0. Its object is left alone. */
    if (object && !veneer.impl->rwlock->destroy(object))
        free(object);
    atomic_store(&l->object, NULL);
    l->destroyed = 1;
    return 0;
}

static bool word_try(struct veneer_rwlock *l, bool writes)
{
    uint32_t word = atomic_load(&l->word);

    if (writes)
        return !word && atomic_compare_exchange_strong(&l->word, &word, WRITER);
    while (word < WRITER - 1)
        if (atomic_compare_exchange_weak(&l->word, &word, word + 1))
            return true;
    return false;
}

static int shared_lock(struct veneer_rwlock *l, bool writes, bool waits, clockid_t clock,
                       const struct timespec *until)
{
    while (!word_try(l, writes)) {
        if (!waits)
            return EBUSY;
        if (until && !veneer_time_ok(until))
            return EINVAL;
        if (until && veneer_now(clock) >= veneer_ns(until))
            return ETIMEDOUT;
        veneer_shared_wait(&l->word, atomic_load(&l->word));
    }
    return 0;
}

static int object_lock(struct veneer_rwlock *l, bool writes, bool waits, clockid_t clock,
                       const struct timespec *until)
{
    const struct tl_rwlock_ops *ops = veneer.impl->rwlock;
    int err;
    struct tl_rwlock *object = rwlock_object(l, &err);

    if (!object)
        return err;
    if (waits && !until)
        return writes ? ops->wrlock(object) : ops->rdlock(object);
    err = writes ? ops->trywrlock(object) : ops->tryrdlock(object);
    if (err != EBUSY || !waits)
        return err;
    if (!veneer_time_ok(until))
        return EINVAL;
    return writes ? ops->timedwrlock(object, clock, veneer_ns(until))
                  : ops->timedrdlock(object, clock, veneer_ns(until));
}

static int lock_until(pthread_rwlock_t *lock, bool writes, bool waits, clockid_t clock,
                      const struct timespec *until)
{
    struct veneer_rwlock *l = lock_of(lock);
    int err;

    if (l->destroyed)
        return EINVAL;
    if (atomic_load(&l->writer) == own())
        return waits ? EDEADLK : EBUSY;
    if (!veneer.running)
        err = 0;
    else if (l->shared)
        err = shared_lock(l, writes, waits, clock, until);
    else
        err = object_lock(l, writes, waits, clock, until);
    if (err)
        return err;
    if (writes)
        atomic_store(&l->writer, own());
    else
        atomic_fetch_add(&l->readers, 1);
    return 0;
}

int WRAP(pthread_rwlock_unlock)(pthread_rwlock_t *lock);
int WRAP(pthread_rwlock_unlock)(pthread_rwlock_t *lock)
{
    struct veneer_rwlock *l = lock_of(lock);
    uint64_t writer = atomic_load(&l->writer);

    if (l->destroyed)
        return EINVAL;
    if (writer ? writer != own() && !l->shared : false)
        return EPERM;
    if (!writer && !atomic_load(&l->readers))
        return EINVAL;
    if (writer)
        atomic_store(&l->writer, 0);
    else
        atomic_fetch_sub(&l->readers, 1);
    if (!veneer.running)
        return 0;
    if (!l->shared)
        return veneer.impl->rwlock->unlock(atomic_load(&l->object));
    if (writer)
        atomic_store(&l->word, 0);
    else
        atomic_fetch_sub(&l->word, 1);
    veneer_shared_wake(&l->word);
    return 0;
}

#define RWLOCK(name, writes, waits)                                    \
    int WRAP(pthread_rwlock_##name)(pthread_rwlock_t * l);             \
    int WRAP(pthread_rwlock_##name)(pthread_rwlock_t * l)              \
    {                                                                  \
        return lock_until(l, (writes), (waits), CLOCK_REALTIME, NULL); \
    }
RWLOCK(rdlock, false, true)
RWLOCK(tryrdlock, false, false)
RWLOCK(wrlock, true, true)
RWLOCK(trywrlock, true, false)

#define RWLOCK_TIMED(side, writes)                                                            \
    int WRAP(pthread_rwlock_timed##side)(pthread_rwlock_t * l, const struct timespec *until); \
    int WRAP(pthread_rwlock_timed##side)(pthread_rwlock_t * l, const struct timespec *until)  \
    {                                                                                         \
        return lock_until(l, (writes), true, CLOCK_REALTIME, until);                          \
    }                                                                                         \
    int WRAP(pthread_rwlock_clock##side)(pthread_rwlock_t * l, clockid_t clock,               \
                                         const struct timespec *until);                       \
    int WRAP(pthread_rwlock_clock##side)(pthread_rwlock_t * l, clockid_t clock,               \
                                         const struct timespec *until)                        \
    {                                                                                         \
        if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)                              \
            return EINVAL;                                                                    \
        return lock_until(l, (writes), true, clock, until);                                   \
    }
RWLOCK_TIMED(rdlock, false)
RWLOCK_TIMED(wrlock, true)

/* ---- barrier --------------------------------------------------------------------------------- */

/* Invariants: inside counts who is within wait; arrived and round are those of a shared one. */
struct veneer_barrier {
    _Atomic(void *) object;
    uint32_t count, shared;
    _Atomic uint32_t inside, arrived, round;
    uint32_t destroyed;
};
_Static_assert(sizeof(struct veneer_barrier) <= sizeof(pthread_barrier_t), "overlays it");

int WRAP(pthread_barrier_init)(pthread_barrier_t *barrier, const pthread_barrierattr_t *attr,
                               unsigned count);
int WRAP(pthread_barrier_init)(pthread_barrier_t *barrier, const pthread_barrierattr_t *attr,
                               unsigned count)
{
    struct veneer_barrier *b = (struct veneer_barrier *)barrier;
    int shared = PTHREAD_PROCESS_PRIVATE, err = 0;
    struct tl_barrier *object;

    if (!count || count > INT_MAX)
        return EINVAL;
    if (attr)
        pthread_barrierattr_getpshared(attr, &shared);
    memset(barrier, 0, sizeof(*barrier));
    b->count = count;
    b->shared = shared == PTHREAD_PROCESS_SHARED;
    if (b->shared)
        return 0;
    object = aligned_alloc(64, sizeof(*object));
    if (!object)
        return ENOMEM;
    err = veneer.impl->barrier->init(object, count);
    if (err)
        free(object);
    else
        atomic_store(&b->object, object);
    return err;
}

int WRAP(pthread_barrier_wait)(pthread_barrier_t *barrier);
int WRAP(pthread_barrier_wait)(pthread_barrier_t *barrier)
{
    struct veneer_barrier *b = (struct veneer_barrier *)barrier;
    uint32_t round;
    int result = 0;

    if (b->destroyed || !b->count)
        return EINVAL;
    atomic_fetch_add(&b->inside, 1);
    if (!b->shared) {
        result = veneer.impl->barrier->wait(atomic_load(&b->object));
    } else {
        round = atomic_load(&b->round);
        if (atomic_fetch_add(&b->arrived, 1) + 1 == b->count) {
            atomic_store(&b->arrived, 0);
            atomic_fetch_add(&b->round, 1);
            veneer_shared_wake(&b->round);
            result = PTHREAD_BARRIER_SERIAL_THREAD;
        } else {
            while (atomic_load(&b->round) == round)
                veneer_shared_wait(&b->round, round);
        }
    }
    atomic_fetch_sub(&b->inside, 1);
    return result;
}

/* At once after wait, while others still leave; EBUSY while somebody waits in it. */
int WRAP(pthread_barrier_destroy)(pthread_barrier_t *barrier);
int WRAP(pthread_barrier_destroy)(pthread_barrier_t *barrier)
{
    struct veneer_barrier *b = (struct veneer_barrier *)barrier;
    uint64_t until = veneer_now(CLOCK_MONOTONIC) + 10 * VENEER_SLICE_NS;
    void *object;

    if (b->destroyed)
        return EINVAL;
    while (atomic_load(&b->inside)) {
        if (veneer_now(CLOCK_MONOTONIC) >= until)
            return EBUSY; /* who only leaves has left by now */
        veneer_pause(VENEER_POLL_NS);
    }
    object = atomic_load(&b->object);
    if (object) {
        veneer.impl->barrier->destroy(object);
        free(object);
    }
    b->destroyed = 1;
    return 0;
}

/* ---- spin lock ------------------------------------------------------------------------------- */

#define SPIN_TRIES 100

static _Atomic int *spin_of(pthread_spinlock_t *s)
{
    return (_Atomic int *)s;
}

int WRAP(pthread_spin_init)(pthread_spinlock_t *s, int shared);
int WRAP(pthread_spin_init)(pthread_spinlock_t *s, int shared)
{
    if (shared != PTHREAD_PROCESS_PRIVATE && shared != PTHREAD_PROCESS_SHARED)
        return EINVAL;
    atomic_store(spin_of(s), 0);
    return 0;
}

int WRAP(pthread_spin_destroy)(pthread_spinlock_t *s);
int WRAP(pthread_spin_destroy)(pthread_spinlock_t *s)
{
    return atomic_load(spin_of(s)) ? EBUSY : 0;
}

int WRAP(pthread_spin_trylock)(pthread_spinlock_t *s);
int WRAP(pthread_spin_trylock)(pthread_spinlock_t *s)
{
    return atomic_exchange_explicit(spin_of(s), 1, memory_order_acquire) ? EBUSY : 0;
}

int WRAP(pthread_spin_lock)(pthread_spinlock_t *s);
int WRAP(pthread_spin_lock)(pthread_spinlock_t *s)
{
    for (unsigned tries = 0; __wrap_pthread_spin_trylock(s); tries++)
        if (tries % SPIN_TRIES == SPIN_TRIES - 1 || !veneer.blocks_alone)
            veneer.impl->yield();
    return 0;
}

int WRAP(pthread_spin_unlock)(pthread_spinlock_t *s);
int WRAP(pthread_spin_unlock)(pthread_spinlock_t *s)
{
    atomic_store_explicit(spin_of(s), 0, memory_order_release);
    return 0;
}

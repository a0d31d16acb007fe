/*
 * futex_mutex.c - the mutex, and its kinds that know no owner.
 *
 * U. Drepper, "Futexes Are Tricky" (2011), section 6, "mutex, take 3"; spin only while the owner
 * runs: J. Eykholt et al., "Beyond Multiprocessing: Multithreading the SunOS Kernel" (1992),
 * section on adaptive mutexes.
 */
#include "futex_mutex.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static bool take(struct mutex *m)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(&m->word, &free, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void note_owner(struct mutex *m)
{
    atomic_store_explicit(&m->owner, (uint32_t)(tls_cpu() + 1) * FUTEX_SLEEPERS + futex_own_slot(),
                          memory_order_relaxed);
}

/* 0 or ETIMEDOUT. One that gives up leaves a 2 behind: a wake too many. */
static int block(struct mutex *m, const struct futex_deadline *deadline)
{
    while (atomic_exchange_explicit(&m->word, 2, memory_order_acquire))
        if (futex_sleep(&m->word, 2, FUTEX_PRIVATE, deadline) == ETIMEDOUT)
            return ETIMEDOUT;
    return 0;
}

void futex_mutex_relock(struct mutex *m)
{
    block(m, NULL);
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
}

/* While the owner is on another CPU and not asleep; bounded, since it may have been preempted. */
static bool spin_for_owner(struct mutex *m)
{
    uint32_t cpu = (uint32_t)(tls_cpu() + 1);

    for (unsigned i = 0; i < futex_spin_rounds; i++) {
        uint32_t owner = atomic_load_explicit(&m->owner, memory_order_relaxed);

        if (!atomic_load_explicit(&m->word, memory_order_relaxed) && take(m))
            return true;
        if (owner / FUTEX_SLEEPERS == cpu || !cpu ||
            atomic_load_explicit(&futex_sleeping[owner % FUTEX_SLEEPERS], memory_order_relaxed))
            return false;
        futex_pause();
    }
    return false;
}

#define SPIN_LOOK 256 /* rounds of spinning between two looks at the clock */

static bool is_past(const struct futex_deadline *deadline)
{
    struct timespec now;

    clock_gettime(deadline->clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec >= deadline->ns;
}

static int spin(struct mutex *m, const struct futex_deadline *deadline)
{
    unsigned rounds = 0;

    do {
        while (atomic_load_explicit(&m->word, memory_order_relaxed)) {
            if (deadline && rounds++ % SPIN_LOOK == 0 && is_past(deadline))
                return ETIMEDOUT;
            futex_pause();
        }
    } while (!take(m));
    return 0;
}

static __attribute__((noinline)) int lock_slow(struct mutex *m,
                                               const struct futex_deadline *deadline)
{
    int err = 0;

    if (m->kind > TL_MUTEX_ADAPTIVE)
        return futex_owned_lock(m, deadline);
    if (m->kind == TL_MUTEX_SPIN)
        err = spin(m, deadline);
    else if (m->kind == TL_MUTEX_BLOCK || !spin_for_owner(m))
        err = block(m, deadline);
    if (!err && m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return err;
}

static int mutex_init(struct tl_mutex *mutex, enum tl_mutex_kind kind)
{
    struct mutex *m = (struct mutex *)mutex;

    if ((unsigned)kind >= TL_MUTEX_KINDS)
        return EINVAL;
    memset(mutex, 0, sizeof(*mutex));
    m->kind = kind;
    return kind > TL_MUTEX_ADAPTIVE ? futex_owned_init(m) : 0;
}

static int mutex_lock(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (!take(m))
        return lock_slow(m, NULL);
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return 0;
}

static int mutex_timedlock(struct tl_mutex *mutex, clockid_t clock, uint64_t deadline_ns)
{
    struct mutex *m = (struct mutex *)mutex;

    if (!futex_clock_is_known(clock))
        return EINVAL;
    if (!take(m))
        return lock_slow(m, &(struct futex_deadline){clock, deadline_ns});
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return 0;
}

static int mutex_trylock(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (atomic_load_explicit(&m->word, memory_order_relaxed) || !take(m))
        return m->kind > TL_MUTEX_ADAPTIVE ? futex_owned_trylock(m) : EBUSY;
    if (m->kind == TL_MUTEX_ADAPTIVE)
        note_owner(m);
    return 0;
}

/* After the exchange m may be gone; a wake of an address where nobody sleeps does nothing, and one
 * of another object's waiter is a spurious one. */
static int mutex_unlock(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (m->kind == TL_MUTEX_SPIN)
        atomic_store_explicit(&m->word, 0, memory_order_release);
    else if (m->kind > TL_MUTEX_ADAPTIVE)
        return futex_owned_unlock(m);
    else if (atomic_exchange_explicit(&m->word, 0, memory_order_release) == 2)
        futex_wake(&m->word, 1);
    return 0;
}

static int mutex_destroy(struct tl_mutex *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (m->kind > TL_MUTEX_ADAPTIVE) /* not held, but for the bits of the kernel's protocol */
        return atomic_load_explicit(&m->held, memory_order_relaxed) & FUTEX_TID_MASK ? EBUSY : 0;
    return atomic_load_explicit(&m->word, memory_order_relaxed) ? EBUSY : 0;
}

static int mutex_consistent(struct tl_mutex *mutex)
{
    return futex_owned_consistent((struct mutex *)mutex);
}

const struct tl_mutex_ops futex_mutex = {
    .init = mutex_init,
    .lock = mutex_lock,
    .trylock = mutex_trylock,
    .unlock = mutex_unlock,
    .destroy = mutex_destroy,
    .timedlock = mutex_timedlock,
    .consistent = mutex_consistent,
};

/*
 * null_sync.c - locks, condition variable and semaphore where nobody else ever runs: what would
 * have to wait for somebody answers EDEADLK at once, and with a deadline ETIMEDOUT at that time.
 */
#include "null.h"

#include <limits.h>

/* Invariants: count 0: free. owner is the thread that locked it last, 0 after the unlock of an
 * inconsistent one, which then keeps its count for ever. inconsistent: its owner ended with it. All
 * bytes zero: a free TL_MUTEX_BLOCK. */
struct null_lock {
    uint64_t owner;
    uint32_t count;
    uint8_t kind;
    bool inconsistent, lost;
};

struct null_count { /* of a semaphore */
    unsigned count;
};

_Static_assert(sizeof(struct null_lock) <= TL_MUTEX_SIZE, "struct tl_mutex is too small");
_Static_assert(sizeof(struct null_count) <= TL_SEM_SIZE, "struct tl_sem is too small");

/* ---- mutex ----------------------------------------------------------------------------------- */

static int mutex_init(struct tl_mutex *m, enum tl_mutex_kind kind)
{
    if (kind > TL_MUTEX_ROBUST)
        return ENOTSUP;
    *(struct null_lock *)m = (struct null_lock){.kind = (uint8_t)kind};
    return 0;
}

/* It is held: EBUSY, unless its kind makes something of that. */
static int take_held(struct null_lock *lock)
{
    bool mine = lock->owner == null_frame->id;

    if (lock->kind == TL_MUTEX_RECURSIVE && mine) {
        if (lock->count == UINT32_MAX)
            return EAGAIN;
        lock->count++;
        return 0;
    }
    if (lock->lost)
        return ENOTRECOVERABLE;
    if (lock->kind == TL_MUTEX_ROBUST && null_state_of(lock->owner) != NULL_RUNS) {
        lock->owner = null_frame->id;
        lock->inconsistent = true;
        return EOWNERDEAD;
    }
    return EBUSY;
}

static int mutex_trylock(struct tl_mutex *m)
{
    struct null_lock *lock = (struct null_lock *)m;

    if (lock->count)
        return take_held(lock);
    lock->count = 1;
    lock->owner = null_frame->id;
    return 0;
}

static int mutex_lock(struct tl_mutex *m)
{
    int err = mutex_trylock(m);

    return err == EBUSY ? EDEADLK : err;
}

static int mutex_timedlock(struct tl_mutex *m, clockid_t clock, uint64_t deadline_ns)
{
    struct null_lock *lock = (struct null_lock *)m;
    int err = mutex_trylock(m);

    if (err != EBUSY)
        return err;
    if (lock->kind == TL_MUTEX_ERRORCHECK && lock->owner == null_frame->id)
        return EDEADLK;
    return null_wait_until(clock, deadline_ns);
}

static int mutex_unlock(struct tl_mutex *m)
{
    struct null_lock *lock = (struct null_lock *)m;

    if (!lock->count)
        return EPERM;
    if (lock->kind >= TL_MUTEX_ERRORCHECK && lock->owner != null_frame->id)
        return EPERM;
    if (lock->inconsistent) {
        lock->lost = true;
        lock->owner = 0;
        lock->inconsistent = false;
        return 0;
    }
    lock->count--;
    return 0;
}

static int mutex_consistent(struct tl_mutex *m)
{
    struct null_lock *lock = (struct null_lock *)m;

    if (!lock->inconsistent || lock->owner != null_frame->id)
        return EINVAL;
    lock->inconsistent = false;
    return 0;
}

static int mutex_destroy(struct tl_mutex *m)
{
    const struct null_lock *lock = (struct null_lock *)m;

    return lock->count && !lock->lost ? EBUSY : 0;
}

const struct tl_mutex_ops null_mutex = {
    .init = mutex_init,
    .lock = mutex_lock,
    .trylock = mutex_trylock,
    .unlock = mutex_unlock,
    .destroy = mutex_destroy,
    .timedlock = mutex_timedlock,
    .consistent = mutex_consistent,
};

/* ---- condition variable ---------------------------------------------------------------------- */

static int cond_nothing(struct tl_cond *c)
{
    (void)c;
    return 0;
}

/* Returning 0 as a spurious wake-up would make the caller's loop run for ever. */
static int cond_wait(struct tl_cond *c, struct tl_mutex *m)
{
    (void)c;
    (void)m;
    null_point();
    return EDEADLK;
}

static int cond_timedwait(struct tl_cond *c, struct tl_mutex *m, clockid_t clock,
                          uint64_t deadline_ns)
{
    (void)c;
    (void)m;
    null_point();
    return null_wait_until(clock, deadline_ns);
}

const struct tl_cond_ops null_cond = {
    .init = cond_nothing,
    .wait = cond_wait,
    .signal = cond_nothing,
    .broadcast = cond_nothing,
    .destroy = cond_nothing,
    .timedwait = cond_timedwait,
};

/* ---- semaphore ------------------------------------------------------------------------------- */

static int sem_init(struct tl_sem *s, unsigned count)
{
    if (count > INT_MAX)
        return EINVAL;
    ((struct null_count *)s)->count = count;
    return 0;
}

static int sem_trywait(struct tl_sem *s)
{
    struct null_count *sem = (struct null_count *)s;

    if (!sem->count)
        return EAGAIN;
    sem->count--;
    return 0;
}

static int sem_wait(struct tl_sem *s)
{
    null_point();
    return sem_trywait(s) ? EDEADLK : 0;
}

static int sem_timedwait(struct tl_sem *s, clockid_t clock, uint64_t deadline_ns)
{
    null_point();
    return sem_trywait(s) ? null_wait_until(clock, deadline_ns) : 0;
}

static int sem_post(struct tl_sem *s)
{
    struct null_count *sem = (struct null_count *)s;

    if (sem->count == INT_MAX)
        return EOVERFLOW;
    sem->count++;
    return 0;
}

static int sem_getvalue(struct tl_sem *s, int *value)
{
    *value = (int)((struct null_count *)s)->count;
    return 0;
}

static int sem_destroy(struct tl_sem *s)
{
    (void)s;
    return 0;
}

const struct tl_sem_ops null_sem = {
    .init = sem_init,
    .wait = sem_wait,
    .trywait = sem_trywait,
    .post = sem_post,
    .destroy = sem_destroy,
    .timedwait = sem_timedwait,
    .getvalue = sem_getvalue,
    .post_in_handler = false, /* see why_not: the count is a plain variable */
};

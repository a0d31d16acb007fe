/*
 * ceiling.c - PTHREAD_PRIO_PROTECT: who holds the mutex runs at the mutex's ceiling. Sha, Rajkumar,
 * Lehoczky 1990, "Priority Inheritance Protocols", in the form of POSIX (XSH
 * pthread_mutexattr_setprotocol): the priority rises with the locking, not with the first waiter.
 *
 * It rises before the mutex is taken: a thread that holds it at its own priority could lose the PU
 * to one between that and the ceiling. The implementation is asked for a priority, as
 * pthread_setschedparam does, so this holds wherever that is offered.
 */
#include "mutex.h"

#include <sched.h>

int veneer_ceiling_offered(void)
{
    const struct tl_info_ops *info = veneer.impl->info;
    struct veneer_thread *self;
    struct tl_sched sched;

    if (!veneer.running || !info || !info->set_sched)
        return ENOTSUP;
    self = veneer_self();
    veneer_sched_look(self);
    if (self->protected || veneer.impl->traits & TL_ONE_TO_ONE)
        return 0; /* it has been asked, or the kernel has priorities: nothing is to change here */
    /* Another run queue than by priority answers ENOTSUP even to what holds already. */
    sched = veneer_sched_of(self);
    sched = veneer_sched(sched.policy, sched.priority);
    return info->set_sched(self->impl, &sched) ? ENOTSUP : 0;
}

static int highest_held(const struct veneer_thread *self)
{
    int highest = 0;

    for (const struct veneer_mutex *m = self->protected; m; m = m->next_protected)
        if (atomic_load(&((struct veneer_mutex *)m)->ceiling) > highest)
            highest = atomic_load(&((struct veneer_mutex *)m)->ceiling);
    return highest;
}

/* The highest of those that it holds, and of the one that it is about to take. */
static int settle(struct veneer_thread *self)
{
    int held = highest_held(self), was = veneer_ceiling_of(self);
    int now = self->climbs > held ? self->climbs : held, err;

    if (now == was)
        return 0;
    err = veneer_set_ceiling(self, now);
    /* What it has been above waits no longer. */
    if (now < was && !(veneer.impl->traits & TL_ONE_TO_ONE))
        veneer.impl->yield();
    return err;
}

int veneer_ceiling_try(struct veneer_mutex *m)
{
    struct veneer_thread *self = veneer_self();
    int ceiling = atomic_load(&m->ceiling), before = self->climbs, err;

    if (!veneer.running)
        return 0; /* one thread */
    veneer_sched_look(self);
    if (veneer_sched_of(self).priority > ceiling)
        return EINVAL;
    self->climbs = ceiling;
    err = settle(self);
    if (err) {
        self->climbs = before;
        settle(self);
    }
    return err;
}

void veneer_ceiling_tried(struct veneer_mutex *m, bool taken)
{
    struct veneer_thread *self = veneer_self();

    if (taken) {
        m->next_protected = self->protected;
        self->protected = m;
    }
    self->climbs = 0;
    if (veneer.running)
        settle(self);
}

void veneer_ceiling_unlink(struct veneer_mutex *m)
{
    for (struct veneer_mutex **link = &veneer_self()->protected; *link;
         link = &(*link)->next_protected)
        if (*link == m) {
            *link = m->next_protected;
            break;
        }
}

void veneer_ceiling_left(void)
{
    if (veneer.running)
        settle(veneer_self());
}

/* ---- what programs ask for ------------------------------------------------------------------- */

int WRAP(pthread_mutex_getprioceiling)(const pthread_mutex_t *mutex, int *ceiling);
int WRAP(pthread_mutex_getprioceiling)(const pthread_mutex_t *mutex, int *ceiling)
{
    struct veneer_mutex *m = (struct veneer_mutex *)mutex;

    if (m->kind == DESTROYED || !(m->kind & PROTECT))
        return EINVAL;
    *ceiling = atomic_load(&m->ceiling);
    return 0;
}

/* Locks it without regard to its ceiling: who has a higher priority may raise it. */
int WRAP(pthread_mutex_setprioceiling)(pthread_mutex_t *mutex, int ceiling, int *old);
int WRAP(pthread_mutex_setprioceiling)(pthread_mutex_t *mutex, int ceiling, int *old)
{
    struct veneer_mutex *m = veneer_mutex_of(mutex);
    int was, err;

    if (m->kind == DESTROYED || !(m->kind & PROTECT) ||
        ceiling < sched_get_priority_min(SCHED_FIFO) ||
        ceiling > sched_get_priority_max(SCHED_FIFO))
        return EINVAL;
    err = veneer_mutex_lock_plainly(mutex);
    if (err)
        return err;
    was = atomic_exchange(&m->ceiling, ceiling);
    if (old)
        *old = was;
    if (veneer.running)
        err = settle(veneer_self()); /* a recursive one that the caller holds counts now */
    return veneer_mutex_unlock(mutex) ?: err;
}

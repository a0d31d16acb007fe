/*
 * thread.c - create, join, detach, exit. Attributes are the C library's own objects, which it reads
 * and writes; create hands on what is in them.
 */
#include "veneer.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_t) == sizeof(uint64_t), "a handle is a pthread_t");

/* ---- create ---------------------------------------------------------------------------------- */

/* Not in the record, which is the joiner's once the thread has ended. */
struct call {
    void *(*start)(void *);
    void *arg, *value;
};

static __attribute__((noinline)) void body(void *arg)
{
    struct call *call = arg;

    veneer_own->frames.first = __builtin_frame_address(0);
    call->value = call->start(call->arg);
    veneer_own->frames.first = NULL;
}

static void ended(void *self)
{
    struct veneer_thread *t = self;

    if (veneer_own != self)
        return; /* not by the implementation */
    t->value = PTHREAD_CANCELED;
    veneer_finish(t);
}

static void *trampoline(void *arg)
{
    struct veneer_thread *self = arg;
    struct call call = {self->start, self->arg, NULL};

    veneer_own = self;
    if (veneer.impl->traits & TL_ONE_TO_ONE)
        self->tid = (int)syscall(SYS_gettid);
    /* create may not have written it yet where the new thread runs first. */
    self->impl = veneer.impl->self();
    self->known = true;
    self->frames.outermost = __builtin_frame_address(0);
    if (self->sets_mask)
        veneer.impl->signal->mask(SIG_SETMASK, &self->mask, NULL);
    veneer.impl->protect(body, &call, ended, self, true);
    return call.value;
}

/* What of a thread attribute object the contract knows. *sched: the creator's, self. EINVAL: it is
 * none. */
static int read_attr(const pthread_attr_t *a, struct veneer_thread *self, struct tl_attr *attr,
                     struct tl_sched *sched)
{
    struct sched_param param;
    int state, inherit, policy, err;
    size_t size, guard;
    void *low;

    err = pthread_attr_getdetachstate(a, &state);
    if (!err)
        err = pthread_attr_getstack(a, &low, &size);
    if (!err)
        err = pthread_attr_getguardsize(a, &guard);
    if (!err)
        err = pthread_attr_getinheritsched(a, &inherit);
    if (!err)
        err = pthread_attr_getschedpolicy(a, &policy);
    if (!err)
        err = pthread_attr_getschedparam(a, &param);
    if (err)
        return EINVAL;
    attr->detached = state == PTHREAD_CREATE_DETACHED;
    attr->guard_size = guard;
    attr->no_guard = !guard;
    attr->stack_size = size;
    /* An attribute without a stack of the caller's answers its size, below address 0. */
    if (low && (uintptr_t)low + size > size && (uintptr_t)low < (uintptr_t)0 - size)
        attr->stack = low;
    else /* getstack answers 0 for the default size, this one the size */
        pthread_attr_getstacksize(a, &attr->stack_size);
    if (inherit == PTHREAD_EXPLICIT_SCHED) {
        if (param.sched_priority < sched_get_priority_min(policy) ||
            param.sched_priority > sched_get_priority_max(policy))
            return EINVAL;
        veneer_sched_look(self);
        *sched = veneer_sched_of(self);
        if (policy != sched->policy || param.sched_priority != sched->priority)
            attr->sched = sched;
        *sched = (struct tl_sched){policy, param.sched_priority};
    }
    return 0;
}

/* Affinity is not in the contract: the new thread asks for it itself, where the kernel knows it. */
int WRAP(pthread_create)(pthread_t *handle, const pthread_attr_t *a, void *(*start)(void *),
                         void *arg);
int WRAP(pthread_create)(pthread_t *handle, const pthread_attr_t *a, void *(*start)(void *),
                         void *arg)
{
    struct veneer_thread *self = veneer_self(), *t;
    struct veneer_lent *lent = NULL;
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_sched sched = veneer_sched_of(self);
    pthread_attr_t defaults;
    struct tl_thread id;
    sigset_t mask, given;
    uint64_t name;
    bool own_mask = false, detached;
    int err;

    if (!veneer.running)
        return EAGAIN; /* before main: README.md */
#if __has_include(<sys/single_threaded.h>)
    __libc_single_threaded = 0; /* libstdc++ asks whether it is to count by atomic operations */
#endif
    if (a) {
        err = read_attr(a, self, &attr, &sched);
    } else if (!(err = pthread_getattr_default_np(&defaults))) {
        pthread_attr_getstacksize(&defaults, &attr.stack_size);
        pthread_attr_getguardsize(&defaults, &attr.guard_size);
        attr.no_guard = !attr.guard_size;
        own_mask = !pthread_attr_getsigmask_np(&defaults, &given);
        pthread_attr_destroy(&defaults);
    }
    if (err)
        return err;
    if (attr.stack) {
        err = veneer_lent_back(attr.stack, attr.stack_size);
        if (err)
            return err;
        lent = veneer_lent_new(attr.stack, attr.stack_size);
        if (!lent)
            return EAGAIN;
    }
    t = veneer_take();
    if (!t) {
        veneer_lent_free(lent);
        return EAGAIN;
    }
    t->lent = lent;
    t->start = start;
    t->arg = arg;
    veneer_sched_begin(t, sched);
    if (veneer_ceiling_of(self))
        attr.sched = &sched; /* what it inherits is not the ceiling */
    if (attr.sched)
        sched = veneer_sched(sched.policy, sched.priority);
    t->stack_size = a ? attr.stack_size : 0;
    /* Detached by us when it has ended: its record is ours to give back. */
    atomic_store(&t->detached, attr.detached ? VENEER_DETACHED : 0);
    detached = attr.detached;
    if (lent)
        attr.detached = false; /* lent.c */
    name = atomic_load(&t->handle);
    *handle = name;
    atomic_fetch_add(&veneer.live, 1);
    /* No handler runs in the new kernel thread before it knows who it is, nor in any before it has
     * the mask of its attributes. */
    own_mask = own_mask || (a && !pthread_attr_getsigmask_np(a, &given));
    if (veneer.impl->signal && (veneer.impl->traits & TL_ONE_TO_ONE || own_mask)) {
        sigset_t all;

        sigfillset(&all);
        veneer.impl->signal->mask(SIG_SETMASK, &all, &mask);
        t->mask = own_mask ? given : mask;
        t->sets_mask = true;
        err = veneer.impl->create(&id, &attr, trampoline, t);
        veneer.impl->signal->mask(SIG_SETMASK, &mask, NULL);
    } else {
        err = veneer.impl->create(&id, &attr, trampoline, t);
    }
    if (err) {
        atomic_fetch_sub(&veneer.live, 1);
        veneer_lent_free(lent);
        veneer_give(t);
        return err == ENOMEM ? EAGAIN : err;
    }
    veneer_identify(t, name, id); /* before the thread itself does, or too late */
    if (lent && detached)
        veneer_lent_detached(lent, id);
    veneer_breathe();
    return 0;
}

void WRAP(pthread_exit)(void *value) __attribute__((noreturn));
void WRAP(pthread_exit)(void *value)
{
    veneer_exit(value);
}

pthread_t WRAP(pthread_self)(void);
pthread_t WRAP(pthread_self)(void)
{
    return atomic_load_explicit(&veneer_self()->handle, memory_order_relaxed);
}

/* ---- join ------------------------------------------------------------------------------------ */

/* Whether the caller may wait for it. Marks it as joined. */
static int claim(pthread_t handle, struct veneer_thread **found)
{
    struct veneer_thread *t = veneer_find(handle);
    int expected = 0;

    if (!t)
        return veneer_missing(handle);
    if (handle == __wrap_pthread_self())
        return EDEADLK;
    if (veneer_is_detached(t))
        return EINVAL;
    if (!atomic_compare_exchange_strong(&t->joined, &expected, 1))
        return EINVAL; /* somebody else joins it */
    *found = t;
    return 0;
}

static void unclaim(void *t)
{
    atomic_store(&((struct veneer_thread *)t)->joined, 0);
}

/* The first thread ends with run(): whoever joins it looks at times. */
static long join_now(const long *a)
{
    struct veneer_thread *t = (void *)a[0];
    void **value = (void **)a[1];
    int err;

    if (t == veneer.main) {
        while (atomic_load(&t->life) != VENEER_ENDED)
            veneer_pause(VENEER_POLL_NS);
        *value = t->value;
        return 0;
    }
    err = veneer.impl->join(t->impl, value);
    return err;
}

static int join(struct veneer_thread *t, void **value)
{
    void *got = NULL;
    int err = (int)veneer_point(join_now, (const long[]){(long)t, (long)&got}, unclaim, t);

    if (err) {
        unclaim(t);
        return err;
    }
    if (value)
        *value = got;
    veneer_lent_free(t->lent);
    if (t != veneer.main)
        veneer_give(t);
    return 0;
}

int WRAP(pthread_join)(pthread_t handle, void **value);
int WRAP(pthread_join)(pthread_t handle, void **value)
{
    struct veneer_thread *t;
    int err = claim(handle, &t);

    return err ? err : join(t, value);
}

static bool has_ended(const struct veneer_thread *t)
{
    return atomic_load(&((struct veneer_thread *)t)->life) == VENEER_ENDED;
}

int WRAP(pthread_tryjoin_np)(pthread_t handle, void **value);
int WRAP(pthread_tryjoin_np)(pthread_t handle, void **value)
{
    struct veneer_thread *t = veneer_find(handle);
    int err;

    if (t && handle != __wrap_pthread_self() && !veneer_is_detached(t) && !has_ended(t))
        return EBUSY;
    err = claim(handle, &t);
    return err ? err : join(t, value);
}

static long await_end(const long *a)
{
    const struct veneer_thread *t = (void *)a[0];
    uint64_t until = (uint64_t)a[2];

    while (!has_ended(t)) {
        if (veneer_now((clockid_t)a[1]) >= until)
            return ETIMEDOUT;
        veneer_pause(VENEER_POLL_NS);
    }
    return 0;
}

int WRAP(pthread_clockjoin_np)(pthread_t handle, void **value, clockid_t clock,
                               const struct timespec *until);
int WRAP(pthread_clockjoin_np)(pthread_t handle, void **value, clockid_t clock,
                               const struct timespec *until)
{
    struct veneer_thread *t;
    int err;

    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    if (until && !veneer_time_ok(until))
        return EINVAL;
    err = claim(handle, &t);
    if (err)
        return err;
    if (until)
        err = (int)veneer_point(await_end, (const long[]){(long)t, clock, (long)veneer_ns(until)},
                                unclaim, t);
    if (err) {
        unclaim(t);
        return err;
    }
    return join(t, value);
}

int WRAP(pthread_timedjoin_np)(pthread_t handle, void **value, const struct timespec *until);
int WRAP(pthread_timedjoin_np)(pthread_t handle, void **value, const struct timespec *until)
{
    return __wrap_pthread_clockjoin_np(handle, value, CLOCK_REALTIME, until);
}

int WRAP(pthread_detach)(pthread_t handle);
int WRAP(pthread_detach)(pthread_t handle)
{
    struct veneer_thread *t = veneer_find(handle);
    struct veneer_lent *lent;
    struct tl_thread impl;
    int was, err = 0;

    if (!t)
        return veneer_missing(handle);
    impl = t->impl; /* the record is the thread's own to give back from then on */
    lent = t->lent;
    if (atomic_load(&t->joined))
        return EINVAL;
    was = atomic_fetch_or(&t->detached, VENEER_DETACHED);
    if (was & VENEER_DETACHED)
        return EINVAL;
    if (t == veneer.main)
        return 0;
    if (lent)
        veneer_lent_detached(lent, impl);
    else
        err = veneer.impl->detach(impl);
    /* Where it left before we said so, its record is ours. */
    if (was & VENEER_LEFT)
        veneer_give(t);
    return err;
}

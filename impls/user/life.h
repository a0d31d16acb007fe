/*
 * life.h - create, exit, join, detach, cancel. Included by user.h only.
 *
 * Child first: create switches to the new thread at once, on the creator's turn, and the creator is
 * next as soon as the new one ends, blocks or yields. A thread that ends without blocking then
 * costs one stack for any number of them, which stays in the cache: a batch of 10,000 is 4 times as
 * fast as parent first. The one who waits in join goes on the moment that its thread ends, ahead of
 * the run queue.
 */
#ifndef TL_USER_LIFE_H
#define TL_USER_LIFE_H

#include <string.h>

/* A stack for one thread: the caller's memory, or a mapping of its own. */
static int take_alone(const struct tl_attr *attr, size_t usable, size_t guard, struct stack *s)
{
    __atomic_fetch_add(&lib.stacks_new, 1, __ATOMIC_RELAXED);
    if (!attr->stack)
        return stack_map(s, usable, guard);
    *s = (struct stack){.low = attr->stack, .high = (char *)attr->stack + usable};
    return 0;
}

static USER_ON_NEXT_STACK void give_alone(struct stack *s)
{
    if (s->base)
        stack_unmap(s);
}

/* ---- how many there are ---------------------------------------------------------------------- */

#if USER_MN

static int64_t live_sum(void)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < USER_LOAD_ACQUIRE(lib.lwps_used); i++)
        sum += USER_LOAD(lib.lwp[i]->live);
    return sum + USER_LOAD(lib.live_elsewhere);
}

static inline void live_add(struct lwp *lwp, int n)
{
    if (USER_LIKELY(!lwp->bound))
        USER_STORE(lwp->live, lwp->live + n);
    else
        __atomic_fetch_add(&lib.live_elsewhere, n, __ATOMIC_RELAXED);
}

/* Somebody wants to know of it: the first thread, which waits for the others, or a forked child
 * without one. Whoever ends counts itself off and then looks at last_matters; who sets that looks
 * at the sum after heavy(): one of them sees both. */
static __attribute__((noinline)) void last_check(struct lwp *lwp)
{
    struct uthread *first = lib.first;
    bool wake = false;

    if (!first) {
        if (!live_sum())
            exit(EXIT_SUCCESS); /* a forked child, whose first thread was left behind */
        return;
    }
    thread_lock(first);
    if (state_of(first) == USER_WAITS_ALL && live_sum() == 1 && !lib.first_woken)
        wake = lib.first_woken = true;
    thread_unlock(first);
    if (wake)
        make_ready_as(lwp, first, USER_WAITS_ALL);
}

static inline void live_less(struct lwp *lwp)
{
    live_add(lwp, -1);
    light();
    if (USER_UNLIKELY(USER_LOAD(lib.last_matters)))
        last_check(lwp);
}

#else

static inline void live_add(struct lwp *lwp, int n)
{
    (void)lwp;
    lib.live += (size_t)n;
}

static inline void live_less(struct lwp *lwp)
{
    if (USER_UNLIKELY(--lib.live <= 1)) {
        if (!lib.live)
            exit(EXIT_SUCCESS); /* a forked child, whose first thread was left behind */
        if (lib.first && state_of(lib.first) == USER_WAITS_ALL)
            make_ready(lwp, lib.first);
    }
}

#endif

#include "end.h"

/* From any depth. The first thread goes back to run(). */
static __attribute__((noreturn)) void user_exit(void *value)
{
    struct uthread *self = lwp_self()->current;

    preempt_unmask();
    finish(self);
    if (self == lib.first) {
        lib.first_value = value;
        longjmp(lib.first_exit, 1);
    }
    leave(lwp_self(), self, value);
}

static struct personal *personal_self(void)
{
    return &lwp_self()->current->rest->personal;
}

static void thread_main(void)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;

#if USER_UCONTEXT
    context_arrived();
#endif
    switch_arrived(self);
    if (USER_UNLIKELY(lib.policy == USER_PRIORITY))
        yield_to_higher(lwp, self, false);
#if USER_MN
    /* Its ID was told before it began; the switch to a new thread does not ask for a tag. */
    if (USER_UNLIKELY((USER_LOAD(self->rest->pending) | USER_LOAD(lib.pending)) &
                      ~self->rest->mask))
        signals_deliver(self, NULL);
#endif
    void *value = self->rest->entry(self->rest->arg);

    if (USER_UNLIKELY((uintptr_t)self->rest->personal.values | (uintptr_t)self->rest->held |
                      (uintptr_t)USER_LOAD(self->rest->signals))) /* one branch for all */
        finish(self);
    leave(lwp_self(), self, value);
}

static __attribute__((noinline)) int take_tls(struct uthread *t)
{
    /* The one before may have ended with a tag: for a signal that it handled while it ran. */
    void *tp = tp_of(t);

    if (tp)
        tls_reset(tp);
    else
        tp = tls_new();
    t->tp = tp;
    if (!tp)
        return ENOMEM;
#if USER_MN
    /* The C library's recursive locks know their owner by it, so each thread has one of its own,
     * beyond the kernel's (PID_MAX_LIMIT): it is no kernel thread's. */
    tls_set_tid(tp, 0x20000000 + (int)(t - lib.table));
#else
    tls_set_tid(tp, lwp_self()->tid); /* anew each time: a fork may have changed it */
#endif
    return 0;
}

/* As personal_start, inlined: a few stores. */
static inline void personal_start_here(struct personal *p, const struct personal *creator)
{
    p->cleanup = NULL;
    p->values = NULL;
    atomic_init(&p->cancel, 0);
    memcpy(p->name, creator->name, sizeof(p->name));
}

/* The LWP that the attributes ask for; NULL: any. ENOTSUP, EINVAL, EAGAIN. */
static int home_of(const struct tl_attr *attr, struct uthread *t)
{
#if USER_MN
    t->home = NULL;
    if (attr->slot == TL_SLOT_INHERIT)
        return !attr->bound || lwp_bind(t, attr->slot) ? 0 : EAGAIN;
    if (attr->slot < 0 || (unsigned)attr->slot >= lib.boot->nslots)
        return EINVAL;
    if (lib.multi && (unsigned)attr->slot < USER_LOAD_ACQUIRE(lib.lwps_used)) {
        t->home = lib.lwp[attr->slot];
        /* Where some have a place, the first one has its own, too (steal.h). */
        if (!attr->bound && lwp_self()->current == lib.first && lwp_self() == lib.lwp[0])
            USER_STORE(lib.first->home, lib.lwp[0]);
    }
    return !attr->bound || lwp_bind(t, attr->slot) ? 0 : EAGAIN;
#else
    (void)t;
    return attr->bound ? ENOTSUP : 0;
#endif
}

/* Begins a thread that is complete: at once, on the creator's turn, or, where it cannot run here,
 * when its LWP gets to it. */
static inline void begin(struct lwp *lwp, struct uthread *self, struct uthread *t)
{
#if USER_MN
    if (USER_UNLIKELY(t->home || lwp->bound)) {
        if (t->home != served_by(lwp) || lwp->bound) {
            context_make(&t->context, t->rest, thread_main);
            make_ready(lwp, t);
            return;
        }
    }
    USER_STORE(t->context.pc, NULL);
#endif
    push_next(lwp, self);
    switch_start(lwp, self, t, thread_main);
}

static int user_create(struct tl_thread *id, const struct tl_attr *attr, void *(*entry)(void *),
                       void *arg)
{
    static const struct tl_attr defaults = TL_ATTR_INIT;
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current, *t;
    struct uthread_rest *rest;
    struct stack_pool *pool;
    struct stack alone;
    size_t usable, guard;
    unsigned priority = self->rest->base_priority;
    void *high;
    int err;

    if (!attr)
        attr = &defaults;
    err = pool_for(attr, &pool, &usable, &guard);
    if (USER_UNLIKELY(attr->sched != NULL) && !err)
        err = priority_of(attr->sched, &priority);
    if (err)
        return err;
    t = table_take(lwp);
    if (!t)
        return EAGAIN;
    if (USER_LIKELY(pool != NULL)) {
        err = pool_take(lwp, pool, &high);
        if (USER_UNLIKELY(err)) {
            err = pool_borrow(lwp, &pool, &high);
            usable = pool->usable;
        }
    } else {
        hold(lwp);
        err = take_alone(attr, usable, guard, &alone);
        release(lwp);
        high = alone.high;
    }
    if (err)
        goto no_stack;
    if (USER_UNLIKELY(lib.full_tls)) {
        /* Not hold: a malloc that the program brings may wait for a mutex, and go on elsewhere. */
        self->rest->critical++;
        err = take_tls(t);
        self->rest->critical--;
        lwp = lwp_self();
        if (err)
            goto no_tls;
    } else {
        t->tp = lib.tp;
    }
#ifdef USER_ASAN
    /* The frames that the last one ended in, or what was mapped here before. */
    ASAN_UNPOISON_MEMORY_REGION((char *)high - usable, usable);
#endif
    rest = pool_rest(t, high, usable > 4096 && !attr->stack);
    personal_start_here(&rest->personal, &self->rest->personal);
    rest->held = NULL;
    rest->signals = NULL;
    USER_STORE(rest->mask, self->rest->mask);
    rest->pending = rest->sigwait = 0;
    rest->handled = rest->in_handler = 0;
    rest->pipe = PIPE_NONE;
#if USER_MN
    rest->over = 0;
#endif
    rest->critical = 0;
    rest->entry = entry;
    rest->arg = arg;
    rest->pool = pool;
    rest->high = high;
    if (USER_UNLIKELY(!pool))
        rest->alone = alone;
#if USER_UCONTEXT
    t->context.uc = &rest->uc;
#endif
#ifdef USER_ASAN
    rest->fake_stack = NULL;
#endif
#ifdef USER_TSAN
    rest->fiber = __tsan_create_fiber(0);
#endif
    rest->timed = false;
    t->err = 0;
    USER_STORE(t->context.flags, attr->detached ? USER_DETACHED : 0);
    rest->priority = rest->base_priority = (uint8_t)priority;
#if USER_MN
    USER_STORE(t->level, rest->priority);
    t->waits_at = NULL;
    t->joiner = NULL;
    USER_STORE(t->context.pc, NULL); /* not to be gone on with before it has begun */
#else
    rest->joiner = NULL;
#endif
    err = home_of(attr, t);
    if (USER_UNLIKELY(err))
        goto no_home;
    USER_STORE(t->rest, rest);
    state_set(t, USER_ACTIVE); /* from now on its ID finds it */
    live_add(lwp, 1);
    if (id)
        *id = id_of(t);
    begin(lwp, self, t);
    return 0;

no_home:
#ifdef USER_TSAN
    __tsan_destroy_fiber(rest->fiber);
#endif
no_tls:
    if (pool)
        pool_give(lwp, pool, high);
    else
        give_alone(&alone);
no_stack:
    table_untake(lwp, t); /* nobody has seen its ID: the generation stays */
    return err;
}

/* ---- join, detach ---------------------------------------------------------------------------- */

/* The first thread has ended when its entry has returned: it then only waits for the others, on the
 * stack that run() was called on. */
static inline bool has_ended(const struct uthread *t)
{
    return state_of(t) == USER_ENDED || state_of(t) == USER_WAITS_ALL;
}

/* The ID of an ended thread is valid no more; takes the lock of t from the caller. */
static inline void forget(struct uthread *t)
{
    bool reuse = false;

    if (USER_UNLIKELY(t == lib.first))
        USER_STORE(t->generation, t->generation + 1);
    else
        reuse = table_retire(t);
    thread_unlock(t);
    if (reuse)
        table_untake(lwp_self(), t);
}

static int user_join(struct tl_thread id, void **value)
{
    struct uthread *self = lwp_self()->current, *t;
    int err = 0;

    for (;;) {
        cancellation_point(self);
        t = table_find_locked(id);
        if (!t)
            return ESRCH;
        if (has_ended(t) && !(t->context.flags & USER_DETACHED))
            break;
        if (USER_UNLIKELY(t->context.flags & USER_DETACHED))
            err = EINVAL;
        else if (t == self || USER_LOAD(USER_JOINER(self)) == t)
            err = EDEADLK;
        else if (USER_JOINER(t))
            err = EINVAL;
        if (err) {
            thread_unlock(t);
            return err;
        }
        USER_STORE(USER_JOINER(t), self);
        self->rest->waits.target = t;
        count(&lwp_self()->counts.waits[USER_WAITS_JOIN]);
        state_set(self, USER_WAITS_JOIN);
#if USER_MN
        USER_STORE(self->waits_at, (void *)t);
#endif
        thread_unlock(t);
        USER_POINT("user.join.before-park");
        /* Interrupted: the target has no joiner now, and may have changed. */
        if (!park(self) && !USER_MN)
            break;
    }
    if (value)
        *value = USER_UNLIKELY(t == lib.first) ? lib.first_value : t->value;
    forget(t);
    return 0;
}

static int user_detach(struct tl_thread id)
{
    struct uthread *t = table_find_locked(id);
    int err = 0;

    if (!t)
        return ESRCH;
    if (t->context.flags & USER_DETACHED) {
        err = EINVAL;
    } else if (has_ended(t)) {
        forget(t);
        return 0;
    } else if (USER_JOINER(t)) {
        err = EINVAL;
    } else {
        __atomic_fetch_or(&t->context.flags, USER_DETACHED, __ATOMIC_RELAXED);
    }
    thread_unlock(t);
    return err;
}

/* A thread that waits for a mutex, or will own one when it goes on, is not taken off: it acts on
 * the request at its next cancellation point.
 *
 * With several LWPs the thread may be about to wait: it looks for a request, goes on a list, and
 * looks for USER_CANCELLED again (park). That is set here before waits_at is looked at, with
 * heavy() between: either it is seen there, or waits_at here. */
static int user_cancel(struct tl_thread id)
{
    struct uthread *t = table_find_locked(id);
    bool due;

    if (!t)
        return ESRCH;
    if (has_ended(t)) {
        thread_unlock(t);
        return ESRCH;
    }
    personal_request(&t->rest->personal);
    __atomic_fetch_or(&t->context.flags, USER_CANCELLED, __ATOMIC_SEQ_CST);
    due = personal_due(&t->rest->personal) && state_of(t) != USER_WAITS_MUTEX;
    thread_unlock(t);
    if (due) {
#if USER_MN
        heavy();
#endif
        interrupt(lwp_self(), t);
    }
    return 0;
}

static struct tl_thread user_self(void)
{
    return id_of(lwp_self()->current);
}

static const struct tl_cancel_ops user_cancel_ops = {
    .cancel = user_cancel,
    .set_state = personal_set_state,
    .set_type = personal_set_type,
    .test = personal_test,
};

#endif

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

/* Gives back what an ended thread leaves on its stack; runs on the next one's. */
static USER_ON_NEXT_STACK void reap_stack(void *arg)
{
    struct uthread *t = arg;
    struct uthread_rest *rest = t->rest;
    bool detached = t->context.flags & USER_DETACHED;

#ifdef USER_TSAN
    __tsan_destroy_fiber(rest->fiber);
#endif
    t->rest = NULL;
    if (USER_LIKELY(rest->pool != NULL)) {
        pool_give(rest->pool, rest->high);
    } else {
        struct stack stack = rest->alone; /* it holds the rest itself */

        give_alone(&stack);
    }
    if (USER_UNLIKELY(!lib.recycle && lib.full_tls)) {
        tls_delete(t->tp);
        t->tp = NULL;
    }
    if (detached)
        table_give(t);
}

static void reap_and_arrive(void *arg)
{
    reap_stack(arg);
    arrive(lwp_self()->current);
}

/* The stack and its TLS block are in use until switch_leave. Inlined, because a call that does not
 * return puts the processor's return addresses out of step: the joiner's next returns would be
 * mispredicted (17 ns of the 28 of a create and join). */
static inline __attribute__((always_inline, noreturn)) void leave(struct lwp *lwp,
                                                                  struct uthread *self, void *value)
{
    struct uthread *joiner = self->rest->joiner, *next;

    lib.live--;
    if (USER_LIKELY(joiner && lwp->policy != USER_PRIORITY)) {
        joiner->context.state = USER_ACTIVE;
        next = joiner;
    } else if (joiner) {
        make_ready(lwp, joiner);
        next = pick_next(lwp);
    } else if (USER_UNLIKELY(!lib.live)) {
        exit(EXIT_SUCCESS); /* a forked child, whose first thread was left behind */
    } else {
        if (USER_UNLIKELY(lib.live == 1) && lib.first && state_of(lib.first) == USER_WAITS_ALL)
            make_ready(lwp, lib.first);
        next = pick_next(lwp);
    }
    self->value = value; /* in the place of the context, which is needed no more */
    self->context.state = USER_ENDED;
    switch_leave(lwp, self, next, reap_stack, reap_and_arrive);
}

static void signals_drop(struct uthread *t); /* signals.h */

/* What a thread does before it leaves: cleanup handlers, keys, robust mutexes. */
static __attribute__((noinline)) void finish(struct uthread *self)
{
    personal_finish(&self->rest->personal);
    mutexes_abandon(lwp_self(), self);
    signals_drop(self);
}

/* From any depth. The first thread goes back to run(). */
static __attribute__((noreturn)) void user_exit(void *value)
{
    struct uthread *self = lwp_self()->current;

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
    if (USER_UNLIKELY(lwp->policy == USER_PRIORITY))
        yield_to_higher(lwp, self);
    void *value = self->rest->entry(self->rest->arg);

    if (USER_UNLIKELY((uintptr_t)self->rest->personal.values | (uintptr_t)self->rest->held |
                      (uintptr_t)self->rest->signals)) /* one branch for all */
        finish(self);
    leave(lwp_self(), self, value);
}

static __attribute__((noinline)) int take_tls(struct uthread *t)
{
    if (t->tp) {
        tls_reset(t->tp);
    } else {
        t->tp = tls_new();
        if (!t->tp)
            return ENOMEM;
    }
    tls_set_tid(t->tp, lib.tid); /* anew each time: a fork may have changed it */
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
    if (USER_UNLIKELY(attr->bound))
        return ENOTSUP;
    err = pool_for(attr, &pool, &usable, &guard);
    if (USER_UNLIKELY(attr->sched != NULL) && !err)
        err = priority_of(lwp, attr->sched, &priority);
    if (err)
        return err;
    t = table_take();
    if (!t)
        return EAGAIN;
    if (USER_LIKELY(pool != NULL)) {
        err = pool_take(pool, &high);
        if (USER_UNLIKELY(err)) {
            err = pool_borrow(&pool, &high);
            usable = pool->usable;
        }
    } else {
        err = take_alone(attr, usable, guard, &alone);
        high = alone.high;
    }
    if (err)
        goto no_stack;
    if (USER_UNLIKELY(lib.full_tls)) {
        err = take_tls(t);
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
    rest->joiner = NULL;
    rest->held = NULL;
    rest->signals = NULL;
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
    t->rest = rest;
    t->err = 0;
    t->context.state = USER_ACTIVE;
    t->context.flags = attr->detached ? USER_DETACHED : 0;
    lib.live++;
    if (id)
        *id = id_of(t);
    if (USER_UNLIKELY(lwp->policy == USER_PRIORITY)) {
        rest->priority = rest->base_priority = (uint8_t)priority;
        level_push(lwp, self, true);
    } else {
        queue_push_front(&lwp->ready, self);
    }
    switch_start(lwp, self, t, thread_main);
    return 0;

no_tls:
    if (pool)
        pool_give(pool, high);
    else
        give_alone(&alone);
no_stack:
    t->next = lib.table_free; /* nobody has seen its ID: the generation stays */
    lib.table_free = t;
    return err;
}

/* The first thread has ended when its entry has returned: it then only waits for the others, on the
 * stack that run() was called on. */
static inline bool has_ended(const struct uthread *t)
{
    return state_of(t) == USER_ENDED || state_of(t) == USER_WAITS_ALL;
}

/* The ID of an ended thread is valid no more. */
static inline void forget(struct uthread *t)
{
    if (USER_UNLIKELY(t == lib.first))
        t->generation++;
    else
        table_give(t);
}

static int user_join(struct tl_thread id, void **value)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current, *t;
    bool early;

    do {
        cancellation_point(self);
        t = table_find(id);
        if (!t)
            return ESRCH;
        if (USER_UNLIKELY(t->context.flags & USER_DETACHED))
            return EINVAL;
        if (has_ended(t))
            break;
        if (t == self || self->rest->joiner == t)
            return EDEADLK;
        if (t->rest->joiner)
            return EINVAL;
        t->rest->joiner = self;
        self->rest->waits.target = t;
        early = park(lwp, self, USER_WAITS_JOIN);
    } while (USER_UNLIKELY(early)); /* the target has no joiner now, and may have changed */
    if (value)
        *value = USER_UNLIKELY(t == lib.first) ? lib.first_value : t->value;
    forget(t);
    return 0;
}

static int user_detach(struct tl_thread id)
{
    struct uthread *t = table_find(id);

    if (!t)
        return ESRCH;
    if (t->context.flags & USER_DETACHED)
        return EINVAL;
    if (has_ended(t)) {
        forget(t);
        return 0;
    }
    if (t->rest->joiner)
        return EINVAL;
    t->context.flags |= USER_DETACHED;
    return 0;
}

/* A thread that waits for a mutex, or will own one when it goes on, is not taken off: it acts on
 * the request at its next cancellation point. */
static int user_cancel(struct tl_thread id)
{
    struct lwp *lwp = lwp_self();
    struct uthread *t = table_find(id);

    if (!t || has_ended(t))
        return ESRCH;
    personal_request(&t->rest->personal);
    t->context.flags |= USER_CANCELLED;
    if (personal_due(&t->rest->personal) && state_of(t) != USER_WAITS_MUTEX)
        interrupt(lwp, t);
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

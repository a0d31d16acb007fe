/*
 * info.h - names, stacks, priorities. Included by user.h only.
 */
#ifndef TL_USER_INFO_H
#define TL_USER_INFO_H

#include <pthread.h>

/* Locked. NULL: there is none, or it has ended. */
static struct uthread *find_alive(struct tl_thread id)
{
    struct uthread *t = table_find_locked(id);

    if (!t || !has_ended(t))
        return t;
    thread_unlock(t);
    return NULL;
}

static int user_set_name(struct tl_thread id, const char *name)
{
    struct uthread *t = find_alive(id);
    int err;

    if (!t)
        return ESRCH;
    err = personal_set_name(&t->rest->personal, name);
    thread_unlock(t);
    return err;
}

static int user_get_name(struct tl_thread id, char *name, size_t size)
{
    struct uthread *t = find_alive(id);
    int err;

    if (!t)
        return ESRCH;
    err = personal_get_name(&t->rest->personal, name, size);
    thread_unlock(t);
    return err;
}

/* Where it is the first thread's: not the stack of the LWP that the caller, or that one, is on. */
static int first_stack(void **low, size_t *size)
{
    pthread_attr_t attr;
    int err;

    hold(lwp_self());
    err = pthread_getattr_np(lib.origin, &attr);
    if (!err) {
        err = pthread_attr_getstack(&attr, low, size);
        pthread_attr_destroy(&attr);
    }
    release(lwp_self());
    return err;
}

/* The first thread's is that of the kernel thread which called run(), of which the C library knows.
 * A stack of the caller's is told as it was given, the others without what the library keeps at
 * their top. */
static int user_stack(struct tl_thread id, void **low, size_t *size, size_t *guard)
{
    struct uthread *t = find_alive(id);
    const struct uthread_rest *rest;

    if (!t)
        return ESRCH;
    rest = t->rest;
    *guard = 0;
    if (t == lib.first) {
        thread_unlock(t);
        return first_stack(low, size);
    }
    *low = stack_low_of(rest);
    if (rest->pool || rest->alone.base) {
        *size = (size_t)((const char *)rest - (char *)*low);
        *guard = rest->pool ? rest->pool->guard : rest->alone.guard;
    } else {
        *size = (size_t)((char *)rest->high - (char *)*low);
    }
    thread_unlock(t);
    return 0;
}

/* The new priority counts from the thread's next turn on; among its equals it is the last. */
static int user_set_sched(struct tl_thread id, const struct tl_sched *sched)
{
    struct uthread *t = find_alive(id);
    unsigned priority;
    int err;

    if (!t)
        return ESRCH;
    err = priority_of(sched, &priority);
    if (!err) {
        t->rest->base_priority = (uint8_t)priority;
        lock_take(&lib.listed_lock);
        pi_settle(lwp_self(), t);
        lock_release(&lib.listed_lock);
    }
    thread_unlock(t);
    return err;
}

static int user_get_sched(struct tl_thread id, struct tl_sched *sched)
{
    struct uthread *t = find_alive(id);

    if (!t)
        return ESRCH;
    sched->priority = lib.policy == USER_PRIORITY ? t->rest->base_priority : 0;
    sched->policy = sched->priority ? SCHED_FIFO : SCHED_OTHER;
    thread_unlock(t);
    return 0;
}

static const struct tl_info_ops user_info_ops = {
    .set_name = user_set_name,
    .get_name = user_get_name,
    .stack = user_stack,
    .set_sched = user_set_sched,
    .get_sched = user_get_sched,
};

#endif

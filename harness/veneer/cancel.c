/*
 * cancel.c - cancellation, and cleanup handlers.
 *
 * POSIX.1-2017 XSH 2.9.5. A thread acts on a request by leaving its frames (unwind.c) and running
 * its cleanup handlers on top of the stack that they were pushed from, so that what they point to
 * is alive, and then ends by the implementation's own means. Where the implementation acts (in a
 * wait), it comes here through the routine of its `protect`, once around the whole thread: it runs
 * that on top of the stack.
 *
 * PTHREAD_CANCEL_ASYNCHRONOUS is a signal of our own to a thread that is in no cancellation point;
 * POSIX lets it be acted on at any time, so where no signal can stop a thread it is acted on at its
 * next cancellation point.
 */
#include "veneer.h"

#include <signal.h>
#include <string.h>

#define ASYNC_SIGNAL (SIGRTMAX - 3)

static bool due(const struct veneer_thread *t)
{
    return (atomic_load(&((struct veneer_thread *)t)->cancel) &
            (VENEER_REQUESTED | VENEER_DISABLED | VENEER_ENDING)) == VENEER_REQUESTED;
}

/* The record of a thread that has left its function. The one in the table is for whoever joins it,
 * and then for the next thread. */
static _Thread_local struct veneer_thread afterlife;

void veneer_cleanup_run(struct veneer_thread *t, struct veneer_cleanup *c)
{
    t->cleanup = c->outer; /* before it runs: it may end the thread again */
    c->done = 1;
    c->routine(c->arg);
}

/* What is left when the frames are. */
static void settle(struct veneer_thread *t)
{
    struct veneer_lent *lent;

    t->frames.first = NULL;
    while (t->cleanup)
        veneer_cleanup_run(t, t->cleanup);
    veneer_thread_local_end(t);
    if (atomic_load(&t->life) != VENEER_LIVE || t == &afterlife)
        return;
    /* In a forked child without the first thread the last one ends the process, and is a thread
     * still to what atexit has: so all of them have done what is theirs when they are counted. */
    if (!veneer.main)
        veneer_key_destroy_all();
    veneer_mutex_abandon();
    if (veneer_one_less())
        exit(EXIT_SUCCESS);
    if (t == veneer.main)
        return;
    /* What runs from here on, destructors of keys, needs a record still. */
    afterlife = *t;
    veneer_own = &afterlife;
    lent = t->lent; /* before somebody else has the record */
    atomic_store(&t->life, VENEER_ENDED);
    if (lent)
        veneer_lent_ended(lent);
    /* The record is whose who comes second, and nobody else's from then on. */
    if (atomic_fetch_or(&t->detached, VENEER_LEFT) & VENEER_DETACHED)
        veneer_give(t);
}

void veneer_finish(struct veneer_thread *t)
{
    /* A wait in a cleanup handler is none for a request that is being acted on. */
    if (!(atomic_fetch_or(&t->cancel, VENEER_ENDING) & VENEER_ENDING) && t->known)
        veneer_cancel_off();
    if (t->undo) {
        void (*undo)(void *) = t->undo;

        t->undo = NULL;
        undo(t->undo_arg);
    }
    veneer_unwind(t);
    settle(t);
}

/* Whoever joins it goes on. */
void veneer_main_ended(void *value)
{
    veneer.main->value = value;
    veneer_key_destroy_all();
    atomic_store(&veneer.main->life, VENEER_ENDED);
}

void veneer_exit_main(void) __attribute__((noreturn));

static void leave(bool first, void *value) __attribute__((noreturn));
static void leave(bool first, void *value)
{
    if (first) {
        veneer_main_ended(value);
        veneer_exit_main();
    }
    veneer.impl->exit(value);
    __builtin_unreachable();
}

void veneer_end(struct veneer_thread *t)
{
    void *value = t->value; /* the record may be another thread's then */
    bool first = t == veneer.main;

    settle(t);
    leave(first, value);
}

void veneer_exit(void *value)
{
    struct veneer_thread *self = veneer_self();
    bool first = self == veneer.main;

    self->value = value;
    veneer_finish(self);
    leave(first, value);
}

void veneer_test(void)
{
    struct veneer_thread *self = veneer_self();

    if (due(self))
        veneer_exit(PTHREAD_CANCELED);
}

/* ---- cancellation points --------------------------------------------------------------------- */

long veneer_point(long (*f)(const long *a), const long *a, void (*undo)(void *), void *undo_arg)
{
    struct veneer_thread *self = veneer_self();
    void (*outer)(void *) = self->undo;
    void *outer_arg = self->undo_arg;
    long result;

    self->undo_arg = undo_arg;
    self->undo = undo;
    if (due(self))
        veneer_exit(PTHREAD_CANCELED);
    atomic_fetch_add(&self->points, 1);
    result = f(a);
    atomic_fetch_sub(&self->points, 1);
    self->undo = outer;
    self->undo_arg = outer_arg;
    if (atomic_load(&self->cancel) & VENEER_ASYNC)
        veneer_test();
    return result;
}

static void on_async(int sig)
{
    struct veneer_thread *self = veneer_own;

    (void)sig;
    if (self && due(self) && atomic_load(&self->cancel) & VENEER_ASYNC &&
        !atomic_load(&self->points))
        veneer_exit(PTHREAD_CANCELED);
}

void veneer_cancel_init(void)
{
    struct sigaction action = {.sa_handler = on_async, .sa_flags = SA_NODEFER | SA_RESTART};

    if (!veneer.preemptive || !veneer.impl->signal)
        return;
    if (veneer.impl->signal->action)
        veneer.impl->signal->action(ASYNC_SIGNAL, &action, NULL);
    else
        sigaction(ASYNC_SIGNAL, &action, NULL);
}

int WRAP(pthread_cancel)(pthread_t handle);
int WRAP(pthread_cancel)(pthread_t handle)
{
    struct veneer_thread *t = veneer_find(handle);
    uint32_t was;

    if (!t)
        return ESRCH;
    if (atomic_load(&t->life) != VENEER_LIVE)
        return 0; /* not joined yet: a thread still, which acts no more */
    was = atomic_fetch_or(&t->cancel, VENEER_REQUESTED);
    if (was & VENEER_REQUESTED)
        return 0;
    if (t == veneer_own) {
        if (was & VENEER_ASYNC)
            veneer_test();
        if (veneer.impl->cancel)
            veneer.impl->cancel->cancel(t->impl);
        return 0;
    }
    if (veneer.impl->cancel)
        veneer.impl->cancel->cancel(t->impl);
    if (was & VENEER_ASYNC && !(was & VENEER_DISABLED) && veneer.impl->signal && veneer.preemptive)
        veneer.impl->signal->kill(t->impl, ASYNC_SIGNAL, NULL);
    return 0;
}

int WRAP(pthread_setcancelstate)(int state, int *old);
int WRAP(pthread_setcancelstate)(int state, int *old)
{
    struct veneer_thread *self = veneer_self();
    uint32_t was;

    if (state != PTHREAD_CANCEL_ENABLE && state != PTHREAD_CANCEL_DISABLE)
        return EINVAL;
    was = state == PTHREAD_CANCEL_DISABLE ? atomic_fetch_or(&self->cancel, VENEER_DISABLED)
                                          : atomic_fetch_and(&self->cancel, ~VENEER_DISABLED);
    if (old)
        *old = was & VENEER_DISABLED ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE;
    if (veneer.running && self->known && veneer.impl->cancel && !(was & VENEER_ENDING))
        veneer.impl->cancel->set_state(
            state == PTHREAD_CANCEL_DISABLE ? TL_CANCEL_DISABLE : TL_CANCEL_ENABLE, NULL);
    if (was & VENEER_ASYNC)
        veneer_test();
    return 0;
}

/* The implementation never hears of it: its threads stay deferred, and we act. */
int WRAP(pthread_setcanceltype)(int type, int *old);
int WRAP(pthread_setcanceltype)(int type, int *old)
{
    struct veneer_thread *self = veneer_self();
    uint32_t was;

    if (type != PTHREAD_CANCEL_DEFERRED && type != PTHREAD_CANCEL_ASYNCHRONOUS)
        return EINVAL;
    was = type == PTHREAD_CANCEL_ASYNCHRONOUS ? atomic_fetch_or(&self->cancel, VENEER_ASYNC)
                                              : atomic_fetch_and(&self->cancel, ~VENEER_ASYNC);
    if (old)
        *old = was & VENEER_ASYNC ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED;
    if (type == PTHREAD_CANCEL_ASYNCHRONOUS)
        veneer_test();
    return 0;
}

void WRAP(pthread_testcancel)(void);
void WRAP(pthread_testcancel)(void)
{
    veneer_test();
}

/* ---- cleanup handlers: see include/pthread.h ------------------------------------------------- */

void veneer_cleanup_push(struct veneer_cleanup *c, void (*routine)(void *), void *arg)
{
    struct veneer_thread *self = veneer_self();

    *c = (struct veneer_cleanup){routine, arg, self->cleanup, 0};
    atomic_signal_fence(memory_order_seq_cst);
    self->cleanup = c;
}

void veneer_cleanup_pop(struct veneer_cleanup *c, int execute)
{
    if (c->done)
        return;
    c->done = 1;
    veneer_self()->cleanup = c->outer;
    if (execute)
        c->routine(c->arg);
}

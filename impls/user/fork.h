/*
 * fork.h - fork, of the caller or of all threads. Included by user.h only.
 *
 * All threads are memory of the process, so the child has them all, which is fork_all. fork1
 * semantics are made by dropping every thread but the caller from the table, the run queue and the
 * timers. Their stacks stay mapped until run() ends. If the caller of fork was not the first
 * thread, the child ends with exit(0) when its last thread does; the child of fork_all returns from
 * run() as its parent does.
 *
 * In the child of fork_all every other thread goes on where it was: ready, or waiting. With several
 * LWPs that takes some doing: forkall.h.
 */
#ifndef TL_USER_FORK_H
#define TL_USER_FORK_H

#include "../common/atfork.h"

/* ---- several LWPs ---------------------------------------------------------------------------- */

#if USER_MN

/* So that what is shared is whole in the child: in this order. No thread's own lock: see
 * lwps_drop_others. */
static void library_lock(void)
{
    if (!lib.multi)
        return;
    lock_take(&lib.ring_lock);
    lock_take(&lib.lwp_lock);
    lock_take(&lib.listed_lock);
    for (unsigned i = 0; i < USER_LOCKS; i++)
        lock_take(&list_locks[i].lock);
    lock_take(&lib.queue_lock);
    lock_take(&lib.timer_lock);
    lock_take(&lib.table_lock);
    lock_take(&lib.pool_lock);
    lock_take(&lib.signal_lock);
}

static void library_unlock(void)
{
    if (!lib.multi)
        return;
    lock_release(&lib.signal_lock);
    lock_release(&lib.pool_lock);
    lock_release(&lib.table_lock);
    lock_release(&lib.timer_lock);
    lock_release(&lib.queue_lock);
    for (unsigned i = 0; i < USER_LOCKS; i++)
        lock_release(&list_locks[i].lock);
    lock_release(&lib.listed_lock);
    lock_release(&lib.lwp_lock);
    lock_release(&lib.ring_lock);
}

/* Thread pointer of the C library's descriptor of this kernel thread. */
static void *lwp_tp(const struct lwp *lwp)
{
    return lwp->tp;
}

/* The child: the caller's LWP is the only one, whatever it was. What the others had in their own
 * hands (free slots and stacks, half-made threads) is lost. */
static void lwps_drop_others(struct lwp *lwp, struct uthread *self)
{
    memset(lib.lwp, 0, sizeof(lib.lwp));
    lib.lwp[0] = lwp;
    lib.lwps_used = 1;
    lib.set = lib.wanted = 1;
    lib.bound = lib.bound_free = lib.bound_ever = NULL;
    lib.live_elsewhere = 0;
    lib.next_ns = USER_NS_NEVER;
    lib.inbox = (struct queue){0};
    lib.slow.surplus = lib.lacking = lib.lookout_blind = 0;
    lib.last_matters = !lib.first;
    atomic_store(&lib.sleepers, 0);
    atomic_store(&lib.searching, 0);
    atomic_store(&lib.lookout, 0);
    atomic_store(&lib.active, 1);
    atomic_store(&lib.existing, 1);
    lwp->number = 0;
    lwp->bound = NULL;
    lwp->serves = lwp;
    lwp->joinable = 0;
    lwp->live = 1;
    lwp->slot = NULL;
    lwp->fifo = lwp->pinned = lwp->preempt.here = (struct queue){0};
    atomic_store(&lwp->deque.bottom, atomic_load(&lwp->deque.top));
    self->home = NULL;
    self->rest->timed = false;
}

static void drop_from_list(struct uthread *t)
{
    if (t->waits_at || state_of(t) == USER_WAITS_AGAIN) /* else it was taken off just before */
        queue_remove(t->rest->waits.list, t);
    t->waits_at = NULL;
}
#else
#define lwp_tp(lwp) ((void)(lwp), lib.tp)

static void drop_from_list(struct uthread *t)
{
    queue_remove(t->rest->waits.list, t);
}
#endif

/* ---- the child ------------------------------------------------------------------------------- */

/* The child: t is no more. What it waited for may be used by the child: it leaves the list. */
static void drop(struct lwp *lwp, struct uthread *t)
{
    enum user_state state = state_of(t);

    if (t->rest &&
        (state == USER_WAITS_MUTEX || state == USER_WAITS_AGAIN || state == USER_WAITS_COND ||
         state == USER_WAITS_SEM || state == USER_WAITS_SEM_TIMED || state == USER_WAITS_IO ||
         state == USER_WAITS_SIGNAL))
        drop_from_list(t);
    if (t->rest)
        signals_drop(t);
    USER_STORE(t->context.flags, 0);
    t->rest = NULL;
    if (t == lib.first)
        t->tp = NULL; /* the kernel thread's, never for another thread */
    if (table_retire(t))
        table_untake(lwp, t);
}

/* The child: only self is left. */
static void drop_others(struct lwp *lwp, struct uthread *self)
{
    struct run_queue *q = queue_of(lwp);

#if USER_MN
    /* Nobody is left who would let go of them. */
    for (size_t i = 0; i < lib.table_used; i++)
        lib.table[i].lock.held = 0;
    lwp->lock.held = 0;
#endif
    for (size_t i = 0; i < lib.table_used; i++) {
        struct uthread *t = &lib.table[i];

        if (t != self && state_of(t) != USER_FREE)
            drop(lwp, t);
    }
    if (lib.first != self)
        lib.first = NULL;
    memset(q, 0, sizeof(*q));
    lib.timers = NULL;
    lib.slow.timers = 0;
    USER_JOINER(self) = NULL;
#if USER_MN
    lwps_drop_others(lwp, self);
#else
    lib.live = 1;
#endif
}

/* The child: the kernel thread has another TID. */
static void renumber(struct lwp *lwp)
{
    lwp->tid = (int)syscall(SYS_gettid);
    lib.pid = getpid();
#if !USER_MN
    for (size_t i = 0; lib.full_tls && i < lib.table_used; i++) {
        struct uthread *t = &lib.table[i];

        if (t->rest) /* the others get it at their next use */
            tls_set_tid(tp_of(t), lwp->tid);
    }
#else
    /* Its block is that of the kernel thread that called run(), which it may not be on. */
    if (lib.full_tls && lib.first)
        tls_set_tid(tp_of(lib.first), lwp->tid);
#endif
}

/* Calls f(arg) with the kernel thread's own TLS block: what the C library keeps about itself there.
 * With several LWPs that may be the first thread's, which runs on another LWP meanwhile: a handler
 * that asked lwp_self() would be told that one. So no signal comes before it is undone. */
static void as_kernel_thread(void (*f)(void *), void *arg)
{
    struct lwp *lwp = lwp_self();
    const struct uthread *self = lwp->current;
    void *tp = USER_MN ? lwp_tp(lwp) : lib.tp;
    uint64_t all = ~UINT64_C(0), mask = 0;

    lwp->hold++;
    if (lib.full_tls && tp_of(self) != tp) {
        if (USER_MN)
            SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask), 0, 0);
        write_tp(tp);
        f(arg);
        write_tp(tp_of(self));
        if (USER_MN)
            SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask), 0, 0);
    } else {
        f(arg);
    }
    lwp->hold--;
}

struct forked {
    pid_t pid;
    int err;
};

/* fork(3) walks a list of threads that only the kernel thread's own TLS block is part of, and sets
 * the TID there. */
static __attribute__((noinline)) void fork_now(void *arg)
{
    struct forked *forked = arg;

    forked->pid = fork();
    forked->err = forked->pid < 0 ? errno : 0;
}

/* From before the fork until the library knows which process it is in, so that what is sent to the
 * child at once stays with the kernel: in the ring it would be taken for the parent's. kernel_sync
 * opens it again. */
static void fork_signals_wait(struct lwp *lwp)
{
    kernel_mask(SIG_BLOCK, SIGNALS_OURS);
    atomic_signal_fence(memory_order_seq_cst);
    lwp->signals.kernel = SIGNALS_OURS; /* after it: as in signals_asleep */
}

#if USER_MN
#include "forkall.h"

/* Not for longer: a handler may wait for something. */
#define FORK_PATIENCE_NS UINT64_C(100000000)

/* See over_begin. On hold. */
static void over_await(const struct uthread *self)
{
    uint64_t until = clock_now_ns(CLOCK_MONOTONIC) + FORK_PATIENCE_NS;

    atomic_fetch_add(&lib.forking, 1);
    while (atomic_load(&lib.over) > self->rest->over && clock_now_ns(CLOCK_MONOTONIC) < until)
        SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* The world stops for fork_all only. With the library locked; EAGAIN. */
static int fork_begin(bool all)
{
    struct lwp *lwp = all ? world_own() : lwp_self(); /* a handler of atfork may have switched */
    int err = 0;

    hold(lwp);
    if (all) {
        err = world_stop(lwp);
    } else {
        over_await(lwp->current);
        library_lock();
    }
    if (err)
        release(lwp);
    else
        fork_signals_wait(lwp);
    return err;
}

static void fork_end_parent(bool all)
{
    library_unlock();
    if (all)
        world_go();
    else
        atomic_fetch_sub(&lib.forking, 1);
    kernel_sync(lwp_self());
    release(lwp_self());
}

static void fork_end_child(bool all)
{
    struct lwp *lwp = lwp_self();
    struct uthread *self = lwp->current;
    uint64_t ran = 0;

    library_unlock();
    fences_boot(); /* of the new address space */
    world_child();
    if (all) {
        ran = lwps_strip(lwp, self);
        lwp = lib.lwp[0];
    }
    signals_fork(lwp, all);
    if (!all) {
        drop_others(lwp, self);
        atomic_store(&lib.forking, 0);
        atomic_store(&lib.over, self->rest->over);
    }
    poller_fork(all);
    renumber(lwp);
    kernel_sync(lwp);
    watch_child(lwp);
    if (all)
        lwps_restart(ran);
    release(lwp);
    preempt_forked(lwp); /* EAGAIN: no more timers: then nobody is preempted */
    if (all)
        fork_go_home(self);
}
#else
static int fork_begin(bool all)
{
    (void)all;
    hold(lwp_self());
    fork_signals_wait(lwp_self());
    return 0;
}

static void fork_end_parent(bool all)
{
    (void)all;
    kernel_sync(lwp_self());
    release(lwp_self());
}

static void fork_end_child(bool all)
{
    struct lwp *lwp = lwp_self();

    signals_fork(lwp, all);
    if (!all)
        drop_others(lwp, lwp->current);
    poller_fork(all);
    renumber(lwp);
    kernel_sync(lwp);
    release(lwp);
    preempt_forked(lwp);
}
#endif

static int fork_some(pid_t *pid, bool all)
{
    struct forked forked = {-1, 0};
    struct atfork_run run;
    int saved = errno;

#if USER_MN
    if (watch_may_fork())
        return watch_may_fork();
#endif
    atfork_prepare(&run);
    forked.err = fork_begin(all);
    if (!forked.err) {
        as_kernel_thread(fork_now, &forked);
        if (forked.pid)
            fork_end_parent(all);
        else
            fork_end_child(all);
    }
    if (forked.pid)
        atfork_parent(&run);
    else
        atfork_child(&run);
    *pid = forked.pid;
    errno = saved;
    return forked.err;
}

static int user_fork(pid_t *pid)
{
    return fork_some(pid, false);
}

static int user_fork_all(pid_t *pid)
{
#if USER_MN && defined(USER_TSAN)
    (void)pid;
    return ENOTSUP; /* its runtime makes no threads in the child of a threaded process */
#else
    return fork_some(pid, true);
#endif
}

static const struct tl_fork_ops user_fork_ops = {
    .fork = user_fork,
    .atfork = atfork_add,
    .fork_all = user_fork_all,
};

#endif

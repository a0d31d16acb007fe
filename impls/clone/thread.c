/*
 * thread.c - the life of a thread: create, run, end or park, join, detach.
 *
 * Cold, that is clone, exit and the futex wait of the joiner: three system calls. Recycled kernel
 * threads cost futex calls only where the other side sleeps, and two changes of the signal mask.
 */
#include "thread.h"

#include "../common/futex.h"
#include "../common/futex_sync.h"
#include "../common/tls.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLONE_FLAGS                                                                     \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

static _Thread_local struct thread *self;

struct thread *thread_self(void)
{
    return self;
}

void thread_adopt(struct thread *t)
{
    self = t;
    cancel_sys_adopt(&t->cancel);
}

/* In its place in struct thread.life. */
static uint64_t generation_of(const struct thread *t)
{
    return pool_id(t) >> 32 << 32;
}

static uint64_t set_mask(uint64_t mask)
{
    uint64_t old = 0;

    SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &old, sizeof(mask), 0, 0);
    return old;
}

/* ---- the thread itself ----------------------------------------------------------------------- */

static void pin_self(struct thread *t)
{
    int err = clone_state.boot->pin(clone_state.boot, t->slot);

    if (err) { /* create has returned: nobody is left to tell */
        fprintf(stderr, "clone: cannot pin a thread to slot %d: %s\n", t->slot, strerror(err));
        abort();
    }
}

static void drop_live(void)
{
    /* seq_cst with run()'s store of draining and load of live: a Dekker pair. */
    if (atomic_fetch_sub_explicit(&clone_state.live, 1, memory_order_seq_cst) == 1) {
        if (clone_state.orphan)
            exit(0);
        if (atomic_load_explicit(&clone_state.draining, memory_order_seq_cst))
            futex_wake(&clone_state.live, 1);
    }
}

/* No signal is on its way to this kernel thread any more, once this returns. */
static void refuse_signals(struct thread *t)
{
    atomic_store_explicit(&t->ending, 1, memory_order_seq_cst);
    while (atomic_load_explicit(&t->senders, memory_order_seq_cst))
        SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* If the thread was detached the block is its own to give back; otherwise it can be joined from
 * now on, or is being joined. generation: that this thread had, in its place. */
static bool owns_block(struct thread *t, uint64_t generation)
{
    uint64_t life = generation | CLONE_LIFE_LIVE;

    while (life == (generation | CLONE_LIFE_LIVE) || life == (generation | CLONE_LIFE_JOINED)) {
        uint64_t next =
            life == (generation | CLONE_LIFE_LIVE) ? CLONE_LIFE_ENDED : CLONE_LIFE_AWAITED_ENDED;

        if (atomic_compare_exchange_strong_explicit(&t->life, &life, generation | next,
                                                    memory_order_acq_rel, memory_order_acquire))
            return false;
    }
    return life == (generation | CLONE_LIFE_DETACHED);
}

__attribute__((noinline)) void thread_call(struct thread *t)
{
    if (!__builtin_setjmp(t->jump)) {
        t->value = t->entry(t->arg);
        personal_finish(&t->personal);
    }
}

void thread_exit(void *value)
{
    struct thread *t = self;

    t->value = value;
    personal_finish(&t->personal); /* here: its cleanup handlers may use this stack */
    __builtin_longjmp(t->jump, 1);
}

static void run_entry(struct thread *t)
{
    tls_start();
    if (t->pin)
        pin_self(t);
    thread_call(t);
    tls_end();
}

/* False: it is not to run. */
static bool pass_gate(struct thread *t)
{
    while (atomic_load_explicit(&t->gate, memory_order_acquire) == CLONE_SHUT)
        futex_wait(&t->gate, CLONE_SHUT);
    return atomic_load_explicit(&t->gate, memory_order_relaxed) == CLONE_OPEN;
}

static void thread_main(void *arg)
{
    struct thread *t = arg;

    thread_adopt(t);
    pool_use_altstack(t);
    if (pass_gate(t)) {
        run_entry(t);
        refuse_signals(t);
        drop_live();
        if (owns_block(t, generation_of(t)))
            pool_give(t);
    }
    SYS_CALL(SYS_exit, 0, 0, 0, 0, 0, 0);
    __builtin_unreachable();
}

/* Waits for the next thread to be. False: quit. */
static bool park(struct thread *t)
{
    unsigned rounds = futex_hint_rounds(&t->work_hint);
    uint32_t idle = CLONE_IDLE, work = CLONE_IDLE;

    if (rounds) {
        for (unsigned i = 0; i < rounds && work == CLONE_IDLE; i++) {
            futex_pause();
            work = atomic_load_explicit(&t->work, memory_order_acquire);
        }
        futex_hint_learn(&t->work_hint, work != CLONE_IDLE);
    }
    if (work == CLONE_IDLE &&
        atomic_compare_exchange_strong_explicit(&t->work, &idle, CLONE_ASLEEP, memory_order_acq_rel,
                                                memory_order_acquire))
        while (atomic_load_explicit(&t->work, memory_order_acquire) == CLONE_ASLEEP)
            futex_wait(&t->work, CLONE_ASLEEP);
    work = atomic_load_explicit(&t->work, memory_order_acquire);
    atomic_store_explicit(&t->work, CLONE_IDLE, memory_order_relaxed);
    return work == CLONE_JOB;
}

/* Ended, with all signals blocked, and about to park. done comes before life: until then nobody
 * but the joiner, who sees done, can give the block to the next thread. False: exit instead. */
static bool announce(struct thread *t)
{
    uint64_t generation = generation_of(t);
    bool parks = !atomic_load_explicit(&t->signaled, memory_order_relaxed) &&
                 !atomic_load_explicit(&t->odd, memory_order_relaxed);

    t->parks = parks;
    futex_hint_signal(&t->done_hint);
    drop_live();
    if (atomic_exchange_explicit(&t->done, CLONE_DONE, memory_order_acq_rel) == CLONE_AWAITED)
        futex_wake(&t->done, 1);
    if (owns_block(t, generation)) {
        if (parks)
            pool_give_parked(t);
        else
            pool_give(t);
    }
    return parks;
}

static void thread_main_parking(void *arg)
{
    struct thread *t = arg;

    thread_adopt(t);
    pool_use_altstack(t);
    while (pass_gate(t)) {
        run_entry(t);
        set_mask(~(uint64_t)0);
        refuse_signals(t);
        futex_owned_thread_end();
        pool_use_altstack(t); /* whatever the thread has used */
        if (!announce(t) || !park(t))
            break;
        tls_renew();
        thread_adopt(t);
        fp_control_load(&t->fp);
        set_mask(t->mask);
    }
    SYS_CALL(SYS_exit, 0, 0, 0, 0, 0, 0);
    __builtin_unreachable();
}

/* ---- create ---------------------------------------------------------------------------------- */

/* What the thread starts from. slot: where it is to run. */
static void prepare(struct thread *t, const struct tl_attr *attr, int slot)
{
    uint64_t generation = atomic_load_explicit(&t->life, memory_order_relaxed) >> 32;

    t->slot = slot;
    personal_start(&t->personal, &self->personal);
    cancel_sys_start(&t->cancel, &t->personal);
    atomic_store_explicit(&t->odd,
                          attr->sched || atomic_load_explicit(&self->odd, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&t->gate, attr->sched ? CLONE_SHUT : CLONE_OPEN, memory_order_relaxed);
    atomic_store_explicit(&t->signaled, false, memory_order_relaxed);
    atomic_store_explicit(&t->done, CLONE_RUNS, memory_order_relaxed);
    atomic_fetch_add_explicit(&clone_state.live, 1, memory_order_relaxed);
    atomic_store_explicit(
        &t->life, generation << 32 | (attr->detached ? CLONE_LIFE_DETACHED : CLONE_LIFE_LIVE),
        memory_order_release);
    /* After life, with release: a kill that sees it sees that its older id is stale. */
    atomic_store_explicit(&t->ending, 0, memory_order_release);
}

static void start_parked(struct thread *t)
{
    SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &t->mask, sizeof(t->mask), 0, 0);
    t->mask = cancel_sys_without(&t->mask);
    fp_control_save(&t->fp);
    futex_hint_signal(&t->work_hint);
    /* Release: pairs with the acquire in park. */
    if (atomic_exchange_explicit(&t->work, CLONE_JOB, memory_order_acq_rel) == CLONE_ASLEEP)
        futex_wake(&t->work, 1);
}

/* It never ran: nobody knows of it. */
static void unmake(struct thread *t)
{
    t->parking = false;
    atomic_fetch_sub_explicit(&clone_state.live, 1, memory_order_relaxed);
    pool_give(t);
}

/* Lets the new thread run as `sched`, or end. */
static int open_gate(struct thread *t, int tid, const struct tl_sched *sched)
{
    int err = clone_set_sched(tid, sched);

    /* Release: pairs with pass_gate. */
    atomic_store_explicit(&t->gate, err ? CLONE_STOPPED : CLONE_OPEN, memory_order_release);
    futex_wake(&t->gate, 1);
    if (err) {
        thread_wait_gone(t);
        unmake(t);
    }
    return err;
}

/* A handler may run in the new thread before its first own instruction: it finds out who it is. The
 * variable lies at one offset from the thread pointer in every thread (static TLS). */
static void adopt_unborn(struct thread *t)
{
    ptrdiff_t offset = (char *)&self - (char *)tls_current();

    *(struct thread **)((char *)t->tp + offset) = t;
}

static int start_fresh(struct thread *t, bool pin, const struct tl_sched *sched)
{
    long tid;

    t->pin = pin;
    t->parking = clone_state.recycle == CLONE_RECYCLE_THREAD && t->stack.base;
    atomic_store_explicit(&t->work, CLONE_IDLE, memory_order_relaxed);
    adopt_unborn(t);
    /* Not 0 for a joiner that learns the id before the kernel writes the TID. */
    atomic_store_explicit(t->tid, CLONE_UNBORN, memory_order_relaxed);
    tid = clone_raw(CLONE_FLAGS, t->stack.high, t->tid, t->tid, t->tp,
                    t->parking ? thread_main_parking : thread_main, t);
    if (tid > 0)
        return sched ? open_gate(t, (int)tid, sched) : 0;
    atomic_store_explicit(t->tid, 0, memory_order_relaxed);
    unmake(t);
    return (int)-tid == ENOMEM ? EAGAIN : (int)-tid;
}

static int create_fresh(struct tl_thread *id, const struct tl_attr *attr, int slot,
                        void *(*entry)(void *), void *arg)
{
    struct thread *t;
    int err = pool_take(&t, attr);

    if (err)
        return err;
    t->entry = entry;
    t->arg = arg;
    prepare(t, attr, slot);
    id->id = pool_id(t);
    /* the kernel copies the creator's affinity */
    return start_fresh(t, slot != self->slot, attr->sched);
}

int thread_create(struct tl_thread *id, const struct tl_attr *attr, void *(*entry)(void *),
                  void *arg)
{
    static const struct tl_attr defaults = TL_ATTR_INIT;
    struct thread *t = NULL;
    bool recycles, moves = false;
    int err, slot;

    if (!attr)
        attr = &defaults;
    if (attr->stack && attr->stack_size < CLONE_STACK_MIN)
        return EINVAL;
    recycles = clone_state.recycle == CLONE_RECYCLE_THREAD && !attr->stack && !attr->sched &&
               !atomic_load_explicit(&self->odd, memory_order_relaxed);
    if (attr->slot < TL_SLOT_INHERIT || attr->slot >= (int)clone_state.boot->nslots)
        return EINVAL;
    slot = attr->slot == TL_SLOT_INHERIT ? self->slot : attr->slot;
    if (recycles)
        t = pool_take_parked(slot, attr);
    if (!t) {
        err = create_fresh(id, attr, slot, entry, arg);
        if (err != EAGAIN)
            return err;
        /* At a limit: one that is parked elsewhere moves here, else all that is kept is freed. */
        t = recycles ? pool_take_parked(-1, attr) : NULL;
        if (!t)
            return pool_shrink() ? create_fresh(id, attr, slot, entry, arg) : err;
        moves = true;
    }
    t->pin = moves;
    t->entry = entry;
    t->arg = arg;
    prepare(t, attr, slot);
    id->id = pool_id(t);
    start_parked(t);
    return 0;
}

/*
 * world.h - stopping the world: every other LWP comes to rest in its idle context, with the thread
 * that it ran in one of its queues, so that all threads are memory. Included by lwp.h, of M:N only.
 *
 * Who stops it makes `world.epoch` odd, and slow.stop true. An LWP sees that when its thread gives
 * up the PU: it takes no other one, switches to its idle context, notes the epoch there and sleeps
 * until that has passed. A note of an earlier epoch counts for nothing, so that an LWP which is
 * late in leaving the last one is not taken for stopped in this one. A sleeping LWP is woken for
 * it; one that goes to sleep just then sees slow.stop after heavy() (lwp_sleep).
 *
 * A thread that computes and calls the library no more is interrupted (sigaction.h): it gives up
 * the PU in the handler, if that has interrupted code of the user's and nothing else (text.h), as
 * preempt.h does. A thread that the kernel holds in a call is not disturbed: who stops the world
 * waits for it for a while, and then says that it cannot be done.
 */
#ifndef TL_USER_WORLD_H
#define TL_USER_WORLD_H

#include <fcntl.h>
#include <limits.h>

#define WORLD_LOOK_NS 1000000u                /* between two looks at who is missing */
#define WORLD_BLOCKED 200                     /* looks in a row that found an LWP asleep */
#define WORLD_LONGEST_NS (10 * USER_NS_PER_S) /* of trying */

static struct {
    _Atomic uint32_t epoch;   /* odd: it is stopped, or about to be */
    _Atomic uint32_t arrived; /* grows with each LWP that comes to rest: the stopper sleeps on it */
    _Atomic uint32_t owner;   /* 1: somebody stops it */
} world;

/* The LWP is in its idle context. */
static __attribute__((noinline)) void world_wait(struct lwp *lwp)
{
    uint32_t epoch;

    while ((epoch = atomic_load(&world.epoch)) & 1) {
        atomic_store(&lwp->stopped, epoch);
        atomic_fetch_add(&world.arrived, 1);
        futex_wake(&world.arrived, 1);
        futex_wait(&world.epoch, epoch);
    }
}

/* The caller gives up the PU for that. interrupted: by a handler; then it goes on on this LWP,
 * since it may know where the errno of that is. */
static __attribute__((noinline)) void world_yield(struct lwp *lwp, struct uthread *self,
                                                  bool interrupted)
{
    if (interrupted && !lwp->bound) {
        queue_push(&lwp->preempt.here, self);
    } else if (!steals() && !USER_LOAD(self->home)) {
        lock_take(&lib.queue_lock);
        shared_behind(self);
        lock_release(&lib.queue_lock);
    } else {
        push_behind(lwp, self);
    }
    switch_to(lwp, self, lwp->idle);
}

/* ---- by who stops it ------------------------------------------------------------------------- */

/* What the kernel says that the LWP does: R, S, D; 0: it does not say. */
static char world_state(const struct lwp *lwp)
{
    char path[64], text[256], *end;
    long fd, n;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", lwp->tid);
    fd = SYS_CALL(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return 0;
    n = SYS_CALL(SYS_read, fd, text, sizeof(text) - 1, 0, 0, 0);
    SYS_CALL(SYS_close, fd, 0, 0, 0, 0, 0);
    text[n > 0 ? n : 0] = 0;
    end = strrchr(text, ')'); /* of the name, which may hold anything */
    return end && end[1] ? end[2] : (char)0;
}

/* It runs no thread, and takes none before the epoch is over. */
static bool world_has(struct lwp *lwp)
{
    uint32_t phase = atomic_load(&lwp->phase);

    return phase == LWP_GONE || (phase == LWP_SPARE && !atomic_load(&lwp->leaving)) ||
           atomic_load(&lwp->stopped) == atomic_load(&world.epoch);
}

/* look: at each that is missing; blocked: how often in a row one was found asleep. */
static bool world_all(const struct lwp *mine, bool look, unsigned *blocked)
{
    bool all = true, asleep = false;

    for (int bound = 0; bound < 2; bound++) {
        struct lwp *lwp = bound ? lib.bound : lib.lwp[0];

        for (unsigned i = 0; bound ? lwp != NULL : i < lib.lwps_used; i++) {
            if (!bound)
                lwp = lib.lwp[i];
            if (lwp != mine && !world_has(lwp)) {
                char state = look ? world_state(lwp) : 0;

                all = false;
                asleep |= state == 'S' || state == 'D';
                if (state == 'R')
                    SYS_CALL(SYS_tgkill, lib.pid, lwp->tid, USER_RETRY_SIGNAL, 0, 0, 0);
            }
            if (bound)
                lwp = lwp->next_bound;
        }
    }
    if (look)
        *blocked = asleep ? *blocked + 1 : 0;
    return all;
}

/* In the child of any fork nobody stops it. */
static void world_child(void)
{
    lib.slow.stop = 0;
    atomic_store(&world.owner, 0);
    atomic_fetch_add(&world.epoch, atomic_load(&world.epoch) & 1);
}

static void world_go(void)
{
    USER_STORE(lib.slow.stop, 0);
    atomic_fetch_add(&world.epoch, 1);
    futex_wake(&world.epoch, INT_MAX);
    atomic_store(&world.owner, 0);
}

#endif

/*
 * forkall.h - fork of all threads with several LWPs. Included by fork.h, of M:N only.
 *
 * After Powell et al. 1991, "SunOS Multi-thread Architecture", section on fork: "fork() duplicates
 * the address space and all of its LWPs". Linux copies the calling kernel thread alone, so the
 * others are first brought to rest where their threads are memory (world.h), and made anew in the
 * child: an LWP that ran has a kernel thread again, with the same queues; a bound thread has an LWP
 * of its own again. The kernel thread that the child begins with becomes that of LWP 0.
 *
 * What a thread had of a kernel thread is another one's in the child: its TID, its TLS block with
 * tls=errno. So a thread which was interrupted between asking for the address of its errno and
 * writing to it writes to what was the errno of a kernel thread that is no more. (Who calls the
 * library is never interrupted there.)
 *
 * It cannot be done while a thread is in a system call that does not come back: EAGAIN.
 */
#ifndef TL_USER_FORKALL_H
#define TL_USER_FORKALL_H

/* Until all other LWPs rest; then the locks of the library are held, too. EAGAIN: one of them does
 * not come. */
static int world_stop(struct lwp *lwp)
{
    uint64_t begin = clock_now_ns(CLOCK_MONOTONIC), looked = begin;
    unsigned blocked = 0;

    atomic_fetch_add(&world.epoch, 1);
    USER_STORE(lib.slow.stop, 1);
    heavy();
    for (;;) {
        struct timespec soon = {0, WORLD_LOOK_NS};
        uint32_t arrived = atomic_load(&world.arrived);
        uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
        bool all;

        library_lock();
        for (unsigned i = 0; i < lib.lwps_used; i++)
            if (lib.lwp[i] != lwp)
                lwp_claim(lib.lwp[i], LWP_SLEEPS);
        for (struct lwp *b = lib.bound; b; b = b->next_bound)
            if (b != lwp)
                lwp_claim(b, LWP_SLEEPS);
        all = world_all(lwp, now - looked >= WORLD_LOOK_NS, &blocked);
        if (all)
            return 0;
        library_unlock();
        if (now - looked >= WORLD_LOOK_NS)
            looked = now;
        if (blocked >= WORLD_BLOCKED || now - begin > WORLD_LONGEST_NS) {
            world_go();
            return EAGAIN;
        }
        SYS_CALL(SYS_futex, &world.arrived, FUTEX_WAIT_PRIVATE, arrived, &soon, 0, 0);
    }
}

/* The turn of the caller to stop it: others stop theirs, and then it goes on. */
static struct lwp *world_own(void)
{
    uint32_t nobody = 0;

    while (!atomic_compare_exchange_strong(&world.owner, &nobody, 1)) {
        nobody = 0;
        user_yield();
        SYS_CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
    if (lib.multi && !user_text.n)
        text_boot();
    if (lib.multi && !(signals.known & signal_bit(USER_RETRY_SIGNAL)))
        signals_adopt(0);
    return lwp_self();
}

/* ---- the child ------------------------------------------------------------------------------- */

/* What it had of a kernel thread, of the kernel and of the moment is gone. True: it ran. */
static bool lwp_strip(struct lwp *lwp)
{
    uint32_t phase = atomic_load(&lwp->phase);

    lwp->joinable = 0;
    lwp->hold = 0;
    lwp->outside = 0;
    lwp->bounced = lwp->watched = lwp->was_lookout = false;
    lwp->watch = 0;
    lwp->preempt.armed = lwp->preempt.late = lwp->preempt.idle = lwp->preempt.stopped = false;
    lwp->signals.out = lwp->signals.in;
    lwp->signals.has_timer = lwp->signals.armed = lwp->signals.full = false;
    lwp->signals.flooded = 0;
    atomic_store(&lwp->polls, 0);
    atomic_store(&lwp->leaving, 0);
    atomic_store(&lwp->phase, LWP_GONE);
    return phase != LWP_GONE && phase != LWP_SPARE;
}

static void altstack_drop(struct lwp *lwp)
{
    if (lwp->altstack)
        munmap(lwp->altstack, redzone_stack_size());
    lwp->altstack = NULL;
}

/* The calling kernel thread, which was that of `mine`, is that of LWP 0; self runs there. */
static void lwp_become_first(struct lwp *mine, struct uthread *self)
{
    struct lwp *lwp = lib.lwp[0];

    if (lwp == mine)
        return;
    lwp->tp = mine->tp;
    lwp->err = mine->err;
    lwp->altstack = mine->altstack;
    lwp->signals.kernel = mine->signals.kernel;
    mine->altstack = NULL;
    mine->current = mine->idle;
    lwp->current = self;
    if (lib.full_tls) {
        lwp_tell(lwp->tp, lwp);
        lwp_tell(tp_of(self), lwp);
    } else {
        user_lwp = lwp;
    }
    /* It rested on the stack that it has for that, in frames that never return. */
    context_make(&lwp->idle->context, lwp->idle_rest.high, idle_main);
#ifdef USER_ASAN
    ASAN_UNPOISON_MEMORY_REGION(
        lwp->idle_rest.alone.low,
        (size_t)((char *)lwp->idle_rest.high - (char *)lwp->idle_rest.alone.low));
    lwp->idle_rest.fake_stack = NULL;
#endif
    lib.boot->pin(lib.boot, lwp->slot_of_place);
}

/* `mine` is the caller's. Which of the others had a kernel thread: bits; and those in lib.bound. */
static uint64_t lwps_strip(struct lwp *mine, struct uthread *self)
{
    uint64_t ran = 0;

    for (unsigned i = 0; i < lib.lwps_used; i++) {
        ran |= (uint64_t)lwp_strip(lib.lwp[i]) << i;
        if (lib.lwp[i] != mine)
            altstack_drop(lib.lwp[i]);
    }
    for (struct lwp *lwp = lib.bound; lwp; lwp = lwp->next_bound) {
        lwp_strip(lwp);
        if (lwp != mine)
            altstack_drop(lwp);
    }
    for (struct lwp *lwp = lib.bound_free; lwp; lwp = lwp->next_bound)
        lwp->joinable = 0;
    lwp_become_first(mine, self);
    lib.lwp[0]->hold = 1; /* the caller's, see fork_some */
    atomic_store(&lib.lwp[0]->phase, LWP_RUNS);
    atomic_store(&lib.sleepers, 0);
    atomic_store(&lib.searching, 0);
    atomic_store(&lib.lookout, 0);
    lib.lacking = lib.lookout_blind = 0;
    atomic_store(&lib.active, 1);
    atomic_store(&lib.existing, 1);
    return ran;
}

/* A new kernel thread for it; lwp_lock is held. Without one its threads are for all, a bound one,
 * too. */
static void lwp_restart(struct lwp *lwp)
{
    int unbound = !lwp->bound;
    struct uthread *t;

    atomic_fetch_add(&lib.active, unbound);
    atomic_fetch_add(&lib.existing, unbound);
    if (lwp_start(lwp) == 0)
        return;
    atomic_fetch_sub(&lib.active, unbound);
    atomic_fetch_sub(&lib.existing, unbound);
    while ((t = queue_pop(&lwp->preempt.here)))
        shared_push(t, false);
    hand_over_all(lwp);
}

static void lwps_restart(uint64_t ran)
{
    lock_take(&lib.lwp_lock);
    for (unsigned i = 1; i < lib.lwps_used; i++)
        if (ran >> i & 1)
            lwp_restart(lib.lwp[i]);
    for (struct lwp *lwp = lib.bound; lwp; lwp = lwp->next_bound)
        lwp_restart(lwp);
    lock_release(&lib.lwp_lock);
    for (unsigned i = 0; i < lib.boot->nslots && i < lib.lwps_used; i++)
        place_look(lib.lwp[i]); /* who served it may be spare, and is gone now */
}

/* The caller runs on LWP 0 now, and goes to its own. */
static void fork_go_home(struct uthread *self)
{
    struct lwp *lwp = lwp_self();

    if (!USER_LOAD(self->home) || self->home == lwp)
        return;
    pinned_push(self, false);
    switch_to(lwp, self, pick_next(lwp));
}

#endif

/*
 * inspect.h - the thread table and the counters, for who looks from outside. Included by user.h
 * only.
 *
 * threads() may have interrupted the library anywhere, so it trusts no pointer but the table's:
 * what lies on a thread's stack is copied by the kernel (peek.h), where the stack may have been
 * given back meanwhile. A row is one thread at some moment; its
 * pc and sp are where it was switched away from last.
 */
#ifndef TL_USER_INSPECT_H
#define TL_USER_INSPECT_H

#include "../common/peek.h"

#include <string.h>

/* False: it is there no more. */
static bool inspect_copy(void *to, const void *from, size_t size)
{
    int err = peek(to, from, size);

#if !USER_MN
    /* Forbidden here. The only kernel thread is in this function: nothing goes away. */
    if (err && err != EFAULT) {
        memcpy(to, from, size);
        return true;
    }
#endif
    return !err;
}

/* Which LWP t runs on: its number; its TID if it is t's own; -1: none. */
#if USER_MN
static int inspect_lwp(const struct uthread *t, struct tl_thread_row *row)
{
    const struct lwp *home = USER_LOAD_ACQUIRE(((struct uthread *)t)->home);
    unsigned n = USER_LOAD_ACQUIRE(lib.lwps_used);

    row->bound = home && home->bound == t;
    if (row->bound)
        return USER_LOAD(home->current) == t ? USER_LOAD(home->tid) : -1;
    for (unsigned i = 0; i < n; i++) {
        const struct lwp *lwp = USER_LOAD_ACQUIRE(lib.lwp[i]);

        if (lwp && USER_LOAD(((struct lwp *)lwp)->current) == t)
            return (int)i;
    }
    return -1;
}
#else
static int inspect_lwp(const struct uthread *t, struct tl_thread_row *row)
{
    (void)row;
    return the_lwp.current == t ? 0 : -1;
}
#endif

static const char *inspect_state(enum user_state state, bool runs)
{
    static const char *const words[USER_STATES] = {
        [USER_WAITS_MUTEX] = "mutex", [USER_WAITS_AGAIN] = "mutex",   [USER_WAITS_COND] = "cond",
        [USER_WAITS_SEM] = "sem",     [USER_WAITS_SEM_TIMED] = "sem", [USER_WAITS_JOIN] = "join",
        [USER_WAITS_IO] = "io",       [USER_SLEEPS] = "sleep",
    };

    return words[state] ? words[state] : runs ? "running" : "ready";
}

/* Where it goes on. */
static void inspect_place(const struct uthread *t, const struct uthread_rest *rest,
                          struct tl_thread_row *row)
{
    (void)t;
    (void)rest;
#if USER_UCONTEXT && defined(__x86_64__)
    row->pc = (const void *)rest->uc.uc_mcontext.gregs[REG_RIP];
    row->sp = (const void *)rest->uc.uc_mcontext.gregs[REG_RSP];
#elif USER_UCONTEXT
    row->pc = (const void *)rest->uc.uc_mcontext.pc;
    row->sp = (const void *)rest->uc.uc_mcontext.sp;
#else
    row->pc = t->context.pc;
    row->sp = t->context.sp;
#endif
}

static void inspect_stack(const struct uthread *t, const struct uthread_rest *at,
                          const struct uthread_rest *rest, struct tl_thread_row *row)
{
    const char *low = stack_low_of(rest), *high = (const char *)at, *sp = row->sp;

    if (t == lib.first || !low) /* the stack of run()'s caller: not the library's */
        return;
    if (!rest->pool && !rest->alone.base) /* the user's memory is told as it was given */
        high = rest->high;
    row->low = low;
    row->stack_size = (size_t)(high - low);
    if (sp >= low && sp < high)
        row->stack_used = (size_t)(high - sp);
}

static int user_threads(void (*row)(const struct tl_thread_row *r, void *arg), void *arg)
{
    for (size_t i = 0; i < USER_LOAD(lib.table_used); i++) {
        const struct uthread *t = &lib.table[i];
        const struct uthread_rest *at = USER_LOAD(((struct uthread *)t)->rest);
        enum user_state state = state_of(t);
        struct tl_thread_row r = {.lwp = -1};
        struct uthread_rest rest;

        if (state == USER_FREE || state == USER_ENDED || state == USER_WAITS_ALL || !at ||
            !inspect_copy(&rest, at, sizeof(rest)))
            continue;
        r.thread = id_of(t);
        r.lwp = inspect_lwp(t, &r);
        r.state = inspect_state(state, r.lwp >= 0);
        memcpy(r.name, rest.personal.name, sizeof(r.name));
        r.name[sizeof(r.name) - 1] = '\0';
        if (r.lwp < 0)
            inspect_place(t, &rest, &r);
        inspect_stack(t, at, &rest, &r);
        row(&r, arg);
    }
    return 0;
}

/* ---- counters -------------------------------------------------------------------------------- */

static void counts_add(struct user_counts *sum, const struct lwp *lwp)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)&lwp->counts;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void counts_sum(struct user_counts *sum)
{
#if USER_MN
    unsigned n = USER_LOAD_ACQUIRE(lib.lwps_used);

    for (unsigned i = 0; i < n; i++)
        counts_add(sum, lib.lwp[i]);
    lock_take(&lib.lwp_lock);
    for (const struct lwp *lwp = lib.bound; lwp; lwp = lwp->next_bound)
        counts_add(sum, lwp);
    for (const struct lwp *lwp = lib.bound_free; lwp; lwp = lwp->next_bound)
        counts_add(sum, lwp);
    lock_release(&lib.lwp_lock);
#else
    counts_add(sum, &the_lwp);
#endif
}

/* Each user of a slot but the last has moved its generation on by one. */
static uint64_t threads_made(void)
{
    uint64_t n = 0;

    for (size_t i = 0; i < lib.table_used; i++) {
        const struct uthread *t = &lib.table[i];

        if (t == lib.first)
            n++;
        else
            n += (uint32_t)(t->generation - 1) + (uint64_t)(state_of(t) != USER_FREE);
    }
    return n;
}

static bool waits_counted(enum user_state state)
{
    return state >= USER_WAITS_MUTEX && state < USER_ENDED && state != USER_WAITS_ALL;
}

/* Each wait ends by a wake, by an interruption (its time, a signal, a cancellation), or goes on. */
static uint64_t wakes(const struct user_counts *sum)
{
    uint64_t n = 0;

    for (int state = 0; state < USER_STATES; state++)
        n += sum->waits[state];
    for (size_t i = 0; i < lib.table_used; i++)
        n -= waits_counted(state_of(&lib.table[i]));
    return n - sum->interrupts;
}

static unsigned user_counters(struct tl_counter *counters, unsigned n)
{
    struct user_counts sum = {0};

    USER_STORE(lib.slow.yields, 1);
    counts_sum(&sum);
    struct tl_counter all[] = {
        {"yields", sum.yields},
        {"waits-mutex", sum.waits[USER_WAITS_MUTEX]},
        {"waits-cond", sum.waits[USER_WAITS_COND]},
        {"waits-sem", sum.waits[USER_WAITS_SEM] + sum.waits[USER_WAITS_SEM_TIMED]},
        {"waits-join", sum.waits[USER_WAITS_JOIN]},
        {"waits-io", sum.waits[USER_WAITS_IO]},
        {"waits-sleep", sum.waits[USER_SLEEPS]},
        {"wakes", wakes(&sum)},
        {"interrupts", sum.interrupts},
        {"timers", sum.timers},
        {USER_MN ? "lwp-parks" : "idles", sum.idles},
#if USER_MN
        {"steals", sum.steals},
#endif
        {"threads", threads_made()},
        {"stacks-new", USER_LOAD(lib.stacks_new)},
        {"stacks-trimmed", lib.trimmed},
    };
    unsigned have = sizeof(all) / sizeof(all[0]);

    memcpy(counters, all, (n < have ? n : have) * sizeof(all[0]));
    return have;
}

static const struct tl_inspect_ops user_inspect_ops = {
    .threads = user_threads,
    .counters = user_counters,
};

#endif

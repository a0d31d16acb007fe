/*
 * table.c - table.lists-every-thread, table.states: what the implementation tells of its threads to
 * who looks from outside.
 */
#include "waiters.h"

#include <stdio.h>

#define THREADS 20
#define ROWS 256

static struct tl_ctx *ctx;

/* ---- table.lists-every-thread ---------------------------------------------------------------- */

static struct rows {
    unsigned n;
    struct tl_thread_row row[ROWS];
} rows;

static _Atomic unsigned born;
static _Atomic int all_born, go;

static void keep(const struct tl_thread_row *r, void *arg)
{
    struct rows *to = arg;

    if (to->n < ROWS)
        to->row[to->n] = *r;
    to->n++;
}

static void look(void)
{
    memset(&rows, 0, sizeof(rows));
    TL_CALL(ctx, ctx->impl->inspect->threads(keep, &rows));
}

/* NULL: it is not there. */
static const struct tl_thread_row *find(struct tl_thread t)
{
    for (unsigned i = 0; i < rows.n && i < ROWS; i++)
        if (rows.row[i].thread.id == t.id)
            return &rows.row[i];
    return NULL;
}

static void *stay(void *arg)
{
    if (atomic_fetch_add(&born, 1) == THREADS - 1)
        atomic_store(&all_born, 1);
    tl_await(ctx, &go, "the order to end");
    return arg;
}

/* What a row says must be in order in itself, and agree with what the thread itself is told. */
static void expect_sound(struct tl_thread t, const struct tl_thread_row *r, const char *name)
{
    const struct tl_impl *impl = ctx->impl;
    const char *low = r->low, *sp = r->sp;
    void *told_low;
    size_t size, guard;

    TL_EXPECT(ctx, r->state && *r->state, "thread %ju has no state", (uintmax_t)t.id);
    if (impl->info && impl->info->set_name)
        TL_EXPECT(ctx, !strcmp(r->name, name), "thread %ju is \"%s\", the table says \"%s\"",
                  (uintmax_t)t.id, name, r->name);
    if (low && impl->info && impl->info->stack &&
        TL_CALL(ctx, impl->info->stack(t, &told_low, &size, &guard)))
        TL_EXPECT(ctx, told_low == low && size == r->stack_size,
                  "thread %ju's stack is %p, %zu bytes, the table says %p, %zu", (uintmax_t)t.id,
                  told_low, size, r->low, r->stack_size);
    if (low && sp)
        TL_EXPECT(ctx, sp >= low && sp <= low + r->stack_size,
                  "thread %ju waits with its stack pointer beyond its stack", (uintmax_t)t.id);
    TL_EXPECT(ctx, !r->stack_used || !sp || r->stack_used == (size_t)(low + r->stack_size - sp),
              "thread %ju: %zu bytes used are not what lies above its stack pointer",
              (uintmax_t)t.id, r->stack_used);
}

static void name_of(unsigned i, char *name)
{
    snprintf(name, 16, "row-%u", i);
}

static enum tl_status run_lists(struct tl_ctx *c)
{
    const struct tl_impl *impl = c->impl;
    struct tl_thread t[THREADS];
    const struct tl_thread_row *r;
    unsigned made = 0;
    char name[16];

    ctx = c;
    for (; made < THREADS && tl_start(c, made, &t[made], stay, NULL); made++) {
        name_of(made, name);
        if (impl->info && impl->info->set_name)
            TL_CALL(c, impl->info->set_name(t[made], name));
    }
    if (made == THREADS && tl_await(c, &all_born, "all threads to be there")) {
        look();
        TL_EXPECT(c, rows.n == THREADS + 1, "%u threads are there, the table has %u rows",
                  THREADS + 1, rows.n);
        TL_EXPECT(c, find(impl->self()), "the calling thread is not in the table");
        for (unsigned i = 0; i < THREADS; i++) {
            name_of(i, name);
            r = find(t[i]);
            if (TL_EXPECT(c, r, "thread %ju is not in the table", (uintmax_t)t[i].id))
                expect_sound(t[i], r, name);
        }
    }
    atomic_store(&go, 1);
    for (unsigned i = 0; i < made; i++)
        tl_finish(c, t[i]);
    look();
    TL_EXPECT(c, rows.n == 1 && find(impl->self()),
              "all others are joined, and the table has %u rows", rows.n);
    return tl_verdict(c);
}

static const struct tl_check lists_every_thread = {
    .abi = TL_ABI,
    .name = "table.lists-every-thread",
    .group = "Identity",
    .promise = "the thread table has one row for each thread that has not ended, and its name and "
               "stack are that thread's",
    .source = "Powell et al. 1991, SunOS Multi-thread Architecture (the library's thread "
              "structures: id, registers, stack, state); impl.h, tl_inspect_ops",
    .method =
        "with 20 threads half way, and again when they are joined, the rows are compared with "
        "the ids, names and stacks that create and info tell",
    .meaning = "a thread that is left out, listed twice or listed after its end is seen. The table "
               "is asked while nothing is created; what it says in the middle of a create is not "
               "asked",
    .needs = "inspect.threads",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_lists,
};
TL_CHECK(lists_every_thread);

/* ---- table.states ---------------------------------------------------------------------------- */

static enum tl_status run_states(struct tl_ctx *c)
{
    struct tl_thread_row row;

    ctx = c;
    if (!waiters_begin(c))
        return tl_verdict(c);
    for (unsigned i = 0; i < WAITERS; i++)
        TL_EXPECT(c, waiters_waits(i, &row), "a thread waits (%s), the table says \"%s\"",
                  waiter_words[i], row.state ? row.state : "nothing");
    if (TL_EXPECT(c, waiters_row(c->impl->self(), &row) == 1, "the caller is not in the table"))
        TL_EXPECT(c, row.lwp >= 0 && !strcmp(row.state, "running"),
                  "the caller runs, the table says \"%s\" on LWP %d", row.state, row.lwp);
    waiters_end();
    return tl_verdict(c);
}

static const struct tl_check states = {
    .abi = TL_ABI,
    .name = "table.states",
    .group = "Identity",
    .promise = "the thread table tells what each thread does: it runs, or waits, and for what kind "
               "of thing",
    .source = "Powell et al. 1991, SunOS Multi-thread Architecture (thread states); impl.h, "
              "tl_thread_row",
    .method = "five threads wait for a mutex, a condition, a semaphore, another thread's end and a "
              "time; their rows say so, the caller's that it runs on some kernel thread",
    .meaning = "a state that is not kept up to date is seen. Where each thread is a kernel thread "
               "the kernel's word `sleeping` will do for any wait",
    .needs = WAITERS_NEED,
    .flags = TL_CHECK_CONCURRENT,
    .run = run_states,
};
TL_CHECK(states);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_inspect_ops *sound;

struct relay {
    void (*row)(const struct tl_thread_row *r, void *arg);
    void *arg;
    unsigned n;
};

static void but_tenth(const struct tl_thread_row *r, void *arg)
{
    struct relay *to = arg;

    if (++to->n != 10)
        to->row(r, to->arg);
}

static int threads_but_tenth(void (*row)(const struct tl_thread_row *r, void *arg), void *arg)
{
    return sound->threads(but_tenth, &(struct relay){row, arg, 0});
}

static void apply_misses(struct tl_impl *impl)
{
    sound = impl->inspect;
    TL_MUTATE(impl, inspect)->threads = threads_but_tenth;
}

static const struct tl_mutant table_misses_one = {
    .abi = TL_ABI,
    .name = "table-misses-one",
    .fault = "one slot of the thread table is left out of the listing",
    .kills = "table.lists-every-thread",
    .of = "green ucontext hybrid clone",
    .apply = apply_misses,
};
TL_MUTANT_OF(table_misses_one);

static void all_ready(const struct tl_thread_row *r, void *arg)
{
    struct relay *to = arg;
    struct tl_thread_row other = *r;

    if (strcmp(other.state, "running"))
        other.state = "ready";
    to->row(&other, to->arg);
}

static int threads_all_ready(void (*row)(const struct tl_thread_row *r, void *arg), void *arg)
{
    return sound->threads(all_ready, &(struct relay){row, arg, 0});
}

static void apply_ready(struct tl_impl *impl)
{
    sound = impl->inspect;
    TL_MUTATE(impl, inspect)->threads = threads_all_ready;
}

static const struct tl_mutant table_all_ready = {
    .abi = TL_ABI,
    .name = "table-all-ready",
    .fault = "who does not run is listed as ready, whatever it waits for",
    .kills = "table.states",
    .of = "green ucontext hybrid clone",
    .apply = apply_ready,
};
TL_MUTANT_OF(table_all_ready);

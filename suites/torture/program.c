/* program.c - see program.h. */
#include "program.h"

#include <stdio.h>
#include <string.h>

#define STEPS_MIN 20
#define STEPS_MAX 160
#define ALIVE_MAX 10

/* The state of play. */
struct player {
    struct program *p;
    const struct tl_impl *impl;
    uint64_t random;
    enum { RUNS, BLOCKED, CANCELED, GONE } state[PROGRAM_THREADS];
    unsigned children[PROGRAM_THREADS]; /* neither joined nor detached */
    bool forked_all;
};

static unsigned below(struct player *g, unsigned n)
{
    return (unsigned)(tl_random(&g->random) % n);
}

static void add(struct player *g, enum op_kind kind, unsigned thread, unsigned arg, unsigned part)
{
    if (g->p->nops < PROGRAM_OPS)
        g->p->ops[g->p->nops++] = (struct op){kind, thread, arg, part};
}

/* A thread that can do something; 0 always can. */
static unsigned any_running(struct player *g)
{
    unsigned t = below(g, g->p->nthreads);

    for (unsigned i = 0; i < g->p->nthreads; i++, t = (t + 1) % g->p->nthreads)
        if (g->state[t] == RUNS)
            return t;
    return 0;
}

static unsigned alive(const struct player *g)
{
    unsigned n = 0;

    for (unsigned t = 0; t < g->p->nthreads; t++)
        n += g->state[t] != GONE;
    return n;
}

static void create(struct player *g)
{
    struct program *p = g->p;
    unsigned by = any_running(g), t = p->nthreads;

    if (t == PROGRAM_THREADS || alive(g) >= ALIVE_MAX)
        return;
    p->nthreads++;
    p->threads[t] = (struct program_thread){
        .creator = by, .part = p->nparts++, .exits = g->impl->exit && below(g, 3) == 0};
    g->state[t] = RUNS;
    g->children[t] = 0;
    g->children[by]++;
    add(g, OP_CREATE, by, t, p->threads[t].part);
}

/* Its creator ends what it has to do with t: t does nothing more. */
static void settle(struct player *g, unsigned t)
{
    struct program_thread *thread = &g->p->threads[t];
    bool can_detach = g->state[t] == RUNS && !thread->blocks && below(g, 4) == 0;

    if (g->state[t] == BLOCKED)
        add(g, OP_CANCEL, thread->creator, t, thread->part);
    thread->detached = can_detach;
    add(g, can_detach ? OP_DETACH : OP_JOIN, thread->creator, t, thread->part);
    g->state[t] = GONE;
    g->children[thread->creator]--;
}

static void end_one(struct player *g)
{
    unsigned t = below(g, g->p->nthreads);

    if (t == 0 || g->state[t] == GONE || g->children[t] ||
        g->state[g->p->threads[t].creator] != RUNS)
        return;
    settle(g, t);
}

static void edge(struct player *g, enum op_kind from, enum op_kind to)
{
    struct program *p = g->p;
    unsigned a = any_running(g), b = any_running(g);

    if (a == b || p->nedges == PROGRAM_EDGES)
        return;
    add(g, from, a, p->nedges, p->nparts);
    add(g, to, b, p->nedges++, p->nparts++);
}

static void barrier(struct player *g)
{
    struct program *p = g->p;
    unsigned n = 0;

    if (p->nedges == PROGRAM_EDGES)
        return;
    for (unsigned t = 0; t < p->nthreads; t++)
        if (g->state[t] == RUNS && below(g, 2)) {
            add(g, OP_BARRIER, t, p->nedges, p->nparts);
            n++;
        }
    p->barrier_n[p->nedges] = n;
    p->nedges += n > 0;
    p->nparts += n > 0;
}

static void block(struct player *g)
{
    unsigned t = any_running(g);

    if (t == 0 || g->children[t] || g->p->threads[t].blocks)
        return;
    g->p->threads[t].blocks = true;
    g->state[t] = BLOCKED;
    add(g, OP_BLOCK, t, 0, g->p->threads[t].part);
}

static void kill_other(struct player *g)
{
    unsigned t = below(g, g->p->nthreads);

    if (t && g->state[t] != GONE && g->state[g->p->threads[t].creator] == RUNS)
        add(g, OP_KILL, g->p->threads[t].creator, t, g->p->nparts++);
}

static void alone(struct player *g, enum op_kind kind, unsigned arg)
{
    add(g, kind, any_running(g), arg, g->p->nparts++);
}

const char *program_no_fork(const struct tl_impl *impl)
{
#if defined(__SANITIZE_THREAD__)
    return (void)impl, "ThreadSanitizer does not follow a fork of several threads";
#elif defined(__SANITIZE_ADDRESS__)
    return impl->traits & TL_ONE_TO_ONE
               ? "the allocator of AddressSanitizer (gcc 12) may be left locked in the child"
               : NULL;
#else
    return (void)impl, NULL;
#endif
}

static void forks(struct player *g)
{
    const struct tl_fork_ops *ops = g->impl->fork;
    unsigned which = below(g, 8);

    if (!ops || program_no_fork(g->impl))
        return;
    if (which < 2 && ops->fork)
        alone(g, OP_FORK, 0);
    if (which == 2 && ops->fork_all && !g->forked_all) {
        g->forked_all = true;
        alone(g, OP_FORK_ALL, 0);
    }
}

static void step(struct player *g)
{
    const struct tl_impl *impl = g->impl;

    switch (below(g, 20)) {
    case 0:
    case 1:
    case 2:
        create(g);
        break;
    case 3:
        end_one(g);
        break;
    case 4:
    case 5:
        if (impl->mutex)
            alone(g, OP_CRITICAL, below(g, PROGRAM_MUTEXES));
        break;
    case 6:
    case 7:
    case 8:
        if (impl->sem)
            edge(g, OP_POST, OP_WAIT);
        break;
    case 9:
    case 10:
    case 11:
        if (impl->cond && impl->mutex)
            edge(g, OP_SIGNAL, OP_AWAIT);
        break;
    case 12:
        if (impl->barrier)
            barrier(g);
        break;
    case 13:
        alone(g, OP_YIELD, 0);
        break;
    case 14:
        if (impl->sleep && below(g, 3) == 0)
            alone(g, OP_SLEEP, below(g, 300));
        break;
    case 15:
        if (impl->key)
            alone(g, OP_KEY, 0);
        break;
    case 16:
        if (impl->signal && impl->signal->kill)
            alone(g, OP_KILL_SELF, 0);
        break;
    case 17:
        if (impl->signal && impl->signal->kill)
            kill_other(g);
        break;
    case 18:
        if (impl->cancel && impl->sem)
            block(g);
        break;
    default:
        forks(g);
        break;
    }
}

/* ---- leaving out ----------------------------------------------------------------------------- */

/* What it waits for, or who waits for it, would be missing: an edge is left out as a whole. */
static bool kept(const struct tl_ctx *ctx, const bool *thread_kept, const struct op *op)
{
    if (tl_without(ctx, op->part) || !thread_kept[op->thread])
        return false;
    switch (op->kind) {
    case OP_CREATE:
    case OP_JOIN:
    case OP_DETACH:
    case OP_KILL:
    case OP_CANCEL:
        return thread_kept[op->arg];
    default:
        return true;
    }
}

static bool is_edge(enum op_kind kind)
{
    return kind == OP_POST || kind == OP_WAIT || kind == OP_SIGNAL || kind == OP_AWAIT ||
           kind == OP_BARRIER;
}

static void leave_out(const struct tl_ctx *ctx, struct program *p)
{
    bool thread_kept[PROGRAM_THREADS] = {true};
    bool broken[PROGRAM_EDGES] = {false};
    unsigned n = 0;

    for (unsigned t = 1; t < p->nthreads; t++)
        thread_kept[t] = thread_kept[p->threads[t].creator] && !tl_without(ctx, p->threads[t].part);
    for (unsigned i = 0; i < p->nops; i++)
        if (is_edge(p->ops[i].kind) && !kept(ctx, thread_kept, &p->ops[i])) {
            if (p->ops[i].kind == OP_BARRIER && !tl_without(ctx, p->ops[i].part))
                p->barrier_n[p->ops[i].arg]--; /* the others meet without it */
            else
                broken[p->ops[i].arg] = true;
        }
    for (unsigned i = 0; i < p->nops; i++) {
        const struct op *op = &p->ops[i];

        if (kept(ctx, thread_kept, op) && !(is_edge(op->kind) && broken[op->arg]))
            p->ops[n++] = *op;
    }
    p->nops = n;
}

void program_draw(const struct tl_ctx *ctx, struct program *p)
{
    struct player g = {.p = p, .impl = ctx->impl, .random = ctx->seed};
    unsigned steps;

    memset(p, 0, sizeof(*p));
    p->nthreads = 1;
    steps = STEPS_MIN + below(&g, STEPS_MAX - STEPS_MIN);
    for (unsigned i = 0; i < steps && p->nops < PROGRAM_OPS - 3 * PROGRAM_THREADS; i++)
        step(&g);
    for (unsigned t = p->nthreads; --t > 0;) /* children before their creators */
        if (g.state[t] != GONE)
            settle(&g, t);
    leave_out(ctx, p);
}

void program_print(const struct program *p, void (*line)(const char *text, void *arg), void *arg)
{
    static const char *const words[OP_KINDS] = {"creates thread",
                                                "joins thread",
                                                "detaches thread",
                                                "enters and leaves mutex",
                                                "posts semaphore",
                                                "waits for semaphore",
                                                "signals condition",
                                                "waits for condition",
                                                "meets others at barrier",
                                                "yields",
                                                "sleeps, us:",
                                                "gives the key a value",
                                                "sends itself a signal",
                                                "sends a signal to thread",
                                                "forks",
                                                "forks all threads",
                                                "blocks for ever",
                                                "cancels thread"};
    char text[160];

    for (unsigned i = 0; i < p->nops; i++) {
        const struct op *op = &p->ops[i];
        bool plain = op->kind == OP_YIELD || op->kind == OP_KEY || op->kind == OP_KILL_SELF ||
                     op->kind == OP_FORK || op->kind == OP_FORK_ALL || op->kind == OP_BLOCK;
        int n = snprintf(text, sizeof(text), "thread %u %s", op->thread, words[op->kind]);

        if (!plain)
            n += snprintf(text + n, sizeof(text) - (size_t)n, " %u", op->arg);
        if (op->kind == OP_CREATE && p->threads[op->arg].exits)
            snprintf(text + n, sizeof(text) - (size_t)n, ", which ends by exit()");
        line(text, arg);
    }
}

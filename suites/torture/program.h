/*
 * program.h - random programs of threads: what they may do is known beforehand, so that whatever
 * else happens is a bug of the implementation.
 *
 * A program is drawn from a seed by playing it in one order, in which every wait comes after what
 * ends it: so it ends in every order. Each thing that can be left out of it without harm (a thread
 * with all that it does, a hand-over with both its ends) is a part; leaving parts out is how a
 * program that fails is made small (delta debugging, Zeller and Hildebrandt 2002, "Simplifying and
 * Isolating Failure-Inducing Input").
 */
#ifndef SUITES_TORTURE_PROGRAM_H
#define SUITES_TORTURE_PROGRAM_H

#include "check.h"

#define PROGRAM_THREADS 32
#define PROGRAM_OPS 640
#define PROGRAM_EDGES 96
#define PROGRAM_MUTEXES 3

enum op_kind {
    OP_CREATE,   /* thread arg */
    OP_JOIN,     /* thread arg; its value is right */
    OP_DETACH,   /* thread arg */
    OP_CRITICAL, /* under mutex arg: nobody else is */
    OP_POST,     /* edge arg, by semaphore */
    OP_WAIT,
    OP_SIGNAL, /* edge arg, by condition variable */
    OP_AWAIT,
    OP_BARRIER, /* edge arg, which has `n` threads */
    OP_YIELD,
    OP_SLEEP,
    OP_KEY,       /* gives the key a value, whose destructor counts */
    OP_KILL_SELF, /* a signal to itself: has run when kill returns */
    OP_KILL,      /* a signal to thread arg, which runs or has ended, but is not joined */
    OP_FORK,      /* a child that creates and joins a thread */
    OP_FORK_ALL,  /* a child that plays the rest of the program, too; once */
    OP_BLOCK,     /* for ever, until it is cancelled */
    OP_CANCEL,    /* thread arg, which blocks or will */
    OP_KINDS
};

struct op {
    enum op_kind kind;
    unsigned thread, arg, part;
};

struct program_thread {
    unsigned creator, part;
    bool detached, exits; /* by exit, not by return */
    bool blocks;          /* its last step is OP_BLOCK */
};

/* Invariants: thread 0 is the first; a thread's creator has a smaller number; ops stand in the
 * order in which they were played. */
struct program {
    struct op ops[PROGRAM_OPS];
    unsigned nops, nparts, nedges;
    struct program_thread threads[PROGRAM_THREADS];
    unsigned nthreads;
    unsigned barrier_n[PROGRAM_EDGES]; /* of edges that are barriers: how many meet */
};

/* Draws the program of ctx->seed out of what ctx->impl offers, and leaves out the parts that
 * tl_without names, with all that needs them. */
void program_draw(const struct tl_ctx *ctx, struct program *p);

/* Why programs of this implementation do not fork in this build; NULL: they do, if it can. */
const char *program_no_fork(const struct tl_impl *impl);

/* One line for each step, in the order of play. */
void program_print(const struct program *p, void (*line)(const char *text, void *arg), void *arg);

#endif

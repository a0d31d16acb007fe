/*
 * context_uc.h - the operations of common/context.h over swapcontext(3): the same library, at the
 * price of two system calls for the signal mask a switch. Included by types.h where USER_UCONTEXT.
 *
 * swapcontext calls nothing on the next stack, so what context_switch_then was asked to call waits
 * in context_pending, and whoever goes on on the next stack calls it first: context_arrived(), at
 * the end of each switch and at the start of each new context.
 *
 * All is inlined by force: the thread sanitizer counts entries and exits of functions per thread,
 * and a function must not be entered as one thread and left as another.
 */
#ifndef TL_USER_CONTEXT_UC_H
#define TL_USER_CONTEXT_UC_H

#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

struct context {
    ucontext_t *uc;  /* the owner's memory, set before the first switch */
    uint64_t unused; /* the size of the other context, which the owner's layout counts on */
    uint64_t unused2;
    uint32_t unused3;
    uint16_t unused4;
    uint8_t state, flags; /* not touched here: room for the owner */
};

static struct {
    void (*then)(void *);
    void *arg;
} context_pending;

/* The owner of the contexts: swapcontext brings back the kernel's mask of another time, and a
 * signal handler must not take what it interrupts in there for the caller of the switch. */
static void context_leaves(ucontext_t *to);
static void context_arrives(void);

static inline __attribute__((always_inline)) void context_arrived(void)
{
    void (*then)(void *) = context_pending.then;

    context_arrives();
    if (then) {
        context_pending.then = NULL;
        then(context_pending.arg);
    }
}

/* They fail only for a mask pointer that does not exist. */
static inline __attribute__((always_inline)) void context_switch(struct context *from,
                                                                 const struct context *to)
{
    context_leaves(to->uc);
    if (swapcontext(from->uc, to->uc))
        abort();
    context_arrived();
}

static inline __attribute__((always_inline)) void
context_switch_then(struct context *from, const struct context *to, void (*then)(void *), void *arg)
{
    context_pending.then = then;
    context_pending.arg = arg;
    context_switch(from, to);
}

static inline __attribute__((always_inline, noreturn)) void
context_leave_then(const struct context *to, void (*then)(void *), void *arg)
{
    context_pending.then = then;
    context_pending.arg = arg;
    context_leaves(to->uc);
    setcontext(to->uc);
    abort();
}

/* Apart from its caller, because what calls getcontext cannot be inlined. */
static void context_prepare_uc(ucontext_t *uc, void *low, void *top, void (*entry)(void))
{
    if (getcontext(uc))
        abort();
    uc->uc_stack.ss_sp = low;
    uc->uc_stack.ss_size = (size_t)((char *)top - (char *)low);
    uc->uc_link = NULL;
    makecontext(uc, entry, 0);
}

/* Runs entry, which calls context_arrived() and never returns, on [low, top). uc: its context. */
static inline __attribute__((always_inline)) void
context_start_uc(struct context *from, ucontext_t *uc, void *low, void *top, void (*entry)(void))
{
    context_prepare_uc(uc, low, top, entry);
    context_leaves(uc);
    if (swapcontext(from->uc, uc))
        abort();
    context_arrived();
}

#endif

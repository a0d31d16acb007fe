/*
 * critical.h - calls of the C library in which a user-level thread must not be replaced by another
 * one on the same kernel thread, because the C library calls the program back from inside, or
 * returns with a lock that is the kernel thread's: stdio (cookie functions, flockfile), dlopen
 * (constructors), pthread_once; and malloc, so that a thread that is always inside is replaced on
 * its way out.
 *
 * The linker leads these calls of the program (not of plugins) to critical.c (--wrap). Without
 * hooks they go straight on. Signals, too: the one that preempts is kept out of every mask that the
 * program sets, and in the mask of every handler that it installs. So a handler is never preempted:
 * below it may be anything.
 */
#ifndef TL_CRITICAL_H
#define TL_CRITICAL_H

#include <stdbool.h>

struct critical_hooks {
    int signal; /* that preempts */
    void (*enter)(void);
    /* late: the caller may be replaced now, if it should have been inside. */
    void (*leave)(bool from_user);
    bool (*is_user)(const void *caller);
};

/* Of the implementation that runs; NULL: none of it. Written while there is one thread. */
extern const struct critical_hooks *critical_hooks;

/* Adds the signal to the masks of the handlers that are installed already. */
void critical_adopt_handlers(void);

#endif

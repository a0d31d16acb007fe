/*
 * atfork.h - the handlers of fork_ops.atfork, for implementations that cannot use pthread_atfork.
 *
 * fork calls atfork_prepare, forks, then atfork_parent or atfork_child, all three for the same
 * run, which is the caller's (a handler may switch to a thread that forks, too): prepare handlers
 * run in the reverse order of their registration, parent and child handlers in that order
 * (POSIX.1-2017, pthread_atfork). A handler that is added between prepare and parent or child does
 * not run in this fork. Any thread; handlers are never removed.
 */
#ifndef TL_ATFORK_H
#define TL_ATFORK_H

/* Each may be NULL. Returns 0 or ENOMEM. */
int atfork_add(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* A fork in progress: the handlers that prepare saw. */
struct atfork_run {
    struct atfork_handlers *first, *last;
};

void atfork_prepare(struct atfork_run *run);
void atfork_parent(const struct atfork_run *run);
void atfork_child(const struct atfork_run *run);

#endif

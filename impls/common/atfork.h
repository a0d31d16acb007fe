/*
 * atfork.h - the handlers of fork_ops.atfork, for implementations that cannot use pthread_atfork.
 *
 * fork calls atfork_prepare, forks, then atfork_parent or atfork_child, all three in the same
 * thread: prepare handlers run in the reverse order of their registration, parent and child
 * handlers in that order (POSIX.1-2017, pthread_atfork). A handler that is added between prepare
 * and parent or child does not run in this fork. Any thread; handlers are never removed.
 */
#ifndef TL_ATFORK_H
#define TL_ATFORK_H

/* Each may be NULL. Returns 0 or ENOMEM. */
int atfork_add(void (*prepare)(void), void (*parent)(void), void (*child)(void));

void atfork_prepare(void);
void atfork_parent(void);
void atfork_child(void);

#endif

/*
 * generic.h - synchronisation built on an implementation's own mutex and condition variable, for
 * those that have nothing better: read-write lock, barrier, once.
 *
 *     in run(), before entry:   generic_init(&my_mutex, &my_cond, &my_cancel, my_protect, my_self);
 *     in the table:             .rwlock = &generic_rwlock, .barrier = &generic_barrier,
 *                               .once = generic_once,
 *
 * A process runs one implementation, once, so that what they are built on is one global. Timed
 * operations need cond.timedwait: without it they answer ENOTSUP. What an operation of the base
 * answers (EDEADLK of `null`, say) is handed on. No operation here is a cancellation point:
 * cond.wait is called with cancellation disabled where there is any. The routine of once may be
 * cancelled: then it has not run (POSIX.1-2017, pthread_once). A once whose routine runs in another
 * thread during a fork stays as it is in the child, where nobody will end it.
 *
 * Read-write lock: writers first, after Courtois, Heymans, Parnas 1971, "Concurrent Control with
 * Readers and Writers", problem 2: a reader that comes after a waiting writer waits behind it.
 * Barrier: counts by generation, so that it can be used again at once (Mellor-Crummey and Scott
 * 1991, section 3.1, centralised barrier).
 */
#ifndef TL_GENERIC_H
#define TL_GENERIC_H

#include "impl.h"

/* Called once in a process, before the first use. cancel: NULL, if there is none. protect:
 * tl_impl.protect, or NULL: once then does not notice that its routine was cancelled. */
void generic_init(const struct tl_mutex_ops *mutex, const struct tl_cond_ops *cond,
                  const struct tl_cancel_ops *cancel,
                  void (*protect)(void (*body)(void *), void *body_arg, void (*routine)(void *),
                                  void *arg, bool execute),
                  struct tl_thread (*self)(void));

extern const struct tl_rwlock_ops generic_rwlock;
extern const struct tl_barrier_ops generic_barrier;
int generic_once(struct tl_once *once, void (*routine)(void));

#endif

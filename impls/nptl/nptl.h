/*
 * nptl.h - the tables of the contract over the C library's objects: nptl_lock.c has the mutex and
 * the read-write lock, nptl_sync.c what else threads wait for, nptl_thread.c what belongs to one
 * thread. nptl.c makes the threads.
 */
#ifndef TL_NPTL_H
#define TL_NPTL_H

#include "impl.h"

#include "../common/posix.h"

#include <pthread.h>

extern const struct tl_mutex_ops nptl_mutex;
extern const struct tl_rwlock_ops nptl_rwlock;
extern const struct tl_cond_ops nptl_cond;
extern const struct tl_sem_ops nptl_sem;
extern const struct tl_barrier_ops nptl_barrier;
extern const struct tl_key_ops nptl_key;
extern const struct tl_signal_ops nptl_signal;
extern const struct tl_info_ops nptl_info;

int nptl_once(struct tl_once *once, void (*routine)(void));
void nptl_protect(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                  bool execute);

/* The pthread_mutex_t of one that is not TL_MUTEX_SPIN; NULL: it is. */
pthread_mutex_t *nptl_mutex_of(struct tl_mutex *m);

#endif

/*
 * nptl_sync.h - the contract's mutex, condition variable and semaphore over those of the C library.
 * In a file of its own because the names are long; nptl.c uses the three tables.
 */
#ifndef TL_NPTL_SYNC_H
#define TL_NPTL_SYNC_H

#include "impl.h"

extern const struct tl_mutex_ops nptl_mutex;
extern const struct tl_cond_ops nptl_cond;
extern const struct tl_sem_ops nptl_sem;

#endif

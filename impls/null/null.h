/*
 * null.h - what the files of null share: null.c makes threads, null_sync.c has locks and
 * semaphores, null_kernel.c signals, fork and blocking calls.
 */
#ifndef TL_NULL_H
#define TL_NULL_H

#include "impl.h"

#include "../common/personal.h"
#include "../common/posix.h"

/* A thread that has begun and not ended, on the stack of create. Invariant: the creators form a
 * list that ends with the first thread; `null_frame` is the innermost, and the one that runs. */
struct null_frame {
    struct null_frame *creator;
    struct personal personal;
    uint64_t id;
    void *value;   /* of exit */
    void *jump[5]; /* of __builtin_setjmp: where exit goes */
};

extern struct null_frame *null_frame;

extern const struct tl_mutex_ops null_mutex;
extern const struct tl_cond_ops null_cond;
extern const struct tl_sem_ops null_sem;
extern const struct tl_signal_ops null_signal;
extern const struct tl_fork_ops null_fork;
extern const struct tl_io_ops null_io;

enum null_state { NULL_FREE, NULL_RUNS, NULL_ENDED };
/* NULL_FREE: the id is stale or garbage. */
enum null_state null_state_of(uint64_t id);

/* Waits, since nobody can end it before: ETIMEDOUT, or EINVAL: no such clock. */
int null_wait_until(clockid_t clock, uint64_t deadline_ns);

/* At each cancellation point. */
static inline void null_point(void)
{
    if (personal_due(&null_frame->personal))
        personal_test();
}

#endif
